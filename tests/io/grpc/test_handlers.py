"""Every RPC over a real server: what goes in, what the request path is asked, what comes out."""

import asyncio
import hashlib
from dataclasses import fields, replace
from typing import Any

import grpc
import pytest
from grpc import aio

from ferrite.core import Consistency
from ferrite.core.kv import Delete, Get, ListKeys, Put, Session
from ferrite.io.grpc.handlers import client_methods, management
from ferrite.io.grpc.pb import kv_pb2, management_pb2, raft_pb2
from ferrite.io.grpc.status import RpcError, StatusCode
from ferrite.io.request_path import MemberAddress, RequestRefused
from tests.io.backup.fakes import FakeBackup
from tests.io.grpc.fakes import (
    IDENTITY,
    FakeRequestPath,
    Served,
    call,
    eventually,
    make_config,
    serving,
)
from tests.io.grpc.streams import Context, SlowWriter

pytestmark = pytest.mark.usefixtures("each_engine")


async def test_a_value_that_was_set_is_read_back_with_its_revisions_and_the_leader() -> None:
    async with serving() as served:
        first = await call(
            served, "KvService/Set", kv_pb2.SetRequest(key=b"k", value=b"1"), kv_pb2.SetResponse
        )
        await call(
            served, "KvService/Set", kv_pb2.SetRequest(key=b"k", value=b"\xff\x00"), kv_pb2.SetResponse
        )
        got = await call(served, "KvService/Get", kv_pb2.GetRequest(key=b"k"), kv_pb2.GetResponse)

    assert first.revision == 1
    assert (first.leader.node_id, first.leader.http_addr, first.leader.grpc_addr) == (
        1,
        "127.0.0.1:8001",
        "127.0.0.1:9001",
    )
    assert (got.found, got.value, got.revision) == (True, b"\xff\x00", 2)
    assert (got.create_revision, got.mod_revision, got.version) == (1, 2, 2)
    assert got.leader.node_id == 1


async def test_an_absent_key_is_an_answer_and_an_empty_value_is_a_value() -> None:
    async with serving() as served:
        absent = await call(served, "KvService/Get", kv_pb2.GetRequest(key=b"k"), kv_pb2.GetResponse)
        await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse)
        empty = await call(served, "KvService/Get", kv_pb2.GetRequest(key=b"k"), kv_pb2.GetResponse)

    assert not absent.found
    assert (empty.found, empty.value) == (True, b"")


async def test_delete_says_whether_the_key_was_there() -> None:
    async with serving() as served:
        await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse)
        request = kv_pb2.DeleteRequest(key=b"k")
        first = await call(served, "KvService/Delete", request, kv_pb2.DeleteResponse)
        second = await call(served, "KvService/Delete", request, kv_pb2.DeleteResponse)

        assert (first.existed, first.revision) == (True, 2)
        assert (second.existed, second.revision) == (False, 2)
        assert served.path.calls[-1][1] == Delete(key=b"k")


async def test_a_batch_is_one_write_and_flags_each_key() -> None:
    async with serving() as served:
        await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"a"), kv_pb2.SetResponse)
        pairs = [kv_pb2.KeyValuePair(key=b"a", value=b"1"), kv_pb2.KeyValuePair(key=b"b", value=b"2")]
        answer = await call(
            served, "KvService/BatchSet", kv_pb2.BatchSetRequest(pairs=pairs), kv_pb2.BatchSetResponse
        )

        assert (answer.revision, list(answer.existed), answer.leader.node_id) == (2, [True, False], 1)
        assert served.path.calls[-1][1].operations == (
            Put(key=b"a", value=b"1"),
            Put(key=b"b", value=b"2"),
        )


async def _fill(served: Served, *keys: bytes) -> None:
    for key in keys:
        await call(served, "KvService/Set", kv_pb2.SetRequest(key=key, value=b"v" + key), kv_pb2.SetResponse)


async def test_keys_are_listed_page_by_page() -> None:
    async with serving() as served:
        await _fill(served, b"a/2", b"a/1", b"a/3", b"b")
        first = await call(
            served,
            "KvService/ListKeys",
            kv_pb2.ListKeysRequest(prefix=b"a/", limit=2),
            kv_pb2.ListKeysResponse,
        )
        rest = await call(
            served,
            "KvService/ListKeys",
            kv_pb2.ListKeysRequest(prefix=b"a/", limit=2, after=first.entries[-1].key, with_values=True),
            kv_pb2.ListKeysResponse,
        )

    assert ([(entry.key, entry.value) for entry in first.entries], first.more) == (
        [(b"a/1", b""), (b"a/2", b"")],
        True,
    )
    assert ([(entry.key, entry.value) for entry in rest.entries], rest.more) == ([(b"a/3", b"va/3")], False)
    assert (rest.entries[0].create_revision, rest.entries[0].mod_revision, rest.entries[0].version) == (
        3,
        3,
        1,
    )


async def test_a_page_that_would_not_fit_a_message_is_cut_and_says_so() -> None:
    config = make_config(limits__list_bytes_max=65536)
    async with serving(config) as served:
        for number in range(10):
            request = kv_pb2.SetRequest(key=b"%d" % number, value=bytes(20_000))
            await call(served, "KvService/Set", request, kv_pb2.SetResponse)
        keys: list[bytes] = []
        more = True
        while more:
            request_page = kv_pb2.ListKeysRequest(with_values=True, after=keys[-1] if keys else b"")
            page = await call(served, "KvService/ListKeys", request_page, kv_pb2.ListKeysResponse)
            assert page.ByteSize() < 65536 + 64
            keys += [entry.key for entry in page.entries]
            more = page.more

    assert keys == [b"%d" % number for number in range(10)]


async def test_exists_tells_without_sending_the_value() -> None:
    async with serving() as served:
        await _fill(served, b"k")
        present = await call(
            served, "KvService/Exists", kv_pb2.ExistsRequest(key=b"k"), kv_pb2.ExistsResponse
        )
        absent = await call(served, "KvService/Exists", kv_pb2.ExistsRequest(key=b"x"), kv_pb2.ExistsResponse)

    assert (present.exists, absent.exists, present.revision, present.leader.node_id) == (True, False, 1, 1)


async def test_without_a_known_leader_the_answer_names_none() -> None:
    async with serving() as served:
        served.path.node_status = replace(served.path.node_status, leader_id=0)
        answer = await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse)
    assert not answer.HasField("leader")


@pytest.mark.parametrize(
    "rpc, request_type",
    [
        ("Set", kv_pb2.SetRequest),
        ("Delete", kv_pb2.DeleteRequest),
        ("BatchSet", kv_pb2.BatchSetRequest),
    ],
)
async def test_the_session_of_a_changing_call_reaches_the_request_path(rpc: str, request_type: Any) -> None:
    request = request_type(client_id=b"me", request_id=5, lowest_unacknowledged=3)
    if rpc == "BatchSet":
        request.pairs.add(key=b"k")
    else:
        request.key = b"k"
    async with serving() as served:
        await served.raw(f"/ferrite.kv.KvService/{rpc}", request.SerializeToString())
        session = served.path.calls[-1][2]["session"]
    assert session == Session(client_id=b"me", request_id=5, lowest_unacknowledged=3)


async def test_a_read_may_ask_for_serializable_with_a_bound() -> None:
    async with serving() as served:
        request = kv_pb2.GetRequest(
            key=b"k", consistency=kv_pb2.CONSISTENCY_SERIALIZABLE, max_staleness_ms=250
        )
        await call(served, "KvService/Get", request, kv_pb2.GetResponse)
        name, query, rest = served.path.calls[-1]
    assert (name, query) == ("read", Get(key=b"k"))
    assert (rest["consistency"], rest["max_staleness_ms"]) == (Consistency.SERIALIZABLE, 250)


async def test_a_listing_asks_for_keys_only_unless_values_are_wanted() -> None:
    async with serving() as served:
        request = kv_pb2.ListKeysRequest(prefix=b"p", limit=7, after=b"p1")
        await call(served, "KvService/ListKeys", request, kv_pb2.ListKeysResponse)
        assert served.path.calls[-1][1] == ListKeys(prefix=b"p", limit=7, after=b"p1", keys_only=True)


# -------------------------------------------------------------------------------------------------------- deadlines


async def test_the_clients_deadline_less_the_way_back_becomes_the_time_out() -> None:
    async with serving() as served:
        await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse, timeout=2)
        assert 1000 < served.path.calls[-1][2]["timeout_ms"] <= 1900


async def test_a_huge_deadline_is_capped_at_the_configured_time() -> None:
    async with serving() as served:
        request = kv_pb2.SetRequest(key=b"k")
        await call(served, "KvService/Set", request, kv_pb2.SetResponse, timeout=10**8)
        assert served.path.calls[-1][2]["timeout_ms"] == 5000
        await call(
            served,
            "ManagementService/TransferLeader",
            management_pb2.TransferLeaderRequest(),
            management_pb2.TransferLeaderResponse,
            timeout=10**8,
        )
        assert served.path.calls[-1][2]["timeout_ms"] == 600_000


async def test_without_a_deadline_the_request_path_decides() -> None:
    async with serving() as served:
        await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse, timeout=None)
        assert served.path.calls[-1][2]["timeout_ms"] is None


async def test_a_client_that_gives_up_leaves_nothing_running() -> None:
    async with serving() as served:
        served.path.gate = asyncio.Event()
        request = management_pb2.AddLearnerRequest(node_id=2, rpc_addr="127.0.0.1:9002")
        task = asyncio.create_task(
            call(served, "ManagementService/AddLearner", request, management_pb2.AddLearnerResponse)
        )
        await eventually(lambda: served.path.in_progress)
        task.cancel()
        await eventually(lambda: not served.path.in_progress)
        served.path.gate = None
        await call(served, "KvService/Set", kv_pb2.SetRequest(key=b"k"), kv_pb2.SetResponse)


# -------------------------------------------------------------------------------------------------------- management


async def test_initialize_passes_the_members_or_none() -> None:
    async with serving() as served:
        answer = await call(
            served,
            "ManagementService/Initialize",
            management_pb2.InitializeRequest(),
            management_pb2.InitializeResponse,
        )
        assert served.path.calls[-1][:2] == ("initialize", None)
        assert (answer.cluster_id, answer.leader_id) == ("10" * 16, 1)
        assert (list(answer.voters), list(answer.learners)) == ([1, 2], [3])

        members = [
            management_pb2.MemberAddress(node_id=1, rpc_addr="127.0.0.1:9001", api_addr="127.0.0.1:8001"),
            management_pb2.MemberAddress(node_id=2, api_addr="127.0.0.1:8002", learner=True),
        ]
        await call(
            served,
            "ManagementService/Initialize",
            management_pb2.InitializeRequest(members=members),
            management_pb2.InitializeResponse,
        )
        assert served.path.calls[-1][1] == [
            MemberAddress(node_id=1, peer_addr="127.0.0.1:9001", http_addr="127.0.0.1:8001"),
            MemberAddress(node_id=2, peer_addr="127.0.0.1:8002", http_addr="127.0.0.1:8002", voting=False),
        ]


async def test_changes_of_the_membership_pass_through() -> None:
    async with serving() as served:
        learner = await call(
            served,
            "ManagementService/AddLearner",
            management_pb2.AddLearnerRequest(node_id=4, rpc_addr="127.0.0.1:8004", api_addr="127.0.0.1:8004"),
            management_pb2.AddLearnerResponse,
        )
        assert learner.index == 42
        assert served.path.calls[-1][1] == MemberAddress(
            node_id=4, peer_addr="127.0.0.1:8004", http_addr="127.0.0.1:8004", voting=False
        )
        changed = await call(
            served,
            "ManagementService/ChangeMembership",
            management_pb2.ChangeMembershipRequest(member_ids=[3, 1, 2]),
            management_pb2.ChangeMembershipResponse,
        )
        assert (changed.index, served.path.calls[-1][1]) == (43, (3, 1, 2))
        moved = await call(
            served,
            "ManagementService/TransferLeader",
            management_pb2.TransferLeaderRequest(target_id=3),
            management_pb2.TransferLeaderResponse,
        )
        assert (moved.leader_id, served.path.calls[-1][1]) == (3, 3)


async def test_a_member_is_removed_by_its_id() -> None:
    async with serving() as served:
        removed = await call(
            served,
            "ManagementService/RemoveMember",
            management_pb2.RemoveMemberRequest(node_id=2),
            management_pb2.RemoveMemberResponse,
        )
        assert (removed.index, served.path.calls[-1][:2]) == (44, ("remove_member", 2))


async def _backup(served: Served, request: management_pb2.BackupRequest) -> list[management_pb2.BackupChunk]:
    stream: Any = served.channel.unary_stream(
        "/ferrite.management.ManagementService/Backup",
        request_serializer=management_pb2.BackupRequest.SerializeToString,
        response_deserializer=management_pb2.BackupChunk.FromString,
    )
    return [chunk async for chunk in stream(request, timeout=20)]


async def test_a_backup_begins_with_its_name_and_ends_with_its_size_and_hash() -> None:
    async with serving() as served:
        chunks = await _backup(served, management_pb2.BackupRequest())
    data = b"firstsecond"
    assert chunks == [
        management_pb2.BackupChunk(name="test-1.backup"),
        management_pb2.BackupChunk(data=b"first"),
        management_pb2.BackupChunk(data=b"second"),
        management_pb2.BackupChunk(size_bytes=len(data), sha256=hashlib.sha256(data).digest()),
    ]
    assert served.path.calls[-1][1] is Consistency.LINEARIZABLE
    assert [backup.closed for backup in served.path.backups] == [True]


async def test_a_backup_of_what_the_node_has_is_asked_for_by_name() -> None:
    async with serving() as served:
        await _backup(served, management_pb2.BackupRequest(serializable=True))
    assert served.path.calls[-1][1] is Consistency.SERIALIZABLE


async def test_a_backup_that_breaks_off_ends_with_an_error_and_without_a_hash() -> None:
    refused = RequestRefused("shutting_down", "going")
    path = FakeRequestPath(next_backup=FakeBackup(then=refused))
    async with serving(path=path) as served:
        with pytest.raises(aio.AioRpcError) as found:
            await _backup(served, management_pb2.BackupRequest())
        assert found.value.code() is grpc.StatusCode.UNAVAILABLE
        await eventually(lambda: path.next_backup.closed)


async def test_a_backup_ends_when_its_reader_goes() -> None:
    path = FakeRequestPath(next_backup=FakeBackup(hangs=True))
    async with serving(path=path) as served:
        stream: Any = served.channel.unary_stream("/ferrite.management.ManagementService/Backup")
        reading = stream(b"", timeout=20)
        await reading.read()
        reading.cancel()
        await eventually(lambda: path.next_backup.closed)


async def test_a_backup_that_nobody_reads_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(management, "BACKUP_READER_TIMEOUT_S", 0.01)
    path = FakeRequestPath()
    methods = {method.path: method for method in client_methods(path, make_config())}
    method = methods["/ferrite.management.ManagementService/Backup"]
    with pytest.raises(RpcError) as cut:
        await method.stream(b"", Context(), SlowWriter())
    assert cut.value.code is StatusCode.ABORTED
    assert path.next_backup.closed


async def test_metrics_are_the_nodes_status() -> None:
    async with serving() as served:
        got = await call(
            served,
            "ManagementService/GetMetrics",
            management_pb2.GetMetricsRequest(),
            management_pb2.GetMetricsResponse,
        )
        status = served.path.node_status
    elsewhere = {
        "leader_http_addr",
        "leader_grpc_addr",
        "problems",
        "warnings",
        "node_description",
    }  # in GetLeader, HealthCheck and HTTP's /health
    repeated = {"voters", "outgoing", "learners", "members", "counters"}
    for name in {field.name for field in fields(status)} - elsewhere - repeated:
        assert getattr(got, name) == getattr(status, name), name
    assert (tuple(got.voters), tuple(got.outgoing), tuple(got.learners)) == ((1, 2), (), (3,))
    assert dict(got.counters) == {"elections": 2}
    (member,) = got.members
    for name in {field.name for field in fields(status.members[0])}:
        assert getattr(member, name) == getattr(status.members[0], name), name


@pytest.mark.parametrize(
    "change, healthy",
    [
        ({}, True),
        ({"problems": ("disk full",)}, False),
        ({"leader_id": 0}, False),
        ({"initialized": False}, False),
        ({"shutting_down": True}, False),
        ({"warnings": ("sync_writes is off",)}, True),
    ],
)
async def test_health_is_real(change: dict[str, Any], healthy: bool) -> None:
    async with serving() as served:
        served.path.node_status = replace(served.path.node_status, **change)
        got = await call(
            served,
            "ManagementService/HealthCheck",
            management_pb2.HealthCheckRequest(),
            management_pb2.HealthCheckResponse,
        )
    assert (got.healthy, got.applied_lag, got.role, got.term) == (healthy, 1, "leader", 7)
    assert (tuple(got.problems), tuple(got.warnings)) == (
        change.get("problems", ()),
        change.get("warnings", ()),
    )


async def test_the_leader_is_named_with_its_addresses() -> None:
    async with serving() as served:
        got = await call(
            served,
            "ManagementService/GetLeader",
            management_pb2.GetLeaderRequest(),
            management_pb2.GetLeaderResponse,
        )
    assert (got.leader_id, got.http_addr, got.grpc_addr, got.is_leader, got.term) == (
        1,
        "127.0.0.1:8001",
        "127.0.0.1:9001",
        True,
        7,
    )


async def test_a_node_says_who_it_is() -> None:
    async with serving() as served:
        got = await call(
            served, "RaftService/Identify", raft_pb2.IdentifyRequest(), raft_pb2.IdentifyResponse
        )
    assert (got.node_id, got.instance, got.cluster_id) == (1, IDENTITY.instance, IDENTITY.cluster_id)
    assert (got.http_addr, got.grpc_addr, got.peer_addr, got.version) == (
        "127.0.0.1:8001",
        "127.0.0.1:9001",
        "127.0.0.1:9001",
        "0.1.0",
    )
