"""Keys of the configuration act: a changed value reaches its organ, and the organ does something else.

`test_no_dead_keys` says which of these proves which key; each speaks of its keys by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from ferrite.core import HardState, Index, Term, actions
from ferrite.core.kv import (
    AutoCompaction,
    Compact,
    Delivery,
    Housekeeper,
    HousekeepingCommand,
    ListKeys,
    ListKeysResult,
    SetNoSpace,
    WatchEnd,
    WatchEnded,
    WatchSpec,
)
from ferrite.io.config import Config, NetworkConfig
from ferrite.io.founding import Founding
from ferrite.io.grpc.grpcio_engine import GrpcioEngine, server_options
from ferrite.io.grpc.handlers import RaftHandlers
from ferrite.io.grpc.http2_engine import Http2Engine, http2_limits
from ferrite.io.grpc.server import GrpcServer
from ferrite.io.housekeeping import housekeeping_config
from ferrite.io.http import HttpServer, http_settings
from ferrite.io.http.checks import health_answer
from ferrite.io.http.cluster_json import metrics_answer
from ferrite.io.http.metrics import node_registry
from ferrite.io.identify import asker
from ferrite.io.node import now_us
from ferrite.io.replica_config import replica_config
from ferrite.io.request_path import RequestRefused
from ferrite.io.requests import NodeRequests
from ferrite.io.server import _Server
from ferrite.io.storage import Storage, open_storage
from ferrite.io.transport import transport_options
from ferrite.io.watches import Watches, watch_limits
from tests.core.kv.helpers import Machine, put
from tests.io.config.helpers import problems
from tests.io.grpc.fakes import IDENTITY, NoFrames
from tests.io.grpc.fakes import FakeRequestPath as GrpcRequestPath
from tests.io.http.helpers import IDENTITY as HTTP_IDENTITY
from tests.io.http.helpers import FakeRequestPath, serving
from tests.io.node_fakes import FakeWatchedState, announce, facts, identity
from tests.io.test_requests import Desk, config_of, presence, reply, without_cluster
from tests.io.test_storage import CLUSTER, NOOP

KIB: Final = 1024
MIB: Final = 1024 * KIB


# ------------------------------------------------------------------------------------------------ from the file to the organs


async def test_a_server_is_made_of_what_its_configuration_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks_with: list[NetworkConfig] = []

    def spied(network: NetworkConfig) -> Any:
        asks_with.append(network)
        return asker(network)

    monkeypatch.setattr("ferrite.io.server.asker", spied)
    config = config_of(
        tmp_path,
        node__advertise_http_addr="127.0.0.2:7001",
        node__advertise_grpc_addr="127.0.0.2:7002",
        network__request_timeout="6789",
        network__connect_timeout="1234",
        network__keep_alive_interval="4321",
        network__max_retries="2",
        network__retry_delay="77",
        network__enable_compression="true",
        network__max_message_size=str(5 * MIB),
        raft__max_append_entries="33",
        storage__sync_writes="false",
        limits__body_timeout="2345",
        limits__concurrent_rpcs_max="99",
        limits__connections_max="2222",
        limits__header_timeout="3333",
        limits__held_bytes_max="23456789",
        limits__idle_timeout="5555",
        limits__watches_max="7",
        limits__watch_queue_bytes_max="77777",
        limits__watches_bytes_max="7777777",
        network__watch_progress_interval="3456",
        storage__quota_bytes="12345",
        storage__auto_compaction_mode="age",
        storage__auto_compaction_retention="60000",
    )
    default = config_of(tmp_path)
    loop = asyncio.get_running_loop()
    storage = await loop.run_in_executor(None, open_storage, config)
    server = _Server(config)
    made = server._assemble(storage)
    try:
        options = transport_options(config.network)
        assert made.transport._options == options != transport_options(default.network)
        assert asks_with == [config.network]
        path = made.http.handlers._request_path
        assert isinstance(path, NodeRequests)
        assert path._timeout_ms == 6789
        assert path._founding._config is made.view._config is config
        assert made.transport._own_addr == "127.0.0.2:7002"
        assert made.grpc.engine.limits == http2_limits(config) != http2_limits(default)  # type: ignore[attr-defined]  # the default engine has it
        assert made.grpc.limits.calls_max == 99
        assert made.http._settings == http_settings(config) != http_settings(default)
        assert made.http.held._bytes_max == 23456789
        raft = made.node.replica._raft  # type: ignore[attr-defined]  # the real replica has it
        assert raft.config == replica_config(config, seed=raft.config.seed)
        assert storage.log._sync_writes is False
        assert path._watches is made.watches
        assert made.watches.hub._limits == watch_limits(config) != watch_limits(default)
        assert made.watches._progress_interval_s == 3.456
        assert made.housekeeping._keeper._config == housekeeping_config(config)
        assert made.housekeeping._keeper._config != housekeeping_config(default)
        who = server._identity(storage, made.node.replica)  # type: ignore[arg-type]  # a replica it is
        assert (who.http_addr, who.grpc_addr) == ("127.0.0.2:7001", "127.0.0.2:7002")
    finally:
        await made.transport.close()
        await made.node.close()
        made.watches.close()
        await loop.run_in_executor(None, storage.close)


# ------------------------------------------------------------------------------------------------ watches, housekeeping


def put_of(machine: Machine, watches: Watches, key: bytes, size: int = 1) -> None:
    """Apply a put and tell the watches of it."""
    watches._on_applied(machine.apply(put(key, bytes(size))))


def watches_of(config: Config) -> Watches:
    loop, state = asyncio.get_running_loop(), FakeWatchedState(facts=facts(revision=1))
    return Watches(
        state,
        loop=loop,
        post=lambda _: None,
        limits=watch_limits(config),
        progress_interval_ms=config.network.watch_progress_interval,
    )


async def test_watches_are_bounded_in_number_and_in_what_is_kept_for_them(tmp_path: Path) -> None:
    config = config_of(tmp_path, limits__watches_max="2", limits__watch_queue_bytes_max=str(64 * KIB))
    watches, machine = watches_of(config), Machine()
    watch, _ = watches.watch(WatchSpec(key=b"k")), watches.watch(WatchSpec(key=b"k"))
    with pytest.raises(RequestRefused, match=r"2 watches.*limits\.watches_max"):
        watches.watch(WatchSpec(key=b"k"))
    for _ in range(2):
        put_of(machine, watches, b"k", 40 * KIB)
    (ended,) = watch.take()
    assert isinstance(ended, WatchEnded)
    assert (ended.reason, ended.revision) == (WatchEnd.SLOW, 1)
    roomy = watches_of(config_of(tmp_path, limits__watch_queue_bytes_max=str(128 * KIB)))
    watch, machine = roomy.watch(WatchSpec(key=b"k")), Machine()
    for _ in range(2):
        put_of(machine, roomy, b"k", 40 * KIB)
    assert [item.revision for item in watch.take()] == [2, 3]


async def test_watches_are_bounded_in_what_is_kept_for_all_of_them(tmp_path: Path) -> None:
    """limits.watches_bytes_max."""
    for limit, ended in ((2 * MIB, False), (MIB, True)):
        watches, machine = watches_of(config_of(tmp_path, limits__watches_bytes_max=str(limit))), Machine()
        large, small = watches.watch(WatchSpec(key=b"large")), watches.watch(WatchSpec(key=b"small"))
        put_of(machine, watches, b"large", 700 * KIB)
        put_of(machine, watches, b"small", 400 * KIB)
        assert isinstance(large.take()[-1], WatchEnded) is ended
        assert [item.revision for item in small.take()] == [3]


async def test_a_quiet_watch_is_told_at_the_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """network.watch_progress_interval."""
    watches = watches_of(config_of(tmp_path, network__watch_progress_interval="100"))
    watch = watches.watch(WatchSpec(key=b"k", progress=True))
    ready = asyncio.Event()
    watch.listen(ready.set)
    async with asyncio.timeout(10):
        await ready.wait()
    (told,) = watch.take()
    assert isinstance(told, Delivery)
    assert (told.revision, told.events) == (1, ())
    delays: list[float] = []
    slow = watches_of(config_of(tmp_path, network__watch_progress_interval="7000"))
    monkeypatch.setattr(slow, "_loop", SimpleNamespace(call_later=lambda delay, _: delays.append(delay)))
    slow.watch(WatchSpec(key=b"k", progress=True))
    assert delays == [7.0]
    watch.cancel()


def test_housekeeping_follows_the_configured_policy(tmp_path: Path) -> None:
    """storage.quota_bytes, storage.auto_compaction_mode and storage.auto_compaction_retention."""

    def proposed(settings: dict[str, str], **changes: int | bool) -> HousekeepingCommand | None:
        keeper = Housekeeper(housekeeping_config(config_of(tmp_path, **settings)))
        keeper.consider(None, facts(time_us=0, revision=10))
        return keeper.consider(120_000_000, facts(time_us=60_000_000, revision=500, **changes))[0]

    assert proposed({"storage__quota_bytes": "1000"}, size_bytes=1001) == SetNoSpace(on=True)
    assert proposed({"storage__quota_bytes": "0"}, size_bytes=10**15) is None
    assert proposed({}, size_bytes=(2 << 30) + 1) == SetNoSpace(on=True), "2 GiB unless told"
    by_revisions = {"storage__auto_compaction_mode": "revisions", "storage__auto_compaction_retention": "100"}
    assert proposed(by_revisions) == Compact(revision=400)
    by_age = {"storage__auto_compaction_mode": "age", "storage__auto_compaction_retention": "90000"}
    assert proposed(by_age) == Compact(revision=10), "what is 90 s old"
    assert proposed({}) is None
    by_default = housekeeping_config(config_of(tmp_path))
    assert (by_default.auto_compaction, by_default.retention) == (AutoCompaction.REVISIONS, 1_000_000)
    off = housekeeping_config(config_of(tmp_path, storage__auto_compaction_mode="off"))
    assert off.auto_compaction is AutoCompaction.OFF
    (problem,) = problems(tmp_path, options={"storage.auto_compaction_mode": "age"})
    assert problem.key == "storage.auto_compaction_mode", "the default is no age"
    assert "storage.auto_compaction_retention above 0" in problem.expected
    kept = "storage.auto_compaction_retention"
    for settings in ({kept: "0"}, {kept: "5", "storage.auto_compaction_mode": "off"}):
        (problem,) = problems(tmp_path, options=settings)
        assert problem.key == kept


# ------------------------------------------------------------------------------------------------ node


def test_the_disk_belongs_to_the_node(tmp_path: Path) -> None:
    """node.id and node.data_dir."""
    with contextlib.closing(open_storage(config_of(tmp_path / "seven", node__id="7"))) as storage:
        assert storage.recovered.identity.node_id == 7
        assert (tmp_path / "seven" / "state").is_dir()


async def test_the_faces_listen_where_they_are_told(tmp_path: Path, unused_tcp_port_factory: Any) -> None:
    http_port, grpc_port = unused_tcp_port_factory(), unused_tcp_port_factory()
    config = config_of(
        tmp_path, node__http_addr=f"127.0.0.1:{http_port}", node__grpc_addr=f"127.0.0.1:{grpc_port}"
    )
    http = HttpServer(FakeRequestPath(), http_settings(config), lambda: HTTP_IDENTITY)
    rpc = GrpcServer(GrpcRequestPath(), config, RaftHandlers(NoFrames(), lambda: IDENTITY))
    assert await http.start() == ("127.0.0.1", http_port)
    assert await rpc.start() == grpc_port
    await http.stop(0)
    await rpc.stop(0)


def test_grpc_is_served_by_the_engine_that_was_chosen(tmp_path: Path) -> None:
    """network.grpc_engine."""
    raft = RaftHandlers(NoFrames(), lambda: IDENTITY)
    default = config_of(tmp_path)
    engine = GrpcServer(GrpcRequestPath(), default, raft).engine
    assert isinstance(engine, Http2Engine)
    assert engine.limits == http2_limits(default)
    config = config_of(
        tmp_path,
        network__grpc_engine="grpcio",
        network__max_message_size=str(5 * MIB),
        limits__idle_timeout="5555",
    )
    other = GrpcServer(GrpcRequestPath(), config, raft).engine
    assert isinstance(other, GrpcioEngine)
    assert other.options == server_options(config) != server_options(default)


def test_others_are_told_the_advertised_addresses(tmp_path: Path) -> None:
    config = config_of(
        tmp_path, node__advertise_http_addr="10.0.0.1:1111", node__advertise_grpc_addr="10.0.0.1:2222"
    )
    for told, http_addr, grpc_addr in (
        (config, "10.0.0.1:1111", "10.0.0.1:2222"),
        (config_of(tmp_path), "127.0.0.1:8001", "127.0.0.1:9001"),
    ):
        member = Founding(config=told, identity=identity(), identify=_nobody).own_member()
        assert (member.http_addr, member.grpc_addr, member.peer_addr) == (http_addr, grpc_addr, grpc_addr)


async def _nobody(address: str) -> Any:
    raise AssertionError(f"nobody is asked, least of all {address}")


async def test_the_names_are_shown(tmp_path: Path) -> None:
    """node.name, node.description and cluster.name."""
    config = config_of(tmp_path, node__name="anna", node__description="rack 7", cluster__name="prod")
    async with _desk(config) as desk:
        status = desk.path.status()
    _, health = health_answer(status)
    assert (health["name"], health["description"], health["cluster"]) == ("anna", "rack 7", "prod")
    metrics = metrics_answer(status)
    assert (metrics["name"], metrics["cluster"]) == ("anna", "prod")
    registry, _ = node_registry(lambda: status)
    names = {"server_name": "anna", "cluster_name": "prod"}
    assert registry.get_sample_value("ferrite_server_name", names) == 1


@contextlib.asynccontextmanager
async def _desk(config: Config) -> AsyncIterator[Desk]:
    """A request path with this configuration over a fake replica; peers answer at `127.0.0.1:900N`."""
    desk = Desk(config, {f"127.0.0.1:900{node}": presence(node) for node in (2, 3)})
    desk.orders(announce(2))
    await desk.until(lambda: desk.node.announced)
    try:
        yield desk
    finally:
        await desk.node.close()


# ------------------------------------------------------------------------------------------------ requests


@pytest.mark.parametrize("timeout_ms", [700, 7000])
async def test_a_request_has_the_configured_time(tmp_path: Path, timeout_ms: int) -> None:
    async with _desk(config_of(tmp_path, network__request_timeout=str(timeout_ms))) as desk:
        for asked_ms in (None, 3_600_000):
            before_us = now_us()
            deadline_us = desk.path._client_deadline_us(asked_ms)
            assert before_us <= deadline_us - timeout_ms * 1000 <= now_us()


# ------------------------------------------------------------------------------------------------ storage


@contextlib.contextmanager
def _opened(directory: Path, **settings: str) -> Any:
    storage = open_storage(config_of(directory, **settings))
    try:
        yield storage
    finally:
        storage.close()


def _database(directory: Path) -> Path:
    return directory / "state" / "000001"


@pytest.mark.parametrize(
    "key, text, line",
    [
        ("storage__enable_compression", "true", "compression=kLZ4Compression"),
        ("storage__enable_compression", "false", "compression=kNoCompression"),
        ("storage__compaction_strategy", "level", "compaction_style=kCompactionStyleLevel"),
        ("storage__compaction_strategy", "universal", "compaction_style=kCompactionStyleUniversal"),
    ],
)
def test_rocksdb_is_opened_as_configured(tmp_path: Path, key: str, text: str, line: str) -> None:
    """What RocksDB wrote down of its options."""
    with _opened(tmp_path / "data", **{key: text}):
        written = max(_database(tmp_path / "data").glob("OPTIONS-*")).read_text()
    assert line in [each.strip() for each in written.splitlines()]


def test_rocksdb_has_the_memory_that_was_granted(tmp_path: Path) -> None:
    """storage.block_cache_size and storage.write_buffer_size, which two memtables share."""
    settings = {"storage__block_cache_size": "3", "storage__write_buffer_size": "10"}
    with _opened(tmp_path / "data", **settings) as storage:
        database = storage.state._database.rocks._db
        assert database.property_int_value("rocksdb.block-cache-capacity") == 3 * MIB
        written = max(_database(tmp_path / "data").glob("OPTIONS-*")).read_text()
    assert f"  write_buffer_size={5 * MIB}\n" in written


@pytest.mark.parametrize("wal", [True, False])
def test_rocksdb_keeps_a_wal_when_told(tmp_path: Path, wal: bool) -> None:
    """storage.enable_wal."""
    with _opened(tmp_path / "data", storage__enable_wal=str(wal).lower()) as storage:
        storage.state.apply(Index(1), (put(b"k", bytes(5000)),))
        size = sum(file.stat().st_size for file in _database(tmp_path / "data").glob("*.log"))
    assert size >= 5000 if wal else size < 5000


@pytest.mark.parametrize("sync", [True, False])
def test_the_log_is_synced_when_told(tmp_path: Path, sync: bool) -> None:
    """storage.sync_writes."""
    with _opened(tmp_path / "data", storage__sync_writes=str(sync).lower()) as storage:
        reported = threading.Semaphore(0)
        storage.start(lambda _: reported.release())
        syncs = [_write(storage, reported, seq) for seq in (1, 2, 3)]
    assert syncs[2] - syncs[0] == (2 if sync else 0)


def _write(storage: Storage, reported: threading.Semaphore, seq: int) -> int:
    """Persist one entry; returns how often the disk was synced until then."""
    hard_state = HardState(cluster_id=CLUSTER, term=Term(1)) if seq == 1 else None
    storage.log.persist(
        actions.Persist(write_seq=seq, first_index=Index(seq), entries=(NOOP,), hard_state=hard_state)
    )
    assert reported.acquire(timeout=10)
    return storage.counters()["log_fsyncs"]


# ------------------------------------------------------------------------------------------------ cluster, security


def _three_peers(**more: str) -> dict[str, str]:
    addresses = {
        f"cluster__peers__{node}__{face}_addr": f"127.0.0.1:{first + node}"
        for node in (1, 2, 3)
        for face, first in (("http", 8000), ("grpc", 9000))
    }
    return addresses | more


async def test_a_cluster_is_founded_by_the_peers_listed(tmp_path: Path) -> None:
    """cluster.peers.N.grpc_addr is asked, cluster.peers.N.voting decides who votes."""
    async with _desk(config_of(tmp_path, **_three_peers(cluster__peers__3__voting="false"))) as desk:
        without_cluster(desk)
        desk.answers(reply(1))
        await desk.path.initialize(None)
        [event] = [fact for fact in desk.replica.seen if type(fact).__name__ == "BootstrapRequested"]
        assert desk.asked == ["127.0.0.1:9002", "127.0.0.1:9003"]
    membership = event.membership  # type: ignore[union-attr]  # as its name says
    assert (membership.voters, membership.learners) == ((1, 2), (3,))


def test_names_of_peers_are_accepted_as_host(tmp_path: Path) -> None:
    named = config_of(tmp_path, **_three_peers(cluster__peers__2__http_addr="two.example:8002"))
    assert "two.example" in (http_settings(named).allowed_hosts or ())
    assert "two.example" not in (http_settings(config_of(tmp_path)).allowed_hosts or ())


def test_only_loopback_is_bound_unless_it_is_meant(tmp_path: Path) -> None:
    """security.allow_insecure."""
    exposed = {"node.http_addr": "10.0.0.1:8001", "node.grpc_addr": "10.0.0.1:9001"}
    assert [problem.key for problem in problems(tmp_path, options=exposed)] == [
        "node.http_addr",
        "node.grpc_addr",
    ]
    assert problems(tmp_path, options={**exposed, "security.allow_insecure": "true"}) == ()


# ------------------------------------------------------------------------------------------------ limits

_SET: Final = {"Set": {"key": "k" * 100, "value": "v" * 3000}}
_BATCH: Final = {"Batch": [{"Set": {"key": str(number), "value": "v"}} for number in range(5)]}


@pytest.mark.parametrize(
    "settings, target, body, status",
    [
        ({"request_bytes_max": 2048, "key_bytes_max": 256, "value_bytes_max": 1024}, "/write", _SET, 413),
        ({"key_bytes_max": 99}, "/write", _SET, 413),
        ({"value_bytes_max": 2999}, "/write", _SET, 413),
        ({"batch_operations_max": 4}, "/write", _BATCH, 400),
        ({"list_keys_max": 9}, "/list", {"limit": 10}, 400),
    ],
)
async def test_what_is_over_a_limit_is_refused(
    tmp_path: Path, settings: dict[str, int], target: str, body: object, status: int
) -> None:
    limits = config_of(
        tmp_path, **{f"limits__{name}": str(number) for name, number in settings.items()}
    ).limits
    for changed, expected in ((config_of(tmp_path).limits, 200), (limits, status)):
        async with serving(**{name: getattr(changed, name) for name in settings}) as site:
            answer = await site.post(target, body)
        assert answer.status == expected, answer.body


def test_a_page_of_a_listing_is_bounded(tmp_path: Path) -> None:
    """limits.list_keys_max and limits.list_bytes_max, for those who ask for everything."""
    for settings, entries in (
        ({}, 4),
        ({"limits__list_keys_max": "3"}, 3),
        ({"limits__list_bytes_max": str(64 * KIB)}, 2),
    ):
        directory = tmp_path / f"{entries}"
        with _opened(directory, **settings) as storage:
            storage.state.apply(Index(1), [put(key, bytes(30 * KIB)) for key in (b"a", b"b", b"c", b"d")])
            found = storage.state.read(ListKeys(prefix=b"", keys_only=False))
            assert isinstance(found, ListKeysResult)
            assert (len(found.entries), found.more) == (entries, entries < 4)
