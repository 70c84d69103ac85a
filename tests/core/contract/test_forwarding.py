"""Writes through any node: contract 4 (`Forward`, `ForwardRefused`), 6 and 8 ("Requests outlive leaders")."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ferrite.core import RefusalCode, RequestId, Term, actions, encode_payload, messages
from ferrite.core.values import Entry, EntryKind
from tests.core.bench import Bench
from tests.core.bench_values import (
    ELECTION_MAX_US,
    ELECTION_MIN_US,
    HEARTBEAT_US,
    Acts,
    command,
    commands_in,
    entry,
    noop,
)


def forward(term: int, *requests: int, origin: int = 3, boot: int = 1) -> messages.Forward:
    return messages.Forward(
        term=Term(term),
        proposals=tuple((RequestId(n), command(n, origin=origin, boot=boot)) for n in requests),
    )


def refused(
    term: int, *requests: int, code: RefusalCode = RefusalCode.OVERLOADED, boot: int = 1
) -> messages.ForwardRefused:
    return messages.ForwardRefused(
        term=Term(term), boot=boot, requests=tuple(map(RequestId, requests)), code=code, detail="no"
    )


def appended(acts: Acts) -> list[int]:
    return commands_in(item for order in acts.of(actions.Persist) for item in order.entries)


def forwarded(acts: Acts, to: int) -> list[int]:
    return [int(number) for m in acts.sent(messages.Forward, to) for number, _ in m.proposals]


def own(bench: Bench, request: int, term: int) -> Entry:
    """The entry of this node's command as a leader appended it."""
    body = command(request, origin=bench.node, boot=bench.boot)
    return Entry(Term(term), encode_payload(EntryKind.COMMAND, 0, body))


# -- at the origin


def test_a_follower_forwards_to_the_leader_of_this_term_and_answers_when_it_applies() -> None:
    """Contract 7: "the node that took the request answers the client when *it* applies the entry"."""
    bench = Bench()
    bench.beat(2)
    request, acts = bench.propose()
    sent = acts.sent(messages.Forward, 2)
    assert [(m.term, m.proposals) for m in sent] == [(1, ((request, command(request)),))]
    acts = bench.append(2, 1, [own(bench, request, 1)], commit=1)
    assert acts.answer(request) is None
    acts = bench.beat(2, commit=2)
    assert acts.answer(request) == actions.Reply(request=request, result=("applied at", 2))


def test_without_a_leader_a_command_waits_and_is_refused_at_its_deadline() -> None:
    """Contract 8: "Without a leader, a request waits for one until its deadline and is then refused"."""
    bench = Bench()
    request, acts = bench.propose(deadline_us=500_000)
    assert acts.answer(request) is None
    answer = bench.pass_us(500_000).answer(request)
    assert isinstance(answer, actions.Refuse) and answer.code is RefusalCode.NOT_LEADER
    bench = Bench()
    request, _ = bench.propose()
    assert forwarded(bench.beat(2), 2) == [request]


def test_a_command_that_was_sent_is_abandoned_at_its_deadline() -> None:
    """Contract 6: "A command that was proposed and has no answer at its deadline is `Abandon`ed, never refused"."""
    bench = Bench()
    bench.beat(2)
    request, _ = bench.propose(deadline_us=500_000)
    assert isinstance(bench.pass_us(500_000).answer(request), actions.Abandon)
    bench = Bench()
    bench.lead()
    request, _ = bench.propose(deadline_us=500_000)
    assert isinstance(bench.pass_us(500_000).answer(request), actions.Abandon)


def test_an_abandoned_command_that_is_applied_later_is_not_answered_again() -> None:
    """Contract 2: "Every request gets exactly one" answer."""
    bench = Bench()
    bench.beat(2)
    request, _ = bench.propose(deadline_us=500_000)
    bench.pass_us(500_000)
    acts = bench.append(2, 1, [own(bench, request, 1)], commit=2)
    assert acts.answer(request) is None and bench.status.applied_index == 2


def test_a_refused_forward_was_certainly_not_appended() -> None:
    """Contract 4, ForwardRefused: "these were certainly not appended"."""
    bench = Bench()
    bench.beat(2)
    request, _ = bench.propose()
    answer = bench.hear(2, refused(1, request)).answer(request)
    assert isinstance(answer, actions.Refuse) and answer.code is RefusalCode.OVERLOADED


def test_a_refusal_by_somebody_else_or_of_another_term_decides_nothing() -> None:
    """A refusal is certain only from the one leader that the command was sent to."""
    bench = Bench(log=[2])
    bench.beat(2)
    request, _ = bench.propose()
    assert bench.hear(3, refused(2, request)).answer(request) is None
    assert bench.hear(2, refused(1, request)).answer(request) is None


@pytest.mark.parametrize("code", [RefusalCode.OVERLOADED, RefusalCode.NOT_LEADER])
def test_a_refusal_that_an_earlier_boot_was_meant_to_hear_decides_nothing(code: RefusalCode) -> None:
    """Contract 4: "a later boot drops the message, because its requests have the same numbers"."""
    bench = Bench()
    bench.beat(2)
    request, _ = bench.propose()
    bench.restart()
    bench.beat(2)
    acts = bench.step(bench.proposal(request))
    assert forwarded(acts, 2) == [request]
    late = bench.hear(2, refused(1, request, code=code, boot=1))
    assert late.of(actions.Refuse) == [] and forwarded(late, 2) == []
    assert len(bench.hear(2, refused(1, request, boot=2)).of(actions.Refuse)) == 1


def test_a_leader_names_the_boot_that_it_refuses() -> None:
    bench = Bench()
    bench.lead()
    bench.beat(2, term=3)
    acts = bench.hear(3, forward(2, 11, boot=4), source_boot=4)
    assert [(m.boot, m.requests) for m in acts.sent(messages.ForwardRefused, 3)] == [(4, (11,))]


def test_a_command_is_proposed_again_only_after_an_entry_of_a_later_term_was_applied() -> None:
    """Contract 8: "Once an entry of a later term is applied here, a command of term T that was not applied never will be"."""
    bench = Bench()
    bench.beat(2)
    request, _ = bench.propose()
    acts = bench.beat(3, term=2) + bench.append(3, 1, [noop(2)], term=2, commit=1)
    acts += bench.pass_us(ELECTION_MIN_US // 2)
    assert forwarded(acts, 3) == [], "the old leader's entry may still be committed by the new one"
    acts = bench.append(3, 2, [], term=2, commit=2)
    assert forwarded(acts, 3) == [request]


def test_a_command_that_the_next_leader_inherited_is_answered_and_not_proposed_again() -> None:
    """Contract 8: the command of term T may be in the log of the leader of term T + 1."""
    bench = Bench()
    bench.beat(2)
    request, _ = bench.propose()
    acts = bench.beat(3, term=2)
    acts += bench.append(3, 1, [own(bench, request, 1), noop(2)], term=2, commit=3)
    acts += bench.pass_us(ELECTION_MIN_US // 2)
    assert isinstance(acts.answer(request), actions.Reply) and forwarded(acts, 3) == []


def test_a_leaders_own_command_survives_its_fall() -> None:
    """Contract 8: "a command taken here and sent in term T waits for its own application"."""
    bench = Bench()
    bench.lead()
    request, _ = bench.propose()
    acts = bench.beat(3, term=3) + bench.append(3, 2, [noop(3)], term=3, prev_term=2, commit=3)
    assert forwarded(acts, 3) == [request], "its entry was cut off; the new leader gets it"
    acts = bench.append(3, 3, [own(bench, request, 3)], term=3, commit=4)
    assert isinstance(acts.answer(request), actions.Reply)


def test_a_node_that_becomes_leader_appends_what_it_had_taken() -> None:
    """Contract 8: requests outlive leaders, also into the own leadership."""
    bench = Bench()
    request, _ = bench.propose()
    acts = bench.lead()
    acts += bench.ack(2)
    assert appended(acts) == [request] and isinstance(acts.answer(request), actions.Reply)


def test_a_command_whose_forward_was_lost_is_answered_at_its_deadline() -> None:
    """Contract 3, Send: "May be lost"; 6: what was sent and has no answer is abandoned, whether it is sent again or not."""
    bench = Bench()
    bench.beat(2)
    request, _ = bench.propose(deadline_us=3_000_000)
    acts = Acts([])
    for _ in range(30):
        acts += bench.pass_us(HEARTBEAT_US) + bench.beat(2)
    assert isinstance(acts.answer(request), actions.Abandon)
    assert set(forwarded(acts, 2)) <= {request}


def test_a_command_of_an_earlier_boot_is_nobodys_request_now() -> None:
    """Contract 7: `origin` names the boot; a restarted node does not answer for its predecessor."""
    bench = Bench()
    bench.beat(2)
    bench.propose()
    bench.restart()
    acts = bench.append(
        2, 1, [Entry(Term(1), encode_payload(EntryKind.COMMAND, 0, command(1, boot=1)))], commit=2
    )
    assert acts.of(actions.Reply) == [], "boot 2 did not originate it"


# -- at the leader


def test_the_leader_appends_what_is_forwarded_to_it() -> None:
    """Contract 4, Forward: "for the leader of exactly this `term`"."""
    bench = Bench()
    bench.lead()
    acts = bench.hear(3, forward(2, 11, 12))
    assert appended(acts) == [11, 12]
    assert bench.ack(2).of(actions.Reply) == [], "the origin answers its client"


def test_a_duplicated_forward_is_appended_once_within_the_term() -> None:
    """Contract 4: "Applied at most once within the term"."""
    bench = Bench()
    bench.lead()
    acts = bench.hear(3, forward(2, 11), forward(2, 11)) + bench.hear(3, forward(2, 11, 12))
    assert sorted(appended(acts)) == [11, 12]
    assert appended(bench.hear(2, forward(2, 11, origin=2))) == [11], "another node's request 11"


def test_requests_of_two_boots_are_two_requests() -> None:
    """Contract 4: "the header's source and boot identify the origin"."""
    bench = Bench()
    bench.lead()
    acts = bench.hear(3, forward(2, 11), source_boot=1)
    acts += bench.hear(3, forward(2, 11, boot=2), source_boot=2)
    assert appended(acts) == [11, 11]
    assert appended(bench.hear(3, forward(2, 12), source_boot=1)) == [], "a dead incarnation's"


def test_forwards_that_arrive_out_of_order_are_all_appended() -> None:
    """Messages are reordered; a higher number seen first is no reason to drop a lower one."""
    bench = Bench()
    bench.lead()
    acts = bench.hear(3, forward(2, 12)) + bench.hear(3, forward(2, 11))
    assert appended(acts) == [12, 11]


@pytest.mark.parametrize("term", [1, 3])
def test_a_forward_for_another_term_is_never_appended(term: int) -> None:
    """Architecture 4: "in another term it is dropped and refused, within the term it is applied once"."""
    bench = Bench()
    bench.lead()
    acts = bench.hear(3, forward(term, 11))
    assert appended(acts) == []


def test_a_forward_to_a_node_that_does_not_lead_is_not_appended() -> None:
    """The same at a follower: no second hop."""
    bench = Bench()
    bench.beat(2)
    acts = bench.hear(3, forward(1, 11))
    assert appended(acts) == [] and forwarded(acts, 2) == []


def test_a_refused_forward_that_arrives_again_is_still_not_appended() -> None:
    """ "Certainly not appended" must hold for the duplicate that is still under way as well."""
    bench = Bench(apply_gap_max=3, auto_apply=False)
    bench.lead()
    for _ in range(8):
        bench.propose()
        bench.ack(2)
    acts = bench.hear(3, forward(2, 11))
    answers = acts.sent(messages.ForwardRefused, 3)
    assert [(m.requests, m.code) for m in answers] == [((11,), RefusalCode.OVERLOADED)]
    bench.auto_apply = True
    bench.apply()
    assert bench.status.commit_index == bench.status.applied_index
    again = bench.hear(3, forward(2, 11))
    assert appended(again) == [], "the origin told its client that it never happens"


def test_a_node_that_leads_again_in_a_later_term_takes_the_request_again() -> None:
    """Contract 4: at most once *within the term*."""
    bench = Bench()
    bench.lead()
    bench.hear(3, forward(2, 11))
    bench.beat(2, term=3)
    bench.lead()
    assert bench.term == 4
    assert appended(bench.hear(3, forward(4, 11))) == [11]


def test_a_command_that_can_never_be_taken_is_refused_as_too_large() -> None:
    """Contract 6, `TOO_LARGE`: "try again later" would be a lie."""
    bench = Bench(pending_bytes_max=10_000)
    bench.lead()
    request, acts = bench.propose(size=20_000)
    answer: Any = acts.answer(request)
    assert isinstance(answer, actions.Refuse) and answer.code is RefusalCode.TOO_LARGE


def test_the_cluster_time_never_decreases_along_the_log() -> None:
    """Contract 7: `time_us` "never decreases along the log and advances by the leader's monotonic clock only"."""
    bench = Bench()
    bench.lead()
    for _ in range(5):
        bench.propose()
        bench.now_us += 1000
    inherited = Entry(Term(3), encode_payload(EntryKind.NOOP, 10**15))
    bench.append(2, bench.status.last_log_index, [inherited], term=3)
    bench.now_us += ELECTION_MAX_US
    bench.lead()
    bench.now_us += 5000
    bench.propose()
    times = [int.from_bytes(item.payload[1:9], "big") for item in bench.image.log]
    assert times == sorted(times) and times[-1] == 10**15 + 5000
    assert [b - a for a, b in itertools.pairwise(times[2:7])] == [1000, 1000, 1000, 1000]
    assert entry(1).payload[0] == EntryKind.COMMAND
