"""Bad arguments of etcd's operations and of leases: refused by name, before anything is asked of the request path."""

from typing import Any

import grpc
import pytest

from ferrite.io.grpc.pb import kv_pb2
from ferrite.io.validation import TXN_PARTS_MAX
from tests.io.grpc.fakes import refusal, serving

pytestmark = pytest.mark.usefixtures("each_engine")

_K = b"k"
_LONG = bytes(4097)
_OVER = 2**63
_SESSION = kv_pb2.Session(client_id=b"c", request_id=1)
_PUT = kv_pb2.TxnOperation(put=kv_pb2.PutRequest(key=_K))


def _txn(*success: kv_pb2.TxnOperation, **rest: Any) -> kv_pb2.TxnRequest:
    return kv_pb2.TxnRequest(success=success, **rest)


def _compare(**fields: Any) -> kv_pb2.TxnRequest:
    return kv_pb2.TxnRequest(compares=[kv_pb2.Compare(**fields)])


def _nested(depth: int) -> kv_pb2.TxnRequest:
    request = _txn(_PUT)
    for _ in range(depth - 1):
        request = _txn(kv_pb2.TxnOperation(txn=request))
    return request


def _wide() -> kv_pb2.TxnRequest:
    """More parts than anybody needs, each list within its limit."""
    inner = _txn(*[_PUT] * 128)
    return _txn(*[kv_pb2.TxnOperation(txn=inner)] * (TXN_PARTS_MAX // 128 + 1))


_BAD = [
    ("Put", kv_pb2.PutRequest(), "key"),
    ("Put", kv_pb2.PutRequest(key=_LONG), "key"),
    ("Put", kv_pb2.PutRequest(key=_K, value=bytes(2**20 + 1)), "value"),
    ("Put", kv_pb2.PutRequest(key=_K, lease=_OVER), "lease"),
    ("Put", kv_pb2.PutRequest(key=_K, value=b"v", ignore_value=True), "value"),
    ("Put", kv_pb2.PutRequest(key=_K, lease=1, ignore_lease=True), "lease"),
    ("Put", kv_pb2.PutRequest(key=_K, session=kv_pb2.Session(client_id=b"c")), "session.request_id"),
    ("Range", kv_pb2.RangeRequest(), "key"),
    ("Range", kv_pb2.RangeRequest(key=_K, range_end=bytes(4098)), "range_end"),
    ("Range", kv_pb2.RangeRequest(key=_K, limit=_OVER), "limit"),
    ("Range", kv_pb2.RangeRequest(key=_K, revision=_OVER), "revision"),
    ("Range", kv_pb2.RangeRequest(key=_K, min_mod_revision=_OVER), "min_mod_revision"),
    ("Range", kv_pb2.RangeRequest(key=_K, sort_order=99), "sort_order"),  # type: ignore[arg-type]  # unknown on purpose
    ("Range", kv_pb2.RangeRequest(key=_K, sort_target=99), "sort_target"),  # type: ignore[arg-type]  # as above
    ("Range", kv_pb2.RangeRequest(key=_K, consistency=99), "consistency"),  # type: ignore[arg-type]  # as above
    ("Range", kv_pb2.RangeRequest(key=_K, max_staleness_ms=1), "max_staleness_ms"),
    ("DeleteRange", kv_pb2.DeleteRangeRequest(), "key"),
    ("Txn", _txn(kv_pb2.TxnOperation()), "success[0].operation"),
    ("Txn", _txn(_PUT, kv_pb2.TxnOperation(put=kv_pb2.PutRequest())), "success[1].put.key"),
    ("Txn", kv_pb2.TxnRequest(failure=[kv_pb2.TxnOperation(range=kv_pb2.RangeRequest())]), "failure[0].range.key"),
    ("Txn", _txn(*[_PUT] * 129), "success"),
    ("Txn", kv_pb2.TxnRequest(compares=[kv_pb2.Compare(key=_K, version=1)] * 129), "compares"),
    ("Txn", _txn(kv_pb2.TxnOperation(txn=_txn(kv_pb2.TxnOperation()))), "success[0].txn.success[0].operation"),
    ("Txn", _compare(key=_K), "compares[0].target"),
    ("Txn", _compare(version=1), "compares[0].key"),
    ("Txn", _compare(key=_K, version=1, result=99), "compares[0].result"),
    ("Txn", _compare(key=_K, mod_revision=_OVER), "compares[0].mod"),
    ("Txn", _txn(kv_pb2.TxnOperation(put=kv_pb2.PutRequest(key=_K, session=_SESSION))), "success[0].put.session"),
    ("Txn", _txn(kv_pb2.TxnOperation(txn=_txn(session=_SESSION))), "success[0].txn.session"),
    ("Txn", _txn(kv_pb2.TxnOperation(range=kv_pb2.RangeRequest(key=_K, sort_order=9))), "success[0].range.sort_order"),  # type: ignore[arg-type]  # as above
    ("Txn", _txn(kv_pb2.TxnOperation(range=kv_pb2.RangeRequest(key=_K, consistency=1))), "success[0].range.consistency"),  # type: ignore[arg-type]  # a number is allowed on the wire
    ("Txn", _txn(_PUT, consistency=1), "consistency"),
    ("Txn", _txn(_PUT, max_staleness_ms=1), "max_staleness_ms"),
    ("Txn", _txn(consistency=99), "consistency"),
    ("Txn", _nested(9), ".".join(["success[0].txn"] * 8)),
    ("Txn", _wide(), "success[77].txn.success"),
    ("Compact", kv_pb2.CompactRequest(), "revision"),
    ("Compact", kv_pb2.CompactRequest(revision=_OVER), "revision"),
    ("LeaseGrant", kv_pb2.LeaseGrantRequest(ttl_s=10**18), "ttl_s"),
    ("LeaseGrant", kv_pb2.LeaseGrantRequest(ttl_s=1, lease_id=_OVER), "lease_id"),
    ("LeaseRevoke", kv_pb2.LeaseRevokeRequest(), "lease_id"),
    ("LeaseRevoke", kv_pb2.LeaseRevokeRequest(lease_id=_OVER), "lease_id"),
    ("LeaseKeepAlive", kv_pb2.LeaseKeepAliveRequest(), "lease_ids"),
    ("LeaseKeepAlive", kv_pb2.LeaseKeepAliveRequest(lease_ids=[1] * 129), "lease_ids"),
    ("LeaseKeepAlive", kv_pb2.LeaseKeepAliveRequest(lease_ids=[1, 0]), "lease_ids[1]"),
    ("LeaseTimeToLive", kv_pb2.LeaseTimeToLiveRequest(), "lease_id"),
    ("LeaseList", kv_pb2.LeaseListRequest(after=_OVER), "after"),
]  # fmt: skip


async def test_every_bad_argument_is_refused_by_name_before_anything_is_asked() -> None:
    async with serving() as served:
        for rpc, request, field in _BAD:
            async with refusal() as found:
                await served.raw(f"/ferrite.kv.KvService/{rpc}", request.SerializeToString())
            (refused,) = found
            where = (rpc, field, refused)
            assert refused.code is grpc.StatusCode.INVALID_ARGUMENT, where
            assert refused.fields == (field,), where
            assert refused.metadata["certainly_not_applied"] == "true", where
        assert served.path.calls == []


@pytest.mark.parametrize("depth", [40, 64, 1000])
async def test_a_nesting_that_is_absurd_is_an_invalid_argument_however_deep(depth: int) -> None:
    data = b""
    for _ in range(depth):  # by hand: protobuf itself refuses to build it
        data = _delimited(2, _delimited(4, data))
    async with serving() as served, refusal() as found:
        await served.raw("/ferrite.kv.KvService/Txn", data)
    assert found[0].code is grpc.StatusCode.INVALID_ARGUMENT


def _delimited(field: int, data: bytes) -> bytes:
    length, out = len(data), bytearray([field << 3 | 2])
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes([*out, length]) + data
