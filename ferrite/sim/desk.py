"""The requests of one incarnation of a node that wait for their answer."""

from __future__ import annotations

from dataclasses import dataclass

from ferrite.core import NodeId, RequestId
from ferrite.core.kv import Query
from ferrite.sim.answers import Callback
from ferrite.sim.world import World


@dataclass(slots=True, kw_only=True)
class Waiting:
    """A request without an answer. `query` is set for reads."""

    callback: Callback
    query: Query | None = None


class Desk:
    """Numbers requests and remembers whom to answer."""

    def __init__(self, node_id: NodeId, world: World) -> None:
        self._node_id = node_id
        self._world = world
        self._waiting: dict[RequestId, Waiting] = {}
        self._next_request = 1

    def __len__(self) -> int:
        """Requests without an answer."""
        return len(self._waiting)

    def take(self, waiting: Waiting) -> RequestId:
        """A request arrives: return its number."""
        request = RequestId(self._next_request)
        self._next_request += 1
        self._waiting[request] = waiting
        return request

    def answered(self, request: RequestId) -> Waiting:
        """A request is answered: it waits no more. Raises Violation ANSWER."""
        waiting = self._waiting.pop(request, None)
        # Contract 2: every request gets exactly one of Reply, ServeRead, Refuse, Abandon.
        if waiting is None:
            raise self._world.violation(
                "ANSWER",
                "Every request is answered exactly once.",
                f"node {self._node_id} answers {request} again",
            )
        return waiting

    def clear(self) -> None:
        """The process has ended: nobody is answered."""
        self._waiting.clear()
