"""A disk that fails, and requests that come in too large a number or at the wrong time: contract 2, 3 and 6."""

from __future__ import annotations

from typing import Any

import pytest

from ferrite.core import Index, RefusalCode, RequestId, Role, StopCode, Term, actions, events, messages
from tests.core.bench import Bench
from tests.core.bench_values import ELECTION_MAX_US, HEARTBEAT_US, Acts


def code_of(answer: Any) -> RefusalCode:
    assert isinstance(answer, actions.Refuse), answer
    return answer.code


# -- the disk


@pytest.mark.parametrize("full, code", [(False, StopCode.DISK_ERROR), (True, StopCode.DISK_FULL)])
def test_a_failed_write_stops_the_node_and_acknowledges_nothing(full: bool, code: StopCode) -> None:
    """Contract 2, PersistFailed: "The core steps down, acknowledges nothing more, and orders `Stop`"; fsyncgate: never
    retry and go on."""
    bench = Bench(auto_persist=False)
    bench.append(2, 1, [1])
    acts = bench.step(events.PersistFailed(write_seq=bench.write_seq, disk_full=full, detail="EIO"))
    assert bench.stopped is not None and bench.stopped.code == code
    assert acts.sent(messages.AppendEntriesResponse) == [] and acts.of(actions.Persist) == []
    assert bench.status.stopped


def test_a_leader_whose_disk_failed_leads_no_more_and_answers_no_write() -> None:
    """The same at the leader: what was being written is in doubt for ever."""
    bench = Bench()
    bench.lead()
    bench.auto_persist = False
    request, _ = bench.propose()
    acts = bench.step(events.PersistFailed(write_seq=bench.write_seq, disk_full=False, detail="EIO"))
    assert bench.role() is not Role.LEADER and bench.stopped is not None
    assert acts.of(actions.Reply) == [] and acts.of(actions.ServeRead) == []
    answer = acts.answer(request)
    assert answer is None or isinstance(answer, actions.Abandon), "it is on two other disks perhaps"


def test_a_stopped_replica_does_nothing_whatever_happens() -> None:
    """Contract 3, Stop: "nothing is performed after it"."""
    bench = Bench(auto_persist=False)
    bench.append(2, 1, [1])
    seq = bench.write_seq
    bench.step(events.PersistFailed(write_seq=seq, disk_full=False, detail="EIO"))
    late: list[Any] = [
        events.Persisted(write_seq=seq),
        bench.fact(2, messages.Heartbeat(term=Term(1), leader_commit=Index(2), round=1)),
        bench.fact(2, messages.RequestVote(term=Term(9), last_log_index=Index(9), last_log_term=Term(9))),
    ]
    assert bench.replica.step(late, bench.now_us + ELECTION_MAX_US) == []
    assert bench.replica.step([], bench.now_us + 10 * ELECTION_MAX_US) == []


@pytest.mark.parametrize(
    "corrupt, full, code",
    [
        (True, False, StopCode.CORRUPTION),
        (False, True, StopCode.DISK_FULL),
        (False, False, StopCode.DISK_ERROR),
    ],
)
def test_a_failed_store_stops_the_node(corrupt: bool, full: bool, code: StopCode) -> None:
    """Contract 2, StorageFailed: "the same consequence"."""
    bench = Bench()
    bench.lead()
    bench.step(events.StorageFailed(corrupt=corrupt, disk_full=full, detail="what was seen"))
    assert bench.stopped is not None and bench.stopped.code == code
    assert "what was seen" in bench.stopped.detail


# -- admission


def test_requests_without_an_answer_are_bounded_by_number() -> None:
    """`pending_requests_max`: "above it they are refused, certainly not applied"."""
    bench = Bench(pending_requests_max=5)
    bench.lead()
    acts = Acts([])
    numbers = []
    for _ in range(8):
        request, more = bench.propose()
        numbers.append(request)
        acts += more
    answers = [acts.answer(n) for n in numbers]
    assert answers[:5] == [None] * 5
    assert all(code_of(answer) is RefusalCode.OVERLOADED for answer in answers[5:])
    bench.ack(2)
    request, acts = bench.propose()
    assert acts.answer(request) is None, "there is room again"


def test_requests_without_an_answer_are_bounded_by_bytes() -> None:
    """`pending_bytes_max`."""
    bench = Bench(pending_bytes_max=10_000)
    bench.beat(2)
    answers = []
    for _ in range(6):
        request, acts = bench.propose(size=3000)
        answers.append(acts.answer(request))
    assert answers[0] is None
    assert code_of(answers[-1]) is RefusalCode.OVERLOADED
    assert bench.status.pending_bytes <= 13_100


def test_a_gap_between_commit_and_apply_refuses_proposals() -> None:
    """`apply_gap_max`: "Committed entries not yet applied, above which proposals are refused"."""
    bench = Bench(apply_gap_max=3, auto_apply=False)
    bench.lead()
    answers = []
    for _ in range(8):
        request, acts = bench.propose()
        answers.append(acts.answer(request))
        bench.ack(2)
    assert answers[0] is None
    assert code_of(answers[-1]) is RefusalCode.OVERLOADED


def test_reads_are_bounded_like_writes() -> None:
    """Contract 6: `OVERLOADED` (queue, bytes ...)."""
    bench = Bench(pending_requests_max=3)
    bench.lead()
    answers = []
    for _ in range(5):
        request, acts = bench.read()
        answers.append(acts.answer(request))
    assert answers[:3] == [None] * 3 and code_of(answers[4]) is RefusalCode.OVERLOADED


def test_a_refused_request_is_never_proposed() -> None:
    """Contract 3, Refuse: "certainly not carried out, now or later"."""
    bench = Bench(pending_requests_max=1)
    bench.beat(2)
    _first, _ = bench.propose()
    second, acts = bench.propose()
    assert isinstance(acts.answer(second), actions.Refuse)
    acts = bench.beat(3, term=2) + bench.pass_us(ELECTION_MAX_US // 2)
    sent = [number for m in acts.sent(messages.Forward) for number, _ in m.proposals]
    assert second not in sent


def test_a_request_whose_deadline_has_passed_is_not_begun() -> None:
    bench = Bench()
    bench.lead()
    request, acts = bench.propose(deadline_us=0)
    acts += bench.pass_us(1)
    assert isinstance(acts.answer(request), actions.Refuse | actions.Abandon)
    if isinstance(acts.answer(request), actions.Refuse):
        assert not any(order.entries for order in acts.of(actions.Persist))


# -- shutdown


def shut_down(bench: Bench, deadline_us: int = 5_000_000) -> Acts:
    return bench.step(events.ShutdownRequested(deadline_us=bench.now_us + deadline_us))


def test_a_follower_with_nothing_to_do_stops_at_once() -> None:
    """Contract 2, ShutdownRequested: "finish what is pending, then `Stop(0)`"."""
    bench = Bench()
    bench.beat(2)
    shut_down(bench)
    assert bench.stopped is not None and bench.stopped.code == StopCode.OK


def test_a_leader_hands_leadership_over_first() -> None:
    """Contract 2, ShutdownRequested: "hand leadership over"."""
    bench = Bench()
    bench.lead()
    acts = shut_down(bench)
    assert not bench.status.stopped and len(acts.receivers(messages.TimeoutNow)) == 1
    target = acts.receivers(messages.TimeoutNow)[0]
    acts = bench.beat(target, term=3) + bench.pass_us(HEARTBEAT_US)
    assert bench.stopped is not None and bench.stopped.code == StopCode.OK


def test_new_requests_are_refused_while_shutting_down() -> None:
    """Contract 2: "refuse new requests"."""
    bench = Bench()
    bench.lead()
    shut_down(bench)
    assert bench.status.shutting_down
    for request, acts in (bench.propose(), bench.read()):
        assert code_of(acts.answer(request)) is RefusalCode.SHUTTING_DOWN


def test_what_is_pending_is_finished_first() -> None:
    bench = Bench()
    bench.lead()
    request, _ = bench.propose()
    acts = shut_down(bench)
    assert not bench.status.stopped
    acts = bench.ack(2)
    assert isinstance(acts.answer(request), actions.Reply)


def test_the_deadline_stops_it_in_any_case() -> None:
    """Contract 2: "at the deadline in any case"; and every request has its answer."""
    bench = Bench()
    bench.lead()
    write, _ = bench.propose()
    read, _ = bench.read()
    acts = shut_down(bench, 1_500_000)
    acts += bench.pass_us(1_500_000)
    assert bench.stopped is not None and bench.stopped.code == StopCode.OK
    assert isinstance(acts.answer(write), actions.Abandon)
    assert isinstance(acts.answer(read), actions.Refuse | actions.Abandon)


def test_a_single_node_finishes_its_writes_and_stops() -> None:
    bench = Bench(voters=(1,))
    bench.pass_us(2 * ELECTION_MAX_US)
    bench.auto_persist = False
    request, _ = bench.propose()
    shut_down(bench)
    assert not bench.status.stopped
    acts = bench.persist()
    assert isinstance(acts.answer(request), actions.Reply) and bench.stopped is not None


# -- determinism


def test_the_same_events_at_the_same_times_give_the_same_actions() -> None:
    """Contract 1: "the same actions, byte for byte"."""

    def story() -> list[Any]:
        bench = Bench(seed=7, learners=(4,))
        bench.lead()
        bench.step(*(bench.proposal(RequestId(n)) for n in range(1, 6)))
        bench.ack(2)
        bench.read()
        bench.pass_us(3 * ELECTION_MAX_US)
        bench.beat(3, term=9)
        return bench.done

    first, second = story(), story()
    assert first == second and repr(first) == repr(second)


def test_a_quiet_follower_is_not_a_busy_loop() -> None:
    """L9: steps a simulated second are bounded; the deadline always lies ahead."""
    bench = Bench()
    bench.beat(2)
    steps = 0
    end = bench.now_us + 60_000_000
    while bench.now_us < end:
        bench.now_us = max(bench.now_us, min(bench.replica.deadline_us, end))
        bench.step()
        steps += 1
    assert steps < 300
