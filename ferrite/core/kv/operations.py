"""What clients ask of the key-value machine: etcd's data model. Answers: `ferrite.core.kv.results`. The model: docs/kv.md.

Keys and values are bytes. A *revision* is the cluster-wide counter of committed changes; it grows by one for each command
that changes a key. A store that nothing changed yet is at revision 1, as in etcd; 0 asks for the latest.

A range of keys is `key` and `range_end`, as in etcd: an empty `range_end` means this one key, a single zero byte everything
from `key` on, anything else the half-open range `[key, range_end)`. `key` of one zero byte with `range_end` of one zero
byte is every key.

`Put`, `Delete`, `Batch`, `DeleteRange`, `Txn`, `Compact`, the leases, `Tick`, `SetNoSpace` are commands and go through the log.
`Get`, `Exists`, `ListKeys`, `Range`, `ListLeases` and a `Txn` that only reads are queries and do not.
"""

from __future__ import annotations

import enum

from ferrite.core.values import value

FROM_KEY = b"\x00"
"""As a `range_end`: everything from the key on."""


# ------------------------------------------------------------------------------------------------ changes


@value
class Put:
    """Set a key, and attach it to `lease` (0: to none, detaching it).

    With `ignore_value` or `ignore_lease` the key keeps what it has, must exist, and `value` is empty or `lease` 0.
    """

    key: bytes
    value: bytes = b""
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False


@value
class Delete:
    """Delete a key; deleting an absent one changes nothing."""

    key: bytes


@value
class DeleteRange:
    """Delete the keys of a range at one revision."""

    key: bytes
    range_end: bytes = b""
    prev_kv: bool = False


@value
class Batch:
    """Several changes at one revision, all or none. A key may occur once. Puts are plain: a key and a value."""

    operations: tuple[Put | Delete, ...]


# ------------------------------------------------------------------------------------------------ ranges


class SortTarget(enum.IntEnum):
    """By what a range is sorted; the numbers are etcd's."""

    KEY = 0
    VERSION = 1
    CREATE = 2
    MOD = 3
    VALUE = 4


class SortOrder(enum.IntEnum):
    """NONE is ascending by key for the target KEY, and ascending for the others (etcd's)."""

    NONE = 0
    ASCEND = 1
    DESCEND = 2


@value
class Range:
    """Read the keys of a range at `revision` (0: the latest). Keys that are equal in the sort target come in key order.

    `limit` 0 is the server's maximum; `more` in the answer says that there are further keys. The bounds of the revisions (0:
    none, inclusive) filter what comes back, not the count. `with_count` counts the whole range, at the price of walking all of
    it; `count_only` returns nothing else.
    """

    key: bytes
    range_end: bytes = b""
    limit: int = 0
    revision: int = 0
    sort_target: SortTarget = SortTarget.KEY
    sort_order: SortOrder = SortOrder.NONE
    keys_only: bool = False
    count_only: bool = False
    with_count: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0


# ------------------------------------------------------------------------------------------------ transactions


class CompareTarget(enum.IntEnum):
    """What a compare looks at; the numbers are etcd's."""

    VERSION = 0
    CREATE = 1
    MOD = 2
    VALUE = 3
    LEASE = 4


class CompareResult(enum.IntEnum):
    """How the key's field must relate to the operand; the numbers are etcd's."""

    EQUAL = 0
    GREATER = 1
    LESS = 2
    NOT_EQUAL = 3


@value
class Compare:
    """True when *every* present key of the range relates to `operand` (bytes for VALUE, else an integer) so.

    Of an empty range, numbers count as 0, and a compare of VALUE is false whatever it asks (etcd's rules).
    """

    target: CompareTarget
    result: CompareResult
    key: bytes
    operand: int | bytes
    range_end: bytes = b""


@value
class Txn:
    """If all compares hold then `success`, else `failure`, atomically at one revision.

    Compares, also those of nested transactions, see the state before the transaction; operations see what earlier ones of it did.
    A key may be changed once on any path through it: a second put, or a put of a key that a delete covers, is `DUPLICATE_KEY`.
    An operation that cannot be carried out (a lease or key that is missing, a revision that is compacted) fails all of it.
    """

    compares: tuple[Compare, ...] = ()
    success: tuple[TxnOperation, ...] = ()
    failure: tuple[TxnOperation, ...] = ()


TxnOperation = Put | DeleteRange | Range | Txn


def is_read_only(txn: Txn) -> bool:
    """Whether no path through the transaction changes anything: then it is a query."""
    return all(
        isinstance(operation, Range) or (isinstance(operation, Txn) and is_read_only(operation))
        for operation in (*txn.success, *txn.failure)
    )


# ------------------------------------------------------------------------------------------------ history and leases


@value
class Compact:
    """Forget history: reads below `revision` fail from now on. Every key's version at `revision` stays readable."""

    revision: int


@value
class LeaseGrant:
    """Make a lease of `ttl_s` seconds (at least `LEASE_TTL_MIN_S`). The door chose `lease_id`, 1 to 2**63 - 1."""

    lease_id: int
    ttl_s: int


@value
class LeaseRevoke:
    """End a lease; its keys are deleted at one revision."""

    lease_id: int


@value
class LeaseKeepAlive:
    """Give these leases their whole time again. Doors put what arrives together into one command."""

    lease_ids: tuple[int, ...]


@value
class LeaseTimeToLive:
    """Ask for a lease's remaining time. It goes through the log: only there is the cluster time exact."""

    lease_id: int
    with_keys: bool = False


# ------------------------------------------------------------------------------------------------ housekeeping


@value
class Tick:
    """Nothing but the entry's time: due leases end, and a pending compaction removes its next piece. The leader's own."""


@value
class SetNoSpace:
    """The leader found the space quota exceeded (`on`), or the space free again. While on, commands that add are refused."""

    on: bool


Operation = (
    Put
    | Delete
    | Batch
    | DeleteRange
    | Txn
    | Compact
    | LeaseGrant
    | LeaseRevoke
    | LeaseKeepAlive
    | LeaseTimeToLive
    | Tick
    | SetNoSpace
)


@value
class Session:
    """Exactly-once (thesis 6.3): the client's id (1 to 64 bytes), this request's number,
    and the lowest one it still waits for (0: unknown).
    """

    client_id: bytes
    request_id: int
    lowest_unacknowledged: int = 0


# ------------------------------------------------------------------------------------------------ queries


@value
class Get:
    """Read one key, the latest."""

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


@value
class ListLeases:
    """The ids of all leases, ascending, after `after`."""

    after: int = 0


Query = Get | Exists | ListKeys | Range | Txn | ListLeases
