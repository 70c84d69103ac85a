"""The client's decisions, pure: sessions, retries, endpoints, leases, watches, locks (front door).

    requests = Requests(client_id, endpoints, dice)
    actions = requests.step(events, now_us)  # facts in, orders out, as of the replica
    requests.deadline_us  # call step([], now_us) at this time at the latest

`ferrite.io.client` drives it with real connections, the simulator with simulated ones.
"""

from ferrite.core.client.calls import (
    Action,
    AttemptAnswered,
    AttemptLost,
    AttemptRefused,
    CallCancelled,
    CallKind,
    CallMade,
    Discover,
    Event,
    Finish,
    MembersFound,
    Try,
)
from ferrite.core.client.cursor import WatchCursor
from ferrite.core.client.endpoints import Dice, Endpoints
from ferrite.core.client.failure import (
    DEADLINE_EXCEEDED,
    MACHINE,
    TRANSIENT,
    UNKNOWN_OUTCOME,
    UNREACHABLE,
    Failure,
)
from ferrite.core.client.keepalive import KeepAlives, Renew
from ferrite.core.client.ranges import prefix_end
from ferrite.core.client.recipes import (
    Contender,
    Gone,
    Held,
    WaitFor,
    holder_of,
    holder_query,
    queue_prefix,
)
from ferrite.core.client.requests import Requests
from ferrite.core.client.retry import RetryPolicy
from ferrite.core.client.session import (
    WINDOW_REQUESTS,
    Sessions,
    SessionWindow,
    Slot,
)

__all__ = [
    "DEADLINE_EXCEEDED",
    "MACHINE",
    "TRANSIENT",
    "UNKNOWN_OUTCOME",
    "UNREACHABLE",
    "WINDOW_REQUESTS",
    "Action",
    "AttemptAnswered",
    "AttemptLost",
    "AttemptRefused",
    "CallCancelled",
    "CallKind",
    "CallMade",
    "Contender",
    "Dice",
    "Discover",
    "Endpoints",
    "Event",
    "Failure",
    "Finish",
    "Gone",
    "Held",
    "KeepAlives",
    "MembersFound",
    "Renew",
    "Requests",
    "RetryPolicy",
    "Sessions",
    "SessionWindow",
    "Slot",
    "Try",
    "WaitFor",
    "WatchCursor",
    "holder_of",
    "holder_query",
    "prefix_end",
    "queue_prefix",
]
