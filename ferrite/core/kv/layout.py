"""How the machine's records lie in the ordered store. Format 1; the number stands in the record `applied`.

Every key begins with the group's id (4 bytes, big-endian: one store may hold many Raft groups) and the table (1 byte).
Numbers are big-endian, so that bytes order as numbers do.

| table | rest of the key | value | |
|---|---|---|---|
| 00 local | `identity`, `installed` | the host's, this node's own | in no snapshot and no state hash |
| 10 meta | `applied` | msgpack, `Meta` | position and counters; written with every batch |
| 10 meta | `membership` | body of the payload | the last applied membership entry |
| 20 key | user key, raw | mod_revision, sub, create_revision, version, lease | present keys only, for reads of the latest |
| 30 history | user key, escaped; revision (8) | sub | versions that are *not* the latest, and deletions |
| 40 revision | revision (8), sub (4) | kind, bookkeeping, key, value | every change, in the order of a watch |
| 50 session | client id | msgpack | a session with its remembered replies, or a tombstone: `sessions` |
| 51 activity | last active time_us (8), client id | empty | sessions, the longest silent first |
| 52 buried | number (8) | client id | tombstones, the oldest first |

`sub` numbers the changes within one revision from 0: a batch is one revision.

What an operation costs. A new key: 1 get, 2 records. Overwriting: 1 get, 3 records (the version that stops being the
latest enters the history). Deleting: 1 get, 4 records. Reading the latest: 1 get for existence and bookkeeping, 2 with
the value; listing keys is one scan of table 20. Reading at revision r: the pointer when its mod_revision is at most r, else
the greatest history record at most r (one reverse scan), then one get. A watch scans table 40. Compaction will delete
history and revision records.

Escaping (table 30 only, because something follows the user key): 00 becomes 00 FF, and 00 01 ends it. The order of escaped
keys is the order of the keys, and no escaped key is a prefix of another.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import msgpack

from ferrite.core.kv.meta import Meta
from ferrite.core.values import value

LAYOUT_VERSION: Final = 1
GROUP_ID_MAX: Final = 2**32 - 1

_LOCAL: Final = b"\x00"
_META: Final = b"\x10"
_KEY: Final = b"\x20"
_HISTORY: Final = b"\x30"
_REVISION: Final = b"\x40"
_SESSION: Final = b"\x50"
_ACTIVITY: Final = b"\x51"
_BURIED: Final = b"\x52"
_END: Final = b"\xff"

_GROUP: Final = struct.Struct(">I")
_NUMBER: Final = struct.Struct(">Q")
_REVISION_KEY: Final = struct.Struct(">QI")
_POINTER: Final = struct.Struct(">QIQQQ")
_SUB: Final = struct.Struct(">I")
_RECORD: Final = struct.Struct(">BQQQI")

_META_FIELDS: Final = 10

_PUT: Final = 0
_TOMBSTONE: Final = 1


class StateCorrupt(Exception):
    """A record of the store is not what the machine wrote. The node must stop: exit code 12."""


class Pointer(NamedTuple):
    """Where the latest version of a key is, and its bookkeeping, in the order of the record.

    `create_revision <= mod_revision`, `version >= 1`.
    """

    mod_revision: int
    sub: int
    create_revision: int
    version: int
    lease: int


@value
class Change:
    """One record of the revision table. Of a deletion, `deleted` is true, `version` 0 and `value` empty."""

    key: bytes
    value: bytes
    create_revision: int
    version: int
    lease: int
    deleted: bool


class Layout:
    """Makes the keys of one group."""

    __slots__ = (
        "_group",
        "activity_range",
        "applied",
        "group_id",
        "key_prefix",
        "membership",
        "replicated_range",
    )

    def __init__(self, group_id: int) -> None:
        """`group_id` is at most `GROUP_ID_MAX`."""
        self.group_id = group_id
        self._group = _GROUP.pack(group_id)
        self.applied = self._group + _META + b"applied"
        self.membership = self._group + _META + b"membership"
        self.key_prefix = self._group + _KEY
        self.replicated_range = (self._group + _META, self._group + _END)
        """Everything but the node's own records, half-open: what snapshots and state hashes cover."""
        self.activity_range = (self._group + _ACTIVITY, self._group + _BURIED)

    def local(self, name: bytes) -> bytes:
        """Return the key of one of the node's own records."""
        return self._group + _LOCAL + name

    def key(self, user_key: bytes) -> bytes:
        """Return the key of a present key's pointer."""
        return self.key_prefix + user_key

    def key_range(self, prefix: bytes) -> tuple[bytes, bytes]:
        """Return the half-open range of the pointers of all keys with this prefix."""
        start = self.key_prefix + prefix
        return start, successor_of_prefix(start)

    def user_key(self, key: bytes) -> bytes:
        """Return the user key of a pointer's key."""
        return key[len(self.key_prefix) :]

    def history(self, user_key: bytes, revision: int) -> bytes:
        """Return the key of a version that is not the latest."""
        return self._group + _HISTORY + escape(user_key) + _NUMBER.pack(revision)

    def revision(self, revision: int, sub: int) -> bytes:
        """Return the key of a change."""
        return self._group + _REVISION + _REVISION_KEY.pack(revision, sub)

    def session(self, client_id: bytes) -> bytes:
        """Return the key of a client's session or tombstone."""
        return self._group + _SESSION + client_id

    def activity(self, last_active_us: int, client_id: bytes) -> bytes:
        """Return the key that orders a session by its last activity."""
        return self._group + _ACTIVITY + _NUMBER.pack(last_active_us) + client_id

    def split_activity(self, key: bytes) -> tuple[int, bytes]:
        """Return `(last_active_us, client_id)` of an activity key."""
        (last_active_us,) = _NUMBER.unpack_from(key, 5)
        return last_active_us, key[13:]

    def buried(self, number: int) -> bytes:
        """Return the key that orders a tombstone by its age."""
        return self._group + _BURIED + _NUMBER.pack(number)


def successor_of_prefix(prefix: bytes) -> bytes:
    """Return the least bytes greater than everything with this prefix; the prefix must not be all FF."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1])


def escape(user_key: bytes) -> bytes:
    """Return the form that keeps the order and ends itself."""
    return user_key.replace(b"\x00", b"\x00\xff") + b"\x00\x01"


def encode_pointer(pointer: Pointer) -> bytes:
    """Return a record of table 20."""
    return _POINTER.pack(*pointer)


def decode_pointer(data: bytes) -> Pointer:
    """Return the pointer. Raises StateCorrupt."""
    try:
        return Pointer._make(_POINTER.unpack(data))
    except struct.error as error:
        raise StateCorrupt(f"a key's pointer has {len(data)} bytes instead of {_POINTER.size}") from error


def encode_history(sub: int) -> bytes:
    """Return a record of table 30."""
    return _SUB.pack(sub)


def encode_put(key: bytes, value: bytes, create_revision: int, version: int, lease: int) -> bytes:
    """Return a record of table 40: a key was set."""
    return _RECORD.pack(_PUT, create_revision, version, lease, len(key)) + key + value


def encode_tombstone(key: bytes) -> bytes:
    """Return a record of table 40: a key was deleted."""
    return _RECORD.pack(_TOMBSTONE, 0, 0, 0, len(key)) + key


def decode_change(data: bytes) -> Change:
    """Return the change. Raises StateCorrupt."""
    try:
        kind, create_revision, version, lease, key_length = _RECORD.unpack_from(data)
    except struct.error as error:
        raise StateCorrupt(
            f"a revision's record has {len(data)} bytes; at least {_RECORD.size} were expected"
        ) from error
    value_at = _RECORD.size + key_length
    if kind not in (_PUT, _TOMBSTONE) or value_at > len(data):
        raise StateCorrupt(
            f"a revision's record of {len(data)} bytes is of kind {kind} with a key of {key_length} bytes"
        )
    return Change(
        key=data[_RECORD.size : value_at],
        value=data[value_at:],
        create_revision=create_revision,
        version=version,
        lease=lease,
        deleted=kind == _TOMBSTONE,
    )


def encode_meta(meta: Meta) -> bytes:
    """Return the record `applied`."""
    packed: bytes = msgpack.packb(
        [
            LAYOUT_VERSION,
            meta.applied_index,
            meta.applied_term,
            meta.time_us,
            meta.revision,
            meta.membership_index,
            meta.session_count,
            meta.session_deadline_us,
            meta.buried_first,
            meta.buried_next,
        ]
    )
    return packed


def decode_meta(data: bytes) -> Meta:
    """Return the state's position and counters. Raises StateCorrupt, also for the layout of another version."""
    try:
        fields = msgpack.unpackb(data)
        version = fields[0]
        if version == LAYOUT_VERSION:
            if len(fields) != _META_FIELDS or not all(type(number) is int for number in fields):
                raise StateCorrupt(
                    f"the record of the applied index is not {_META_FIELDS} numbers: {fields!r}"
                )
            return Meta(*fields[1:])
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise StateCorrupt(f"the record of the applied index cannot be read: {error}") from error
    raise StateCorrupt(
        f"the state's layout is {version!r}; this version of Ferrite reads layout {LAYOUT_VERSION}"
    )
