"""What a replica says of itself from one step to the next: S6, S7, S8, S12, S13, S14, S23, S24. One English sentence above each
check.
"""

from __future__ import annotations

from collections.abc import Sequence

from ferrite.core import NodeId, ReplicaStatus, actions, messages
from ferrite.sim.checks.ghost import is_quorum
from ferrite.sim.checks.shared import CANDIDATE, FOLLOWER, LEADER, Checks, Seen, View


def remembers(checks: Checks, node: NodeId, status: ReplicaStatus) -> None:
    """A replica that has just been made."""
    known = checks.ghost.disk(node).hard_state
    # S6, S7: a replica starts with the term and the vote of its disk; one that forgot a vote would give a second one.
    if (status.term, status.voted_for) != (known.term, known.voted_for):
        checks.fail(
            "S7",
            "A replica starts with the term and the vote that its disk holds.",
            f"node {node} starts in term {status.term} with its vote for {status.voted_for}; its disk holds "
            f"term {known.term} and {known.voted_for}",
        )


def campaigned(checks: Checks, node: NodeId, seen: Seen, before: View, status: View) -> None:
    """A candidate: note in which term it began without a quorum of pre-votes. Only one that was told to may (`send.py`)."""
    if before.role is CANDIDATE and before.term == status.term:
        return
    granted = {node, *checks.ghost.pre_votes.pop((node, status.term), ())}
    # A snapshot may have brought another membership in the very step in which the last pre-vote arrived.
    asked = any(is_quorum(membership, granted) for membership in (before.membership, status.membership))
    seen.unasked = None if asked else (status.term, tuple(sorted(granted)))


def monotonic(checks: Checks, node: NodeId, before: View, after: View) -> None:
    """Compare what a replica says of itself before and after a step."""
    # S6: the term never decreases in memory either.
    if after.term < before.term:
        checks.fail("S6", "The term never decreases.", _change(node, before, after))
    # S8 MonotonicCommit: the commit index never decreases within an incarnation.
    if after.commit_index < before.commit_index:
        checks.fail("S8", "The commit index never decreases.", _change(node, before, after))
    # S8: the applied index never decreases either.
    if after.applied_index < before.applied_index:
        checks.fail("S8", "The applied index never decreases.", _change(node, before, after))
    if before.membership is not after.membership and set(after.membership.voters) & set(
        before.membership.learners
    ):
        checks.marks.hit("learner_promoted")
    if before.role is LEADER:
        _after_leading(checks, node, before, after)


def _after_leading(checks: Checks, node: NodeId, before: View, after: View) -> None:
    if after.role is FOLLOWER and before.node_id not in after.membership.voters:
        checks.marks.hit("leader_removed")
    # S23: nobody leads two terms without losing leadership in between (an election needs the disk).
    if after.role is LEADER and before.term != after.term:
        facts = _change(node, before, after)
        checks.fail("S23", "A leader of one term becomes a follower before it leads another.", facts)
    # S23: within a term a leader turns into nothing but a follower.
    if before.term == after.term and after.role is CANDIDATE:
        facts = _change(node, before, after)
        checks.fail("S23", "A leader does not become a candidate of its own term.", facts)


def membership_in_force(checks: Checks, node: NodeId, seen: Seen, status: View) -> None:
    """The membership a replica acts on."""
    disk = checks.ghost.disks[node]
    log = disk.log
    top = log.memberships[-1][0] if log.memberships else -max(log.base_index, disk.installed_index)
    if top == seen.membership_index and (
        seen.status is None or status.memberships is seen.status.memberships
    ):
        seen.membership_due = False
        return
    if status.applied_index < disk.installed_index:
        return  # Its snapshot is installed, and it has not been told yet: it may have slept meanwhile.
    if checks.ghost.state_contradicts_log(disk, status.applied_index):
        return  # The log lost its tail: the replica's first order must be to stop (contract 9).
    index, expected = checks.ghost.membership_of(disk)
    # S14: the latest membership in the log is in force, committed or not, and goes when its entry is truncated (thesis 4.1).
    if status.membership != expected:
        checks.fail(
            "S14",
            "The latest membership in the log is the one in force.",
            f"node {node} acts on {status.membership.voters}/{status.membership.outgoing} (index {status.membership_index}), "
            f"its log says {expected.voters}/{expected.outgoing} (index {index})",
        )
    _memberships_to_fall_back_to(checks, node, status)
    seen.membership_index = top
    seen.membership_due = False


def _memberships_to_fall_back_to(checks: Checks, node: NodeId, status: View) -> None:
    """All memberships that a truncation could bring into force again."""
    ghost = checks.ghost
    commit = status.commit_index
    expected = [
        (index, ghost.membership(payload))
        for index, payload in ghost.disks[node].log.memberships
        if index > commit
    ]
    held = [(index, membership) for index, membership in status.memberships if index > commit]
    committed = [membership for index, membership in status.memberships if index <= commit]
    _, below = ghost.committed_membership(commit)
    # S14: a replica holds every membership of its log above the commit index, and the committed one before them.
    if held != expected or committed != [below]:
        checks.fail(
            "S14",
            "A replica holds the committed membership and every later one of its log: any of them may be in force again.",
            f"node {node}, commit {commit}, holds those at {[index for index, _ in status.memberships]}; above the commit "
            f"index its log has {[index for index, _ in expected]}, below it {below.voters}/{below.outgoing} is in force",
        )


def progress_of_peers(checks: Checks, node: NodeId, seen: Seen, status: View) -> None:
    """A leader's view of its peers."""
    before = seen.status.membership if seen.status is not None else status.membership
    if before is not status.membership or not seen.match.keys() <= status.peers.keys():
        # A member that left and came back begins anew, also when it left for good in the very step in which it came back.
        staying = status.peers.keys() & before.members.keys()
        seen.match = {peer: match for peer, match in seen.match.items() if peer in staying}
    inflight_max = checks.config.inflight_messages_max
    for peer, progress in status.peers.items():
        # S13: always match < next.
        if progress.match_index >= progress.next_index:
            checks.fail(
                "S13",
                "Always match_index < next_index.",
                f"leader {node}, peer {peer}: {progress.match_index} and {progress.next_index}",
            )
        # S24: what is in flight to a peer is bounded.
        if progress.inflight_messages > inflight_max:
            checks.fail(
                "S24",
                "Messages in flight to a peer are bounded.",
                f"leader {node}, peer {peer}: {progress.inflight_messages} of {inflight_max}",
            )
        # S24: the bytes in flight that hold a leader back are those of messages in flight.
        if progress.inflight_bytes and not progress.inflight_messages:
            checks.fail(
                "S24",
                "Bytes in flight to a peer are those of the messages in flight.",
                f"leader {node}, peer {peer}: {progress.inflight_bytes} bytes of no message",
            )
        known = seen.match.get(peer, 0)
        if progress.match_index == known:
            continue
        # S13 MonotonicMatchIndex: within a term match_index never decreases, for no disk here loses what it had synced.
        if progress.match_index < known and peer in seen.tail_lost:
            seen.tail_lost.discard(peer)
        elif progress.match_index < known:
            checks.fail(
                "S13",
                "Within a term match_index never decreases.",
                f"leader {node} of term {status.term}, peer {peer}: {known} then {progress.match_index}",
            )
        seen.match[peer] = progress.match_index
        _match_is_true(checks, node, status, peer, progress.match_index)


def _match_is_true(checks: Checks, node: NodeId, status: View, peer: NodeId, match: int) -> None:
    disk = checks.ghost.disk(peer)
    if disk.hard_state.term > status.term:
        return  # The peer may have truncated for a later leader since it answered.
    chain = checks.ghost.disk(node).log.chain_at(match)
    # S12 MatchIndexTrue: what the leader believes of a peer is on the peer's disk.
    if chain is not None and not checks.ghost.holds_durably(peer, match, chain):
        checks.fail(
            "S12",
            "A leader's match_index of a peer is durable on that peer.",
            f"leader {node} of term {status.term} believes {match} of peer "
            f"{peer}, whose durable log ends at {disk.durable.last_index}",
        )


def asks_everybody(checks: Checks, node: NodeId, status: View, ordered: Sequence[actions.Action]) -> None:
    """A node that campaigns, or asks whether it could."""
    wanted = messages.RequestVote if status.role is CANDIDATE else messages.PreVote
    asked = {
        action.to
        for action in ordered
        if type(action) is actions.Send
        and type(action.message) is wanted
        and action.message.term == status.term + (wanted is messages.PreVote)
    }
    membership = status.membership
    voters = {*membership.voters, *membership.outgoing} - {node}
    # Thesis 4.3: while joint, majorities of both memberships decide, so voters of both are asked.
    if asked and asked != voters:
        checks.fail(
            "ASK",
            "A candidate asks all voters of the membership in force, the outgoing ones too.",
            f"node {node} of term {status.term} asks {sorted(asked)}; voters are {sorted(voters)}",
        )


def _change(node: NodeId, before: View, after: View) -> str:
    return f"node {node}: {_numbers(before)} then {_numbers(after)}"


def _numbers(status: View) -> str:
    return (
        f"{status.role.value} term {status.term}, applied {status.applied_index}, commit {status.commit_index}, "
        f"last {status.last_log_index}"
    )
