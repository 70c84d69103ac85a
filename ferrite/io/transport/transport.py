"""Frames between nodes: one outgoing stream per peer, any number of incoming ones. Loses, counts and reports; never blocks.

Who is who is the core's business: `header_for` makes what we say of ourselves, `check_header` judges what others say. An address
comes from the membership; where the membership has none yet (a fresh node), from the peer's own stream, which names it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import fields
from typing import Final

import structlog

from ferrite.core import FrameError, Membership, NodeId, decode_frame, encode_frame, messages
from ferrite.io.grpc.status import RpcError, StatusCode
from ferrite.io.transport.grpc_stream import open_stream
from ferrite.io.transport.link import LinkCounters, LinkEvents, LinkState, PeerLink, PeerStatus
from ferrite.io.transport.quiet import Quiet
from ferrite.io.transport.stream import OpenStream, StreamEnded, TransportOptions
from ferrite.io.validation import Invalid, check_address

LEARNED_ADDRESSES_MAX: Final = 64  # peers of a cluster that is not known yet; more than a cluster has
INCOMING_STREAMS_MAX: Final = 128  # two for each of 64 peers: the old one may linger while the new one works
CLOSE_TIMEOUT_S: Final = 2.0  # for what waits to leave in good order

_log = structlog.get_logger(__name__)


class Transport:
    """Sends and receives for one node."""

    def __init__(
        self,
        node_id: NodeId,
        own_addr: str,
        *,
        header_for: Callable[[NodeId], messages.Header],
        check_header: Callable[[messages.Header], str | None],
        receive: Callable[[messages.Header, list[messages.Message]], None],
        unreachable: Callable[[NodeId], None],
        options: TransportOptions,
        open_stream: OpenStream = open_stream,
    ) -> None:
        """`own_addr` is what this node advertises to peers. The callables run on the loop and must not block."""
        self._node_id = node_id
        self._own_addr = own_addr
        self._header_for = header_for
        self._check_header = check_header
        self._receive = receive
        self._unreachable = unreachable
        self._options = options
        self._open_stream = open_stream
        self._links: dict[NodeId, PeerLink] = {}
        self._retired: dict[asyncio.Task[None], PeerLink] = {}
        self._member_addrs: dict[NodeId, str] = {}
        self._learned_addrs: dict[NodeId, str] = {}
        self._incoming: set[asyncio.Task[object]] = set()
        self._closing = False
        self._past = LinkCounters()  # of links that are gone
        self._events = LinkEvents(
            lost=self._on_lost, overflowed=self._on_overflow, too_large=self._on_too_large
        )
        self._quiet = Quiet()
        self.frames_received = 0
        self.bytes_received = 0
        self.frames_refused = 0
        self.frames_damaged = 0
        self.dropped_no_address = 0

    # ------------------------------------------------------------------------------------------------ out

    def send(self, peer: NodeId, batch: Sequence[messages.Message]) -> None:
        """Queue messages for a peer; what is queued in one turn of the loop travels in one frame. Never blocks."""
        link = self._links.get(peer)
        if link is None or link.state is LinkState.CLOSED:
            link = self._new_link(peer)
        if link is None:
            self.dropped_no_address += len(batch)
        else:
            link.send(batch)

    def update_peers(self, membership: Membership) -> None:
        """Take the members' addresses. Links to addresses that changed, or to nodes that left, end after what waits for them."""
        before, self._member_addrs = (
            self._member_addrs,
            {
                node: member.peer_addr
                for node, member in membership.members.items()
                if member.peer_addr and node != self._node_id
            },
        )
        for node, address in before.items():
            if node not in self._member_addrs:  # what the core still has to say to it finds the way
                self._learn(node, address)
        for peer, link in list(self._links.items()):
            left = peer in before and peer not in self._member_addrs
            if left or link.address != self._address_of(peer):
                self._retire(peer)

    def peer_status(self) -> list[PeerStatus]:
        """Every peer that has an address, by id."""
        peers = sorted({*self._member_addrs, *self._learned_addrs, *self._links})
        return [self._status_of(peer) for peer in peers]

    def counters(self) -> dict[str, int]:
        """Sums over all links since the start, and what came in."""
        links = (self._past, *(link.counters for link in (*self._links.values(), *self._retired.values())))
        totals = {
            f"transport_{name.name}": sum(getattr(link, name.name) for link in links)
            for name in fields(LinkCounters)
        }
        return {
            **totals,
            "transport_dropped_no_address": self.dropped_no_address,
            "transport_frames_received": self.frames_received,
            "transport_bytes_received": self.bytes_received,
            "transport_frames_refused": self.frames_refused,
            "transport_frames_damaged": self.frames_damaged,
            "transport_incoming_streams": len(self._incoming),
        }

    async def close(self) -> None:
        """Send what waits (for two seconds at most), end all streams in both directions. Nothing is sent or received after it."""
        self._closing = True
        for task in self._incoming:
            task.cancel()
        links = [*self._links.values(), *self._retired.values()]
        for link in links:
            link.finish()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                for link in links:
                    await link.closed()
        except TimeoutError:
            _log.debug("peers did not take the last frames in time")
        for link in links:
            await link.close()
        if self._incoming:
            await asyncio.wait(self._incoming, timeout=CLOSE_TIMEOUT_S)

    def is_closing(self) -> bool:
        """Has `close` begun?"""
        return self._closing

    # ------------------------------------------------------------------------------------------------ in

    async def receive_stream(self, frames: AsyncIterator[bytes], *, peer_addr: str, caller: str) -> None:
        """Take one peer's frames until its stream ends. Raises `RpcError` at the first frame that is refused."""
        if self.is_closing():
            raise RpcError(StatusCode.UNAVAILABLE, "this node is stopping")
        if len(self._incoming) >= INCOMING_STREAMS_MAX:
            raise RpcError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"{INCOMING_STREAMS_MAX} streams of peers are open, as many as a node takes",
            )
        task = asyncio.current_task()
        assert task is not None, "runs as a task of the server"
        self._incoming.add(task)
        try:
            await self._take_frames(frames, peer_addr, caller)
        except asyncio.CancelledError:
            if not self.is_closing():
                raise
            task.uncancel()  # `close` ended the stream: the peer gets its farewell
        finally:
            self._incoming.discard(task)

    async def _take_frames(self, frames: AsyncIterator[bytes], peer_addr: str, caller: str) -> None:
        source: NodeId | None = None
        waited_ms = self._options.first_frame_timeout_ms
        try:
            async with asyncio.timeout(waited_ms / 1000) as silence:
                async for frame in frames:
                    header, batch = self._decode(frame, caller)
                    self._admit(header, caller)
                    if source is None:
                        source = header.source
                        silence.reschedule(None)
                        self._learn_from(source, peer_addr)
                    elif header.source != source:
                        reason = (
                            f"the stream began as node {source}'s and now claims to be node {header.source}'s"
                        )
                        raise self._refusal(reason, header, caller)
                    self.frames_received += 1
                    self.bytes_received += len(frame)
                    self._receive(header, batch)
        except TimeoutError:
            raise RpcError(StatusCode.DEADLINE_EXCEEDED, f"no frame within {waited_ms} ms") from None

    def _decode(self, frame: bytes, caller: str) -> tuple[messages.Header, list[messages.Message]]:
        try:
            return decode_frame(frame)
        except FrameError as error:
            self.frames_damaged += 1
            if self._quiet.may_speak(("damaged", _host_of(caller))):
                _log.warning("a peer sent bytes that are no frame", caller=caller, reason=str(error))
            raise RpcError(StatusCode.INVALID_ARGUMENT, str(error)) from error

    def _admit(self, header: messages.Header, caller: str) -> None:
        if header.source == self._node_id:
            raise self._refusal(f"node {self._node_id} is this node itself", header, caller)
        reason = self._check_header(header)
        if reason is not None:
            raise self._refusal(reason, header, caller)

    def _refusal(self, reason: str, header: messages.Header, caller: str) -> RpcError:
        self.frames_refused += 1
        # What a stranger claims to be does not decide how much we log.
        known = header.source if header.source in self._member_addrs else 0
        if self._quiet.may_speak(("refused", _host_of(caller), known)):
            _log.warning("refused a peer's frame", source=header.source, caller=caller, reason=reason)
        return RpcError(StatusCode.FAILED_PRECONDITION, reason)

    # ------------------------------------------------------------------------------------------------ addresses and links

    def _address_of(self, peer: NodeId) -> str:
        return self._member_addrs.get(peer) or self._learned_addrs.get(peer, "")

    def _learn_from(self, source: NodeId, peer_addr: str) -> None:
        """A peer that we accept names its own address; it counts until the membership names one."""
        try:
            address = check_address(peer_addr, "ferrite-peer-addr")
        except Invalid as error:
            if self._quiet.may_speak(("address", source)):
                _log.warning("a peer names an address that is none", source=source, reason=str(error))
            return
        if address:
            self._learn(source, address)
        link = self._links.get(source)
        if link is None:
            return
        if link.address != self._address_of(source):
            self._retire(source)
        else:
            link.hurry()

    def _learn(self, peer: NodeId, address: str) -> None:
        self._learned_addrs.pop(peer, None)
        self._learned_addrs[peer] = address
        if len(self._learned_addrs) > LEARNED_ADDRESSES_MAX:
            del self._learned_addrs[next(iter(self._learned_addrs))]  # the one that was named longest ago

    def _new_link(self, peer: NodeId) -> PeerLink | None:
        address = self._address_of(peer)
        if not address or self._closing or peer == self._node_id:
            return None
        link = PeerLink(
            peer,
            address,
            self._own_addr,
            encode=self._encode,
            open_stream=self._open_stream,
            events=self._events,
            options=self._options,
        )
        self._links[peer] = link
        return link

    def _encode(self, peer: NodeId, batch: Sequence[messages.Message]) -> bytes:
        return encode_frame(self._header_for(peer), batch)

    def _retire(self, peer: NodeId) -> None:
        """Let a link end by itself; the next message makes a new one."""
        link = self._links.pop(peer)
        link.finish()
        task = asyncio.create_task(link.closed(), name=f"retired peer link {peer}")
        self._retired[task] = link
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        link = self._retired.pop(task)
        for name in fields(LinkCounters):
            setattr(self._past, name.name, getattr(self._past, name.name) + getattr(link.counters, name.name))

    def _status_of(self, peer: NodeId) -> PeerStatus:
        link = self._links.get(peer)
        if link is None:
            return PeerStatus(
                peer=peer,
                address=self._address_of(peer),
                state=LinkState.IDLE,
                connected=False,
                refused=False,
                last_error="",
                waiting_messages=0,
                waiting_bytes=0,
            )
        return PeerStatus(
            peer=peer,
            address=link.address,
            state=link.state,
            connected=link.state is LinkState.CONNECTED,
            refused=link.refused,
            last_error=link.last_error,
            waiting_messages=link.waiting_messages,
            waiting_bytes=link.waiting_bytes,
            counters=link.counters,
        )

    # ------------------------------------------------------------------------------------------------ what links tell

    def _on_lost(self, peer: NodeId, ended: StreamEnded) -> None:
        if self._quiet.may_speak(("lost", peer, ended.refused, ended.reason if ended.refused else "")):
            what = "a peer refuses this node" if ended.refused else "a peer cannot be reached"
            _log.warning(what, peer=peer, address=self._address_of(peer), reason=ended.reason)
        if not self._closing:
            self._unreachable(peer)

    def _on_overflow(self, peer: NodeId) -> None:
        if self._quiet.may_speak(("overflow", peer)):
            _log.warning("a peer takes messages slower than they are made; some are dropped", peer=peer)
        if not self._closing:
            self._unreachable(peer)

    def _on_too_large(self, peer: NodeId, frame_bytes: int) -> None:
        limit_bytes = self._options.frame_bytes_max
        if self._quiet.may_speak(("too large", peer)):
            _log.error(
                "a frame is too large and was dropped", peer=peer, bytes=frame_bytes, limit=limit_bytes
            )
        if not self._closing:
            self._unreachable(peer)


def _host_of(caller: str) -> str:
    """The caller's address without its port, which is another one each time."""
    return caller.rpartition(":")[0]
