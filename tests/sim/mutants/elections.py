"""Bugs of elections: terms, votes, and who may win."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ferrite.core import NO_NODE, HardState, Recovered, Replica, ReplicaConfig, actions, events, messages
from ferrite.core.raft import Raft
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.planting import believing, hearing, replaced, replica, told


def _only_votes(_raft: Raft, persist: actions.Persist) -> bool:
    return persist.hard_state is not None and not persist.entries


def _take_the_snapshots_term(raft: Raft, event: events.SnapshotInstalled) -> events.Event:
    if event.state is not None and event.state.applied_term < raft.term:
        raft._set_hard_state(replace(raft.hard_state, term=event.state.applied_term, voted_for=NO_NODE))
        raft.disk.hard_state_changed()
    return event


def _longer_wins(_honest: Any) -> Any:
    return lambda log, last_log_index, _last_log_term: last_log_index >= log.last_index


def _as_of_now(
    raft: Raft, _header: messages.Header, message: messages.RequestVoteResponse
) -> messages.Message:
    return replace(message, term=max(message.term, raft.term)) if message.vote_granted else message


def _forget_the_vote(raft: Raft, header: messages.Header, message: messages.RequestVote) -> messages.Message:
    if message.term == raft.term and raft.hard_state.voted_for not in (NO_NODE, header.source):
        raft._set_hard_state(replace(raft.hard_state, voted_for=NO_NODE))
    return message


class ForgetsItsVote(Replica):
    """Over a restart the term is remembered, the vote is not."""

    def __init__(self, config: ReplicaConfig, recovered: Recovered, now_us: int) -> None:
        old = recovered.log.hard_state
        forgotten = HardState(cluster_id=old.cluster_id, term=old.term)
        super().__init__(config, replace(recovered, log=replace(recovered.log, hard_state=forgotten)), now_us)


ELECTIONS = (
    Mutant(
        number=1,
        name="vote-before-durable",
        sentence="A vote, also the own one, counts and leaves before it is durable.",
        provenance="Raft 5.1",
        needs="nothing: the check sees the message leave; to do harm, a crash and a restart in the same term",
        plant=believing(_only_votes),
    ),
    Mutant(
        number=2,
        name="snapshot-lowers-term",
        sentence="An installed snapshot overwrites the term by its own, smaller one.",
        provenance="WRaft#4, found at depth 23",
        needs="the term rises while a snapshot is being installed",
        plant=told(events.SnapshotInstalled, _take_the_snapshots_term),
    ),
    Mutant(
        number=3,
        name="longest-log-wins",
        sentence="A vote goes to the longer log, whatever its last term.",
        provenance="Raft 5.4.1",
        needs="a leader cut off with a tail longer than what the others commit meanwhile; then those lose their leader",
        plant=replaced(_longer_wins, "ferrite.core.raft_log:RaftLog.is_up_to_date"),
    ),
    Mutant(
        number=4,
        name="old-vote-counts",
        sentence="A vote granted in an earlier term counts in the present one.",
        provenance="Xraft#1, found at depth 8",
        needs="a granted vote that arrives in the candidate's next term: delay or replay, and two campaigns",
        plant=hearing(messages.RequestVoteResponse, _as_of_now),
    ),
    Mutant(
        number=6,
        name="second-vote",
        sentence="A second candidate of the same term gets a vote too.",
        provenance="DaosRaft#1, found at depth 8",
        needs="two candidates of one term",
        plant=hearing(messages.RequestVote, _forget_the_vote),
    ),
    Mutant(
        number=31,
        name="vote-forgotten",
        sentence="The vote is forgotten over a restart, the term is not.",
        provenance="Raft 5.1; PySyncObj #84",
        needs="a restart in a term in which the node has voted; to do harm, between two candidates of that term",
        plant=replica(ForgetsItsVote),
    ),
)
