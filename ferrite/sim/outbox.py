"""The frames that leave a node: the messages of one step to one peer travel together."""

from __future__ import annotations

from typing import Final

from ferrite.core import NodeId, Replica, messages
from ferrite.sim.dice import Stream
from ferrite.sim.network import Letter
from ferrite.sim.summary import text_of
from ferrite.sim.world import World

LEAVES_AT_ONCE_PPM: Final = 100_000
"""The share of messages after which the frames leave before the step's other actions are performed."""


class Outbox:
    """Messages on their way into frames."""

    def __init__(self, node_id: NodeId, world: World, dice: Stream) -> None:
        self._node_id = node_id
        self._world = world
        self._dice = dice
        self._batches: dict[NodeId, list[messages.Message]] = {}

    def put(self, to: NodeId, message: messages.Message) -> bool:
        """Add a message. True when the frames leave now."""
        batch = self._batches.get(to)
        if batch is None:
            self._batches[to] = [message]
        else:
            batch.append(message)
        return self._dice.chance(LEAVES_AT_ONCE_PPM)

    def flush(self, replica: Replica, step_row: int) -> None:
        """Send what has gathered."""
        world = self._world
        for to, batch in self._batches.items():
            frame = Letter(replica.header_for(to), batch)
            row = 0
            if world.recording is not None:
                row = world.row(
                    "send",
                    source=self._node_id,
                    target=to,
                    cause=step_row,
                    messages=[text_of(message) for message in batch],
                    bytes=len(frame.encode()),
                )
            world.network.send(self._node_id, to, frame, row)
        self._batches.clear()

    def clear(self) -> None:
        """The process has ended: what has not left never leaves."""
        self._batches.clear()
