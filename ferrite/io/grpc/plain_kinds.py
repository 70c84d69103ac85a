"""The plain operations: Set, Get, Delete, BatchSet, ListKeys, Exists."""

from __future__ import annotations

from typing import Final

from ferrite.core.kv import (
    BatchResult,
    DeleteResult,
    Exists,
    ExistsResult,
    GetResult,
    KeyValue,
    ListKeysResult,
    Put,
    PutResult,
    Session,
)
from ferrite.io.grpc.kinds import Kind, Read, Settings, Write, read_of
from ferrite.io.grpc.pb import kv_pb2
from ferrite.io.validation import (
    Invalid,
    check_batch,
    check_delete,
    check_get,
    check_key,
    check_list,
    check_put,
    check_session,
)

ENTRY_OVERHEAD_BYTES: Final = 48  # field tags, lengths and three varints of a KeyEntry


def _flat_session(
    request: kv_pb2.SetRequest | kv_pb2.DeleteRequest | kv_pb2.BatchSetRequest,
) -> Session | None:
    return check_session(request.client_id, request.request_id, request.lowest_unacknowledged)


def _decode_set(request: kv_pb2.SetRequest, settings: Settings) -> Write:
    put = check_put(request.key, request.value, settings.limits)
    return Write(operation=put, session=_flat_session(request))


def _encode_set(result: PutResult, leader: kv_pb2.Leader | None, _settings: Settings) -> kv_pb2.SetResponse:
    return kv_pb2.SetResponse(revision=result.revision, leader=leader)


def _decode_delete(request: kv_pb2.DeleteRequest, settings: Settings) -> Write:
    return Write(operation=check_delete(request.key, settings.limits), session=_flat_session(request))


def _encode_delete(
    result: DeleteResult, leader: kv_pb2.Leader | None, _settings: Settings
) -> kv_pb2.DeleteResponse:
    return kv_pb2.DeleteResponse(existed=result.existed, revision=result.revision, leader=leader)


def _decode_batch_set(request: kv_pb2.BatchSetRequest, settings: Settings) -> Write:
    operations_max = settings.limits.batch_operations_max
    if len(request.pairs) > operations_max:  # before a million pairs become a million values
        raise Invalid("pairs", f"{len(request.pairs)} pairs", f"1 to {operations_max}")
    puts = [Put(key=pair.key, value=pair.value) for pair in request.pairs]
    batch = check_batch(puts, settings.limits, field="pairs")
    return Write(operation=batch, session=_flat_session(request))


def _encode_batch_set(
    result: BatchResult, leader: kv_pb2.Leader | None, _settings: Settings
) -> kv_pb2.BatchSetResponse:
    return kv_pb2.BatchSetResponse(revision=result.revision, existed=result.existed, leader=leader)


def _decode_get(request: kv_pb2.GetRequest, settings: Settings) -> Read:
    return read_of(check_get(request.key, settings.limits), request)


def _encode_get(result: GetResult, leader: kv_pb2.Leader | None, _settings: Settings) -> kv_pb2.GetResponse:
    entry = result.entry
    if entry is None:
        return kv_pb2.GetResponse(revision=result.revision, leader=leader)
    return kv_pb2.GetResponse(
        found=True,
        value=entry.value,
        revision=result.revision,
        create_revision=entry.create_revision,
        mod_revision=entry.mod_revision,
        version=entry.version,
        leader=leader,
    )


def _decode_list_keys(request: kv_pb2.ListKeysRequest, settings: Settings) -> Read:
    query = check_list(
        request.prefix, request.limit, request.after, settings.limits, keys_only=not request.with_values
    )
    return read_of(query, request)


def _encode_list_keys(
    result: ListKeysResult, leader: kv_pb2.Leader | None, settings: Settings
) -> kv_pb2.ListKeysResponse:
    response = kv_pb2.ListKeysResponse(more=result.more, revision=result.revision, leader=leader)
    room_bytes = settings.list_bytes_max
    for entry in result.entries:
        room_bytes -= len(entry.key) + len(entry.value) + ENTRY_OVERHEAD_BYTES
        if room_bytes < 0 and response.entries:
            response.more = True
            break
        response.entries.append(_key_entry(entry))
    return response


def _key_entry(entry: KeyValue) -> kv_pb2.KeyEntry:
    return kv_pb2.KeyEntry(
        key=entry.key,
        value=entry.value,
        create_revision=entry.create_revision,
        mod_revision=entry.mod_revision,
        version=entry.version,
    )


def _decode_exists(request: kv_pb2.ExistsRequest, settings: Settings) -> Read:
    return read_of(Exists(key=check_key(request.key, settings.limits)), request)


def _encode_exists(
    result: ExistsResult, leader: kv_pb2.Leader | None, _settings: Settings
) -> kv_pb2.ExistsResponse:
    return kv_pb2.ExistsResponse(exists=result.exists, revision=result.revision, leader=leader)


SET: Final = Kind(rpc="Set", decode=_decode_set, result_type=PutResult, encode=_encode_set)
GET: Final = Kind(rpc="Get", decode=_decode_get, result_type=GetResult, encode=_encode_get)
DELETE: Final = Kind(rpc="Delete", decode=_decode_delete, result_type=DeleteResult, encode=_encode_delete)
BATCH_SET: Final = Kind(
    rpc="BatchSet", decode=_decode_batch_set, result_type=BatchResult, encode=_encode_batch_set
)
LIST_KEYS: Final = Kind(
    rpc="ListKeys", decode=_decode_list_keys, result_type=ListKeysResult, encode=_encode_list_keys
)
EXISTS: Final = Kind(rpc="Exists", decode=_decode_exists, result_type=ExistsResult, encode=_encode_exists)

PLAIN_KINDS: Final = (SET, GET, DELETE, BATCH_SET, LIST_KEYS, EXISTS)
