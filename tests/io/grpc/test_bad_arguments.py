"""Arguments that no node takes: each is refused by name, before anything is asked of the request path."""

import grpc
import pytest

from ferrite.io.grpc.pb import kv_pb2, management_pb2
from tests.io.grpc.fakes import call, refusal, serving

pytestmark = pytest.mark.usefixtures("each_engine")

_K = b"k"
_LONG = bytes(4097)
_BAD = [
    ("KvService/Set", kv_pb2.SetRequest(), "key", "invalid"),
    ("KvService/Set", kv_pb2.SetRequest(key=_LONG), "key", "too_large"),
    ("KvService/Set", kv_pb2.SetRequest(key=_K, value=bytes(2**20 + 1)), "value", "too_large"),
    ("KvService/Set", kv_pb2.SetRequest(key=_K, request_id=1), "client_id", "invalid"),
    ("KvService/Set", kv_pb2.SetRequest(key=_K, lowest_unacknowledged=1), "client_id", "invalid"),
    ("KvService/Set", kv_pb2.SetRequest(key=_K, client_id=b"c"), "request_id", "invalid"),
    ("KvService/Set", kv_pb2.SetRequest(key=_K, client_id=bytes(65), request_id=1), "client_id", "too_large"),
    ("KvService/Set", kv_pb2.SetRequest(key=_K, client_id=b"c", request_id=2**63), "request_id", "invalid"),
    (
        "KvService/Set",
        kv_pb2.SetRequest(key=_K, client_id=b"c", request_id=1, lowest_unacknowledged=2),
        "lowest_unacknowledged",
        "invalid",
    ),
    ("KvService/Get", kv_pb2.GetRequest(), "key", "invalid"),
    ("KvService/Get", kv_pb2.GetRequest(key=_LONG), "key", "too_large"),
    ("KvService/Get", kv_pb2.GetRequest(key=_K, max_staleness_ms=5), "max_staleness_ms", "invalid"),
    (
        "KvService/Get",
        kv_pb2.GetRequest(key=_K, consistency=kv_pb2.CONSISTENCY_SERIALIZABLE, max_staleness_ms=2**63),
        "max_staleness_ms",
        "invalid",
    ),
    ("KvService/Delete", kv_pb2.DeleteRequest(), "key", "invalid"),
    ("KvService/Exists", kv_pb2.ExistsRequest(), "key", "invalid"),
    ("KvService/BatchSet", kv_pb2.BatchSetRequest(), "pairs", "invalid"),
    (
        "KvService/BatchSet",
        kv_pb2.BatchSetRequest(pairs=[kv_pb2.KeyValuePair(key=b"%d" % n) for n in range(129)]),
        "pairs",
        "invalid",
    ),
    (
        "KvService/BatchSet",
        kv_pb2.BatchSetRequest(pairs=[kv_pb2.KeyValuePair(key=_K), kv_pb2.KeyValuePair(key=_K)]),
        "pairs[1].key",
        "invalid",
    ),
    (
        "KvService/BatchSet",
        kv_pb2.BatchSetRequest(pairs=[kv_pb2.KeyValuePair(key=_K), kv_pb2.KeyValuePair()]),
        "pairs[1].key",
        "invalid",
    ),
    (
        "KvService/BatchSet",
        kv_pb2.BatchSetRequest(
            pairs=[kv_pb2.KeyValuePair(key=b"%d" % n, value=bytes(2**20)) for n in range(2)]
        ),
        "pairs",
        "too_large",
    ),
    ("KvService/ListKeys", kv_pb2.ListKeysRequest(limit=10_001), "limit", "invalid"),
    ("KvService/ListKeys", kv_pb2.ListKeysRequest(limit=2**64 - 1), "limit", "invalid"),
    ("KvService/ListKeys", kv_pb2.ListKeysRequest(prefix=_LONG), "prefix", "too_large"),
    ("KvService/ListKeys", kv_pb2.ListKeysRequest(after=_LONG), "after", "too_large"),
    (
        "ManagementService/AddLearner",
        management_pb2.AddLearnerRequest(rpc_addr="127.0.0.1:1"),
        "node_id",
        "invalid",
    ),
    ("ManagementService/AddLearner", management_pb2.AddLearnerRequest(node_id=2), "rpc_addr", "invalid"),
    (
        "ManagementService/AddLearner",
        management_pb2.AddLearnerRequest(node_id=2, rpc_addr="nowhere"),
        "rpc_addr",
        "invalid",
    ),
    (
        "ManagementService/AddLearner",
        management_pb2.AddLearnerRequest(node_id=2, rpc_addr="0.0.0.0:1"),
        "rpc_addr",
        "invalid",
    ),
    (
        "ManagementService/ChangeMembership",
        management_pb2.ChangeMembershipRequest(),
        "member_ids",
        "invalid",
    ),
    (
        "ManagementService/ChangeMembership",
        management_pb2.ChangeMembershipRequest(member_ids=[1, 1]),
        "member_ids",
        "invalid",
    ),
    (
        "ManagementService/ChangeMembership",
        management_pb2.ChangeMembershipRequest(member_ids=[1, 0]),
        "member_ids[1]",
        "invalid",
    ),
    (
        "ManagementService/ChangeMembership",
        management_pb2.ChangeMembershipRequest(member_ids=range(1, 100_000)),
        "member_ids",
        "invalid",
    ),
    ("ManagementService/RemoveMember", management_pb2.RemoveMemberRequest(), "node_id", "invalid"),
    (
        "ManagementService/TransferLeader",
        management_pb2.TransferLeaderRequest(target_id=2**63),
        "target_id",
        "invalid",
    ),
    (
        "ManagementService/Initialize",
        management_pb2.InitializeRequest(members=[management_pb2.MemberAddress(node_id=1)]),
        "members[0].rpc_addr",
        "invalid",
    ),
    (
        "ManagementService/Initialize",
        management_pb2.InitializeRequest(
            members=[management_pb2.MemberAddress(node_id=1, rpc_addr="127.0.0.1:1")] * 2
        ),
        "members[1].node_id",
        "invalid",
    ),
    (
        "ManagementService/Initialize",
        management_pb2.InitializeRequest(
            members=[management_pb2.MemberAddress(node_id=1, rpc_addr="127.0.0.1:1", learner=True)]
        ),
        "members",
        "invalid",
    ),
]


async def test_every_bad_argument_is_refused_by_name_before_anything_is_asked() -> None:
    async with serving() as served:
        for rpc, request, field, reason in _BAD:
            async with refusal() as found:
                await call(served, rpc, request, kv_pb2.SetResponse)
            (refused,) = found
            where = (rpc, field, refused)
            assert refused.code is grpc.StatusCode.INVALID_ARGUMENT, where
            assert (refused.reason, refused.fields) == (reason, (field,)), where
            assert refused.metadata["certainly_not_applied"] == "true", where
        assert served.path.calls == []


async def test_an_unknown_consistency_is_refused() -> None:
    async with serving() as served:
        async with refusal() as found:
            await served.raw("/ferrite.kv.KvService/Get", b"\x0a\x01k\x10\x63")  # consistency = 99
        assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("consistency",))
