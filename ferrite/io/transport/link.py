"""The outgoing connection to one peer: connects, sends what waits, connects again. One task, no decisions.

Life: *idle* until something is to be sent; *connecting*; *connected*; after a failure *waiting* (back-off with jitter). While
waiting, what is sent is dropped: by the time the peer is back it would be old. When a connection is lost, so is all that waited
for it.
"""

from __future__ import annotations

import asyncio
import enum
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from ferrite.core import NodeId, messages
from ferrite.io.transport.outbox import Outbox
from ferrite.io.transport.stream import OpenStream, PeerStream, StreamEnded, TransportOptions

_log = structlog.get_logger(__name__)


class LinkState(enum.Enum):
    """Where a link is in its life."""

    IDLE = "idle"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    CLOSED = "closed"


@dataclass(slots=True, kw_only=True)
class LinkCounters:
    """Since the link was made."""

    frames_sent: int = 0
    bytes_sent: int = 0
    messages_sent: int = 0
    dropped_full: int = 0  # the queue was full
    dropped_lost: int = 0  # the connection was lost, or not there
    dropped_too_large: int = 0
    connects: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEvents:
    """What a link tells its transport, on the loop."""

    lost: Callable[[NodeId, StreamEnded], None]  # a connection, or an attempt, ended
    overflowed: Callable[[NodeId], None]  # messages are being dropped; once until there is room again
    too_large: Callable[[NodeId, int], None]  # a frame of so many bytes was dropped


class PeerLink:
    """The link to one peer at one address."""

    def __init__(
        self,
        peer: NodeId,
        address: str,
        own_addr: str,
        *,
        encode: Callable[[NodeId, Sequence[messages.Message]], bytes],
        open_stream: OpenStream,
        events: LinkEvents,
        options: TransportOptions,
    ) -> None:
        """Nothing is dialled before the first message."""
        self.peer = peer
        self.address = address
        self.state = LinkState.IDLE
        self.last_error = ""
        self.refused = False
        self.counters = LinkCounters()
        self._own_addr = own_addr
        self._encode = encode
        self._open_stream = open_stream
        self._events = events
        self._options = options
        self._outbox = Outbox(bytes_max=options.queue_bytes_max, messages_max=options.queue_messages_max)
        self._overflowing = False
        self._finishing = False
        self._failures_in_row = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting_messages(self) -> int:
        """How many messages wait to be sent."""
        return len(self._outbox)

    @property
    def waiting_bytes(self) -> int:
        """About how many bytes of bulk wait to be sent."""
        return self._outbox.bulk_bytes

    def send(self, batch: Sequence[messages.Message]) -> None:
        """Queue for the next frame. Never blocks; drops and counts when there is no connection to be had or no room."""
        if self.state in (LinkState.WAITING, LinkState.CLOSED) or self._finishing:
            self.counters.dropped_lost += len(batch)
            return
        dropped = sum(1 for message in batch if not self._outbox.put(message))
        if dropped:
            self.counters.dropped_full += dropped
            if not self._overflowing:
                self._overflowing = True
                self._events.overflowed(self.peer)
        self._wake.set()
        if self._task is None:
            self.state = LinkState.CONNECTING
            self._task = asyncio.create_task(self._run(), name=f"peer link {self.peer}")

    def hurry(self) -> None:
        """The peer was heard: when waiting, try again now."""
        if self.state is LinkState.WAITING:
            self._wake.set()

    def finish(self) -> None:
        """Send what waits, then end in good order. Await `closed` for the end."""
        self._finishing = True
        self._wake.set()
        if self._task is None or self.state is LinkState.WAITING:
            self.state = LinkState.CLOSED
            if self._task is not None:
                self._task.cancel()

    async def closed(self) -> None:
        """Wait for the link's end."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """End at once."""
        self._finishing = True
        if self._task is not None:
            self._task.cancel()
        await self.closed()
        self.state = LinkState.CLOSED
        self._outbox.clear()

    async def _run(self) -> None:
        try:
            while True:
                await self._wait_for_something()
                if self._finishing and not self._outbox:
                    return
                ended = await self._one_connection()
                if ended is not None:
                    self._note_failure(ended)
                    if self._finishing:
                        return
                    await self._pause()
                self.state = LinkState.IDLE
        finally:
            self.state = LinkState.CLOSED

    async def _one_connection(self) -> StreamEnded | None:
        """Connect and send; returns why that failed, or None after an end in good order."""
        try:
            await self._connect_and_pump()
        except StreamEnded as ended:
            return ended
        except Exception as error:  # noqa: BLE001 - a library's surprise must not end the link for ever
            _log.exception("a peer's stream failed unexpectedly", peer=self.peer, address=self.address)
            return StreamEnded(f"unexpected: {error!r:.200}", refused=False)
        return None

    async def _connect_and_pump(self) -> None:
        """One connection, from dialling to its end in good order. Raises `StreamEnded` for any other end."""
        self.state = LinkState.CONNECTING
        stream = await self._open_stream(self.address, self._own_addr, self._options)
        # A peer that refuses us does so after we connected: only a connection that lasts ends the back-off.
        settled = asyncio.get_running_loop().call_later(self._options.retry_delay_ms_max / 1000, self._settle)
        try:
            stream.on_end(self._wake.set)
            self.state = LinkState.CONNECTED
            self.counters.connects += 1
            await self._pump(stream)
            await stream.finish()
        except BaseException:
            await stream.close()
            raise
        finally:
            settled.cancel()

    def _settle(self) -> None:
        self._failures_in_row = 0
        self.last_error = ""
        self.refused = False

    async def _pump(self, stream: PeerStream) -> None:
        """Send until the link is asked to finish, or the stream is due for renewal. Raises `StreamEnded`."""
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + self._options.renew_interval_ms / 1000 * random.uniform(0.8, 1.0)
        renewal = loop.call_at(renew_at, self._wake.set)
        try:
            while True:
                await self._wait_for_something(even_nothing=True)
                if stream.ended:
                    raise await stream.why_ended()
                if self._outbox:
                    await self._send_frame(stream)
                elif self._finishing or loop.time() >= renew_at:
                    return
        finally:
            renewal.cancel()

    async def _send_frame(self, stream: PeerStream) -> None:
        batch = self._outbox.take(self._options.frame_bytes_target)
        self._overflowing = False
        frame = self._encode(self.peer, batch)
        if len(frame) > self._options.frame_bytes_max:
            self.counters.dropped_too_large += len(batch)
            self._events.too_large(self.peer, len(frame))
            return
        try:
            async with asyncio.timeout(self._options.stall_timeout_ms / 1000):
                await stream.send(frame)
        except TimeoutError:
            waited_ms = self._options.stall_timeout_ms
            raise StreamEnded(f"the peer took nothing for {waited_ms} ms", refused=False) from None
        self.counters.frames_sent += 1
        self.counters.messages_sent += len(batch)
        self.counters.bytes_sent += len(frame)

    async def _wait_for_something(self, *, even_nothing: bool = False) -> None:
        """Sleep until there is something to send; with `even_nothing`, until anything woke us.

        The task runs in the loop's next turn after `send`: whatever was sent in this one travels in one frame.
        """
        while not self._outbox and not self._finishing:
            await self._wake.wait()
            self._wake.clear()  # after, not before: what happened while we were busy counts
            if even_nothing:
                return

    def _note_failure(self, ended: StreamEnded) -> None:
        self.last_error = ended.reason
        self.refused = ended.refused
        self.counters.failures += 1
        self.counters.dropped_lost += self._outbox.clear()
        self._overflowing = False
        self._failures_in_row += 1
        self.state = LinkState.WAITING
        self._events.lost(self.peer, ended)

    async def _pause(self) -> None:
        """Back off, doubling, with jitter, so that nodes that lost each other do not meet in step."""
        doubled_ms = self._options.retry_delay_ms << min(self._failures_in_row - 1, 16)
        delay_ms = min(self._options.retry_delay_ms_max, doubled_ms) * random.uniform(0.5, 1.0)
        self._wake.clear()
        try:
            async with asyncio.timeout(delay_ms / 1000):
                await self._wake.wait()
        except TimeoutError:
            return


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """A peer as the transport sees it. `refused`: it answers, but wants nothing of this node; `last_error` says why."""

    peer: NodeId
    address: str
    state: LinkState
    connected: bool
    refused: bool
    last_error: str
    waiting_messages: int
    waiting_bytes: int
    counters: LinkCounters = field(default_factory=LinkCounters)
