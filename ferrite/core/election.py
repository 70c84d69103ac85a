"""Elections: PreVote, votes, and what a new leader does first (Raft 5.2 and 5.4.1; thesis 3.4, 4.2.3, 9.6)."""

from __future__ import annotations

from ferrite.core.messages import (
    Header,
    PreVote,
    PreVoteResponse,
    RequestVote,
    RequestVoteResponse,
    TimeoutNow,
)
from ferrite.core.progress import Progress
from ferrite.core.raft import Raft
from ferrite.core.roles import Candidate, Leader, PreCandidate
from ferrite.core.values import NO_NODE, Entry, EntryKind, Index, NodeId, Term, encode_payload


def may_campaign(raft: Raft) -> bool:
    """Only a voter campaigns, and none whose log lost what it had acknowledged (DR5).

    Thesis 4.2.2: also one that an uncommitted membership leaves out, for it may hold the entry that others lack.
    """
    return raft.voter_until_committed and raft.lost_tail is None


def on_election_timeout(raft: Raft) -> None:
    """No leader was heard in time: ask whether a campaign could succeed.

    The old leader is forgotten: else pre-candidates would refuse each other's pre-votes (etcd #8334).
    """
    raft.follow(NO_NODE)
    raft.reset_election_timer()
    if not may_campaign(raft):
        return
    raft.counters["elections_started"] += 1
    raft.take_role(PreCandidate())
    _ask_voters(
        raft,
        PreVote(
            term=Term(raft.term + 1), last_log_index=raft.log.last_index, last_log_term=raft.log.last_term
        ),
    )


def campaign(raft: Raft, *, disrupt: bool = False) -> None:
    """Enter the next term, vote for oneself, ask the others. The requests leave once the own vote is durable (DR1)."""
    raft.follow(NO_NODE)
    raft.set_term(Term(raft.term + 1), voted_for=raft.node_id)
    raft.take_role(Candidate(disrupt=disrupt))
    raft.reset_election_timer()
    _ask_voters(
        raft,
        RequestVote(
            term=raft.term,
            last_log_index=raft.log.last_index,
            last_log_term=raft.log.last_term,
            disrupt=disrupt,
        ),
    )


def _ask_voters(raft: Raft, request: PreVote | RequestVote) -> None:
    for voter in raft.membership.all_voters():
        if voter != raft.node_id:
            raft.send(voter, request)


def count_votes(raft: Raft) -> None:
    """Draw the consequence of the votes so far. Voters are counted, not answers, in each configuration by itself."""
    role = raft.role
    if isinstance(role, PreCandidate):
        if raft.membership.has_quorum(lambda node: node == raft.node_id or node in role.granted):
            campaign(raft)
        elif raft.membership.vote_lost(lambda node: node in role.refused):
            raft.become_follower(raft.term)
    elif isinstance(role, Candidate):
        # etcd's TestCandidateSelfVoteAfterLostElection: even the own vote counts only once it is durable.
        own = raft.disk.hard_state_durable
        if raft.membership.has_quorum(lambda node: (node == raft.node_id and own) or node in role.granted):
            _become_leader(raft)
        elif raft.membership.vote_lost(lambda node: node in role.refused):
            raft.become_follower(raft.term)


def _become_leader(raft: Raft) -> None:
    first = Index(raft.log.last_index + 1)
    peers = {peer: Progress(next_index=first, last_heard_us=raft.now_us) for peer in _peers(raft)}
    raft.take_role(
        Leader(
            term_start_index=first,
            elected_us=raft.now_us,
            time_base_us=raft.last_time_us,
            heartbeat_due_us=raft.now_us + raft.config.heartbeat_interval_us,
            progress=peers,
        )
    )
    raft.follow(raft.node_id)
    raft.forwards_seen.term = raft.term
    raft.forwards_seen.seen.clear()
    raft.counters["leaderships_won"] += 1
    # Thesis 6.4: an entry of its own term tells a new leader what is committed.
    raft.append([Entry(raft.term, encode_payload(EntryKind.NOOP, raft.last_time_us))])


def _peers(raft: Raft) -> tuple[NodeId, ...]:
    return raft.membership.peers_of(raft.node_id)


def on_pre_vote(raft: Raft, header: Header, message: PreVote) -> None:
    """Would we vote for it? Nothing is recorded: an answer costs the cluster nothing."""
    granted = (
        message.term > raft.term
        and not raft.sticks_to_leader()
        and raft.lost_tail is None
        and raft.log.is_up_to_date(message.last_log_index, message.last_log_term)
    )
    raft.send(
        header.source, PreVoteResponse(term=raft.term, proposed_term=message.term, vote_granted=granted)
    )


def on_pre_vote_response(raft: Raft, header: Header, message: PreVoteResponse) -> None:
    """Count an answer to the present question only; late ones must not start a second campaign (openraft #1839)."""
    role = raft.role
    if isinstance(role, PreCandidate) and message.proposed_term == raft.term + 1:
        (role.granted if message.vote_granted else role.refused).add(header.source)


def on_request_vote(raft: Raft, header: Header, message: RequestVote) -> None:
    """Raft, figure 2. A learner that is asked votes: it may be a voter and not know yet (etcd #10998)."""
    granted = (
        message.term == raft.term
        and raft.hard_state.voted_for in {NO_NODE, header.source}
        and raft.leader in {NO_NODE, header.source}
        and raft.lost_tail is None
        and raft.log.is_up_to_date(message.last_log_index, message.last_log_term)
    )
    if granted:
        if raft.hard_state.voted_for == NO_NODE:
            raft.set_term(raft.term, voted_for=header.source)
        raft.reset_election_timer()
    raft.send(header.source, RequestVoteResponse(term=raft.term, vote_granted=granted))


def on_request_vote_response(raft: Raft, header: Header, message: RequestVoteResponse) -> None:
    """Count an answer of this term."""
    role = raft.role
    if isinstance(role, Candidate) and message.term == raft.term:
        (role.granted if message.vote_granted else role.refused).add(header.source)


def on_timeout_now(raft: Raft, header: Header, message: TimeoutNow) -> None:
    """The leader hands over: campaign at once, without PreVote, asking voters not to stick to it (thesis 3.10)."""
    if message.term == raft.term and header.source == raft.leader and may_campaign(raft) and not raft.office:
        raft.counters["elections_started"] += 1
        campaign(raft, disrupt=True)
