"""What happens to a client's calls (events) and what its host shall do (actions). The host decides nothing.

A *call* is what the user asked for; it is tried by one or more *attempts*, each at one *endpoint*. Endpoints are opaque
strings. Times
are integer microseconds of any clock that does not go back.
"""

from __future__ import annotations

import enum

from ferrite.core.client.failure import Failure
from ferrite.core.kv import Session
from ferrite.core.values import value


class CallKind(enum.Enum):
    """What may be done about an attempt without an answer."""

    REPEATABLE = "repeatable"
    """A read, or a command that may as well happen twice: tried again freely."""
    CHANGE = "change"
    """Tried again with the same session pair only."""
    UNREPEATABLE = "unrepeatable"
    """There is no session for it: tried again only while it has certainly not happened."""


# ------------------------------------------------------------------------------------------------ events


@value
class CallMade:
    """The user asks for something; `call` is the host's number for it. With `endpoint` set, only that one is asked, once."""

    call: int
    kind: CallKind
    deadline_us: int
    endpoint: str = ""


@value
class CallCancelled:
    """The user does not wait for it any more. What was sent may have happened, or may yet."""

    call: int


@value
class AttemptAnswered:
    """`answer` is handed on as it is. `leader`: the endpoint of whoever leads; empty when unknown."""

    attempt: int
    answer: object
    leader: str = ""


@value
class AttemptRefused:
    """A node's refusal, with its stable code. `retry_after_us`: do not come back before (0: it named no time)."""

    attempt: int
    code: str
    detail: str
    certainly_not_applied: bool
    leader: str = ""
    retry_after_us: int = 0
    revision: int = 0


@value
class AttemptLost:
    """No answer: the connection broke (`sent`), or there never was one (not `sent`: the endpoint has seen nothing of it)."""

    attempt: int
    detail: str
    sent: bool


@value
class MembersFound:
    """The answer to `Discover`: the endpoints of all members, and the leader's; empty when unknown."""

    endpoints: tuple[str, ...]
    leader: str = ""


Event = CallMade | CallCancelled | AttemptAnswered | AttemptRefused | AttemptLost | MembersFound

# ------------------------------------------------------------------------------------------------ actions


@value
class Try:
    """Send the call to the endpoint; the server may work for it `timeout_us`. Report what came of it, late answers too,
    until `Finish`.
    """

    call: int
    attempt: int
    endpoint: str
    session: Session | None
    timeout_us: int


@value
class Finish:
    """The call is over: it has an answer, or `failure` says why not."""

    call: int
    answer: object = None
    failure: Failure | None = None


@value
class Discover:
    """Ask the cluster for its members, and report `MembersFound` when there is an answer."""


Action = Try | Finish | Discover
