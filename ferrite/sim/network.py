"""The network: every directed link delays, loses, duplicates, replays, reorders and damages frames of its own dice.

A frame is bytes on their way to a node id. It survives the sender's crash, and reaches whichever incarnation runs at that id
when it arrives.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Final

from ferrite.core import NodeId
from ferrite.sim.dice import Dice, Stream
from ferrite.sim.options import NetworkOptions
from ferrite.sim.timeline import Timeline

REPLAY_FRAMES_MAX: Final = 32
"""Old frames kept per link for replay: enough to reach back over several terms."""
FLIPPED_BITS_MAX: Final = 32

Deliver = Callable[[NodeId, NodeId, bytes], None]


class Network:
    """Carries frames. `deliver(source, target, frame)` is called when one arrives."""

    def __init__(self, timeline: Timeline, dice: Dice, options: NetworkOptions, deliver: Deliver) -> None:
        self.options = options
        self.counters: Counter[str] = Counter()
        self._timeline = timeline
        self._dice = dice
        self._deliver = deliver
        self._blocked: dict[tuple[NodeId, NodeId], int] = {}
        self._old: dict[tuple[NodeId, NodeId], deque[bytes]] = {}

    def send(self, source: NodeId, target: NodeId, frame: bytes) -> None:
        """Put a frame on its way, or lose it."""
        dice = self._dice.stream("net", source, target)
        self.counters["sent"] += 1
        self._transmit(source, target, frame, dice)
        if dice.chance(self.options.duplicate_ppm):
            self.counters["duplicated"] += 1
            self._transmit(source, target, frame, dice)
        if self.options.replay_ppm:
            old = self._old.setdefault((source, target), deque(maxlen=REPLAY_FRAMES_MAX))
            if old and dice.chance(self.options.replay_ppm):
                self.counters["replayed"] += 1
                self._transmit(source, target, dice.pick(old), dice)
            old.append(frame)

    def _transmit(self, source: NodeId, target: NodeId, frame: bytes, dice: Stream) -> None:
        options = self.options
        delay_us = options.delay_min_us + dice.exponential(options.delay_mean_us)
        if dice.chance(options.loss_ppm) or self.is_blocked(source, target):
            self.counters["lost"] += 1
            return
        if dice.chance(options.slow_ppm):
            delay_us += dice.exponential(options.slow_mean_us)
        if dice.chance(options.flip_ppm):
            self.counters["damaged"] += 1
            frame = flip_bits(frame, dice)
        self._timeline.after(delay_us, lambda: self._arrive(source, target, frame))

    def _arrive(self, source: NodeId, target: NodeId, frame: bytes) -> None:
        if self.is_blocked(source, target):
            self.counters["lost"] += 1
            return
        self._deliver(source, target, frame)

    # Partitions. Blocks are counted, so that overlapping partitions heal independently.

    def is_blocked(self, source: NodeId, target: NodeId) -> bool:
        """Does this link lose everything at the moment?"""
        return self._blocked.get((source, target), 0) > 0

    def block(self, links: Iterable[tuple[NodeId, NodeId]]) -> None:
        """Cut these directed links, also for frames under way."""
        for link in links:
            self._blocked[link] = self._blocked.get(link, 0) + 1

    def unblock(self, links: Iterable[tuple[NodeId, NodeId]]) -> None:
        """Take one block of each of these links away."""
        for link in links:
            self._blocked[link] = max(0, self._blocked.get(link, 0) - 1)

    def heal(self) -> None:
        """Take all blocks away."""
        self._blocked.clear()


def flip_bits(frame: bytes, dice: Stream) -> bytes:
    """Return the frame with 1 to 32 bits flipped, mostly few (a power law), never the frame as it was."""
    damaged = bytearray(frame)
    count = min(FLIPPED_BITS_MAX, 1 + dice.exponential(2))
    for place in {dice.between(0, len(frame) * 8 - 1) for _ in range(count)}:
        damaged[place // 8] ^= 1 << place % 8
    return bytes(damaged)


def links_between(
    left: Sequence[NodeId], right: Sequence[NodeId], *, both_ways: bool = True
) -> list[tuple[NodeId, NodeId]]:
    """Return the directed links from left to right, and back when asked."""
    there = [(a, b) for a in left for b in right if a != b]
    return there + [(b, a) for a, b in there] if both_ways else there


def random_partition(nodes: Sequence[NodeId], leader: NodeId, dice: Stream) -> list[tuple[NodeId, NodeId]]:
    """Return the links that one partition cuts: halves, one node, the leader alone, one way only, or a ring of majorities."""
    kind = dice.pick(("split", "split", "single", "leader", "one-way", "ring"))
    if kind == "leader" and leader in nodes:
        return links_between([leader], nodes, both_ways=dice.chance(700_000))
    if kind == "single":
        return links_between([dice.pick(nodes)], nodes)
    if kind == "ring":
        # Every node sees its neighbours only, no two see the same majority.
        order = dice.shuffled(nodes)
        near = {frozenset((order[i], order[i - 1])) for i in range(len(order))}
        return [
            link
            for a, b in combinations(order, 2)
            if frozenset((a, b)) not in near
            for link in ((a, b), (b, a))
        ]
    left = dice.subset(nodes, dice.between(1, max(1, len(nodes) - 1)))
    right = [node for node in nodes if node not in left]
    return links_between(left, right, both_ways=kind != "one-way")
