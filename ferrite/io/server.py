"""The server process: opens the data, starts the faces, waits for the end, closes everything in order.

Order of the start: file limit, data directory (lock, identity), log, state, replica, transport, faces, node. A node answers
/livez and /identity from then on, with or without a cluster. Order of the end: readiness, the core's shutdown (hand over, finish
what is pending), transport, faces, workers, log thread, state, lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

import ferrite
from ferrite.core import Replica, events, messages
from ferrite.io.backup.serving import Backups
from ferrite.io.config import Config
from ferrite.io.exit_codes import ExitCode
from ferrite.io.grpc.handlers import RaftHandlers
from ferrite.io.grpc.server import GrpcServer
from ferrite.io.housekeeping import Housekeeping, housekeeping_config
from ferrite.io.http import HttpServer, Identity, http_settings
from ferrite.io.identify import asker
from ferrite.io.node import Node, now_us
from ferrite.io.node_identity import NodeIdentity
from ferrite.io.node_status import NodeView, Sources
from ferrite.io.organs import Organs
from ferrite.io.replica_config import replica_config
from ferrite.io.requests import NodeRequests
from ferrite.io.start_errors import StartFailed, start_failed
from ferrite.io.storage import Storage, open_storage
from ferrite.io.transport import Transport, transport_options
from ferrite.io.watches import Watches, watch_limits

SHUTDOWN_TIMEOUT_MS: Final = 10_000
"""From SIGTERM to the end at the latest; below the 30 s after which Kubernetes kills."""
DRAIN_MS: Final = 1_000
"""For answers to leave once the core has given them."""
DRAIN_FAILED_MS: Final = 100
"""The same after a failure: what is not answered by then is unknown anyway."""
CLOSE_TIMEOUT_S: Final = 10.0
"""For threads that may hang in a dead disk; then the process ends without them."""
FILES_WANTED: Final = 65_536
FILES_MIN: Final = 256
"""The log, RocksDB and peers need about so many; clients come on top (SEC25)."""

_log = structlog.get_logger(__name__)


def run_server(config: Config) -> int:
    """Run a node until it stops; returns the exit code. A start that fails says why in one line on stderr."""
    os.umask(0o077)  # SEC16: data and logs are nobody else's
    try:
        _raise_file_limit()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_Server(config).run())
    except StartFailed as failed:
        _tell_operator(config, f"the node cannot start: {failed}", failed.code)
        return failed.code


@dataclass(slots=True, kw_only=True)
class _Running:
    """What a started server consists of."""

    storage: Storage
    node: Node
    view: NodeView
    watches: Watches
    backups: Backups
    housekeeping: Housekeeping
    transport: Transport
    grpc: GrpcServer
    http: HttpServer


class _Server:
    """One run of a node."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._ended: asyncio.Future[tuple[int, str]] | None = None
        self._signals = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        try:
            storage = await loop.run_in_executor(None, open_storage, self._config)
        except Exception as error:
            raise start_failed(error) from error
        running = self._assemble(storage)
        try:
            await self._start(running)
        except Exception as error:
            await self._close(running, DRAIN_FAILED_MS)
            raise start_failed(error) from error
        code, detail = await self._until_the_end(running)
        _log.info("stopping", code=code, detail=detail)
        await self._close(running, DRAIN_MS if code == ExitCode.OK else DRAIN_FAILED_MS)
        _log.info("stopped", code=code)
        if code != ExitCode.OK:
            _tell_operator(self._config, f"the node stopped: {detail}", code)
        return code

    # ------------------------------------------------------------------------------------------------ start

    def _assemble(self, storage: Storage) -> _Running:
        config, identity = self._config, storage.recovered.identity
        replica = Replica(replica_config(config), storage.recovered, now_us())
        node = Node(replica, loop=asyncio.get_running_loop(), on_stop=self._on_stop)

        def receive(header: messages.Header, batch: list[messages.Message]) -> None:
            node.post_all(events.MessageReceived(header=header, message=message) for message in batch)

        transport = Transport(
            identity.node_id,
            str(config.node.advertise_grpc_addr),
            header_for=replica.header_for,
            check_header=replica.check_header,
            receive=receive,
            unreachable=lambda peer: node.post(events.PeerUnreachable(peer=peer)),
            options=transport_options(config.network),
        )
        storage.start(node.post_threadsafe)
        watches = Watches(
            storage.state,
            loop=asyncio.get_running_loop(),
            post=node.post_threadsafe,
            limits=watch_limits(config),
            progress_interval_ms=config.network.watch_progress_interval,
        )
        backups = self._backups(storage, replica, node)
        sources = Sources(
            facts=lambda: storage.state.facts,
            watchers=lambda: watches.count,
            counters=lambda: {**transport.counters(), **storage.counters()},
            problems=storage.problems,
            warnings=lambda: _refusing_peers(transport),
        )
        view = NodeView(node, config=config, identity=identity, sources=sources)

        def who() -> NodeIdentity:
            return self._identity(storage, replica)

        ask = asker(config.network)
        path = NodeRequests(
            node,
            config=config,
            identity=identity,
            identify=ask,
            view=view,
            watches=watches,
            begin_backup=backups.begin,
        )
        return _Running(
            storage=storage,
            node=node,
            view=view,
            watches=watches,
            backups=backups,
            housekeeping=Housekeeping(
                node,
                identity=identity,
                facts=lambda: storage.state.facts,
                config=housekeeping_config(config),
                timeout_ms=config.network.request_timeout,
            ),
            transport=transport,
            grpc=GrpcServer(path, config, RaftHandlers(transport, who)),
            http=HttpServer(path, http_settings(config), lambda: _http_identity(who())),
        )

    def _backups(self, storage: Storage, replica: Replica, node: Node) -> Backups:
        return Backups(
            storage.state,
            cluster_id=lambda: replica.status().cluster_id,
            cluster_name=self._config.cluster.name,
            source=storage.recovered.identity.node_id,
            post=node.post_all,
        )

    async def _start(self, running: _Running) -> None:
        config = self._config
        await running.grpc.start()
        await running.http.start()
        storage = running.storage
        running.node.start(
            Organs(
                log=storage.log, state=storage.state, snapshots=storage.snapshots, transport=running.transport
            )
        )
        running.housekeeping.start()
        self._handle_signals(running)
        gc.collect()
        gc.freeze()  # what lives as long as the process is not looked at again by each collection
        _log.info(
            "serving",
            node_id=config.node.id,
            name=config.node.name,
            cluster=config.cluster.name,
            http=str(config.node.http_addr),
            grpc=str(config.node.grpc_addr),
            initialized=running.view.status().initialized,
        )

    def _identity(self, storage: Storage, replica: Replica) -> NodeIdentity:
        node, identity = self._config.node, storage.recovered.identity
        return NodeIdentity(
            node_id=identity.node_id,
            instance=identity.instance,
            cluster_id=replica.status().cluster_id,
            http_addr=str(node.advertise_http_addr),
            grpc_addr=str(node.advertise_grpc_addr),
            peer_addr=str(node.advertise_grpc_addr),
            version=ferrite.__version__,
        )

    # ------------------------------------------------------------------------------------------------ end

    def _on_stop(self, code: int, detail: str) -> None:
        assert self._ended is not None, "the node starts after the loop does"
        if not self._ended.done():
            self._ended.set_result((code, detail))

    def _handle_signals(self, running: _Running) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number, running)

    def _on_signal(self, number: signal.Signals, running: _Running) -> None:
        self._signals += 1
        if self._signals > 1:
            # Everything acknowledged is on disk: a hurried operator loses nothing but the hand-over.
            os._exit(128 + number)
        _log.info("asked to stop", signal=number.name)
        self._leave(running)
        running.grpc.set_serving(serving=False)
        running.node.post(events.ShutdownRequested(deadline_us=now_us() + SHUTDOWN_TIMEOUT_MS * 1000))
        # The core stops at the deadline in any case; this is for the case that it cannot.
        late = "the core did not stop in time"
        asyncio.get_running_loop().call_later(
            SHUTDOWN_TIMEOUT_MS / 1000 + 1, self._on_stop, ExitCode.CRASH, late
        )

    async def _until_the_end(self, running: _Running) -> tuple[int, str]:
        assert self._ended is not None, "made by run"
        code, detail = await self._ended
        self._leave(running)
        return code, detail

    def _leave(self, running: _Running) -> None:
        """Nothing new begins here; clients that watch look for another node."""
        running.view.leaving = True
        running.housekeeping.close()
        running.watches.end("this node shuts down; go on at another one")
        running.backups.end("this node shuts down; begin anew at another one")

    async def _close(self, running: _Running, drain_ms: int) -> None:
        """Everything in order. A thread that hangs in a dead disk is left behind, and the process ends without it."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await running.transport.close()
                await asyncio.gather(running.http.stop(drain_ms), running.grpc.stop(drain_ms))
                await running.node.close()
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(None, running.watches.close)
                await loop.run_in_executor(None, running.backups.close)
                await loop.run_in_executor(None, running.storage.close)
        except TimeoutError:
            code = (
                self._ended.result()[0] if self._ended is not None and self._ended.done() else ExitCode.CRASH
            )
            _log.critical("the node does not close; the process ends without it", code=code)
            await asyncio.sleep(0.2)  # for the log's thread
            os._exit(code)


def _http_identity(who: NodeIdentity) -> Identity:
    return Identity(
        node_id=who.node_id,
        instance=who.instance.hex(),
        cluster_id=who.cluster_id.hex(),
        http_addr=who.http_addr,
        grpc_addr=who.grpc_addr,
        peer_addr=who.peer_addr,
        version=who.version,
    )


def _refusing_peers(transport: Transport) -> list[str]:
    return [
        f"node {peer.peer} at {peer.address} refuses this node: {peer.last_error}"
        for peer in transport.peer_status()
        if peer.refused
    ]


def _tell_operator(config: Config, sentence: str, code: int) -> None:
    """Say it once on stderr, in one piece, and in the log when that is elsewhere."""
    if config.logging.file_path is not None:
        _log.error(sentence, code=int(code))
    with contextlib.suppress(OSError):  # stderr may be on the full disk itself: the exit code still tells
        os.write(2, f"ferrite-server: {sentence}\n".encode(errors="backslashreplace"))


def _raise_file_limit() -> None:
    """As many open files as the system allows, within reason. Raises `StartFailed` when that is too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS caps it lower than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft != resource.RLIM_INFINITY and soft < FILES_MIN:
        raise StartFailed(
            ExitCode.BAD_CONFIGURATION,
            f"only {soft} files may be open at once, a node needs {FILES_MIN} and more. Raise it: ulimit -n {FILES_MIN * 4}",
        )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Uvloop where it is importable, asyncio's own elsewhere."""
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
