"""What the key-value machine answers. `revision` is the store's after a command, and at the time of the read for a query."""

from __future__ import annotations

import enum

from ferrite.core.values import value


@value
class KeyValue:
    """A key with etcd's bookkeeping. `lease` is 0 for none; `value` is empty when only keys were asked for."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int = 0


class CommandErrorCode(enum.IntEnum):
    """Deterministic errors of apply (the same on every member), and of queries. The name in lower case is the doors' code."""

    MALFORMED = 1
    UNSUPPORTED_VERSION = 2
    SESSION_EXPIRED = 3
    REQUEST_FORGOTTEN = 4
    INVALID = 5
    REQUEST_MISMATCH = 6
    KEY_NOT_FOUND = 7
    LEASE_NOT_FOUND = 8
    LEASE_EXISTS = 9
    DUPLICATE_KEY = 10
    COMPACTED = 11
    FUTURE_REVISION = 12
    NO_SPACE = 13
    REPLY_TOO_LARGE = 14
    """The command ran before, but its answer was too large to be remembered for retries."""


@value
class CommandFailed:
    """The command went through the log and changed nothing, or the query has no answer.

    `revision` is the store's; for COMPACTED it is the oldest one that can be read.
    """

    code: CommandErrorCode
    detail: str
    revision: int = 0


# ------------------------------------------------------------------------------------------------ changes


@value
class PutResult:
    """The revision at which it happened; `prev` only when asked for, and when the key was there before."""

    revision: int
    prev: KeyValue | None = None


@value
class DeleteResult:
    """`existed` is decided in the state machine. When false, `revision` is the current one and nothing changed."""

    revision: int
    existed: bool


@value
class DeleteRangeResult:
    """How many keys were deleted; `prev` only when asked for, in key order."""

    revision: int
    deleted: int
    prev: tuple[KeyValue, ...] = ()


@value
class BatchResult:
    """The revision of all of it; `existed` has one flag per operation: was the key there before?"""

    revision: int
    existed: tuple[bool, ...]


@value
class TxnResult:
    """Which branch ran, and its operations' results, in order."""

    revision: int
    succeeded: bool
    results: tuple[TxnOperationResult, ...]


# ------------------------------------------------------------------------------------------------ reads


@value
class RangeResult:
    """`entries` in the order asked for. `count` is that of the whole range when asked for, else -1."""

    revision: int
    entries: tuple[KeyValue, ...]
    more: bool
    count: int = -1


TxnOperationResult = PutResult | DeleteRangeResult | RangeResult | TxnResult


@value
class GetResult:
    """`entry` is None when the key is absent."""

    revision: int
    entry: KeyValue | None


@value
class ExistsResult:
    """Whether the key is there."""

    revision: int
    exists: bool


@value
class ListKeysResult:
    """`entries` in key order (values empty with keys_only); `more`: there are further keys after the last one."""

    revision: int
    entries: tuple[KeyValue, ...]
    more: bool


# ------------------------------------------------------------------------------------------------ history and leases


@value
class CompactResult:
    """`compacted` is the revision below which nothing can be read any more."""

    revision: int
    compacted: int


@value
class LeaseGrantResult:
    """`ttl_s` is what was granted."""

    revision: int
    lease_id: int
    ttl_s: int


@value
class LeaseRevokeResult:
    """`deleted` keys went with the lease."""

    revision: int
    deleted: int


@value
class LeaseKeepAliveResult:
    """The granted seconds of each lease asked for, in order; 0: there is no such lease (any more)."""

    revision: int
    ttls_s: tuple[int, ...]


@value
class LeaseTimeToLiveResult:
    """`remaining_us` is -1 and the rest empty when there is no such lease. `keys` only when asked for, ascending."""

    revision: int
    remaining_us: int
    granted_ttl_s: int = 0
    keys: tuple[bytes, ...] = ()


@value
class ListLeasesResult:
    """Ids, ascending; `more`: there are further ones after the last."""

    revision: int
    lease_ids: tuple[int, ...]
    more: bool


@value
class Done:
    """A command of the cluster's own housekeeping was carried out."""

    revision: int


CommandResult = (
    PutResult
    | DeleteResult
    | BatchResult
    | DeleteRangeResult
    | TxnResult
    | CompactResult
    | LeaseGrantResult
    | LeaseRevokeResult
    | LeaseKeepAliveResult
    | LeaseTimeToLiveResult
    | Done
    | CommandFailed
)
QueryResult = (
    GetResult | ExistsResult | ListKeysResult | RangeResult | TxnResult | ListLeasesResult | CommandFailed
)
