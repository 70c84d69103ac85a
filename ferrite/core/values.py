"""The words of the core: ids, positions, entries, and how its value classes are declared."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final, NamedTuple, NewType, TypeVar, dataclass_transform

NodeId = NewType("NodeId", int)
Term = NewType("Term", int)
Index = NewType("Index", int)
"""A position in the log. The first entry has index 1; 0 means "before the log"."""
RequestId = NewType("RequestId", int)
"""A request of this boot of this node, numbered by the host, growing."""

INDEX_MAX: Final = 1 << 62
TIME_US_MAX: Final = 1 << 62
ID_MAX: Final = (1 << 63) - 1
"""Bounds that no honest cluster comes near; beyond them arithmetic would no longer fit 8 bytes."""

NO_NODE: Final = NodeId(0)
NO_INDEX: Final = Index(0)
NO_TERM: Final = Term(0)
NO_INSTANCE: Final = bytes(16)
NO_CLUSTER: Final = bytes(16)

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(cls: type[_T]) -> type[_T]:
    """Declare a keyword-only slotted value class.

    Immutable to the type checker, not at run time: a really frozen dataclass costs three times as much to make.
    """
    return dataclass(slots=True, kw_only=True)(cls)


class EntryKind(enum.IntEnum):
    """The first byte of an entry's payload."""

    NOOP = 0
    COMMAND = 1
    MEMBERSHIP = 2


class Entry(NamedTuple):
    """One entry of the Raft log; its index is its position (contract, section 7)."""

    term: Term
    payload: bytes


PAYLOAD_HEADER_BYTES: Final = 9
"""Kind (1 byte) and cluster time in microseconds (8 bytes, big-endian) before the body of a payload."""


def encode_payload(kind: EntryKind, time_us: int, body: bytes = b"") -> bytes:
    """Return an entry's payload; the body stays the opaque bytes it was."""
    return b"%c%b%b" % (kind, time_us.to_bytes(8, "big"), body)


def payload_kind(payload: bytes) -> int:
    """Return the kind byte (an `EntryKind`, or an unknown number in bytes from elsewhere); -1 when it is empty."""
    return payload[0] if payload else -1


def payload_time_us(payload: bytes) -> int:
    """Return the cluster time in microseconds at which the leader appended the entry."""
    return int.from_bytes(payload[1:PAYLOAD_HEADER_BYTES], "big")


@value
class HardState:
    """What must be durable before any message reflects it (Raft, figure 2), and the cluster it belongs to."""

    cluster_id: bytes = NO_CLUSTER
    term: Term = Term(0)
    voted_for: NodeId = NO_NODE


@value
class Identity:
    """Who this process is: `instance` is the data directory's uuid, `boot` counts its starts."""

    node_id: NodeId
    instance: bytes
    boot: int


@value
class SnapshotMeta:
    """A snapshot file: the state after `last_index`, whose entry had `last_term`."""

    snapshot_id: bytes
    last_index: Index
    last_term: Term
    size_bytes: int


class Role(enum.Enum):
    """What a replica is at the moment (its *role*; *state* is another word)."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class RefusalCode(enum.Enum):
    """Why a request was certainly not carried out (contract, section 6)."""

    NOT_LEADER = "not_leader"
    OVERLOADED = "overloaded"
    SHUTTING_DOWN = "shutting_down"
    NOT_INITIALIZED = "not_initialized"
    ALREADY_INITIALIZED = "already_initialized"
    CHANGE_IN_PROGRESS = "change_in_progress"
    WOULD_LOSE_QUORUM = "would_lose_quorum"
    UNKNOWN_MEMBER = "unknown_member"
    NOT_CAUGHT_UP = "not_caught_up"
    INVALID_CHANGE = "invalid_change"
    RETIRED_ID = "retired_id"
    TRANSFER_FAILED = "transfer_failed"
    NO_QUORUM = "no_quorum"
    TOO_STALE = "too_stale"
    TOO_LARGE = "too_large"
    STORAGE_FAILED = "storage_failed"


class Consistency(enum.Enum):
    """What a read promises."""

    LINEARIZABLE = "linearizable"
    SERIALIZABLE = "serializable"


class StopCode(enum.IntEnum):
    """Exit codes that the core orders with `Stop`; the process has more (docs/configuration.md)."""

    OK = 0
    DISK_FULL = 10
    DISK_ERROR = 11
    CORRUPTION = 12
    IDENTITY = 13


class InvariantViolated(AssertionError):
    """A state that must not exist: a bug in Ferrite. The node stops rather than go on."""


def must(condition: object, what: str) -> None:
    """Raise `InvariantViolated` unless the condition holds. Stays on in production."""
    if not condition:
        raise InvariantViolated(what)
