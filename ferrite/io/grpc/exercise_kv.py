"""The steps of an exercise that use keys, leases and streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from grpc import aio

from ferrite.io.grpc.exercise_calls import KV, Caller, Failed, expect
from ferrite.io.grpc.pb import kv_pb2

_LEASE_TTL_S: Final = 60  # long enough for a slow visit, short enough to vanish soon after a broken one
_PIPELINED: Final = 32
_FAR_REVISION: Final = 2**63 - 1


class KvSteps:
    """KvService. Each step returns a line for people, or raises."""

    def __init__(self, caller: Caller) -> None:
        """Keys are the caller's."""
        self._caller = caller
        self._lease_id = 0

    def steps(self) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
        """In an order in which each finds what it needs."""
        return [
            (f"{KV}/Set", self._set),
            (f"{KV}/Get", self._get),
            (f"{KV}/Exists", self._exists),
            (f"{KV}/BatchSet", self._batch_set),
            (f"{KV}/ListKeys", self._list_keys),
            (f"{KV}/Delete", self._delete),
            (f"{KV}/Put", self._put),
            (f"{KV}/Range", self._range),
            (f"{KV}/Txn", self._txn),
            (f"{KV}/DeleteRange", self._delete_range),
            (f"{KV}/Compact", self._compact),
            (f"{KV}/LeaseGrant", self._lease_grant),
            (f"{KV}/LeaseKeepAlive", self._lease_keep_alive),
            (f"{KV}/LeaseTimeToLive", self._lease_time_to_live),
            (f"{KV}/LeaseList", self._lease_list),
            (f"{KV}/LeaseRevoke", self._lease_revoke),
            (f"{KV}/Watch", self._watch),
            (f"{KV}/Pipeline", self._pipeline),
        ]

    # ------------------------------------------------------------------------------------------------ plain keys

    async def _set(self) -> str:
        request = kv_pb2.SetRequest(
            key=self._caller.key("a"), value=b"\x00\xff one", client_id=self._caller.client_id, request_id=1
        )
        first = await self._caller.call(f"{KV}/Set", request, kv_pb2.SetResponse)
        again = await self._caller.call(f"{KV}/Set", request, kv_pb2.SetResponse)
        expect(
            again.revision == first.revision,
            f"the same request again happened at {again.revision}, not {first.revision}",
        )
        return f"revision {first.revision}; the retry of its session did nothing"

    async def _get(self) -> str:
        got = await self._caller.call(
            f"{KV}/Get", kv_pb2.GetRequest(key=self._caller.key("a")), kv_pb2.GetResponse
        )
        expect(got.found and got.value == b"\x00\xff one", f"found {got.found} with {got.value!r:.40}")
        absent = await self._caller.call(
            f"{KV}/Get", kv_pb2.GetRequest(key=self._caller.key("none")), kv_pb2.GetResponse
        )
        expect(not absent.found, "found a key that was never set")
        return f"the value that was set, version {got.version}"

    async def _exists(self) -> str:
        for name, expected in (("a", True), ("none", False)):
            answer = await self._caller.call(
                f"{KV}/Exists", kv_pb2.ExistsRequest(key=self._caller.key(name)), kv_pb2.ExistsResponse
            )
            expect(answer.exists is expected, f"{name!r} exists: {answer.exists}")
        return "true and false where they belong"

    async def _batch_set(self) -> str:
        pairs = [kv_pb2.KeyValuePair(key=self._caller.key(name), value=name.encode()) for name in "ab"]
        answer = await self._caller.call(
            f"{KV}/BatchSet", kv_pb2.BatchSetRequest(pairs=pairs), kv_pb2.BatchSetResponse
        )
        expect(list(answer.existed) == [True, False], f"existed: {list(answer.existed)}")
        return f"2 keys at revision {answer.revision}"

    async def _list_keys(self) -> str:
        request = kv_pb2.ListKeysRequest(prefix=self._caller.prefix, with_values=True)
        page = await self._caller.call(f"{KV}/ListKeys", request, kv_pb2.ListKeysResponse)
        found = [(entry.key, entry.value) for entry in page.entries]
        expected = [(self._caller.key("a"), b"a"), (self._caller.key("b"), b"b")]
        expect(found == expected and not page.more, f"{len(found)} keys, more: {page.more}")
        return "2 keys in order"

    async def _delete(self) -> str:
        for expected in (True, False):
            request = kv_pb2.DeleteRequest(key=self._caller.key("a"))
            answer = await self._caller.call(f"{KV}/Delete", request, kv_pb2.DeleteResponse)
            expect(answer.existed is expected, f"existed: {answer.existed}")
        got = await self._caller.call(
            f"{KV}/Get", kv_pb2.GetRequest(key=self._caller.key("a")), kv_pb2.GetResponse
        )
        expect(not got.found, "the key is still there")
        return "once, and not twice"

    # ------------------------------------------------------------------------------------------------ etcd's operations

    async def _put(self) -> str:
        key = self._caller.key("p")
        session = kv_pb2.Session(client_id=self._caller.client_id, request_id=2)
        request = kv_pb2.PutRequest(key=key, value=b"1", session=session)
        first = await self._caller.call(f"{KV}/Put", request, kv_pb2.PutResponse)
        again = await self._caller.call(f"{KV}/Put", request, kv_pb2.PutResponse)
        expect(
            again.revision == first.revision, f"the retry happened at {again.revision}, not {first.revision}"
        )
        request = kv_pb2.PutRequest(key=key, value=b"2", prev_kv=True)
        second = await self._caller.call(f"{KV}/Put", request, kv_pb2.PutResponse)
        expect(second.prev_kv.value == b"1", f"the value before was {second.prev_kv.value!r:.40}")
        return f"revision {second.revision}, with the value before"

    async def _range(self) -> str:
        request = kv_pb2.RangeRequest(
            key=self._caller.prefix, range_end=self._caller.prefix_end, with_count=True
        )
        page = await self._caller.call(f"{KV}/Range", request, kv_pb2.RangeResponse)
        found = [(entry.key, entry.value) for entry in page.kvs]
        expected = [(self._caller.key("b"), b"b"), (self._caller.key("p"), b"2")]
        expect(found == expected and page.count == 2 and not page.more, f"{len(found)} keys of {page.count}")
        request.revision = page.kvs[1].mod_revision - 1
        before = await self._caller.call(f"{KV}/Range", request, kv_pb2.RangeResponse)
        values = [entry.value for entry in before.kvs]
        expect(values == [b"b", b"1"], f"the values were {values!r:.80} one revision ago")
        return "2 keys, and what they were one revision ago"

    async def _txn(self) -> str:
        key = self._caller.key("t")
        absent = kv_pb2.Compare(key=key, version=0)
        request = kv_pb2.TxnRequest(
            compares=[absent],
            success=[kv_pb2.TxnOperation(put=kv_pb2.PutRequest(key=key, value=b"t"))],
            failure=[kv_pb2.TxnOperation(range=kv_pb2.RangeRequest(key=key))],
        )
        first = await self._caller.call(f"{KV}/Txn", request, kv_pb2.TxnResponse)
        second = await self._caller.call(f"{KV}/Txn", request, kv_pb2.TxnResponse)
        expect(first.succeeded and not second.succeeded, f"took {first.succeeded} and {second.succeeded}")
        read = [entry.value for response in second.responses for entry in response.range.kvs]
        expect(
            read == [b"t"],
            "the other branch did not read what the first wrote",
        )
        return "one branch, then the other"

    async def _delete_range(self) -> str:
        request = kv_pb2.DeleteRangeRequest(
            key=self._caller.prefix, range_end=self._caller.prefix_end, prev_kv=True
        )
        answer = await self._caller.call(f"{KV}/DeleteRange", request, kv_pb2.DeleteRangeResponse)
        expect(
            answer.deleted == len(answer.prev_kvs) == 3,
            f"{answer.deleted} keys, {len(answer.prev_kvs)} before",
        )
        return f"3 keys at revision {answer.revision}"

    async def _compact(self) -> str:
        """No history is lost for the sake of a test."""
        request = kv_pb2.CompactRequest(revision=_FAR_REVISION)
        return await self._caller.refused(f"{KV}/Compact", request, "future_revision")

    # ------------------------------------------------------------------------------------------------ leases

    async def _lease_grant(self) -> str:
        granted = await self._caller.call(
            f"{KV}/LeaseGrant", kv_pb2.LeaseGrantRequest(ttl_s=_LEASE_TTL_S), kv_pb2.LeaseGrantResponse
        )
        expect(
            granted.lease_id and granted.ttl_s == _LEASE_TTL_S, f"{granted.ttl_s} s for {granted.lease_id}"
        )
        self._lease_id = granted.lease_id
        request = kv_pb2.PutRequest(key=self._caller.key("l"), lease=self._lease_id)
        await self._caller.call(f"{KV}/Put", request, kv_pb2.PutResponse)
        return f"{granted.ttl_s} s, and a key attached"

    async def _lease_keep_alive(self) -> str:
        request = kv_pb2.LeaseKeepAliveRequest(lease_ids=[self._lease_id, _FAR_REVISION])
        answer = await self._caller.call(f"{KV}/LeaseKeepAlive", request, kv_pb2.LeaseKeepAliveResponse)
        expect(list(answer.ttls_s) == [_LEASE_TTL_S, 0], f"TTLs {list(answer.ttls_s)}")
        return "the lease lives, and one that never was does not"

    async def _lease_time_to_live(self) -> str:
        request = kv_pb2.LeaseTimeToLiveRequest(lease_id=self._lease_id, with_keys=True)
        answer = await self._caller.call(f"{KV}/LeaseTimeToLive", request, kv_pb2.LeaseTimeToLiveResponse)
        expect(answer.found and list(answer.keys) == [self._caller.key("l")], f"keys {list(answer.keys)}")
        return f"{answer.remaining_ms} ms are left, 1 key"

    async def _lease_list(self) -> str:
        request = kv_pb2.LeaseListRequest(after=max(0, self._lease_id - 1))
        answer = await self._caller.call(f"{KV}/LeaseList", request, kv_pb2.LeaseListResponse)
        expect(
            self._lease_id and self._lease_id in answer.lease_ids,
            f"{len(answer.lease_ids)} leases, but not this one",
        )
        return "the lease is among them"

    async def _lease_revoke(self) -> str:
        request = kv_pb2.LeaseRevokeRequest(lease_id=self._lease_id)
        answer = await self._caller.call(f"{KV}/LeaseRevoke", request, kv_pb2.LeaseRevokeResponse)
        expect(answer.deleted == 1, f"{answer.deleted} keys went with it")
        return "its key went with it"

    # ------------------------------------------------------------------------------------------------ streams

    async def _watch(self) -> str:
        key = self._caller.key("w")
        stream = self._caller.stream(f"{KV}/Watch")
        create = kv_pb2.WatchCreateRequest(watch_id=1, key=key)
        await stream.write(kv_pb2.WatchRequest(create=create).SerializeToString())
        expect((await _read_watch(stream)).created, "the first answer is not that the watch was made")
        put = await self._caller.call(
            f"{KV}/Put", kv_pb2.PutRequest(key=key, value=b"seen"), kv_pb2.PutResponse
        )
        seen = await _read_watch(stream)
        values = [(event.kv.value, event.kv.mod_revision) for event in seen.events]
        expect(values == [(b"seen", put.revision)], f"events {values}")
        cancel = kv_pb2.WatchRequest(cancel=kv_pb2.WatchCancelRequest(watch_id=1))
        await stream.write(cancel.SerializeToString())
        expect((await _read_watch(stream)).reason == "client", "the watch did not end when it was canceled")
        await stream.done_writing()
        expect(await stream.read() is aio.EOF, "the stream did not end with its last watch")
        return f"a change at revision {put.revision} was seen"

    async def _pipeline(self) -> str:
        stream = self._caller.stream(f"{KV}/Pipeline")
        key = self._caller.key("i")
        requests = [
            kv_pb2.PipelineRequest(id=number, put=kv_pb2.PutRequest(key=key))
            for number in range(1, _PIPELINED)
        ]
        requests.append(kv_pb2.PipelineRequest(id=_PIPELINED, put=kv_pb2.PutRequest()))
        await stream.write(kv_pb2.PipelineRequests(requests=requests).SerializeToString())
        await stream.done_writing()
        answers: dict[int, str | None] = {}
        while (data := await stream.read()) is not aio.EOF:
            for answer in kv_pb2.PipelineResponses.FromString(data).responses:
                answers[answer.id] = answer.WhichOneof("result")
        expect(answers.pop(_PIPELINED, None) == "error", "an empty key was taken")
        expect(answers == dict.fromkeys(range(1, _PIPELINED), "put"), f"{len(answers)} answers: {answers}")
        return f"{_PIPELINED} operations, each with its answer"


async def _read_watch(stream: aio.StreamStreamCall[bytes, bytes]) -> kv_pb2.WatchResponse:
    data = await stream.read()
    if not isinstance(data, bytes):
        raise Failed("the stream ended")
    return kv_pb2.WatchResponse.FromString(data)
