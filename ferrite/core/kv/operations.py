"""What clients ask of the key-value machine, and what it answers. The thin face of etcd's model (MVCC underneath).

Keys and values are bytes. A *revision* is the cluster-wide counter of committed changes;
it grows by one for each changing command.
A store that nothing changed yet is at revision 1, as in etcd.
"""

from __future__ import annotations

import enum

from ferrite.core.values import value


@value
class Put:
    """Set a key."""

    key: bytes
    value: bytes


@value
class Delete:
    """Delete a key; deleting an absent one changes nothing."""

    key: bytes


@value
class Batch:
    """Several changes at one revision, all or none. A key may occur once."""

    operations: tuple[Put | Delete, ...]


Operation = Put | Delete | Batch


@value
class Session:
    """Exactly-once (thesis 6.3): the client's id (1 to 64 bytes), this request's number,
    and the lowest one it still waits for (0: unknown).
    """

    client_id: bytes
    request_id: int
    lowest_unacknowledged: int = 0


@value
class PutResult:
    """The revision at which it happened."""

    revision: int


@value
class DeleteResult:
    """`existed` is decided in the state machine. When false, `revision` is the current one and nothing changed."""

    revision: int
    existed: bool


@value
class BatchResult:
    """The revision of all of it; `existed` has one flag per operation: was the key there before?"""

    revision: int
    existed: tuple[bool, ...]


class CommandErrorCode(enum.IntEnum):
    """Deterministic errors of apply: the same on every member."""

    MALFORMED = 1
    UNSUPPORTED_VERSION = 2
    SESSION_EXPIRED = 3
    REQUEST_FORGOTTEN = 4
    INVALID = 5
    REQUEST_MISMATCH = 6


@value
class CommandFailed:
    """The command went through the log and changed nothing."""

    code: CommandErrorCode
    detail: str


CommandResult = PutResult | DeleteResult | BatchResult | CommandFailed


@value
class Get:
    """Read one key."""

    key: bytes


@value
class Exists:
    """Is the key there?"""

    key: bytes


@value
class ListKeys:
    """Keys with a prefix, ascending, after `after` (exclusive; empty for the start). `limit` 0: the server's maximum."""

    prefix: bytes = b""
    limit: int = 0
    after: bytes = b""
    keys_only: bool = True


Query = Get | Exists | ListKeys


@value
class KeyValue:
    """A key with etcd's bookkeeping. `lease` is 0 for none."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


@value
class GetResult:
    """`entry` is None when the key is absent; `revision` is the store's at the time of the read."""

    revision: int
    entry: KeyValue | None


@value
class ExistsResult:
    """Whether the key is there, at `revision`."""

    revision: int
    exists: bool


@value
class ListKeysResult:
    """`entries` in key order (values empty with keys_only); `more`: there are further keys after the last one."""

    revision: int
    entries: tuple[KeyValue, ...]
    more: bool


QueryResult = GetResult | ExistsResult | ListKeysResult
