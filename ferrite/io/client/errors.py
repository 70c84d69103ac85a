"""What a call of the client library may raise. Every class says whether the call can have had an effect.

FerriteError
Unavailable              nobody could carry it out in time; certainly not applied
NotLeader (and NoLeader), NoQuorum, Overloaded, ShuttingDown, StorageFailed, NotInitialized, TooStale, DeadlineExceeded
UnknownOutcome           it may have happened, or may yet happen: read before you repeat it
SessionExpired, RequestForgotten
Refused                  it was understood and refused; repeating it changes nothing; certainly not applied
InvalidArgument, TooLarge, KeyNotFound, LeaseNotFound, LeaseExists, DuplicateKey, Compacted, FutureRevision, NoSpace,
ChangeRefused, Unsupported
ReplyTooLarge            it was applied, but its answer is lost
LeaseLost, LockTimeout   of the recipes: lease, lock, elect
"""

from __future__ import annotations

from typing import Final

from ferrite.core.client import Failure


class FerriteError(Exception):
    """A call without a good answer.

    `code` is stable and the same on every protocol ("not_leader", "compacted", ...), `detail` is for people.
    `certainly_not_applied`:
    the call had no effect and never will have.
    """

    def __init__(
        self, detail: str, *, code: str, certainly_not_applied: bool = True, revision: int = 0
    ) -> None:
        """`revision`: see `Compacted` and `FutureRevision`; 0 for all others."""
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.certainly_not_applied = certainly_not_applied
        self.revision = revision


class Unavailable(FerriteError):
    """Nobody could carry it out within the time. Certainly not applied: it may be tried again as it is."""


class NotLeader(Unavailable):
    """The nodes that answered do not lead and could not reach one that does."""


class NoLeader(NotLeader):
    """No node that answered knew of a leader."""


class NoQuorum(Unavailable):
    """The leader could not confirm a read with a majority in time."""


class Overloaded(Unavailable):
    """The nodes refused it for too much work; or this client has too many calls waiting."""


class ShuttingDown(Unavailable):
    """The nodes that answered were on their way out."""


class StorageFailed(Unavailable):
    """The nodes that answered have a failed disk."""


class NotInitialized(Unavailable):
    """The nodes belong to no cluster yet: initialize one."""


class TooStale(Unavailable):
    """No node had data as fresh as `max_staleness_s` asks for."""


class DeadlineExceeded(Unavailable):
    """Nobody answered in time."""


class UnknownOutcome(FerriteError):
    """A change whose answer is lost for good: it may have happened, or may yet happen. Read before you repeat it."""


class SessionExpired(UnknownOutcome):
    """The cluster has forgotten the session in which an unanswered attempt was sent. The client goes on in a new one."""


class RequestForgotten(UnknownOutcome):
    """The cluster no longer remembers the answer to an earlier attempt."""


class Refused(FerriteError):
    """It was understood and refused: the same call again will be refused again. Certainly not applied."""


class InvalidArgument(Refused, ValueError):
    """An argument is not allowed; `detail` says which, and what is."""


class TooLarge(Refused, ValueError):
    """The key, the value or the whole request is larger than the server's limits."""


class KeyNotFound(Refused):
    """`ignore_value` or `ignore_lease` on a key that is not there."""


class LeaseNotFound(Refused):
    """There is no such lease (any more)."""


class LeaseExists(Refused):
    """The lease id that was asked for is taken."""


class DuplicateKey(Refused, ValueError):
    """A transaction changes one key twice."""


class Compacted(Refused):
    """The revision's history is gone. `revision` is the oldest one that can be read, or watched from."""


class FutureRevision(Refused):
    """The revision is not there yet. `revision` is the present one."""


class NoSpace(Refused):
    """The store's quota is used up: delete and compact. Reads, deletes and compaction go on."""


class ChangeRefused(Refused):
    """The cluster refused a change of its membership or its leader; `code` says why ("would_lose_quorum", ...)."""


class Unsupported(Refused):
    """This server, or this protocol, cannot do it; `detail` says what can."""


class ReplyTooLarge(FerriteError):
    """A repeated change had been applied the first time, but its answer was too large to be remembered."""


class LeaseLost(FerriteError):
    """The lease under a lock or an office ended: while it was waited for, or before a write that needed it."""


class LockTimeout(FerriteError, TimeoutError):
    """The lock was not free within `wait_s`, or the office not vacant. Nothing is held, and the place in the queue is given
    up.
    """


_CLASSES: Final[dict[str, type[FerriteError]]] = {
    "not_leader": NotLeader,
    "no_leader": NoLeader,
    "no_quorum": NoQuorum,
    "overloaded": Overloaded,
    "shutting_down": ShuttingDown,
    "storage_failed": StorageFailed,
    "not_initialized": NotInitialized,
    "too_stale": TooStale,
    "deadline_exceeded": DeadlineExceeded,
    "unreachable": Unavailable,
    "unknown_outcome": UnknownOutcome,
    "session_expired": SessionExpired,
    "request_forgotten": RequestForgotten,
    "invalid": InvalidArgument,
    "malformed": InvalidArgument,
    "too_large": TooLarge,
    "key_not_found": KeyNotFound,
    "lease_not_found": LeaseNotFound,
    "lease_exists": LeaseExists,
    "duplicate_key": DuplicateKey,
    "compacted": Compacted,
    "future_revision": FutureRevision,
    "no_space": NoSpace,
    "unsupported": Unsupported,
    "reply_too_large": ReplyTooLarge,
    **dict.fromkeys(
        (
            "already_initialized", "change_in_progress", "would_lose_quorum", "unknown_member", "not_caught_up",
            "invalid_change", "retired_id", "transfer_failed",
        ),
        ChangeRefused,
    ),
}  # fmt: skip


def error_of(failure: Failure) -> FerriteError:
    """The exception for a failed call. A code that this version does not know is judged by what is certain."""
    kind = _CLASSES.get(failure.code) or (Refused if failure.certainly_not_applied else UnknownOutcome)
    return kind(
        failure.detail,
        code=failure.code,
        certainly_not_applied=failure.certainly_not_applied,
        revision=failure.revision,
    )
