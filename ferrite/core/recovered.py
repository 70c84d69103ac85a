"""What the host read from disk before it made the replica (contract, section 9), and the replica's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from ferrite.core.membership import Membership
from ferrite.core.values import Entry, HardState, Identity, Index, NodeId, Term, must, value


@value
class LostTail:
    """The durable mark says that the log once reached `last_index` in `term`; now it ends below."""

    last_index: Index
    term: Term


@value
class RecoveredLog:
    """The log as found on disk; `docs/disk.md` has the recovery rule.

    `term_runs` are `(first_index, term)`, ascending, for the entries from `base_index + 1` to `last_index`. `tail` are the
    last entries, from `tail_first_index` to `last_index`, bounded by bytes. `memberships` are `(index, payload)` of every
    membership entry in the log.
    """

    hard_state: HardState = field(default_factory=HardState)
    base_index: Index = Index(0)
    base_term: Term = Term(0)
    last_index: Index = Index(0)
    term_runs: tuple[tuple[Index, Term], ...] = ()
    tail_first_index: Index = Index(1)
    tail: tuple[Entry, ...] = ()
    memberships: tuple[tuple[Index, bytes], ...] = ()
    last_write_seq: int = 0
    lost_tail: LostTail | None = None


@value
class RecoveredState:
    """What the state store says of itself. `installed_index` is the last installed snapshot's, 0 for none."""

    applied_index: Index = Index(0)
    applied_term: Term = Term(0)
    membership: Membership = field(default_factory=Membership)
    time_us: int = 0
    installed_index: Index = Index(0)


@value
class Recovered:
    """Everything a replica starts from."""

    identity: Identity
    log: RecoveredLog = field(default_factory=RecoveredLog)
    state: RecoveredState = field(default_factory=RecoveredState)


@value
class ReplicaConfig:
    """Settings of a replica. Times in microseconds; every limit has its reason beside it."""

    seed: int = 0
    """Seeds election jitter, nothing else."""
    heartbeat_interval_us: int = 100_000
    """How often a leader is heard when it has nothing to send."""
    election_timeout_min_us: int = 1_000_000
    """How long a voter hears no leader, at least, before it campaigns."""
    election_timeout_max_us: int = 2_000_000
    """The most that a voter waits; each draws its own time in between."""
    priorities: Mapping[NodeId, int] = field(default_factory=dict)
    """0 to 100, default 50: a voter waits longer for each one that is preferred to it."""
    append_entries_max: int = 1024
    """Entries of one message to a follower."""
    append_bytes_max: int = 1 << 20
    """One message: small enough to keep heartbeats flowing, large enough to fill a disk sync."""
    inflight_messages_max: int = 64
    """Messages to one follower that are not yet answered."""
    inflight_bytes_max: int = 16 << 20
    """Their bytes, likewise."""
    cache_bytes_max: int = 32 << 20
    """Payloads of recent entries kept in memory; older ones are loaded for slow peers."""
    apply_bytes_max: int = 1 << 20
    """Bytes of one Apply: bounds how long the host is busy with it."""
    apply_entries_max: int = 1024
    """Entries of one Apply, likewise."""
    pending_requests_max: int = 2000
    """Requests without an answer; above it they are refused, certainly not applied."""
    pending_bytes_max: int = 64 << 20
    """Their bytes, likewise."""
    apply_gap_max: int = 5000
    """Committed entries not yet applied, above which proposals are refused (etcd's number)."""
    snapshot_chunk_bytes: int = 512 << 10
    """One piece of a snapshot on its way to a follower."""
    auto_flush: bool = True
    """Whether the replica orders flushes of the state by itself."""
    flush_entries: int = 10_000
    """Applied entries since the last flush that order the next."""
    flush_interval_us: int = 300_000_000
    """Time with something to flush since the last flush that orders the next; 0 = never by time."""
    auto_discard: bool = True
    """Whether the replica cuts its log by itself."""
    log_entries_max: int = 20_000
    """Entries in the log above which it is cut after a flush."""
    log_bytes_max: int = 256 << 20
    """Bytes of log (payloads) that order a flush and a cut, whatever the other settings say."""
    log_retention_entries: int = 5_000
    """Entries kept below the flushed state for slow peers."""


def check_replica_config(config: ReplicaConfig) -> None:
    """What holds between settings. Raises InvariantViolated; a host that takes them from a user asks first."""
    must(
        0 < config.heartbeat_interval_us < config.election_timeout_min_us,
        "heartbeats are faster than elections",
    )
    must(config.election_timeout_min_us < config.election_timeout_max_us, "election timeouts are a range")
    must(config.append_entries_max > 0 < config.inflight_messages_max, "something may be sent")
    must(config.apply_entries_max > 0, "something may be applied")
