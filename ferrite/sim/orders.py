"""How a simulated node performs what its replica orders, and the crash that may strike between two orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ferrite.core import actions
from ferrite.sim.answers import Abandoned, Refused, Replied
from ferrite.sim.desk import Desk
from ferrite.sim.log_thread import LogThread
from ferrite.sim.state_thread import StateThread

if TYPE_CHECKING:
    from ferrite.sim.node import Node


@dataclass(slots=True, kw_only=True)
class Doom:
    """A crash that strikes inside a coming step: after so many actions, or before the next action of a kind."""

    after_actions: int = 0
    before: str = ""
    power_loss: bool = True

    def strikes(self, action: actions.Action, place: int, last: int) -> bool:
        """Does it strike before this action, the `place`-th of a step whose last one is the `last`-th?"""
        if self.before:
            return type(action).__name__ == self.before
        return place >= min(self.after_actions, last)


def perform(
    node: Node, action: actions.Action, desk: Desk, log: LogThread | None, state: StateThread | None
) -> None:
    """Perform one order of a running node. Raises Violation ANSWER, S18."""
    assert log is not None, "a running node has its threads"
    assert state is not None, "the same"
    match action:
        case actions.Persist() | actions.LoadEntries() | actions.DiscardLog():
            log.order(action)
        case actions.Apply():
            state.apply(action)
        case actions.FlushState():
            state.flush()
        case actions.SaveSnapshot():
            status = node.status()
            assert status is not None, "the same"
            state.save_snapshot(status.cluster_id)
        case actions.SendSnapshot():
            state.send_snapshot(action)
        case actions.StoreChunk():
            state.store_chunk(action)
        case actions.InstallSnapshot(snapshot=snapshot):
            state.install_snapshot(snapshot)
        case actions.ServeRead(requests=requests, read_index=read_index):
            for request in requests:
                waiting = desk.answered(request)
                assert waiting.query is not None, f"request {request} is no read"
                waiting.callback(Replied(result=state.serve(waiting.query, read_index)))
        case actions.Reply(request=request, result=result):
            desk.answered(request).callback(Replied(result=result))
        case actions.Refuse(request=request, code=code, detail=detail, leader=leader):
            desk.answered(request).callback(Refused(code=code, detail=detail, leader=leader))
        case actions.Abandon(request=request, detail=detail):
            desk.answered(request).callback(Abandoned(detail=detail))
        case actions.Announce() | actions.Send():
            pass  # The latter leaves by the short way, above.
        case actions.Stop(code=code, detail=detail):
            node.stopped(code, detail)
