"""How the machine's records lie in the ordered store. Format 2; the number stands in the record `applied`.

Every key begins with the group's id (4 bytes, big-endian: one store may hold many Raft groups) and the table (1 byte).
Numbers are big-endian, so that bytes order as numbers do. The values: `ferrite.core.kv.records`.

| table | rest of the key | value | |
|---|---|---|---|
| 00 local | `identity`, `installed` | the host's, this node's own | in no snapshot and no state hash |
| 10 meta | `applied` | msgpack, `Meta` | position and counters; written with every batch |
| 10 meta | `membership` | body of the payload | the last applied membership entry |
| 20 key | user key, raw | `Pointer` | present keys only, for reads of the latest |
| 30 history | user key, escaped; revision (8) | the pointer as it was; empty: deleted | versions but the latest, and deletions |
| 40 revision | revision (8), sub (4) | `Change` | every change, in the order of a watch |
| 50 session | client id | msgpack | a session with its remembered replies, or a tombstone: `sessions` |
| 51 activity | last active time_us (8), client id | empty | sessions, the longest silent first |
| 52 buried | number (8) | client id | tombstones, the oldest first |
| 60 lease | lease id (8) | `Lease` | the leases |
| 61 deadline | deadline_us (8), lease id (8) | empty | leases, the first to end first |
| 62 attachment | lease id (8), user key, raw | empty | the present keys of a lease |

`sub` numbers the changes within one revision from 0: a transaction is one revision.

What an operation costs. A new key: 1 get, 2 records. Overwriting: 1 get, 3 records (the version that stops being the
latest enters the history: its pointer moves there as it is). Deleting: 1 get, 4 records. A lease adds 1 get and 1 record to
a put, and a record to what ends the attachment. `prev_kv` adds 1 get. Reading the latest: 1 get for existence and bookkeeping,
2 with the value; a listing is one scan of table 20. Reading at revision r: the pointer when its mod_revision is at most r, else
the greatest history record at most r (one reverse scan), then one get; a range merges the scans of tables 20 and 30. A watch
scans table 40. A change names the version that it superseded and that one's size, so compaction scans table 40 and gets nothing.

Escaping (table 30 only, because something follows the user key): 00 becomes 00 FF, and 00 01 ends it. The order of escaped
keys is the order of the keys, and no escaped key is a prefix of another.
"""

from __future__ import annotations

import struct
from typing import Final

LAYOUT_VERSION: Final = 2
GROUP_ID_MAX: Final = 2**32 - 1

_LOCAL: Final = b"\x00"
_META: Final = b"\x10"
_KEY: Final = b"\x20"
_HISTORY: Final = b"\x30"
_REVISION: Final = b"\x40"
_SESSION: Final = b"\x50"
_ACTIVITY: Final = b"\x51"
_BURIED: Final = b"\x52"
_LEASE: Final = b"\x60"
_DEADLINE: Final = b"\x61"
_ATTACHMENT: Final = b"\x62"
_END: Final = b"\xff"

_GROUP: Final = struct.Struct(">I")
_NUMBER: Final = struct.Struct(">Q")
_TWO_NUMBERS: Final = struct.Struct(">QQ")
_REVISION_KEY: Final = struct.Struct(">QI")

_PREFIX_BYTES: Final = 5
"""Group and table."""
REVISION_KEY_BYTES: Final = _PREFIX_BYTES + _REVISION_KEY.size


class Layout:
    """Makes the keys of one group, and takes them apart."""

    __slots__ = (
        "_group",
        "_history",
        "_revision",
        "activity_range",
        "applied",
        "deadline_range",
        "group_id",
        "key_prefix",
        "membership",
        "replicated_range",
    )

    def __init__(self, group_id: int) -> None:
        """`group_id` is at most `GROUP_ID_MAX`."""
        self.group_id = group_id
        self._group = _GROUP.pack(group_id)
        self._history = self._group + _HISTORY
        self._revision = self._group + _REVISION
        self.applied = self._group + _META + b"applied"
        self.membership = self._group + _META + b"membership"
        self.key_prefix = self._group + _KEY
        self.replicated_range = (self._group + _META, self._group + _END)
        """Everything but the node's own records, half-open: what snapshots and state hashes cover."""
        self.activity_range = (self._group + _ACTIVITY, self._group + _BURIED)
        self.deadline_range = (self._group + _DEADLINE, self._group + _ATTACHMENT)

    def local(self, name: bytes) -> bytes:
        """Return the key of one of the node's own records."""
        return self._group + _LOCAL + name

    # -- keys and their versions

    def key(self, user_key: bytes) -> bytes:
        """Return the key of a present key's pointer."""
        return self.key_prefix + user_key

    def key_range(self, prefix: bytes) -> tuple[bytes, bytes]:
        """Return the half-open range of the pointers of all keys with this prefix."""
        start = self.key_prefix + prefix
        return start, successor_of_prefix(start)

    def keys_between(self, first: bytes, end: bytes | None) -> tuple[bytes, bytes]:
        """Return the half-open range of the pointers from `first` to below `end` (None: to the last key)."""
        return self.key_prefix + first, self._history if end is None else self.key_prefix + end

    def user_key(self, key: bytes) -> bytes:
        """Return the user key of a pointer's key."""
        return key[_PREFIX_BYTES:]

    def history(self, user_key: bytes, revision: int) -> bytes:
        """Return the key of a version that is not the latest."""
        return self._history + escape(user_key) + _NUMBER.pack(revision)

    def history_between(self, first: bytes, end: bytes | None) -> tuple[bytes, bytes]:
        """Return the half-open range of the history of the keys from `first` to below `end` (None: to the last key)."""
        return self._history + escape(first), self._revision if end is None else self._history + escape(end)

    def split_history(self, key: bytes) -> tuple[bytes, int]:
        """Return `(user_key, revision)` of a history key."""
        user_key = key[_PREFIX_BYTES:-10].replace(b"\x00\xff", b"\x00")
        return user_key, int.from_bytes(key[-8:], "big")

    def revision(self, revision: int, sub: int) -> bytes:
        """Return the key of a change."""
        return self._revision + _REVISION_KEY.pack(revision, sub)

    def split_revision(self, key: bytes) -> tuple[int, int]:
        """Return `(revision, sub)` of a change's key."""
        revision, sub = _REVISION_KEY.unpack_from(key, _PREFIX_BYTES)
        return revision, sub

    # -- sessions

    def session(self, client_id: bytes) -> bytes:
        """Return the key of a client's session or tombstone."""
        return self._group + _SESSION + client_id

    def split_session(self, key: bytes) -> bytes:
        """Return the client id of a session's key."""
        return key[_PREFIX_BYTES:]

    def activity(self, last_active_us: int, client_id: bytes) -> bytes:
        """Return the key that orders a session by its last activity."""
        return self._group + _ACTIVITY + _NUMBER.pack(last_active_us) + client_id

    def split_activity(self, key: bytes) -> tuple[int, bytes]:
        """Return `(last_active_us, client_id)` of an activity key."""
        (last_active_us,) = _NUMBER.unpack_from(key, _PREFIX_BYTES)
        return last_active_us, key[_PREFIX_BYTES + 8 :]

    def buried(self, number: int) -> bytes:
        """Return the key that orders a tombstone by its age."""
        return self._group + _BURIED + _NUMBER.pack(number)

    # -- leases

    def lease(self, lease_id: int) -> bytes:
        """Return the key of a lease."""
        return self._group + _LEASE + _NUMBER.pack(lease_id)

    def leases_after(self, lease_id: int) -> tuple[bytes, bytes]:
        """Return the half-open range of the leases with greater ids."""
        return self.lease(lease_id) + b"\x00", self.deadline_range[0]

    def split_lease(self, key: bytes) -> int:
        """Return the lease id of a lease's key."""
        (lease_id,) = _NUMBER.unpack_from(key, _PREFIX_BYTES)
        return int(lease_id)

    def deadline(self, deadline_us: int, lease_id: int) -> bytes:
        """Return the key that orders a lease by its deadline."""
        return self._group + _DEADLINE + _TWO_NUMBERS.pack(deadline_us, lease_id)

    def split_deadline(self, key: bytes) -> tuple[int, int]:
        """Return `(deadline_us, lease_id)` of a deadline's key."""
        deadline_us, lease_id = _TWO_NUMBERS.unpack_from(key, _PREFIX_BYTES)
        return deadline_us, lease_id

    def attachment(self, lease_id: int, user_key: bytes) -> bytes:
        """Return the key that attaches a user key to a lease."""
        return self._group + _ATTACHMENT + _NUMBER.pack(lease_id) + user_key

    def attachments(self, lease_id: int) -> tuple[bytes, bytes]:
        """Return the half-open range of the attachments of a lease."""
        return self.attachment(lease_id, b""), successor_of_prefix(self.attachment(lease_id, b""))

    def split_attachment(self, key: bytes) -> bytes:
        """Return the user key of an attachment's key."""
        return key[_PREFIX_BYTES + 8 :]


def successor_of_prefix(prefix: bytes) -> bytes:
    """Return the least bytes greater than everything with this prefix; the prefix must not be all FF."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1])


def escape(user_key: bytes) -> bytes:
    """Return the form that keeps the order and ends itself."""
    return user_key.replace(b"\x00", b"\x00\xff") + b"\x00\x01"
