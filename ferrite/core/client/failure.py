"""What becomes of a call that failed: judged from the answers to its attempts."""

from __future__ import annotations

from ferrite.core.values import value


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
