"""Bugs of the log: appending, acknowledging, committing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ferrite.core import Entry, Index, NodeId, messages
from ferrite.core.progress import Progress
from ferrite.core.raft import Raft
from ferrite.core.raft_log import RaftLog
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.planting import after_hearing, hearing, office_of, replaced, saying


def _count_any_term(_honest: Any) -> Any:
    def advance(raft: Raft, office: Any) -> None:
        def match(node: NodeId) -> int:
            if node == raft.node_id:
                return raft.disk.persisted_index
            return office.progress[node].match_index if node in office.progress else 0

        raft.commit_index = Index(max(raft.commit_index, raft.membership.committed(match)))

    return advance


def _accepted(raft: Raft, header: messages.Header, message: messages.AppendEntries) -> bool:
    agrees = raft.log.term_at(message.prev_log_index) == message.prev_log_term
    return raft.leader == header.source and message.term == raft.term and agrees


def _commit_all(raft: Raft, header: messages.Header, message: messages.AppendEntries) -> None:
    if _accepted(raft, header, message):
        raft.commit_index = max(raft.commit_index, message.leader_commit)


def _commit_own_end(raft: Raft, header: messages.Header, message: messages.AppendEntries) -> None:
    if _accepted(raft, header, message):
        raft.commit_index = max(raft.commit_index, min(message.leader_commit, raft.log.last_index))


def _commit_back(raft: Raft, header: messages.Header, message: messages.Heartbeat) -> None:
    if raft.leader == header.source and message.term == raft.term:
        raft.commit_index = min(raft.commit_index, message.leader_commit)


def _refusal_matches(
    raft: Raft, _header: messages.Header, message: messages.AppendEntriesResponse
) -> messages.Message:
    if message.success or not 0 < message.prev_log_index <= raft.log.last_index:
        return message
    return replace(message, success=True, match_index=message.prev_log_index)


def _prev_term_ignored(
    raft: Raft, _header: messages.Header, message: messages.AppendEntries
) -> messages.Message:
    own = raft.log.term_at(message.prev_log_index)
    return message if own is None else replace(message, prev_log_term=own)


def _cut_always(raft: Raft, header: messages.Header, message: messages.AppendEntries) -> messages.Message:
    after = Index(max(message.prev_log_index, raft.commit_index, raft.log.base_index) + 1)
    if message.entries and _accepted(raft, header, message) and after <= raft.log.last_index:
        raft.truncate(after)
    return message


def _keep_own(raft: Raft, _header: messages.Header, message: messages.AppendEntries) -> messages.Message:
    def kept(at: int, entry: Entry) -> Entry:
        own = raft.log.term_at(message.prev_log_index + 1 + at)
        return entry if own is None else Entry(own, entry.payload)

    return replace(message, entries=tuple(kept(at, entry) for at, entry in enumerate(message.entries)))


def _own_end(raft: Raft, _to: NodeId, message: messages.AppendEntriesResponse) -> messages.Message:
    return replace(message, match_index=raft.log.last_index) if message.success else message


def _match_any(honest: Any) -> Any:
    def matched(progress: Progress, match_index: Index, boot: int) -> bool:
        new = bool(honest(progress, match_index, boot))
        progress.match_index = match_index
        return new

    return matched


def _whole_log(_honest: Any) -> Any:
    def end(raft: Raft) -> Index:
        log: RaftLog = raft.log
        return log.last_index

    return property(end)


def _refusal_at_zero(raft: Raft, header: messages.Header, message: messages.AppendEntriesResponse) -> None:
    office = office_of(raft)
    progress = office.progress.get(header.source) if office else None
    told_a_term = not message.success and message.prev_log_index == 0
    if progress and told_a_term and header.source_boot > progress.match_boot > 0:
        progress.lost_tail()


LOGS = (
    Mutant(
        number=7,
        name="commits-earlier-terms",
        sentence="Entries of earlier terms are committed by counting.",
        provenance="Raft figure 8; PySyncObj#5, found at depth 14; CCF",
        needs="a new leader whose old entries are acknowledged before the first of its own term",
        plant=replaced(_count_any_term, "ferrite.core.replica:advance_commit_by_quorum"),
    ),
    Mutant(
        number=8,
        name="commit-unbounded",
        sentence="A follower takes the leader's commit index whatever the append proved.",
        provenance="WRaft#2, found at depth 20",
        needs="a follower that gets what is committed in several appends",
        plant=after_hearing(messages.AppendEntries, _commit_all),
    ),
    Mutant(
        number=9,
        name="commit-decreases",
        sentence="The commit index follows a leader that knows of less.",
        provenance="PySyncObj#2, found at depth 13",
        needs="a change of leader",
        plant=after_hearing(messages.Heartbeat, _commit_back),
    ),
    Mutant(
        number=10,
        name="refusal-matches",
        sentence="A refused append advances the match index.",
        provenance="CCF, commit advance on AE-NACK",
        needs="a log that differs from the leader's, or reordered appends",
        plant=hearing(messages.AppendEntriesResponse, _refusal_matches),
    ),
    Mutant(
        number=11,
        name="prev-term-ignored",
        sentence="An append is accepted where the entry before it exists, though in another term.",
        provenance="Raft 5.3",
        needs="a diverged log",
        plant=hearing(messages.AppendEntries, _prev_term_ignored),
    ),
    Mutant(
        number=12,
        name="cuts-always",
        sentence="Every append cuts what is behind it, also where the logs agree.",
        provenance="RaftOS#2, found at depth 9; CCF, truncation from early AE; openraft 9540c904",
        needs="an append that arrives late or twice, with pipelining",
        plant=hearing(messages.AppendEntries, _cut_always),
    ),
    Mutant(
        number=13,
        name="never-cuts",
        sentence="Where the logs differ, the own entries stay and the new ones go behind them.",
        provenance="WRaft#1, found at depth 22",
        needs="a diverged log",
        plant=hearing(messages.AppendEntries, _keep_own),
    ),
    Mutant(
        number=14,
        name="acknowledges-own-end",
        sentence="The answer to an append names the own last index instead of what the append proved.",
        provenance="CCF, inaccurate AE-ACK",
        needs="appends in quick succession, or a suffix that the leader has not",
        plant=saying(messages.AppendEntriesResponse, _own_end),
    ),
    Mutant(
        number=15,
        name="match-decreases",
        sentence="A late acknowledgement takes the match index back.",
        provenance="RaftOS#1, PySyncObj#3 and #4, WRaft#7",
        needs="acknowledgements that are reordered or duplicated",
        plant=replaced(_match_any, "ferrite.core.progress:Progress.matched"),
    ),
    Mutant(
        number=33,
        name="heartbeat-commits-all",
        sentence="A heartbeat commits what the log holds, though no append of this boot proved it to be the leader's.",
        provenance="Ferrite, a review",
        needs="a disk that loses a synced truncation (a lost tail), so that overwritten entries are back",
        plant=replaced(_whole_log, "ferrite.core.raft:Raft.verified_index"),
    ),
    Mutant(
        number=36,
        name="refusal-at-zero-is-loss",
        sentence="An answer that only tells a term passes for the loss of the peer's log.",
        provenance="Ferrite, found by the simulator",
        needs="a restarted follower answers a frame of an earlier term, and its answer finds the sender leading again",
        plant=after_hearing(messages.AppendEntriesResponse, _refusal_at_zero),
    ),
    Mutant(
        number=45,
        name="commit-own-end",
        sentence="A follower bounds the leader's commit index by its own last index instead of what the append proved.",
        provenance="Raft figure 2, misread; WRaft#2",
        needs="an append that ends below a conflict and comes from a leader that has committed beyond it",
        plant=after_hearing(messages.AppendEntries, _commit_own_end),
    ),
)
