"""What a refusal means for the call, and what becomes of a call that failed."""

from __future__ import annotations

from typing import Final

from ferrite.core.kv import CommandErrorCode
from ferrite.core.values import RefusalCode, value

UNKNOWN_OUTCOME: Final = "unknown_outcome"
DEADLINE_EXCEEDED: Final = "deadline_exceeded"
UNREACHABLE: Final = "unreachable"
NO_LEADER: Final = "no_leader"
"""This client's own codes beside the doors'; the doors use the first one as well."""


def _names(*codes: CommandErrorCode) -> frozenset[str]:
    return frozenset(code.name.lower() for code in codes)


TRANSIENT: Final = frozenset(
    code.value
    for code in (
        RefusalCode.NOT_LEADER,
        RefusalCode.OVERLOADED,
        RefusalCode.SHUTTING_DOWN,
        RefusalCode.NOT_INITIALIZED,
        RefusalCode.NO_QUORUM,
        RefusalCode.TOO_STALE,
        RefusalCode.STORAGE_FAILED,
    )
) | {"too_many_connections", "request_timeout"}
"""Certainly not carried out, and another time or another node may do: tried again until the deadline."""
USELESS_NODE: Final = frozenset(
    code.value
    for code in (RefusalCode.SHUTTING_DOWN, RefusalCode.NOT_INITIALIZED, RefusalCode.STORAGE_FAILED)
) | {"too_many_connections"}
"""The node is of no use for a while, whatever it is asked."""
BROKEN_SESSION: Final = _names(
    CommandErrorCode.SESSION_EXPIRED,
    CommandErrorCode.REQUEST_FORGOTTEN,
    CommandErrorCode.REQUEST_MISMATCH,
)
"""This attempt did nothing; the session cannot tell of earlier ones (any more). In a new session it may be tried afresh."""
MACHINE: Final = _names(
    CommandErrorCode.KEY_NOT_FOUND,
    CommandErrorCode.LEASE_NOT_FOUND,
    CommandErrorCode.LEASE_EXISTS,
    CommandErrorCode.DUPLICATE_KEY,
    CommandErrorCode.COMPACTED,
    CommandErrorCode.FUTURE_REVISION,
    CommandErrorCode.NO_SPACE,
    CommandErrorCode.REPLY_TOO_LARGE,
)
"""Said by the machine, which knows of every attempt in the session: the truth about all of them."""


@value
class Failure:
    """A call's end without an answer. `code` is a door's ("not_leader", "compacted", ...) or one of this client's own.

    `certainly_not_applied`: no attempt of the call had or will have an effect. `revision`: that of "compacted" and
    "future_revision".
    """

    code: str
    detail: str
    certainly_not_applied: bool
    revision: int = 0
