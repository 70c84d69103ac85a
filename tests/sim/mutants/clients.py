"""Bugs of the shipped client library: what it sends again, and what it takes for certain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.planting import replaced


def _new_number_each_time(honest: Callable[..., None]) -> Callable[..., None]:
    def attempt(requests: Any, call: Any) -> None:
        if call.slot is not None and call.sent:
            call.slot.give_back()
            call.slot = requests._sessions.take()
        honest(requests, call)

    return attempt


def _silence_is_no(honest: Callable[..., None]) -> Callable[..., None]:
    def give_up(requests: Any, call: Any) -> None:
        call.unsettled.clear()
        honest(requests, call)

    return give_up


def _all_acknowledged(_honest: Callable[..., None]) -> Callable[..., None]:
    def give_back(window: Any, request_id: int) -> None:
        window._open.discard(request_id)
        window._lowest = window._next

    return give_back


CLIENTS = (
    Mutant(
        number=80,
        name="retry-is-a-new-request",
        sentence="The client tries a change again under a new request number.",
        provenance="thesis 6.3; jetcd, Jepsen",
        needs="a change that was carried out and whose answer was lost",
        plant=replaced(_new_number_each_time, "ferrite.core.client.requests:Requests._try"),
    ),
    Mutant(
        number=81,
        name="silence-means-not-applied",
        sentence="A change that had no answer in time is reported as certainly not applied.",
        provenance="Jepsen's first rule of histories: a time-out is no failure",
        needs="a change that is carried out after its client gave up",
        plant=replaced(_silence_is_no, "ferrite.core.client.requests:Requests._finish_given_up"),
    ),
    Mutant(
        number=82,
        name="acknowledges-what-is-open",
        sentence="A request that is over acknowledges all before the next one, open ones too.",
        provenance="thesis 6.3 with more than one request outstanding",
        needs="two tasks of one client, and a retry of the older one's request",
        plant=replaced(_all_acknowledged, "ferrite.core.client.session:SessionWindow.give_back"),
    ),
)
