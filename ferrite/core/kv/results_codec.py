"""The remembered form of a command's answer: what a retry gets. Part of the replicated state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgpack

from ferrite.core.kv.records import StateCorrupt
from ferrite.core.kv.results import (
    BatchResult,
    CommandErrorCode,
    CommandFailed,
    CommandResult,
    CompactResult,
    DeleteRangeResult,
    DeleteResult,
    Done,
    KeyValue,
    LeaseGrantResult,
    LeaseKeepAliveResult,
    LeaseRevokeResult,
    LeaseTimeToLiveResult,
    PutResult,
    RangeResult,
    TxnResult,
)

_FAILED: Final = 0
_PUT: Final = 1
_DELETE: Final = 2
_BATCH: Final = 3
_DELETE_RANGE: Final = 4
_TXN: Final = 5
_RANGE: Final = 6
_COMPACT: Final = 7
_LEASE_GRANT: Final = 8
_LEASE_REVOKE: Final = 9
_LEASE_KEEP_ALIVE: Final = 10
_LEASE_TIME_TO_LIVE: Final = 11
_DONE: Final = 12


def encode_result(result: CommandResult) -> bytes:
    """Return the compact form of an answer."""
    packed: bytes = msgpack.packb(_fields(result))
    return packed


def decode_result(data: bytes) -> CommandResult:
    """Return the answer that `encode_result` got. Raises StateCorrupt."""
    try:
        result = _result(msgpack.unpackb(data))
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise StateCorrupt(f"a remembered answer of {len(data)} bytes cannot be read: {error}") from error
    if isinstance(result, RangeResult):
        raise StateCorrupt("a remembered answer is that of a range, which is no command")
    return result


def _fields(result: CommandResult | RangeResult) -> list[Any]:
    """A batch's flags are one bit each. The codes are those of the commands."""
    match result:
        case PutResult(revision=revision, prev=prev):
            return [_PUT, revision] if prev is None else [_PUT, revision, _pair(prev)]
        case CommandFailed(code=code, detail=detail, revision=revision):
            return [_FAILED, int(code), detail, revision]
        case DeleteResult(revision=revision, existed=existed):
            return [_DELETE, revision, existed]
        case BatchResult(revision=revision, existed=flags):
            bits = sum(1 << position for position, flag in enumerate(flags) if flag)
            return [_BATCH, revision, len(flags), bits.to_bytes((len(flags) + 7) // 8, "little")]
        case DeleteRangeResult(revision=revision, deleted=deleted, prev=pairs):
            return [_DELETE_RANGE, revision, deleted, _pairs(pairs)]
        case TxnResult(revision=revision, succeeded=succeeded, results=results):
            return [_TXN, revision, succeeded, [_fields(each) for each in results]]
        case RangeResult(revision=revision, entries=entries, more=more, count=count):
            return [_RANGE, revision, _pairs(entries), more, count]
        case CompactResult(revision=revision, compacted=compacted):
            return [_COMPACT, revision, compacted]
        case LeaseGrantResult(revision=revision, lease_id=lease_id, ttl_s=ttl_s):
            return [_LEASE_GRANT, revision, lease_id, ttl_s]
        case LeaseRevokeResult(revision=revision, deleted=deleted):
            return [_LEASE_REVOKE, revision, deleted]
        case LeaseKeepAliveResult(revision=revision, ttls_s=ttls_s):
            return [_LEASE_KEEP_ALIVE, revision, list(ttls_s)]
        case LeaseTimeToLiveResult(revision=revision, remaining_us=remaining_us):
            granted, keys = result.granted_ttl_s, list(result.keys)
            return [_LEASE_TIME_TO_LIVE, revision, remaining_us, granted, keys]
        case Done(revision=revision):
            return [_DONE, revision]


def _pair(pair: KeyValue) -> list[Any]:
    return [pair.key, pair.value, pair.create_revision, pair.mod_revision, pair.version, pair.lease]


def _pairs(pairs: Sequence[KeyValue]) -> list[list[Any]]:
    return [_pair(pair) for pair in pairs]


def _result(fields: Any) -> CommandResult | RangeResult:  # one arm for each kind of answer
    match fields:
        case [0, int(code), str(detail), int(revision)]:
            return CommandFailed(code=CommandErrorCode(code), detail=detail, revision=revision)
        case [1, int(revision)]:
            return PutResult(revision=revision)
        case [1, int(revision), prev]:
            return PutResult(revision=revision, prev=_read_pair(prev))
        case [2, int(revision), bool(existed)]:
            return DeleteResult(revision=revision, existed=existed)
        case [3, int(revision), int(count), bytes(flags)]:
            bits = int.from_bytes(flags, "little")
            existed_flags = tuple(bool(bits >> position & 1) for position in range(count))
            return BatchResult(revision=revision, existed=existed_flags)
        case [4, int(revision), int(deleted), list(pairs)]:
            return DeleteRangeResult(revision=revision, deleted=deleted, prev=_read_pairs(pairs))
        case [5, int(revision), bool(succeeded), list(results)]:
            return _read_txn(revision, results, succeeded=succeeded)
        case [6, int(revision), list(pairs), bool(more), int(count)]:
            return RangeResult(revision=revision, entries=_read_pairs(pairs), more=more, count=count)
        case [7, int(revision), int(compacted)]:
            return CompactResult(revision=revision, compacted=compacted)
        case [8, int(revision), int(lease_id), int(ttl_s)]:
            return LeaseGrantResult(revision=revision, lease_id=lease_id, ttl_s=ttl_s)
        case [9, int(revision), int(deleted)]:
            return LeaseRevokeResult(revision=revision, deleted=deleted)
        case [10, int(revision), list(ttls_s)]:
            return LeaseKeepAliveResult(revision=revision, ttls_s=tuple(ttls_s))
        case [11, int(revision), int(remaining_us), int(granted), list(keys)]:
            return LeaseTimeToLiveResult(
                revision=revision, remaining_us=remaining_us, granted_ttl_s=granted, keys=tuple(keys)
            )
        case [12, int(revision)]:
            return Done(revision=revision)
        case _:
            raise ValueError("unknown fields")


def _read_txn(revision: int, results: list[Any], *, succeeded: bool) -> TxnResult:
    read = tuple(_result(each) for each in results)
    inner = tuple(
        each for each in read if isinstance(each, PutResult | DeleteRangeResult | RangeResult | TxnResult)
    )
    if len(inner) != len(read):
        raise ValueError("a transaction with the answer of what is no operation of one")
    return TxnResult(revision=revision, succeeded=succeeded, results=inner)


def _read_pair(fields: Any) -> KeyValue:
    key, data, create_revision, mod_revision, version, lease = fields
    return KeyValue(
        key=key,
        value=data,
        create_revision=create_revision,
        mod_revision=mod_revision,
        version=version,
        lease=lease,
    )


def _read_pairs(pairs: list[Any]) -> tuple[KeyValue, ...]:
    return tuple(_read_pair(pair) for pair in pairs)
