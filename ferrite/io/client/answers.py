"""What the client library returns. Revisions: docs/kv.md. Keys and values are always bytes; times are seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ferrite.core import kv


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValue:
    """A key, its value (empty when only keys were asked for), and its bookkeeping. `lease` 0: none."""

    key: bytes
    value: bytes = b""
    create_revision: int = 0
    mod_revision: int = 0
    version: int = 0
    lease: int = 0

    @property
    def text(self) -> str:
        """The value as UTF-8. Raises UnicodeDecodeError when it is none."""
        return self.value.decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class PutAnswer:
    """The revision at which it happened; `prev` only with `prev_kv=True`, and when the key was there before."""

    revision: int
    prev: KeyValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteAnswer:
    """How many keys were deleted. With 0, `revision` is the present one and nothing changed."""

    revision: int
    deleted: int
    prev_kvs: tuple[KeyValue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeAnswer:
    """`kvs` in the order asked for; `more`: there are further ones. `count` is that of the whole range, None unless asked for."""

    revision: int
    kvs: tuple[KeyValue, ...]
    more: bool = False
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TxnAnswer:
    """Which branch ran (`succeeded`: then), and its operations' answers, in order: `KeyValue | None` for each `Get`."""

    revision: int
    succeeded: bool
    results: tuple[TxnResult, ...] = ()


TxnResult = PutAnswer | DeleteAnswer | RangeAnswer | TxnAnswer | KeyValue | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactAnswer:
    """`compacted` is the oldest revision that can still be read."""

    revision: int
    compacted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseAnswer:
    """A lease that was granted; `ttl_s` may be more than what was asked for (at least 2)."""

    lease_id: int
    ttl_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimeToLive:
    """`remaining_s` -1: there is no such lease (any more). `keys` only with `with_keys=True`."""

    lease_id: int
    remaining_s: float
    granted_ttl_s: int = 0
    keys: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change. Of a deletion `kv` has the key, and the revision of the deletion as `mod_revision`."""

    kind: Literal["put", "delete"]
    kv: KeyValue
    prev_kv: KeyValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchBatch:
    """All changes of one or several revisions up to `revision`. Without events: progress, everything up to it was delivered."""

    revision: int
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of the cluster. `leader`: it led, as far as the node that was asked knows. `lag` -1: known to the leader only."""

    node_id: int
    http_addr: str
    grpc_addr: str
    peer_addr: str
    instance: str
    voter: bool
    leader: bool = False
    lag: int = -1
    reachable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatus:
    """What a node says of itself. `leader_id` 0: unknown. Log positions are indexes. `size_bytes`: all keys' records, history
    included; `no_space`: the quota for them is used up.
    """

    endpoint: str
    node_id: int
    node_name: str
    cluster_name: str
    cluster_id: str
    version: str
    role: str
    term: int
    leader_id: int
    initialized: bool
    last_log_index: int
    commit_index: int
    applied_index: int
    revision: int
    compacted_revision: int = 0
    size_bytes: int = 0
    no_space: bool = False
    members: tuple[Member, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)

    @property
    def is_leader(self) -> bool:
        return self.role == "leader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether a node is well, and if not, why. `took_s`: how long the answer took."""

    endpoint: str
    healthy: bool
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    took_s: float = 0.0


def key_value(entry: kv.KeyValue) -> KeyValue:
    """The client's form of an entry."""
    return KeyValue(
        key=entry.key,
        value=entry.value,
        create_revision=entry.create_revision,
        mod_revision=entry.mod_revision,
        version=entry.version,
        lease=entry.lease,
    )


def put_answer(result: kv.PutResult) -> PutAnswer:
    """The client's form of a put's result."""
    return PutAnswer(revision=result.revision, prev=None if result.prev is None else key_value(result.prev))


def delete_answer(result: kv.DeleteRangeResult) -> DeleteAnswer:
    """The client's form of a deletion's result."""
    return DeleteAnswer(
        revision=result.revision,
        deleted=result.deleted,
        prev_kvs=tuple(key_value(entry) for entry in result.prev),
    )


def range_answer(result: kv.RangeResult) -> RangeAnswer:
    """The client's form of a range's result."""
    return RangeAnswer(
        revision=result.revision,
        kvs=tuple(key_value(entry) for entry in result.entries),
        more=result.more,
        count=result.count if result.count >= 0 else None,
    )
