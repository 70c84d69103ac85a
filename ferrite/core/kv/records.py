"""What the records of the keys, changes, leases and the position hold. Where they lie: `ferrite.core.kv.layout`."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import msgpack

from ferrite.core.kv.layout import LAYOUT_VERSION, REVISION_KEY_BYTES
from ferrite.core.kv.meta import Meta
from ferrite.core.values import value

_POINTER: Final = struct.Struct(">QIQQQI")
_CHANGE: Final = struct.Struct(">BQQQQIII")
_LEASE: Final = struct.Struct(">QQ")

_PUT: Final = 0
_TOMBSTONE: Final = 1

DELETED: Final = b""
"""The record of a deletion in the history."""


class StateCorrupt(Exception):
    """A record of the store is not what the machine wrote. The node must stop: exit code 12."""


class Pointer(NamedTuple):
    """Where a version of a key is, and its bookkeeping, in the order of the record.

    `create_revision <= mod_revision`, `version >= 1`. `size_bytes` is that of the change's record with its key.
    """

    mod_revision: int
    sub: int
    create_revision: int
    version: int
    lease: int
    size_bytes: int


@value
class Change:
    """One change of a key. Of a deletion, `deleted` is true, `version` 0 and `value` empty.

    `prev_revision` and `prev_sub` name the change that made the version before, `prev_size_bytes` is that one's size; all are 0
    when the key was not there.
    """

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int
    deleted: bool
    prev_revision: int
    prev_sub: int
    prev_size_bytes: int


class Lease(NamedTuple):
    """A lease ends when the cluster time reaches `deadline_us`."""

    ttl_s: int
    deadline_us: int


def encode_pointer(  # the fields of Pointer: making one first would double the price
    mod_revision: int, sub: int, create_revision: int, version: int, lease: int, size_bytes: int
) -> bytes:
    """Return a record of table 20."""
    return _POINTER.pack(mod_revision, sub, create_revision, version, lease, size_bytes)


def decode_pointer(data: bytes) -> Pointer:
    """Return the pointer. Raises StateCorrupt."""
    try:
        return Pointer._make(_POINTER.unpack(data))
    except struct.error as error:
        raise StateCorrupt(f"a key's pointer has {len(data)} bytes instead of {_POINTER.size}") from error


def encode_put(
    key: bytes, value: bytes, create_revision: int, version: int, lease: int, before: Pointer | None
) -> bytes:
    """Return a record of table 40: a key was set; `before` is its version until then."""
    if before is None:
        return _CHANGE.pack(_PUT, create_revision, version, lease, 0, 0, 0, len(key)) + key + value
    return (
        _CHANGE.pack(_PUT, create_revision, version, lease, before[0], before[1], before[5], len(key))
        + key
        + value
    )


def encode_tombstone(key: bytes, before: Pointer) -> bytes:
    """Return a record of table 40: a key was deleted; `before` is the version that it had."""
    return _CHANGE.pack(_TOMBSTONE, 0, 0, 0, before[0], before[1], before[5], len(key)) + key


def change_size_bytes(data: bytes) -> int:
    """Return the bytes that a record of table 40 takes with its key."""
    return REVISION_KEY_BYTES + len(data)


def decode_change(data: bytes, mod_revision: int) -> Change:
    """Return the change; its revision stands in the record's key. Raises StateCorrupt."""
    try:
        kind, create_revision, version, lease, prev_revision, prev_sub, prev_size_bytes, key_length = (
            _CHANGE.unpack_from(data)
        )
    except struct.error as error:
        raise StateCorrupt(
            f"a revision's record has {len(data)} bytes; at least {_CHANGE.size} were expected"
        ) from error
    value_at = _CHANGE.size + key_length
    if kind not in (_PUT, _TOMBSTONE) or value_at > len(data):
        raise StateCorrupt(
            f"a revision's record of {len(data)} bytes is of kind {kind} with a key of {key_length} bytes"
        )
    return Change(
        key=data[_CHANGE.size : value_at],
        value=data[value_at:],
        create_revision=create_revision,
        mod_revision=mod_revision,
        version=version,
        lease=lease,
        deleted=kind == _TOMBSTONE,
        prev_revision=prev_revision,
        prev_sub=prev_sub,
        prev_size_bytes=prev_size_bytes,
    )


def encode_lease(lease: Lease) -> bytes:
    """Return a record of table 60."""
    return _LEASE.pack(*lease)


def decode_lease(data: bytes) -> Lease:
    """Return the lease. Raises StateCorrupt."""
    try:
        return Lease._make(_LEASE.unpack(data))
    except struct.error as error:
        raise StateCorrupt(f"a lease's record has {len(data)} bytes instead of {_LEASE.size}") from error


def encode_meta(meta: Meta) -> bytes:
    """Return the record `applied`."""
    packed: bytes = msgpack.packb([LAYOUT_VERSION, *meta.numbers()])
    return packed


def decode_meta(data: bytes) -> Meta:
    """Return the state's position and counters. Raises StateCorrupt, also for the layout of another version."""
    try:
        fields = msgpack.unpackb(data)
        version = fields[0]
        if version == LAYOUT_VERSION:
            numbers = fields[1:]
            if len(numbers) != Meta.FIELDS or not all(type(number) is int for number in numbers):
                raise StateCorrupt(
                    f"the record of the applied index is not {Meta.FIELDS} numbers: {numbers!r}"
                )
            return Meta(*numbers)
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise StateCorrupt(f"the record of the applied index cannot be read: {error}") from error
    raise StateCorrupt(
        f"the state's layout is {version!r}; this version of Ferrite reads layout {LAYOUT_VERSION}"
    )
