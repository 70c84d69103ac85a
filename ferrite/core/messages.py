"""Messages between nodes, by the paper's names (contract, section 4)."""

from __future__ import annotations

from ferrite.core.values import Entry, Index, NodeId, RefusalCode, RequestId, SnapshotMeta, Term, value


@value
class Header:
    """Who sends a frame to whom (contract, section 5). Instances and cluster ids are 16 bytes."""

    cluster_id: bytes
    source: NodeId
    source_instance: bytes
    source_boot: int
    target: NodeId
    target_instance: bytes
    group_id: int = 0


@value
class PreVote:
    """Would you vote for me in `term`? Thesis 9.6."""

    term: Term
    last_log_index: Index
    last_log_term: Term


@value
class PreVoteResponse:
    """`term` is the voter's own; `proposed_term` echoes the request, so that another round's answer is dropped."""

    term: Term
    proposed_term: Term
    vote_granted: bool


@value
class RequestVote:
    """Raft, figure 2. `disrupt`: a leadership transfer, thesis 4.2.3."""

    term: Term
    last_log_index: Index
    last_log_term: Term
    disrupt: bool = False


@value
class RequestVoteResponse:
    """A grant leaves the voter only when the vote is durable."""

    term: Term
    vote_granted: bool


@value
class AppendEntries:
    """Raft, figure 2. The first entry has index `prev_log_index + 1`; none at all probes or moves the commit index."""

    term: Term
    prev_log_index: Index
    prev_log_term: Term
    entries: tuple[Entry, ...]
    leader_commit: Index


@value
class AppendEntriesResponse:
    """Success: `match_index` is durable here. Refusal: a hint where to look next (contract, section 8)."""

    term: Term
    success: bool
    match_index: Index = Index(0)
    prev_log_index: Index = Index(0)
    conflict_term: Term = Term(0)
    conflict_index: Index = Index(0)


@value
class Heartbeat:
    """`leader_commit` never passes what this peer is known to hold (etcd's min(match, commit))."""

    term: Term
    leader_commit: Index
    round: int


@value
class HeartbeatResponse:
    """Confirms that the sender was this term's leader when it sent `round`."""

    term: Term
    round: int
    last_log_index: Index


@value
class InstallSnapshot:
    """A piece of a snapshot file."""

    term: Term
    snapshot: SnapshotMeta
    offset: int
    data: bytes
    done: bool


@value
class InstallSnapshotResponse:
    """`next_offset` is the byte wanted next; `installed` means durable and in force."""

    term: Term
    snapshot_id: bytes
    next_offset: int
    installed: bool = False


@value
class ReadIndex:
    """A follower asks for a read index; `context` is fresh for each attempt."""

    term: Term
    context: int


@value
class ReadIndexResponse:
    """`ready` false: ask again, or somebody else."""

    term: Term
    context: int
    read_index: Index
    ready: bool


@value
class TimeoutNow:
    """Campaign at once, without PreVote (thesis 3.10)."""

    term: Term


@value
class Forward:
    """Commands for the leader of exactly this term; applied at most once within it."""

    term: Term
    proposals: tuple[tuple[RequestId, bytes], ...]


@value
class ForwardRefused:
    """These requests of this boot of the receiver were certainly not appended; another boot has others by the same numbers."""

    term: Term
    boot: int
    requests: tuple[RequestId, ...]
    code: RefusalCode
    detail: str


Message = (
    PreVote
    | PreVoteResponse
    | RequestVote
    | RequestVoteResponse
    | AppendEntries
    | AppendEntriesResponse
    | Heartbeat
    | HeartbeatResponse
    | InstallSnapshot
    | InstallSnapshotResponse
    | ReadIndex
    | ReadIndexResponse
    | TimeoutNow
    | Forward
    | ForwardRefused
)
