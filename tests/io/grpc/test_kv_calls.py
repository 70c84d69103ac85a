"""etcd's operations and leases over a real server: what goes in, what the request path is asked, what comes out."""

from typing import Any

import pytest

from ferrite.core import Consistency
from ferrite.core.kv import (
    Compact,
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRange,
    LeaseGrant,
    LeaseKeepAlive,
    LeaseRevoke,
    LeaseTimeToLive,
    LeaseTimeToLiveResult,
    ListLeases,
    Put,
    PutResult,
    Range,
    RangeResult,
    Session,
    SortOrder,
    SortTarget,
    Txn,
    TxnResult,
)
from ferrite.io.grpc.pb import kv_pb2
from tests.io.grpc.answers import ENTRY, prepared
from tests.io.grpc.fakes import FakeRequestPath, Served, call, make_config, refusal, serving

pytestmark = pytest.mark.usefixtures("each_engine")

_SESSION = kv_pb2.Session(client_id=b"me", request_id=5, lowest_unacknowledged=3)
_ENTRY = kv_pb2.KeyValue(key=b"k", value=b"\xff\x00", create_revision=3, mod_revision=7, version=2, lease=11)


def _asked(served: Served) -> tuple[Any, dict[str, Any]]:
    (_, asked, options) = served.path.calls[-1]
    return asked, options


async def test_a_put_has_everything_that_etcds_has() -> None:
    async with serving(path=FakeRequestPath(results={Put: PutResult(revision=8, prev=ENTRY)})) as served:
        request = kv_pb2.PutRequest(key=b"k", value=b"v", lease=4, prev_kv=True, session=_SESSION)
        answer = await call(served, "KvService/Put", request, kv_pb2.PutResponse)
        assert _asked(served)[0] == Put(key=b"k", value=b"v", lease=4, prev_kv=True)
        assert _asked(served)[1]["session"] == Session(client_id=b"me", request_id=5, lowest_unacknowledged=3)
        assert (answer.revision, answer.prev_kv, answer.leader.node_id) == (8, _ENTRY, 1)

        request = kv_pb2.PutRequest(key=b"k", ignore_value=True, ignore_lease=True)
        await call(served, "KvService/Put", request, kv_pb2.PutResponse)
        assert _asked(served)[0] == Put(key=b"k", ignore_value=True, ignore_lease=True)
        assert _asked(served)[1]["session"] is None


async def test_what_was_not_there_before_is_absent_from_the_answer() -> None:
    async with serving() as served:
        answer = await call(served, "KvService/Put", kv_pb2.PutRequest(key=b"k"), kv_pb2.PutResponse)
    assert not answer.HasField("prev_kv")


async def test_a_range_passes_every_field_on() -> None:
    async with serving(path=FakeRequestPath(results=prepared())) as served:
        request = kv_pb2.RangeRequest(
            key=b"a",
            range_end=b"b",
            limit=5,
            revision=6,
            sort_order=kv_pb2.RangeRequest.DESCEND,
            sort_target=kv_pb2.RangeRequest.MOD,
            keys_only=True,
            count_only=True,
            with_count=True,
            min_mod_revision=1,
            max_mod_revision=2,
            min_create_revision=3,
            max_create_revision=4,
            consistency=kv_pb2.CONSISTENCY_SERIALIZABLE,
            max_staleness_ms=250,
        )
        answer = await call(served, "KvService/Range", request, kv_pb2.RangeResponse)
        asked, options = _asked(served)
    assert asked == Range(
        key=b"a",
        range_end=b"b",
        limit=5,
        revision=6,
        sort_order=SortOrder.DESCEND,
        sort_target=SortTarget.MOD,
        keys_only=True,
        count_only=True,
        with_count=True,
        min_mod_revision=1,
        max_mod_revision=2,
        min_create_revision=3,
        max_create_revision=4,
    )
    assert (options["consistency"], options["max_staleness_ms"]) == (Consistency.SERIALIZABLE, 250)
    assert (list(answer.kvs), answer.more, answer.count, answer.revision) == ([_ENTRY], True, 40, 9)


async def test_a_count_that_nobody_asked_for_is_absent_and_one_of_zero_is_not() -> None:
    for count, present in ((-1, False), (0, True)):
        result = RangeResult(revision=9, entries=(), more=False, count=count)
        async with serving(path=FakeRequestPath(results={Range: result})) as served:
            answer = await call(
                served, "KvService/Range", kv_pb2.RangeRequest(key=b"k"), kv_pb2.RangeResponse
            )
        assert answer.HasField("count") is present


async def test_a_range_that_would_not_fit_a_message_is_cut_and_says_so() -> None:
    entries = tuple(
        ENTRY.__class__(key=b"%d" % number, value=bytes(20_000), create_revision=1, mod_revision=1, version=1)
        for number in range(10)
    )
    result = RangeResult(revision=9, entries=entries, more=False)
    path = FakeRequestPath(results={Range: result})
    async with serving(make_config(limits__list_bytes_max=65536), path=path) as served:
        request = kv_pb2.RangeRequest(key=b"0", range_end=b"\0")
        answer = await call(served, "KvService/Range", request, kv_pb2.RangeResponse)
    assert ([entry.key for entry in answer.kvs], answer.more) == ([b"0", b"1", b"2"], True)


async def test_a_range_is_deleted_with_what_was_there() -> None:
    async with serving(path=FakeRequestPath(results=prepared())) as served:
        request = kv_pb2.DeleteRangeRequest(key=b"a", range_end=b"b", prev_kv=True, session=_SESSION)
        answer = await call(served, "KvService/DeleteRange", request, kv_pb2.DeleteRangeResponse)
        asked, options = _asked(served)
    assert asked == DeleteRange(key=b"a", range_end=b"b", prev_kv=True)
    assert options["session"].request_id == 5
    assert (answer.deleted, list(answer.prev_kvs), answer.revision) == (2, [_ENTRY], 10)


async def test_a_transaction_goes_in_and_comes_out_whole() -> None:
    compares = [
        kv_pb2.Compare(key=b"a", version=1),
        kv_pb2.Compare(key=b"b", range_end=b"c", create_revision=2, result=kv_pb2.Compare.GREATER),
        kv_pb2.Compare(key=b"c", mod_revision=0, result=kv_pb2.Compare.LESS),
        kv_pb2.Compare(key=b"d", value=b"", result=kv_pb2.Compare.NOT_EQUAL),
        kv_pb2.Compare(key=b"e", lease=4),
    ]
    inner = kv_pb2.TxnRequest(success=[kv_pb2.TxnOperation(put=kv_pb2.PutRequest(key=b"z"))])
    request = kv_pb2.TxnRequest(
        compares=compares,
        success=[
            kv_pb2.TxnOperation(put=kv_pb2.PutRequest(key=b"k", value=b"v", lease=3)),
            kv_pb2.TxnOperation(range=kv_pb2.RangeRequest(key=b"k", limit=2)),
            kv_pb2.TxnOperation(delete_range=kv_pb2.DeleteRangeRequest(key=b"x", prev_kv=True)),
        ],
        failure=[kv_pb2.TxnOperation(txn=inner)],
        session=_SESSION,
    )
    async with serving(path=FakeRequestPath(results=prepared())) as served:
        answer = await call(served, "KvService/Txn", request, kv_pb2.TxnResponse)
        assert served.path.calls[-1][0] == "write"
        asked, options = _asked(served)
    assert asked == Txn(
        compares=(
            Compare(target=CompareTarget.VERSION, result=CompareResult.EQUAL, key=b"a", operand=1),
            Compare(
                target=CompareTarget.CREATE,
                result=CompareResult.GREATER,
                key=b"b",
                range_end=b"c",
                operand=2,
            ),
            Compare(target=CompareTarget.MOD, result=CompareResult.LESS, key=b"c", operand=0),
            Compare(target=CompareTarget.VALUE, result=CompareResult.NOT_EQUAL, key=b"d", operand=b""),
            Compare(target=CompareTarget.LEASE, result=CompareResult.EQUAL, key=b"e", operand=4),
        ),
        success=(
            Put(key=b"k", value=b"v", lease=3),
            Range(key=b"k", limit=2),
            DeleteRange(key=b"x", prev_kv=True),
        ),
        failure=(Txn(success=(Put(key=b"z"),)),),
    )
    assert options["session"].client_id == b"me"
    assert (answer.succeeded, answer.revision, answer.leader.node_id) == (True, 12, 1)
    put, read, deleted, nested = answer.responses
    assert put.put == kv_pb2.PutResponse(revision=12, prev_kv=_ENTRY)
    assert read.range == kv_pb2.RangeResponse(revision=12, kvs=[_ENTRY])
    assert deleted.delete_range == kv_pb2.DeleteRangeResponse(revision=12, deleted=1)
    assert (nested.txn.succeeded, nested.txn.responses[0].put.revision) == (False, 12)


async def test_a_transaction_that_only_reads_is_a_read() -> None:
    request = kv_pb2.TxnRequest(
        success=[kv_pb2.TxnOperation(range=kv_pb2.RangeRequest(key=b"k"))],
        consistency=kv_pb2.CONSISTENCY_SERIALIZABLE,
        session=_SESSION,
    )
    async with serving(path=FakeRequestPath(results=prepared())) as served:
        await call(served, "KvService/Txn", request, kv_pb2.TxnResponse)
        name, _, options = served.path.calls[-1]
    assert (name, options["consistency"]) == ("read", Consistency.SERIALIZABLE)


async def test_an_answer_that_fits_no_message_says_that_the_operation_ran() -> None:
    large = tuple(PutResult(revision=4, prev=ENTRY.__class__(
        key=b"k", value=bytes(2**20), create_revision=1, mod_revision=1, version=1
    )) for _ in range(5))  # fmt: skip
    result = TxnResult(revision=4, succeeded=True, results=large)
    async with serving(path=FakeRequestPath(results={Txn: result})) as served, refusal() as found:
        await call(served, "KvService/Txn", kv_pb2.TxnRequest(), kv_pb2.TxnResponse)
    assert (found[0].reason, found[0].metadata["certainly_not_applied"]) == ("reply_too_large", "false")
    assert found[0].metadata["revision"] == "4"


async def test_a_compaction_says_what_is_left() -> None:
    async with serving(path=FakeRequestPath(results=prepared())) as served:
        request = kv_pb2.CompactRequest(revision=8, session=_SESSION)
        answer = await call(served, "KvService/Compact", request, kv_pb2.CompactResponse)
        asked, options = _asked(served)
    assert (asked, options["session"].request_id) == (Compact(revision=8), 5)
    assert (answer.compacted_revision, answer.revision, answer.leader.node_id) == (8, 13, 1)


async def test_leases_are_granted_kept_looked_at_listed_and_revoked() -> None:
    async with serving(path=FakeRequestPath(results=prepared())) as served:
        grant = await call(
            served,
            "KvService/LeaseGrant",
            kv_pb2.LeaseGrantRequest(ttl_s=5, lease_id=77, session=_SESSION),
            kv_pb2.LeaseGrantResponse,
        )
        assert _asked(served)[0] == LeaseGrant(lease_id=77, ttl_s=5)
        assert _asked(served)[1]["session"].request_id == 5
        assert (grant.lease_id, grant.ttl_s, grant.revision) == (77, 5, 13)

        kept = await call(
            served,
            "KvService/LeaseKeepAlive",
            kv_pb2.LeaseKeepAliveRequest(lease_ids=[77, 79]),
            kv_pb2.LeaseKeepAliveResponse,
        )
        assert _asked(served)[0] == LeaseKeepAlive(lease_ids=(77, 79))
        assert (list(kept.ttls_s), kept.revision) == ([5, 0], 14)

        left = await call(
            served,
            "KvService/LeaseTimeToLive",
            kv_pb2.LeaseTimeToLiveRequest(lease_id=77, with_keys=True),
            kv_pb2.LeaseTimeToLiveResponse,
        )
        assert _asked(served)[0] == LeaseTimeToLive(lease_id=77, with_keys=True)
        assert (left.found, left.remaining_ms, left.granted_ttl_s, list(left.keys)) == (
            True,
            4321,
            5,
            [b"a", b"b"],
        )

        listed = await call(
            served,
            "KvService/LeaseList",
            kv_pb2.LeaseListRequest(after=76, consistency=kv_pb2.CONSISTENCY_SERIALIZABLE),
            kv_pb2.LeaseListResponse,
        )
        assert _asked(served)[0] == ListLeases(after=76)
        assert _asked(served)[1]["consistency"] is Consistency.SERIALIZABLE
        assert (list(listed.lease_ids), listed.more) == ([77, 78], True)

        revoked = await call(
            served,
            "KvService/LeaseRevoke",
            kv_pb2.LeaseRevokeRequest(lease_id=77, session=_SESSION),
            kv_pb2.LeaseRevokeResponse,
        )
        assert _asked(served)[0] == LeaseRevoke(lease_id=77)
        assert _asked(served)[1]["session"].request_id == 5
        assert (revoked.deleted, revoked.revision) == (3, 14)


async def test_a_lease_that_is_gone_is_not_found_and_no_error() -> None:
    results: dict[type, Any] = {LeaseTimeToLive: LeaseTimeToLiveResult(revision=14, remaining_us=-1)}
    async with serving(path=FakeRequestPath(results=results)) as served:
        request = kv_pb2.LeaseTimeToLiveRequest(lease_id=77)
        left = await call(served, "KvService/LeaseTimeToLive", request, kv_pb2.LeaseTimeToLiveResponse)
    assert (left.found, left.remaining_ms, left.revision) == (False, 0, 14)


@pytest.mark.parametrize(
    "rpc, request_message",
    [
        ("Put", kv_pb2.PutRequest(key=b"k", session=kv_pb2.Session(request_id=1))),
        ("DeleteRange", kv_pb2.DeleteRangeRequest(key=b"k", session=kv_pb2.Session(request_id=1))),
        ("Txn", kv_pb2.TxnRequest(session=kv_pb2.Session(request_id=1))),
        ("Compact", kv_pb2.CompactRequest(revision=1, session=kv_pb2.Session(request_id=1))),
        ("LeaseGrant", kv_pb2.LeaseGrantRequest(ttl_s=1, session=kv_pb2.Session(request_id=1))),
        ("LeaseRevoke", kv_pb2.LeaseRevokeRequest(lease_id=1, session=kv_pb2.Session(request_id=1))),
    ],
)
async def test_every_changing_call_checks_its_session(rpc: str, request_message: Any) -> None:
    async with serving() as served:
        async with refusal() as found:
            await served.raw(f"/ferrite.kv.KvService/{rpc}", request_message.SerializeToString())
        assert (found[0].fields, served.path.calls) == (("session.client_id",), [])
