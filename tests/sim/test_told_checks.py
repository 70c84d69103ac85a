"""The checks that follow what a host saw, not what its replica says of itself: each lie is caught, and the truth is not."""

from dataclasses import replace

import pytest

from ferrite.core import (
    Consistency,
    Entry,
    EntryKind,
    Index,
    Membership,
    NodeId,
    RecoveredState,
    RefusalCode,
    RequestId,
    Role,
    Term,
    actions,
    encode_membership,
    encode_payload,
    events,
    messages,
)
from ferrite.core.kv import Put, encode_command
from ferrite.sim.violation import Violation
from tests.sim.test_invariants import MEMBERSHIP, Told, persist, with_learner

LEADER, FOLLOWER, OTHER = NodeId(1), NodeId(2), NodeId(3)
READ, COMMAND = RequestId(7), RequestId(8)
BOUND_US = 1000


def arrives(source: NodeId, message: messages.Message, boot: int = 1) -> events.MessageReceived:
    header = messages.Header(
        cluster_id=bytes(16), source=source, source_instance=bytes(16), source_boot=boot,
        target=FOLLOWER, target_instance=bytes(16),
    )  # fmt: skip
    return events.MessageReceived(header=header, message=message)


def heartbeat(term: int = 1) -> events.MessageReceived:
    return arrives(LEADER, messages.Heartbeat(term=Term(term), leader_commit=Index(0), round=1))


def served(told: Told, node: NodeId, now_us: int, **fields: object) -> None:
    """A client's read with a bound arrives and is served at once."""
    asked = events.ReadRequested(
        request=READ, deadline_us=now_us, consistency=Consistency.SERIALIZABLE, max_staleness_us=BOUND_US
    )
    told.checks.told(node, [asked], now_us)
    told.step(node, actions.ServeRead(requests=(READ,), read_index=Index(0)), **fields)


# -- STALE ----------------------------------------------------------------------------------------------------


def test_a_follower_that_heard_its_leader_within_the_bound_serves() -> None:
    told = Told()
    told.checks.told(FOLLOWER, [heartbeat()], 50)
    served(told, FOLLOWER, 50 + BOUND_US)


@pytest.mark.parametrize(
    "heard",
    [
        [],
        [arrives(LEADER, messages.RequestVote(term=Term(1), last_log_index=Index(1), last_log_term=Term(1)))],
        [heartbeat(term=0)],
    ],
)
def test_who_asks_for_a_vote_or_led_an_earlier_term_is_no_leader(
    heard: list[events.MessageReceived],
) -> None:
    told = Told()
    told.checks.told(FOLLOWER, heard, 50)
    with pytest.raises(Violation, match=r"^STALE: "):
        served(told, FOLLOWER, 60, leader_last_heard_us=60)


def test_a_follower_that_heard_its_leader_too_long_ago_is_caught() -> None:
    told = Told()
    told.checks.told(FOLLOWER, [heartbeat()], 50)
    with pytest.raises(Violation, match=r"^STALE: .* heard one at 50, the bound is 1000 us"):
        served(told, FOLLOWER, 51 + BOUND_US, leader_last_heard_us=51 + BOUND_US)


@pytest.mark.parametrize("answers", [True, False])
def test_a_leader_serves_only_while_a_quorum_answers_it(answers: bool) -> None:
    told, late_us = Told(), 5 * BOUND_US
    if answers:
        said = messages.HeartbeatResponse(term=Term(1), round=1, last_log_index=Index(1))
        told.checks.told(LEADER, [arrives(OTHER, said)], late_us)
        told.lead(1)
        served(told, LEADER, late_us + BOUND_US, role=Role.LEADER)
    else:
        with pytest.raises(Violation, match=r"^STALE: "):
            served(told, LEADER, late_us, role=Role.LEADER)


# -- FORWARD --------------------------------------------------------------------------------------------------


def command(node: NodeId, boot: int, request: RequestId) -> bytes:
    return encode_command(Put(key=b"k", value=b"v"), origin=(node, boot, request))


def entry_of(node: NodeId, boot: int) -> Entry:
    return Entry(Term(1), encode_payload(EntryKind.COMMAND, 0, command(node, boot, COMMAND)))


def forward(boot: int) -> events.MessageReceived:
    message = messages.Forward(term=Term(1), proposals=((COMMAND, command(FOLLOWER, boot, COMMAND)),))
    return arrives(FOLLOWER, message, boot)


REFUSED = messages.ForwardRefused(
    term=Term(1), boot=1, requests=(COMMAND,), code=RefusalCode.NOT_LEADER, detail="no longer leads"
)


def test_a_node_that_refuses_what_it_appended_is_caught_also_when_it_leads_no_more() -> None:
    told = Told()
    told.checks.told(LEADER, [forward(boot=1)], 10)
    told.lead(1, persist(2, 2, entry_of(FOLLOWER, 1)))
    told.step(LEADER)
    told.checks.told(LEADER, [forward(boot=1)], 20)
    with pytest.raises(Violation, match=r"^FORWARD: A node refuses only .* node 1 refuses 8 of node 2"):
        told.checks.sending(LEADER, FOLLOWER, REFUSED)


def test_a_node_may_refuse_what_another_boot_forwarded_under_the_same_number() -> None:
    told = Told()
    told.checks.told(LEADER, [forward(boot=1)], 10)
    told.lead(1, persist(2, 2, entry_of(FOLLOWER, 1)))
    told.checks.told(LEADER, [forward(boot=2)], 20)
    told.checks.sending(LEADER, FOLLOWER, replace(REFUSED, boot=2))


# -- S14 ------------------------------------------------------------------------------------------------------


def another(learner: int) -> tuple[Membership, Entry]:
    found = with_learner(NodeId(learner))
    return found, Entry(Term(1), encode_payload(EntryKind.MEMBERSHIP, 0, encode_membership(found)))


def test_a_replica_that_forgets_what_it_may_fall_back_to_is_caught_while_it_acts_on_the_latest() -> None:
    told = Told()
    later, entry = another(4)
    told.step(FOLLOWER, persist(2, 2, entry), membership=later)
    with pytest.raises(Violation, match=r"^S14: A replica holds .* holds those at \[0, 2\]; .* has \[1, 2\]"):
        told.step(FOLLOWER, membership=later, memberships=[(Index(0), Membership()), (Index(2), later)])


def test_a_replica_that_keeps_what_was_cut_below_the_latest_is_caught() -> None:
    told = Told()
    cut, first = another(4)
    later, second = another(5)
    second = Entry(Term(2), second.payload)
    told.step(FOLLOWER, persist(2, 2, first), membership=cut)
    with pytest.raises(Violation, match=r"^S14: A replica holds "):
        told.step(FOLLOWER, persist(3, 2, second, truncate=True), membership=later)


def test_a_replica_that_would_fall_back_to_another_committed_membership_is_caught() -> None:
    told = Told()
    told.lead(1, commit_index=Index(1))
    with pytest.raises(Violation, match=r"^S14: A replica holds "):
        told.lead(1, commit_index=Index(1), memberships=[(Index(0), Membership())])


# -- ANSWER ---------------------------------------------------------------------------------------------------


def sends(told: Told) -> None:
    asked = events.ProposalReceived(request=COMMAND, command=b"", deadline_us=99)
    told.checks.told(FOLLOWER, [asked], 10)
    told.step(FOLLOWER)
    told.checks.sending(FOLLOWER, LEADER, messages.Forward(term=Term(1), proposals=((COMMAND, b""),)))


def installs(told: Told, *ordered: actions.Action, before: tuple[events.Event, ...] = ()) -> None:
    state = RecoveredState(applied_index=Index(1), applied_term=Term(1), membership=MEMBERSHIP)
    installed = events.SnapshotInstalled(snapshot_id=bytes(16), installed=True, state=state)
    told.lead(1, commit_index=Index(1))
    told.checks.snapshot_installed(FOLLOWER, 1)
    told.checks.told(FOLLOWER, [*before, installed], 20)
    told.step(FOLLOWER, *ordered, commit_index=Index(1), applied_index=Index(1))


ABANDON = actions.Abandon(request=COMMAND, detail="skipped")
REFUSE = actions.Refuse(request=COMMAND, code=RefusalCode.OVERLOADED, detail="full", leader=LEADER)


def test_a_command_that_its_leader_refused_may_be_refused() -> None:
    told = Told()
    sends(told)
    told.checks.told(FOLLOWER, [arrives(LEADER, REFUSED)], 20)
    told.step(FOLLOWER, REFUSE)


@pytest.mark.parametrize("heard", [(), (replace(REFUSED, boot=0),)], ids=["nobody", "an earlier boot"])
def test_a_command_that_somebody_may_have_appended_is_not_refused(
    heard: tuple[messages.Message, ...],
) -> None:
    told = Told()
    sends(told)
    told.checks.told(FOLLOWER, [arrives(LEADER, each) for each in heard], 20)
    with pytest.raises(
        Violation, match=r"^ANSWER: A command is refused only .* node 2 refuses 8 .* in term 1"
    ):
        told.step(FOLLOWER, REFUSE)


def test_a_command_sent_in_the_last_term_of_an_installed_snapshot_is_answered() -> None:
    told = Told()
    sends(told)
    installs(told, ABANDON)


def test_a_command_that_a_snapshot_leaves_without_an_answer_is_caught() -> None:
    told = Told()
    sends(told)
    with pytest.raises(Violation, match=r"^ANSWER: Commands sent up to .* its requests \[8\] have no answer"):
        installs(told)


def test_a_command_that_the_node_appended_itself_as_a_leader_is_caught_too() -> None:
    told = Told()
    asked = events.ProposalReceived(request=COMMAND, command=b"", deadline_us=99)
    told.checks.told(LEADER, [asked], 10)
    told.lead(1, persist(2, 2, entry_of(LEADER, 1)))
    told.lead(1, commit_index=Index(1))
    told.step(LEADER, commit_index=Index(1))
    state = RecoveredState(applied_index=Index(1), applied_term=Term(1), membership=MEMBERSHIP)
    installed = events.SnapshotInstalled(snapshot_id=bytes(16), installed=True, state=state)
    told.checks.told(LEADER, [installed], 20)
    with pytest.raises(Violation, match=r"^ANSWER: "):
        told.step(LEADER, commit_index=Index(1), applied_index=Index(1))


def test_a_command_that_was_refused_before_waits_for_the_next_leader() -> None:
    told = Told()
    sends(told)
    installs(told, before=(arrives(LEADER, REFUSED),))
    facts = told.checks.checks.seen[FOLLOWER].facts
    assert facts is not None and facts.commands.waiting == {COMMAND: 0}


def test_a_command_of_an_earlier_term_than_what_is_applied_waits_for_the_next_leader() -> None:
    told = Told()
    sends(told)
    told.lead(1, commit_index=Index(1))
    told.checks.ghost.committed_terms[1] = Term(2)
    installs(told, before=(events.Applied(applied_index=Index(1), outcomes=()),))
