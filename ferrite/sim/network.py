"""The network: every directed link delays, loses, duplicates, replays, reorders, holds back and damages frames of its own dice.

A frame is on its way to a node id: bytes, or what they would be decoded to. It survives the sender's crash, and reaches
whichever incarnation runs at that id when it arrives.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Final

from ferrite.core import NodeId, encode_frame, messages
from ferrite.sim.dice import Dice, Stream
from ferrite.sim.faults.plan import FaultPlan
from ferrite.sim.options import NetworkOptions
from ferrite.sim.recording import Recording
from ferrite.sim.timeline import Timeline

REPLAY_FRAMES_MAX: Final = 32
"""Old frames kept per link for replay: enough to reach back over several terms."""
FLIPPED_BITS_MAX: Final = 32


class Letter:
    """A frame before it is bytes: header and messages, which nobody changes."""

    __slots__ = ("_frame", "batch", "header")

    def __init__(self, header: messages.Header, batch: list[messages.Message]) -> None:
        self.header = header
        self.batch = batch
        self._frame = b""

    def encode(self) -> bytes:
        """Return the frame's bytes."""
        self._frame = self._frame or encode_frame(self.header, self.batch)
        return self._frame


Frame = bytes | Letter
Deliver = Callable[[NodeId, NodeId, Frame, int], None]
Ends = tuple[NodeId, NodeId]


class Link:
    """One directed link. `blocks` and `holds` are counted, so that overlapping partitions and clogs end independently."""

    __slots__ = (
        "blocks",
        "delay",
        "duplicate",
        "extra_us",
        "flip",
        "held",
        "holds",
        "loss",
        "old",
        "replay",
        "sent",
        "slow",
        "under_way",
    )

    def __init__(self, ends: Ends, options: NetworkOptions, plan: FaultPlan, dice: Dice) -> None:
        self.delay = dice.stream("delay", *ends)
        self.loss = plan.site("loss", options.loss_ppm, *ends)
        self.slow = plan.site("slow", options.slow_ppm, *ends)
        self.flip = plan.site("flip", options.flip_ppm, *ends)
        self.duplicate = plan.site("duplicate", options.duplicate_ppm, *ends)
        self.replay = plan.site("replay", options.replay_ppm, *ends)
        self.old: deque[tuple[Frame, int]] = deque(maxlen=REPLAY_FRAMES_MAX)
        self.sent = 0
        self.extra_us = 0
        self.blocks = 0
        self.holds = 0
        self.held: list[tuple[Frame, int]] = []
        self.under_way: list[int] = []
        """Tickets of the frames under way, when the link has a capacity."""


class Network:
    """Carries frames. `deliver(source, target, frame, send_row)` is called when one arrives."""

    def __init__(
        self,
        timeline: Timeline,
        dice: Dice,
        plan: FaultPlan,
        options: NetworkOptions,
        deliver: Deliver,
        recording: Recording | None = None,
    ) -> None:
        self.options = options
        self.counters: Counter[str] = Counter()
        self._timeline = timeline
        self._dice = dice
        self._plan = plan
        self._deliver = deliver
        self._recording = recording
        self._links: dict[Ends, Link] = {}
        self._tickets = 0
        self.late_until_us = 0
        """When the last of the frames arrives that a fault made late."""

    def link(self, source: NodeId, target: NodeId) -> Link:
        """The link from one node to another."""
        found = self._links.get((source, target))
        if found is None:
            found = self._links[source, target] = Link((source, target), self.options, self._plan, self._dice)
        return found

    def send(self, source: NodeId, target: NodeId, frame: Frame, send_row: int = 0) -> None:
        """Put a frame on its way, or lose it."""
        options = self.options
        link = self._links.get((source, target)) or self.link(source, target)
        self.counters["sent"] += 1
        link.sent += 1
        if link.sent % options.codec_every == 0:
            frame = bytes_of(frame)
        self._transmit(source, target, link, frame, send_row)
        if options.duplicate_ppm and link.duplicate.strikes():
            self.counters["duplicated"] += 1
            self._transmit(source, target, link, frame, send_row)
        if options.replay_ppm and link.old and (fault := link.replay.strikes()):
            self.counters["replayed"] += 1
            old, old_row = fault.stream().pick(link.old)
            self._transmit(source, target, link, bytes_of(old), old_row)
        link.old.append((frame, send_row))

    def _transmit(self, source: NodeId, target: NodeId, link: Link, frame: Frame, send_row: int) -> None:
        options = self.options
        delay_us = options.delay_min_us + link.delay.exponential(options.delay_mean_us) + link.extra_us
        if link.blocks:
            self._lost(send_row, "partition")
            return
        # Most runs are without most kinds of faults: a site that never strikes is not even asked.
        if options.loss_ppm and link.loss.strikes():
            self._lost(send_row, "loss")
            return
        if options.slow_ppm and (fault := link.slow.strikes()):
            delay_us += fault.stream().exponential(options.slow_mean_us)
            self.late_until_us = max(self.late_until_us, self._timeline.now_us + delay_us)
        elif link.extra_us:
            self.late_until_us = max(self.late_until_us, self._timeline.now_us + delay_us)
        if options.flip_ppm and (fault := link.flip.strikes()):
            self.counters["damaged"] += 1
            frame = damaged(bytes_of(frame), fault.stream())
        ticket = 0
        if options.queue_frames_max and not self._plan.over:
            ticket = self._queue(link, send_row)
        self._timeline.after(delay_us, self._arrive, source, target, link, frame, send_row, ticket)

    def _queue(self, link: Link, send_row: int) -> int:
        """A full queue drops any one of its frames, not always the newest."""
        self._tickets += 1
        link.under_way.append(self._tickets)
        if len(link.under_way) > self.options.queue_frames_max:
            link.under_way.remove(link.delay.pick(link.under_way))
            self._lost(send_row, "overflow")
        return self._tickets

    def _arrive(
        self, source: NodeId, target: NodeId, link: Link, frame: Frame, send_row: int, ticket: int
    ) -> None:
        if ticket:
            if ticket not in link.under_way:
                return
            link.under_way.remove(ticket)
        if link.blocks:
            self._lost(send_row, "partition")
        elif link.holds:
            link.held.append((frame, send_row))
        else:
            self._deliver(source, target, frame, send_row)

    def _lost(self, send_row: int, why: str) -> None:
        self.counters["lost"] += 1
        if self._recording is not None:
            self._recording.add("lost", self._timeline.now_us, send=send_row, why=why)

    # Partitions cut links, clogs hold frames back and let them all go at once.

    def is_blocked(self, source: NodeId, target: NodeId) -> bool:
        """Does this link lose everything at the moment?"""
        return self.link(source, target).blocks > 0

    def block(self, links: Iterable[Ends]) -> None:
        """Cut these directed links, also for frames under way."""
        for ends in links:
            self.link(*ends).blocks += 1

    def unblock(self, links: Iterable[Ends]) -> None:
        """Take one block of each of these links away."""
        for ends in links:
            link = self.link(*ends)
            link.blocks = max(0, link.blocks - 1)

    def hold(self, ends: Ends) -> None:
        """Let nothing arrive over this link until it is released."""
        self.link(*ends).holds += 1

    def release(self, ends: Ends) -> None:
        """Take one hold away; with the last, all that was held arrives in a burst."""
        link = self.link(*ends)
        link.holds = max(0, link.holds - 1)
        if link.holds:
            return
        held, link.held = link.held, []
        for frame, send_row in held:
            self._timeline.after(0, self._deliver, *ends, frame, send_row)

    def heal(self) -> None:
        """Take all blocks, holds and slowness away."""
        for ends, link in self._links.items():
            link.blocks = link.extra_us = 0
            link.holds = min(link.holds, 1)
            if link.holds:
                self.release(ends)


def bytes_of(frame: Frame) -> bytes:
    """Return the frame as it travels over a real network."""
    return frame if isinstance(frame, bytes) else frame.encode()


def damaged(frame: bytes, dice: Stream) -> bytes:
    """Return the frame cut short, or with 1 to 32 bits flipped, mostly few (a power law); never the frame as it was."""
    if dice.chance(150_000):
        return frame[: dice.between(0, len(frame) - 1)]
    changed = bytearray(frame)
    count = min(FLIPPED_BITS_MAX, 1 + dice.exponential(2))
    for place in {dice.between(0, len(frame) * 8 - 1) for _ in range(count)}:
        changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def links_between(left: Sequence[NodeId], right: Sequence[NodeId], *, both_ways: bool = True) -> list[Ends]:
    """Return the directed links from left to right, and back when asked."""
    there = [(a, b) for a in left for b in right if a != b]
    return there + [(b, a) for a, b in there] if both_ways else there


def links_but(nodes: Sequence[NodeId], kept: Iterable[tuple[NodeId, NodeId]]) -> list[Ends]:
    """Return the directed links between nodes that are not among these undirected pairs."""
    near = {frozenset(pair) for pair in kept}
    return [
        link for a, b in combinations(nodes, 2) if frozenset((a, b)) not in near for link in ((a, b), (b, a))
    ]
