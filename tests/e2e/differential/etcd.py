"""A real etcd: its process, and its gRPC API in the machine's words."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc import aio

from ferrite.core import kv
from tests.e2e.cluster import free_port, wait_for
from tests.e2e.differential.answers import SILENT, Answer, Failed, Operation, Watched

CALL_TIMEOUT_S: Final = 60.0
_PROTO: Final = Path(__file__).with_name("etcd.proto")
_START_TIMEOUT_S: Final = 30.0

ERROR_CODES: Final = {
    "etcdserver: key is not provided": "invalid",
    "etcdserver: value is provided": "invalid",
    "etcdserver: lease is provided": "invalid",
    "etcdserver: too many operations in txn request": "invalid",
    "etcdserver: too large lease TTL": "invalid",
    "etcdserver: key not found": "key_not_found",
    "etcdserver: duplicate key given in txn request": "duplicate_key",
    "etcdserver: requested lease not found": "lease_not_found",
    "etcdserver: lease already exists": "lease_exists",
    "etcdserver: mvcc: required revision has been compacted": "compacted",
    "etcdserver: mvcc: required revision is a future revision": "future_revision",
}
"""etcd's errors, and what Ferrite calls the same."""


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "etcd.bin"
        subprocess.run(
            [
                sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={_PROTO.parent}",
                f"--descriptor_set_out={target}", _PROTO.name,
            ],
            check=True,
        )  # fmt: skip
        files = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


@cache
def message(name: str) -> Any:
    """The class of a message of etcd.proto."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"etcdserverpb.{name}"))


class EtcdProcess(AbstractContextManager["EtcdProcess"]):
    """One etcd on free ports, with an empty data directory in memory where that is possible."""

    def __init__(self, directory: Path) -> None:
        """Nothing is started. What etcd says goes to `etcd.log`."""
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def version() -> str | None:
        """Of the etcd on this machine; None when there is none."""
        program = shutil.which("etcd")
        if program is None:
            return None
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[0].rpartition(" ")[2]

    def __enter__(self) -> Self:
        peer = f"http://127.0.0.1:{free_port()}"
        client = f"http://127.0.0.1:{self.port}"
        self.directory.mkdir(parents=True, exist_ok=True)
        command = [
            "etcd", "--name=one", f"--data-dir={self.directory / 'data'}", "--logger=zap", "--log-level=warn",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=one={peer}",
        ]  # fmt: skip
        with (self.directory / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": "/usr/bin:/bin:/usr/local/bin"}
            )  # fmt: skip
        wait_for("etcd answers", self._answers, _START_TIMEOUT_S, self._story)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None, "it was started"
        if self._process.poll() is not None:
            raise AssertionError(f"etcd ended by itself; its log ends with\n{self._story()}") from error
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel, suppress(grpc.RpcError):
            ask = channel.unary_unary(
                "/etcdserverpb.KV/Range", message("RangeRequest").SerializeToString, message("RangeResponse").FromString
            )  # fmt: skip
            ask(message("RangeRequest")(key=b"a"), timeout=1.0)
            return True
        return False

    def _story(self) -> str:
        return (self.directory / "etcd.log").read_text(errors="replace")[-2000:]


# ------------------------------------------------------------------------------------------------ requests


def _range(query: kv.Range) -> Any:
    return message("RangeRequest")(
        key=query.key,
        range_end=query.range_end,
        limit=query.limit,
        revision=query.revision,
        sort_order=query.sort_order,
        sort_target=query.sort_target,
        keys_only=query.keys_only,
        count_only=query.count_only,
        min_mod_revision=query.min_mod_revision,
        max_mod_revision=query.max_mod_revision,
        min_create_revision=query.min_create_revision,
        max_create_revision=query.max_create_revision,
    )


def _put(put: kv.Put) -> Any:
    return message("PutRequest")(
        key=put.key,
        value=put.value,
        lease=put.lease,
        prev_kv=put.prev_kv,
        ignore_value=put.ignore_value,
        ignore_lease=put.ignore_lease,
    )


def _delete_range(delete: kv.DeleteRange) -> Any:
    return message("DeleteRangeRequest")(key=delete.key, range_end=delete.range_end, prev_kv=delete.prev_kv)


_OPERANDS: Final = {
    kv.CompareTarget.VERSION: "version",
    kv.CompareTarget.CREATE: "create_revision",
    kv.CompareTarget.MOD: "mod_revision",
    kv.CompareTarget.VALUE: "value",
    kv.CompareTarget.LEASE: "lease",
}


def _compare(compare: kv.Compare) -> Any:
    return message("Compare")(
        result=compare.result,
        target=compare.target,
        key=compare.key,
        range_end=compare.range_end,
        **{_OPERANDS[compare.target]: compare.operand},
    )


def _txn(txn: kv.Txn) -> Any:
    return message("TxnRequest")(
        compare=map(_compare, txn.compares), success=map(_part, txn.success), failure=map(_part, txn.failure)
    )


def _part(operation: kv.TxnOperation) -> Any:
    match operation:
        case kv.Range():
            return message("RequestOp")(request_range=_range(operation))
        case kv.Put():
            return message("RequestOp")(request_put=_put(operation))
        case kv.DeleteRange():
            return message("RequestOp")(request_delete_range=_delete_range(operation))
        case kv.Txn():
            return message("RequestOp")(request_txn=_txn(operation))


# ------------------------------------------------------------------------------------------------ answers


def _pair(pair: Any) -> kv.KeyValue:
    return kv.KeyValue(
        key=pair.key,
        value=pair.value,
        create_revision=pair.create_revision,
        mod_revision=pair.mod_revision,
        version=pair.version,
        lease=pair.lease,
    )


def _put_result(answer: Any) -> kv.PutResult:
    prev = _pair(answer.prev_kv) if answer.HasField("prev_kv") else None
    return kv.PutResult(revision=answer.header.revision, prev=prev)


def _range_result(answer: Any) -> kv.RangeResult:
    return kv.RangeResult(
        revision=answer.header.revision,
        entries=tuple(map(_pair, answer.kvs)),
        more=answer.more,
        count=answer.count,
    )


def _delete_range_result(answer: Any) -> kv.DeleteRangeResult:
    return kv.DeleteRangeResult(
        revision=answer.header.revision, deleted=answer.deleted, prev=tuple(map(_pair, answer.prev_kvs))
    )


def _txn_result(answer: Any) -> kv.TxnResult:
    return kv.TxnResult(
        revision=answer.header.revision,
        succeeded=answer.succeeded,
        results=tuple(map(_part_result, answer.responses)),
    )


def _part_result(part: Any) -> kv.TxnOperationResult:
    match part.WhichOneof("response"):
        case "response_range":
            return _range_result(part.response_range)
        case "response_put":
            return _put_result(part.response_put)
        case "response_delete_range":
            return _delete_range_result(part.response_delete_range)
        case "response_txn":
            return _txn_result(part.response_txn)
        case other:
            raise TypeError(f"etcd answered a part of a transaction with {other}")


def _event(event: Any) -> kv.WatchEvent:
    prev = _pair(event.prev_kv) if event.HasField("prev_kv") else None
    return kv.WatchEvent(deleted=event.type == 1, entry=_pair(event.kv), prev=prev)


def _failed(error: grpc.RpcError) -> Failed:
    detail = error.details() or ""
    code = ERROR_CODES.get(detail)
    if code is None:
        raise error
    return Failed(code, detail)


# ------------------------------------------------------------------------------------------------ the store


@dataclass(slots=True)
class _EtcdWatch:
    stream: Any
    events: list[kv.WatchEvent] = field(default_factory=list)

    async def read(self, last_revision: int) -> Watched:
        try:
            while (self.events[-1].entry.mod_revision if self.events else 0) < last_revision:
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    answer = await self.stream.read()
                self.events += map(_event, answer.events)
                if answer.canceled:
                    return Watched(
                        tuple(self.events), "compacted" if answer.compact_revision else answer.cancel_reason
                    )
            return Watched(tuple(self.events))
        except TimeoutError:
            return Watched(tuple(self.events), SILENT)
        finally:
            self.stream.cancel()


class EtcdStore:
    """The client's end. Use within one event loop; `close` at the end."""

    def __init__(self, port: int) -> None:
        """Nothing is connected yet."""
        self._channel = aio.insecure_channel(f"127.0.0.1:{port}")

    async def close(self) -> None:
        """End all calls."""
        await self._channel.close()

    async def call(self, operation: Operation) -> Answer:
        try:
            return await self._call(operation)
        except aio.AioRpcError as error:
            return _failed(error)

    async def _call(self, operation: Operation) -> Answer:
        match operation:
            case kv.Put():
                return _put_result(await self._ask("KV/Put", _put(operation), "Put"))
            case kv.Range():
                return _range_result(await self._ask("KV/Range", _range(operation), "Range"))
            case kv.DeleteRange():
                answer = await self._ask("KV/DeleteRange", _delete_range(operation), "DeleteRange")
                return _delete_range_result(answer)
            case kv.Txn():
                return _txn_result(await self._ask("KV/Txn", _txn(operation), "Txn"))
            case kv.Compact(revision=revision):
                # Physical: done when answered. Otherwise what a watch from there sees depends on the moment.
                request = message("CompactionRequest")(revision=revision, physical=True)
                answer = await self._ask("KV/Compact", request, "Compaction")
                return kv.CompactResult(revision=answer.header.revision, compacted=revision)
            case _:
                return await self._call_lease(operation)

    async def _call_lease(self, operation: Operation) -> Answer:
        match operation:
            case kv.LeaseGrant(lease_id=lease, ttl_s=ttl_s):
                request = message("LeaseGrantRequest")(ID=lease, TTL=ttl_s)
                answer = await self._ask("Lease/LeaseGrant", request, "LeaseGrant")
                return kv.LeaseGrantResult(
                    revision=answer.header.revision, lease_id=answer.ID, ttl_s=answer.TTL
                )
            case kv.LeaseRevoke(lease_id=lease):
                request = message("LeaseRevokeRequest")(ID=lease)
                answer = await self._ask("Lease/LeaseRevoke", request, "LeaseRevoke")
                return kv.LeaseRevokeResult(revision=answer.header.revision, deleted=0)
            case kv.LeaseTimeToLive(lease_id=lease, with_keys=with_keys):
                request = message("LeaseTimeToLiveRequest")(ID=lease, keys=with_keys)
                answer = await self._ask("Lease/LeaseTimeToLive", request, "LeaseTimeToLive")
                return kv.LeaseTimeToLiveResult(
                    revision=answer.header.revision,
                    remaining_us=answer.TTL * 1_000_000 if answer.TTL >= 0 else -1,
                    granted_ttl_s=answer.grantedTTL,
                    keys=tuple(sorted(answer.keys)),
                )
            case kv.LeaseKeepAlive(lease_ids=leases):
                return await self._keep_alive(leases)
            case kv.ListLeases():
                answer = await self._ask("Lease/LeaseLeases", message("LeaseLeasesRequest")(), "LeaseLeases")
                return kv.ListLeasesResult(
                    revision=answer.header.revision,
                    lease_ids=tuple(sorted(lease.ID for lease in answer.leases)),
                    more=False,
                )
            case other:
                raise TypeError(f"{other} is not for etcd")

    async def _ask(self, method: str, request: Any, kind: str) -> Any:
        ask: Any = self._channel.unary_unary(
            f"/etcdserverpb.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=message(f"{kind}Response").FromString,
        )
        return await ask(request, timeout=CALL_TIMEOUT_S)

    def _stream(self, method: str, kind: str) -> Any:
        opened: Any = self._channel.stream_stream(
            f"/etcdserverpb.{method}",
            request_serializer=message(f"{kind}Request").SerializeToString,
            response_deserializer=message(f"{kind}Response").FromString,
        )
        return opened()

    async def _keep_alive(self, leases: tuple[int, ...]) -> kv.LeaseKeepAliveResult:
        stream = self._stream("Lease/LeaseKeepAlive", "LeaseKeepAlive")
        try:
            ttls_s, revision = [], 0
            for lease in leases:
                await stream.write(message("LeaseKeepAliveRequest")(ID=lease))
                answer = await stream.read()
                ttls_s.append(answer.TTL)
                revision = answer.header.revision
            return kv.LeaseKeepAliveResult(revision=revision, ttls_s=tuple(ttls_s))
        finally:
            stream.cancel()

    async def watch(self, spec: kv.WatchSpec) -> _EtcdWatch | Failed:
        create = message("WatchCreateRequest")(
            key=spec.key,
            range_end=spec.range_end,
            start_revision=spec.start_revision,
            prev_kv=spec.prev_kv,
            filters=[*([0] if spec.no_puts else ()), *([1] if spec.no_deletes else ())],
        )
        stream = self._stream("Watch/Watch", "Watch")
        await stream.write(message("WatchRequest")(create_request=create))
        answer = await stream.read()
        assert answer.created, f"etcd's first answer to a watch: {answer}"
        if answer.canceled:
            stream.cancel()
            return Failed("invalid", answer.cancel_reason)
        return _EtcdWatch(stream)
