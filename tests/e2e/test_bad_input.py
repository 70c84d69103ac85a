"""Bad and borderline requests over every face of a real node: each gets the same word, and the node and its data stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from grpc import aio

from ferrite import Client
from ferrite.client import DeleteRange, FerriteError, Put, Range, Transaction, Version
from ferrite.io.client.connection import Refusal
from ferrite.io.client.grpc_errors import outcome_of_rpc
from ferrite.io.client.settings import ProtocolName
from ferrite.io.grpc.pb import kv_pb2
from ferrite.io.validation import TXN_PARTS_MAX
from tests.e2e.cluster import Cluster, Node
from tests.io.cli.ctl.processes import start_ctl

K: Final = b"k"
FINE: Final = ""
HUGE: Final = 2**62
TTL_HUGE: Final = 10**18
FUTURE: Final = 10**9
COMPACTED_BELOW: Final = 4
LIST_MAX: Final = 128
NESTED: Final = 64
NO_LEASE: Final = 77


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request in the words of each face, and the code that all of them answer. `grpc`: RPC, message or bytes. None: this face
    cannot even say it, or only as a stream, which the client reads; ferritectl, whose
    processes are slow, says one of each kind.
    """

    name: str
    code: str
    grpc: tuple[str, Any] | None
    http: tuple[str, Any] | None
    client: Callable[[Client], object]
    ctl: tuple[str, ...] | None = None
    stdin: str = ""


def _put_part(key: bytes = K) -> kv_pb2.TxnOperation:
    return kv_pb2.TxnOperation(put=kv_pb2.PutRequest(key=key))


def _delimited(field: int, data: bytes) -> bytes:
    length, out = len(data), bytearray([field << 3 | 2])
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes([*out, length]) + data


def _nested_message() -> bytes:
    """By hand: protobuf itself refuses to build it."""
    data = b""
    for _ in range(NESTED):
        data = _delimited(2, _delimited(4, data))
    return data


def _nested_json() -> dict[str, Any]:
    txn: dict[str, Any] = {}
    for _ in range(NESTED):
        txn = {"success": [{"txn": txn}]}
    return txn


def _nested_txn(client: Client) -> Transaction[Any]:
    txn = client.txn().then(Put("k"))
    for _ in range(NESTED):
        txn = client.txn().then(txn.as_step())
    return txn


def _wide(list_of: Any, part: Any, nest: Callable[[Any], Any]) -> Any:
    """More parts than a request may have, each list within its limit."""
    return list_of([nest(list_of([part] * LIST_MAX))] * (TXN_PARTS_MAX // LIST_MAX + 1))


def _txn_message(parts: list[Any]) -> kv_pb2.TxnRequest:
    return kv_pb2.TxnRequest(success=parts)


def _wide_txn(client: Client) -> Transaction[Any]:
    inner = client.txn().then(*[Range("k")] * LIST_MAX).as_step()
    return client.txn().then(*[inner] * (TXN_PARTS_MAX // LIST_MAX + 1))


_PUT: Final = {"put": {"key": "k", "value": ""}}
_DELETE: Final = {"delete_range": {"key": "k"}}
_RANGE: Final = {"range": {"key": "k"}}
_RANGE_PART: Final = kv_pb2.TxnOperation(range=kv_pb2.RangeRequest(key=K))
_DELETE_PART: Final = kv_pb2.TxnOperation(delete_range=kv_pb2.DeleteRangeRequest(key=K))

CASES: Final = (
    Case(
        name="put of the empty key", code="invalid",
        grpc=("Put", kv_pb2.PutRequest(value=b"v")), http=("/kv/put", {"key": "", "value": "v"}),
        client=lambda client: client.put("", "v"), ctl=("put", "", "v"),
    ),
    Case(
        name="put with a lease that is not there", code="lease_not_found",
        grpc=("Put", kv_pb2.PutRequest(key=K, lease=NO_LEASE)), http=("/kv/put", {"key": "k", "value": "", "lease": NO_LEASE}),
        client=lambda client: client.put("k", lease=NO_LEASE), ctl=("put", "k", "v", "--lease=4d"),
    ),
    Case(
        name="ignore_value of an absent key", code="key_not_found",
        grpc=("Put", kv_pb2.PutRequest(key=K, ignore_value=True)),
        http=("/kv/put", {"key": "k", "ignore_value": True}),
        client=lambda client: client.put("k", ignore_value=True),
    ),
    Case(
        name="range of the empty key", code="invalid",
        grpc=("Range", kv_pb2.RangeRequest()), http=("/kv/range", {"key": ""}),
        client=lambda client: client.get(""),
    ),
    Case(
        name="reversed range", code=FINE,
        grpc=("Range", kv_pb2.RangeRequest(key=b"z", range_end=b"a")), http=("/kv/range", {"key": "z", "range_end": "a"}),
        client=lambda client: _nothing(client.range("z", "a").kvs), ctl=("get", "z", "a"),
    ),
    Case(
        name="huge limit", code=FINE,
        grpc=("Range", kv_pb2.RangeRequest(key=b"a", range_end=b"\0", limit=HUGE)),
        http=("/kv/range", {"key": "a", "from_key": True, "limit": HUGE}),
        client=lambda client: client.range("a", from_key=True, limit=HUGE),
    ),
    Case(
        name="limit beyond 63 bits", code="invalid",
        grpc=("Range", kv_pb2.RangeRequest(key=K, limit=2**63)), http=("/kv/range", {"key": "k", "limit": 2**63}),
        client=lambda client: client.range("k", limit=2**63), ctl=("get", "k", f"--limit={2**63}"),
    ),
    Case(
        name="negative limit", code="invalid",
        grpc=None, http=("/kv/range", {"key": "k", "limit": -1}),
        client=lambda client: client.range("k", limit=-1),
    ),
    Case(
        name="range at a compacted revision", code="compacted",
        grpc=("Range", kv_pb2.RangeRequest(key=K, revision=1)), http=("/kv/range", {"key": "k", "revision": 1}),
        client=lambda client: client.range("k", revision=1), ctl=("get", "k", "--rev=1"),
    ),
    Case(
        name="range at a future revision", code="future_revision",
        grpc=("Range", kv_pb2.RangeRequest(key=K, revision=FUTURE)), http=("/kv/range", {"key": "k", "revision": FUTURE}),
        client=lambda client: client.range("k", revision=FUTURE),
    ),
    Case(
        name="delete of the empty key", code="invalid",
        grpc=("DeleteRange", kv_pb2.DeleteRangeRequest()), http=("/kv/delete", {"key": ""}),
        client=lambda client: client.delete(""),
    ),
    Case(
        name="reversed delete", code=FINE,
        grpc=("DeleteRange", kv_pb2.DeleteRangeRequest(key=b"z", range_end=b"a")),
        http=("/kv/delete", {"key": "z", "range_end": "a"}),
        client=lambda client: client.delete("z", "a"),
    ),
    Case(
        name="transaction of 129 operations", code="invalid",
        grpc=("Txn", _txn_message([_put_part(b"%d" % number) for number in range(129)])),
        http=("/kv/txn", {"success": [{"put": {"key": str(number), "value": ""}} for number in range(129)]}),
        client=lambda client: client.txn().then(*[Put(str(number)) for number in range(129)]).commit(),
        ctl=("txn",), stdin="\n" + "".join(f"put {number} v\n" for number in range(129)) + "\n\n",
    ),
    Case(
        name="transaction of 129 compares", code="invalid",
        grpc=("Txn", kv_pb2.TxnRequest(compares=[kv_pb2.Compare(key=K, version=1)] * 129)),
        http=("/kv/txn", {"compares": [{"key": "k", "target": "version", "result": "equal", "operand": 1}] * 129}),
        client=lambda client: client.txn().if_(*[Version("k") == 1] * 129).then(Put("k")).commit(),
    ),
    Case(
        name="transaction of more than 10,000 parts", code="invalid",
        grpc=("Txn", _wide(_txn_message, _RANGE_PART, lambda txn: kv_pb2.TxnOperation(txn=txn))),
        http=("/kv/txn", _wide(lambda parts: {"success": parts}, _RANGE, lambda txn: {"txn": txn})),
        client=lambda client: _wide_txn(client).commit(),
    ),
    Case(
        name="transactions nested 64 deep", code="invalid",
        grpc=("Txn", _nested_message()), http=("/kv/txn", _nested_json()),
        client=lambda client: _nested_txn(client).commit(),
    ),
    Case(
        name="a key put twice in a transaction", code="duplicate_key",
        grpc=("Txn", _txn_message([_put_part(), _put_part()])), http=("/kv/txn", {"success": [_PUT, _PUT]}),
        client=lambda client: client.txn().then(Put("k"), Put("k")).commit(),
        ctl=("txn",), stdin="\nput k 1\nput k 2\n\n\n",
    ),
    Case(
        name="a key put and deleted in a transaction", code="duplicate_key",
        grpc=("Txn", _txn_message([_put_part(), _DELETE_PART])), http=("/kv/txn", {"success": [_PUT, _DELETE]}),
        client=lambda client: client.txn().then(Put("k"), DeleteRange("k")).commit(),
    ),
    Case(
        name="an empty key in a transaction", code="invalid",
        grpc=("Txn", _txn_message([_put_part(), _put_part(b"")])),
        http=("/kv/txn", {"success": [_PUT, {"put": {"key": "", "value": ""}}]}),
        client=lambda client: client.txn().then(Put("k"), Put("")).commit(),
        ctl=("txn",), stdin='\nput k 1\nput "" 2\n\n\n',
    ),
    Case(
        name="compaction at revision 0", code="invalid",
        grpc=("Compact", kv_pb2.CompactRequest()), http=("/kv/compact", {"revision": 0}),
        client=lambda client: client.compact(0),
    ),
    Case(
        name="compaction at a compacted revision", code="compacted",
        grpc=("Compact", kv_pb2.CompactRequest(revision=1)), http=("/kv/compact", {"revision": 1}),
        client=lambda client: client.compact(1),
    ),
    Case(
        name="compaction at a future revision", code="future_revision",
        grpc=("Compact", kv_pb2.CompactRequest(revision=FUTURE)), http=("/kv/compact", {"revision": FUTURE}),
        client=lambda client: client.compact(FUTURE),
    ),
    Case(
        name="lease with TTL 0", code=FINE,
        grpc=("LeaseGrant", kv_pb2.LeaseGrantRequest(ttl_s=0)), http=("/lease/grant", {"ttl_s": 0}),
        client=lambda client: client.lease_grant(0),
    ),
    Case(
        name="lease with TTL -1", code=FINE,
        grpc=None, http=("/lease/grant", {"ttl_s": -1}),
        client=lambda client: client.lease_grant(-1),
    ),
    Case(
        name="lease with TTL 10^18", code="invalid",
        grpc=("LeaseGrant", kv_pb2.LeaseGrantRequest(ttl_s=TTL_HUGE)), http=("/lease/grant", {"ttl_s": TTL_HUGE}),
        client=lambda client: client.lease_grant(TTL_HUGE), ctl=("lease", "grant", str(TTL_HUGE)),
    ),
    Case(
        name="revocation of lease 0", code="invalid",
        grpc=("LeaseRevoke", kv_pb2.LeaseRevokeRequest()), http=("/lease/revoke", {"lease_id": 0}),
        client=lambda client: client.lease_revoke(0),
    ),
    Case(
        name="revocation of a lease that is not there", code="lease_not_found",
        grpc=("LeaseRevoke", kv_pb2.LeaseRevokeRequest(lease_id=NO_LEASE)), http=("/lease/revoke", {"lease_id": NO_LEASE}),
        client=lambda client: client.lease_revoke(NO_LEASE),
    ),
    Case(
        name="watch of a reversed range", code="invalid",
        grpc=None, http=("/watch", {"key": "z", "range_end": "a"}),
        client=lambda client: next(client.watch("z", "a")),
    ),
    Case(
        name="watch from a compacted revision", code="compacted",
        grpc=None, http=None,
        client=lambda client: next(client.watch("k", start_revision=1)),
    ),
)  # fmt: skip


def _faces(case: Case) -> list[str]:
    """Those that can say it."""
    able = {"grpc": case.grpc, "http": case.http, "ferritectl": case.ctl}
    return [
        "client over grpc",
        "client over http",
        *(face for face, words in able.items() if words is not None),
    ]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Cluster(tmp_path_factory.mktemp("bad-input"), 1) as cluster:
        (node,) = cluster.start().nodes.values()
        cluster.leader()
        for number in range(2 * COMPACTED_BELOW):
            node.write("kept", str(number))
        node.post("/kv/compact", {"revision": COMPACTED_BELOW})
        yield node


def _nothing(found: tuple[object, ...]) -> None:
    assert found == ()


async def _over_grpc(node: Node, case: Case) -> str:
    assert case.grpc is not None
    rpc, message = case.grpc
    data = message if isinstance(message, bytes) else message.SerializeToString()
    async with aio.insecure_channel(node.grpc_addr) as channel:
        call: Any = channel.unary_unary(f"/ferrite.kv.KvService/{rpc}")
        try:
            await call(data, timeout=10)
        except aio.AioRpcError as error:
            outcome = outcome_of_rpc(error)
            assert isinstance(outcome, Refusal), outcome
            assert outcome.certainly_not_applied
            return outcome.code
    return FINE


def _over_http(node: Node, case: Case) -> str:
    assert case.http is not None
    answer = node.ask("POST", *case.http)
    if answer.status == 200:
        return FINE
    assert 400 <= answer.status < 500, answer
    assert answer.body["certainly_not_applied"], answer
    return str(answer.body["code"])


def _over_client(endpoint: str, protocol: ProtocolName, case: Case) -> str:
    failure: FerriteError | None = None
    with Client(endpoint, protocol=protocol) as client:
        try:
            case.client(client)
        except FerriteError as error:
            failure = error
    assert failure is None or failure.certainly_not_applied, failure
    return failure.code if failure else FINE


def _by_ferritectl(node: Node, case: Case) -> str:
    """What it refuses by itself has no code but an exit code of its own; a lease that is not there is named in its own form."""
    assert case.ctl is not None
    process = start_ctl(*case.ctl, endpoints=node.http_addr)
    out, err = process.communicate(case.stdin.encode(), timeout=30)
    if process.returncode == 0:
        return FINE
    said = err.decode()
    assert process.returncode in {1, 3}, said
    assert (out, said[:7]) == (b"", "Error: "), (out, said)
    return case.code if process.returncode == 3 or "no lease" in said or case.code in said else said


@pytest.mark.parametrize(
    "face, case",
    [pytest.param(face, case, id=f"{face}: {case.name}") for case in CASES for face in _faces(case)],
)
async def test_bad_input_has_the_same_answer_on_every_face_and_leaves_no_trace(
    node: Node, case: Case, face: str
) -> None:
    before = node.post("/kv/range", {"key": "kept"})
    match face:
        case "grpc":
            code = await _over_grpc(node, case)
        case "http":
            code = _over_http(node, case)
        case "client over grpc":
            code = await asyncio.to_thread(_over_client, node.grpc_addr, "grpc", case)
        case "client over http":
            code = await asyncio.to_thread(_over_client, node.http_addr, "http", case)
        case _:
            code = _by_ferritectl(node, case)
    assert code == case.code
    after = node.post("/kv/range", {"key": "kept"})
    assert after == before, "the revision, the key, its value"
    node.write("alive", "yes")
