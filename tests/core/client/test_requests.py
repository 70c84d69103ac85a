from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ferrite.core.client import (
    WINDOW_REQUESTS,
    Action,
    AttemptAnswered,
    AttemptLost,
    AttemptRefused,
    CallCancelled,
    CallKind,
    CallMade,
    Discover,
    Failure,
    Finish,
    MembersFound,
    Requests,
    RetryPolicy,
    Try,
)
from tests.core.client.adversary import TIMEOUT_US, World

ENDPOINTS = ("a", "b", "c")


def first(bound: int) -> int:
    return 0


def requests(policy: RetryPolicy | None = None) -> Requests:
    return Requests(b"client", ENDPOINTS, first, policy)


def made(call: int = 1, kind: CallKind = CallKind.CHANGE, **more: object) -> CallMade:
    return CallMade(call=call, kind=kind, **{"deadline_us": TIMEOUT_US, **more})  # type: ignore[arg-type]  # a test's own fields


def tried(actions: list[Action]) -> Try:
    (found,) = [action for action in actions if isinstance(action, Try)]
    return found


def finished(actions: list[Action]) -> Finish:
    (found,) = [action for action in actions if isinstance(action, Finish)]
    return found


def refused(attempt: int, code: str, *, certain: bool = True, **more: object) -> AttemptRefused:
    return AttemptRefused(
        attempt=attempt,
        code=code,
        detail="why",
        certainly_not_applied=certain,
        **more,  # type: ignore[arg-type]  # a test's own fields
    )


# -- the adversary


def play(world: World, moves: bytes) -> None:
    """Each move is two bytes: what happens, and to which."""
    for kind, position in zip(moves[::2], moves[1::2], strict=False):
        match kind % 16:
            case 0 | 1 | 2:
                world.call()
            case 3 | 4:
                world.deliver_request(position)
            case 5:
                world.deliver_request(position, answered=False)
            case 6:
                world.deliver_request(position, late=True)
            case 7:
                world.lose_request(position, known=bool(position & 1))
            case 8 | 9:
                world.deliver_answer(position)
            case 10:
                world.lose_answer(position)
            case 11:
                world.run_limbo(position)
            case 12:
                world.change_leader(position)
            case 13 if position > 200:
                world.server.expire()
            case _:
                world.pass_time(1 + position * 20_000)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=500))
def test_every_call_ends_and_counts_as_its_end_says(moves: bytes) -> None:
    world = World()
    play(world, moves)
    world.heal()
    while world.limbo:
        world.run_limbo(0)
    totals = []
    for call, end in world.finished.items():
        counted = world.server.counted.get(call, 0)
        if end.failure is None:
            assert counted == 1, f"call {call} was acknowledged and counted {counted} times"
            totals.append(end.answer)
        elif end.failure.certainly_not_applied:
            assert counted == 0, f"call {call}: {end.failure}, and counted {counted} times"
        else:
            assert counted <= 1
    assert len(set(totals)) == len(totals), "every acknowledged increment has its own sum"
    assert world.requests.outstanding == 0


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_the_same_story_gives_the_same_orders(moves: bytes) -> None:
    stories = []
    for _ in range(2):
        world = World()
        play(world, moves)
        stories.append((world.finished, world.pairs, world.sent))
    assert stories[0] == stories[1]


def test_a_call_is_sent_with_one_pair_until_its_session_is_refused() -> None:
    calls = requests()
    attempt = tried(calls.step([made()], 0))
    again = tried(calls.step([AttemptLost(attempt=attempt.attempt, detail="broken", sent=True)], 1))
    assert (again.session.client_id, again.session.request_id) == (b"client.1", 1) if again.session else False
    assert again.endpoint != attempt.endpoint


# -- what a refusal means


def test_a_refusal_that_names_the_leader_sends_the_call_there_at_once() -> None:
    calls = requests()
    attempt = tried(calls.step([made()], 0))
    hinted = tried(calls.step([refused(attempt.attempt, "not_leader", leader="c")], 1))
    assert hinted.endpoint == "c"
    assert tried(calls.step([made(2)], 2)).endpoint == "c", "and later calls as well"


def test_two_nodes_that_name_each_other_are_not_asked_without_a_pause() -> None:
    calls = requests()
    attempt = tried(calls.step([made()], 0))
    other = "a" if attempt.endpoint != "a" else "b"
    second = tried(calls.step([refused(attempt.attempt, "not_leader", leader=other)], 1))
    assert calls.step([refused(second.attempt, "not_leader", leader=attempt.endpoint)], 2) == []
    assert calls.deadline_us > 2


def test_a_session_that_expired_without_an_unknown_attempt_is_replaced_silently() -> None:
    calls = requests()
    attempt = tried(calls.step([made()], 0))
    again = tried(calls.step([refused(attempt.attempt, "session_expired", certain=False)], 1))
    assert again.session is not None and again.session.client_id == b"client.2"


def test_a_session_that_expired_after_an_unknown_attempt_is_the_callers_to_know() -> None:
    calls = requests()
    attempt = tried(calls.step([made()], 0))
    again = tried(calls.step([AttemptLost(attempt=attempt.attempt, detail="broken", sent=True)], 1))
    end = finished(calls.step([refused(again.attempt, "session_expired", certain=False)], 2))
    assert end.failure is not None
    assert (end.failure.code, end.failure.certainly_not_applied) == ("session_expired", False)
    assert tried(calls.step([made(2)], 3)).session.client_id == b"client.2"  # type: ignore[union-attr]  # a change has a session


def test_a_refusal_at_another_door_does_not_make_an_unknown_attempt_certain() -> None:
    calls = requests()
    attempt = tried(calls.step([made()], 0))
    again = tried(calls.step([AttemptLost(attempt=attempt.attempt, detail="broken", sent=True)], 1))
    end = finished(calls.step([refused(again.attempt, "too_large")], 2))
    assert end.failure is not None and end.failure.code == "unknown_outcome"


def test_what_the_machine_says_is_the_truth_about_all_attempts() -> None:
    calls = requests()
    attempt = tried(calls.step([made()], 0))
    again = tried(calls.step([AttemptLost(attempt=attempt.attempt, detail="broken", sent=True)], 1))
    end = finished(calls.step([refused(again.attempt, "compacted", revision=7)], 2))
    assert end.failure is not None
    assert (end.failure.code, end.failure.revision, end.failure.certainly_not_applied) == (
        "compacted",
        7,
        True,
    )


def test_what_has_no_session_is_not_repeated_once_it_may_have_happened() -> None:
    calls = requests()
    attempt = tried(calls.step([made(kind=CallKind.UNREPEATABLE)], 0))
    end = finished(calls.step([AttemptLost(attempt=attempt.attempt, detail="broken", sent=True)], 1))
    assert end.failure is not None and end.failure.code == "unknown_outcome"


def test_a_late_answer_to_an_earlier_attempt_ends_the_call() -> None:
    calls = requests()
    attempt = tried(calls.step([made()], 0))
    again = tried(calls.step([], calls.deadline_us))
    assert again.attempt != attempt.attempt
    end = finished(calls.step([AttemptAnswered(attempt=attempt.attempt, answer="here")], 3_000_000))
    assert end.answer == "here"
    assert calls.step([AttemptAnswered(attempt=again.attempt, answer="here")], 3_000_001) == []


# -- deadlines and limits


def test_an_unanswered_change_is_unknown_at_its_deadline_and_a_read_is_not() -> None:
    calls = requests()
    calls.step([made(1), made(2, CallKind.REPEATABLE)], 0)
    ends: dict[int, Failure] = {}
    while len(ends) < 2:
        for action in calls.step([], calls.deadline_us):
            if isinstance(action, Finish):
                assert action.failure is not None
                ends[action.call] = action.failure
    assert calls._now_us == TIMEOUT_US
    assert (ends[1].code, ends[1].certainly_not_applied) == ("unknown_outcome", False)
    assert (ends[2].code, ends[2].certainly_not_applied) == ("deadline_exceeded", True)


def test_a_call_that_was_always_refused_ends_with_the_refusal() -> None:
    calls = requests()
    actions = calls.step([made()], 0)
    now_us = 0
    while not any(isinstance(action, Finish) for action in actions):
        attempts = [action for action in actions if isinstance(action, Try)]
        if attempts:
            now_us += 1
            actions = calls.step([refused(attempts[0].attempt, "not_leader")], now_us)
        else:
            now_us = calls.deadline_us
            actions = calls.step([], now_us)
    failure = finished(actions).failure
    assert failure is not None
    assert (failure.code, failure.certainly_not_applied) == ("no_leader", True)
    assert now_us <= TIMEOUT_US


def test_a_server_that_names_a_time_is_left_alone_until_then() -> None:
    calls = requests()
    attempt = tried(calls.step([made()], 0))
    assert calls.step([refused(attempt.attempt, "overloaded", retry_after_us=700_000)], 1) == []
    assert calls.step([], 700_000) == []
    tried(calls.step([], 700_001))


def test_more_calls_than_the_limit_are_refused_at_once() -> None:
    calls = requests(RetryPolicy(calls_max=2))
    calls.step([made(1), made(2)], 0)
    end = finished(calls.step([made(3)], 1))
    assert end.failure is not None
    assert (end.failure.code, end.failure.certainly_not_applied) == ("overloaded", True)


def test_a_cancelled_call_gives_its_place_to_the_next_one() -> None:
    calls = requests()
    sent = [
        action
        for action in calls.step([made(n) for n in range(1, WINDOW_REQUESTS + 2)], 0)
        if isinstance(action, Try)
    ]
    assert len(sent) == WINDOW_REQUESTS
    assert tried(calls.step([CallCancelled(call=1)], 1)).call == WINDOW_REQUESTS + 1


# -- endpoints


def test_a_call_for_one_endpoint_is_not_taken_elsewhere() -> None:
    calls = requests()
    attempt = tried(calls.step([made(kind=CallKind.REPEATABLE, endpoint="z")], 0))
    assert attempt.endpoint == "z"
    end = finished(calls.step([AttemptLost(attempt=attempt.attempt, detail="refused", sent=False)], 1))
    assert end.failure is not None and end.failure.code == "unreachable"


def test_all_endpoints_are_tried_before_the_first_pause() -> None:
    calls = requests()
    seen = []
    actions = calls.step([made()], 0)
    while found := [action for action in actions if isinstance(action, Try)]:
        seen.append(found[0].endpoint)
        actions = calls.step([AttemptLost(attempt=found[0].attempt, detail="refused", sent=False)], len(seen))
    assert sorted(seen) == ["a", "b", "c"]
    assert calls.deadline_us > len(seen)


def test_a_failure_orders_a_discovery_and_what_is_found_is_asked() -> None:
    calls = requests()
    attempt = tried(calls.step([made()], 0))
    actions = calls.step([AttemptLost(attempt=attempt.attempt, detail="refused", sent=False)], 1)
    assert Discover() in actions
    calls.step([MembersFound(endpoints=("d",))], 2)
    assert calls.endpoints.all == ("a", "b", "c", "d")


def test_an_endpoint_that_failed_rests_longer_each_time() -> None:
    calls = requests()
    endpoints = calls.endpoints
    rests = []
    now_us = 0
    for _ in range(4):
        endpoints.failed("a", now_us)
        until_us = endpoints._cool_until_us("a")
        rests.append(until_us - now_us)
        now_us = until_us
    assert rests == sorted(set(rests))
    endpoints.did_well("a")
    assert endpoints._cool_until_us("a") == 0


def test_refusals_do_not_make_a_call_wait_longer_for_a_node_that_is_silent() -> None:
    policy = RetryPolicy()
    calls = requests(policy)
    now_us = 0
    asked: list[int] = []
    actions = calls.step([made(deadline_us=60_000_000, kind=CallKind.CHANGE)], now_us)
    while len(asked) < 12:
        attempts = [action for action in actions if isinstance(action, Try)]
        if attempts and attempts[0].endpoint != "b":
            now_us += 1_000
            actions = calls.step([refused(attempts[0].attempt, "not_leader", leader="b")], now_us)
            continue
        asked += [attempt.timeout_us for attempt in attempts]
        now_us = calls.deadline_us
        actions = calls.step([], now_us)
        if calls.outstanding == 0:
            break
    assert len(asked) > 3
    assert max(asked) == asked[0] == policy.attempt_timeout_us
    assert max(asked[1:]) == policy.attempt_timeout_us // 2, "others may know better: it is only probed"


def test_what_is_slow_everywhere_is_asked_ever_more_patiently() -> None:
    calls = Requests(b"client", ("a",), first)
    attempts = [tried(calls.step([made(deadline_us=60_000_000)], 0))]
    while calls.outstanding and len(attempts) < 4:
        attempts += [action for action in calls.step([], calls.deadline_us) if isinstance(action, Try)]
    waits = [attempt.timeout_us for attempt in attempts]
    assert waits == [waits[0] << number for number in range(4)]
