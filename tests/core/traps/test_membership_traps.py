"""Traps 31 to 40: membership. The behaviour itself is in tests/core/thesis/test_membership.py; here stands what bit others."""

from __future__ import annotations

from ferrite.core import (
    AddLearner,
    ChangeVoters,
    EntryKind,
    Index,
    NodeId,
    RecoveredState,
    RefusalCode,
    Role,
    SnapshotMeta,
    Term,
    UpdateAddress,
    actions,
    events,
    messages,
)
from tests.core.bench import Bench
from tests.core.bench_values import (
    ELECTION_MAX_US,
    ELECTION_MIN_US,
    Acts,
    entry,
    member,
    membership_entry,
    membership_of,
)


def voters(*nodes: int) -> ChangeVoters:
    return ChangeVoters(voters=tuple(map(NodeId, nodes)))


def memberships_in_log(bench: Bench) -> int:
    return sum(item.payload[0] == EntryKind.MEMBERSHIP for item in bench.image.log)


def everybody(bench: Bench) -> Acts:
    acts = Acts([])
    for peer in bench.others(voters_only=False):
        if bench.role() is Role.LEADER:
            acts += bench.ack(peer)
    return acts


def test_trap_31_no_change_before_an_entry_of_the_own_term_is_committed() -> None:
    """Ongaro, raft-dev 2015-07; hashicorp configurationChangeChIfStable; PySyncObj __noopIDx."""
    bench = Bench(log=[1], learners=(4,))
    bench.win()
    bench.change(voters(1, 2, 4))
    assert memberships_in_log(bench) == 1
    bench.ack(2)
    bench.ack(4)
    assert bench.status.commit_index == 3
    assert memberships_in_log(bench) in (1, 2), "refused before, or begun now"


def test_trap_32_a_new_leader_takes_a_pending_change_for_granted() -> None:
    """etcd-io/raft pendingConfIndex l.953-958."""
    pending = membership_entry(1, membership_of((1, 2, 3), learners=(4,)))
    bench = Bench(log=[pending])
    bench.win()
    request, acts = bench.change(AddLearner(member=member(5)))
    assert memberships_in_log(bench) == 2, "the founding one and the pending one"
    answer = acts.answer(request)
    assert answer is None or (
        isinstance(answer, actions.Refuse) and answer.code is RefusalCode.CHANGE_IN_PROGRESS
    )


def test_trap_33_a_configuration_acts_when_it_is_appended_not_when_it_is_applied() -> None:
    """etcd #7625, #12359, hasUnappliedConfChanges: here it is the log's, so that nothing is ever "unapplied"."""
    joint = membership_of((1, 4, 5), outgoing=(1, 2, 3))
    bench = Bench(auto_apply=False)
    bench.append(2, 1, [membership_entry(1, joint)])
    assert bench.status.applied_index == 1 and bench.status.membership == joint
    acts = bench.time_out()
    assert sorted(acts.receivers(messages.PreVote)) == [2, 3, 4, 5]


def test_trap_34_a_configuration_is_rolled_back_more_than_once_in_a_row() -> None:
    """openraft get_membership keeps the last two; a log may hold any number of uncommitted ones of several leaders."""
    first, second, third = (membership_of((1, 2, 3), learners=(n,)) for n in (4, 5, 6))
    bench = Bench()
    bench.append(2, 1, [membership_entry(1, first), membership_entry(1, second), membership_entry(1, third)])
    assert bench.status.membership == third
    bench.append(3, 3, [entry(2)], term=2)
    assert bench.status.membership == second
    bench.append(3, 2, [entry(3)], term=3)
    assert bench.status.membership == first
    bench.append(3, 1, [entry(4)], term=4)
    assert bench.status.membership == membership_of((1, 2, 3))


def test_trap_35_an_installed_snapshot_resets_the_membership() -> None:
    """openraft #1808 (01e813a5), dba24036; etcd zombie members #20967."""
    bench = Bench(log=[membership_entry(1, membership_of((1, 2, 3), learners=(9,)))])
    snapshot = SnapshotMeta(snapshot_id=b"s" * 16, last_index=Index(10), last_term=Term(1), size_bytes=10)
    bench.hear(
        2,
        messages.InstallSnapshot(term=Term(1), snapshot=snapshot, offset=0, data=bytes(10), done=True),
    )
    now = membership_of((1, 2, 4))
    state = RecoveredState(
        applied_index=Index(10), applied_term=Term(1), membership=now, installed_index=Index(10)
    )
    bench.report(events.SnapshotInstalled(snapshot_id=snapshot.snapshot_id, installed=True, state=state))
    assert bench.status.membership == now


def test_trap_36_a_fresh_node_that_replays_history_cannot_elect_itself() -> None:
    """openraft FAQ 06/09: a new node with a reused id replays a historic one-node configuration and elects itself."""
    alone = membership_entry(1, membership_of((4,)))
    bench = Bench(node=4, blank=True)
    append = messages.AppendEntries(
        term=Term(3),
        prev_log_index=Index(0),
        prev_log_term=Term(0),
        entries=(alone,),
        leader_commit=Index(0),
    )
    bench.hear(1, append)
    removed = membership_of((1, 2, 3), retired=(4,))
    bench.append(1, 1, [membership_entry(2, removed)], term=3)
    term = bench.status.term
    bench.pass_us(5 * ELECTION_MAX_US)
    # It may ask (thesis 4.2.2), but a quorum of the latest configuration in its log must agree, and its own voice is none.
    assert bench.role() in {Role.FOLLOWER, Role.PRE_CANDIDATE}
    assert bench.status.term == term


def test_trap_36_a_retired_id_is_refused_with_a_new_data_directory() -> None:
    """The first line of defence: the id does not come back at all."""
    bench = Bench(membership=membership_of((1, 2, 3), retired=(4,)))
    bench.lead()
    fresh = type(member(4))(node_id=NodeId(4), instance=b"brand-new-disk-4", peer_addr="host4:1")
    request, acts = bench.change(AddLearner(member=fresh))
    answer = acts.answer(request)
    assert isinstance(answer, actions.Refuse) and answer.code is RefusalCode.RETIRED_ID


def test_trap_37_a_voter_cannot_be_added_before_it_runs() -> None:
    """etcd design-learner.md (1 to 2, 3 to 4); tikv/pd #11236: the quorum grows at once, the new voter is not there."""
    bench = Bench(voters=(1,))
    bench.pass_us(2 * ELECTION_MAX_US)
    request, acts = bench.change(voters(1, 2))
    answer = acts.answer(request)
    assert isinstance(answer, actions.Refuse) and answer.code is RefusalCode.UNKNOWN_MEMBER
    bench.change(AddLearner(member=member(2)), deadline_us=1_000_000)
    bench.pass_us(1_000_000)
    request, acts = bench.change(voters(1, 2), deadline_us=3_000_000)
    acts += bench.pass_us(3_000_000)
    answer = acts.answer(request)
    assert isinstance(answer, actions.Refuse), "it was added as a learner and never answered"
    _write, _ = bench.propose()
    assert bench.status.membership.voters == (1,) and bench.role() is Role.LEADER


def test_trap_38_a_new_leader_finishes_a_joint_configuration() -> None:
    """openraft joint-consensus.md, t99_new_leader_auto_commit_uniform_config."""
    joint = membership_of((1, 2, 4), outgoing=(1, 2, 3))
    bench = Bench(log=[membership_entry(1, joint)])
    bench.win()
    bench.ack(2)
    assert bench.status.membership.joint is False, "1 and 2 are a majority of both"
    assert memberships_in_log(bench) == 3


def test_trap_38_the_operators_request_survives_in_the_cluster_if_not_in_the_client() -> None:
    """A leader that fell in the joint state: its client hears that the outcome is unknown, and the next leader ends it."""
    bench = Bench(learners=(4,))
    bench.lead()
    request, acts = bench.change(voters(1, 2, 4), deadline_us=4_000_000)
    acts += bench.beat(2, term=3) + bench.pass_us(4_000_000)
    assert isinstance(acts.answer(request), actions.Abandon)


def test_trap_39_a_new_address_promotes_no_learner_and_demotes_no_voter() -> None:
    """etcd #21694 (3.6.12)."""
    bench = Bench(learners=(4,))
    bench.lead()
    for node in (4, 2, 1):
        request, acts = bench.change(UpdateAddress(member=member(node, grpc_addr="new:1")))
        acts += everybody(bench)
        assert isinstance(acts.answer(request), actions.Reply)
    now = bench.status.membership
    assert (now.voters, now.learners, now.outgoing) == ((1, 2, 3), (4,), ())


def test_trap_40_a_leader_that_removes_itself_replicates_the_change_before_it_goes() -> None:
    """confchange_v1_remove_leader*.txt; thesis 4.2.2."""
    bench = Bench()
    bench.lead()
    _request, acts = bench.change(voters(2, 3))
    acts = everybody(bench)
    index = bench.status.last_log_index
    assert bench.role() is Role.LEADER
    bench.ack(2)
    acts = bench.ack(3) + bench.pass_us(ELECTION_MIN_US)
    assert bench.role() is not Role.LEADER and bench.status.commit_index == index
    told = [
        m.leader_commit
        for m in acts.all
        if isinstance(m, actions.Send)
        for m in [m.message]
        if isinstance(m, messages.Heartbeat | messages.AppendEntries)
    ]
    assert index in told or acts.sent(messages.TimeoutNow) != [], (
        "somebody learns of the commit or leads at once"
    )
