"""Everything within small limits is explored, and the honest core breaks no check in it."""

import subprocess
import sys

import pytest

from ferrite.sim.exhaustive import Kind, Limits, Progress, Step, replay, search
from tests.sim.exhaustive import stories
from tests.sim.exhaustive.plants import GrantsEveryVote

TINY = Limits(nodes=2, timeouts=1, proposals=1, buffered_max=4)
DOUBLE_VOTE = Limits(timeouts=2, proposals=0, buffered_max=6)


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param(Limits(nodes=1, timeouts=2, proposals=1, crashes=2, slow_syncs=1), id="one node alone"),
        pytest.param(Limits(nodes=2, timeouts=2, proposals=1, buffered_max=4), id="two nodes"),
        pytest.param(
            Limits(
                nodes=2,
                timeouts=1,
                proposals=1,
                crashes=1,
                slow_syncs=1,
                drops=1,
                duplicates=1,
                buffered_max=3,
            ),
            id="two nodes, a crash and a slow sync",
        ),
        pytest.param(Limits(timeouts=1, proposals=1, buffered_max=4), id="an election of three, and a write"),
        pytest.param(Limits(timeouts=1, heartbeats=1, proposals=0, buffered_max=3), id="a leader alone"),
    ],
)
def test_the_honest_core_breaks_no_check_within_limits(limits: Limits) -> None:
    outcome = search(limits)
    assert outcome.violation is None, [str(step) for step in outcome.path]
    assert outcome.exhausted
    assert outcome.path == ()


@pytest.mark.parametrize(
    "story", [stories.two_leaders_with_an_entry_each, stories.a_longer_log_of_an_earlier_term]
)
def test_the_honest_core_breaks_no_check_after_a_story(story: stories.Telling) -> None:
    outcome = search(Limits(timeouts=2, proposals=0, buffered_max=3), after=story().path)
    assert outcome.exhausted, outcome.violation


def test_a_search_that_is_cut_says_by_which_limit() -> None:
    shallow = search(Limits(timeouts=2, depth_max=3))
    assert (shallow.cut_by, shallow.depth, shallow.exhausted) == ("depth_max", 3, False)
    small = search(Limits(timeouts=2, states_max=50))
    assert (small.cut_by, small.states, small.exhausted) == ("states_max", 50, False)
    assert small.depth < small.states


def test_every_budget_widens_the_space() -> None:
    base = {"nodes": 2, "timeouts": 1, "proposals": 0, "buffered_max": 3}
    states = search(Limits(**base)).states
    for budget in (
        "timeouts",
        "heartbeats",
        "proposals",
        "crashes",
        "duplicates",
        "slow_syncs",
    ):
        wider = search(Limits(**{**base, budget: base.get(budget, 0) + 1}))
        assert wider.exhausted
        assert wider.states > states, budget


def test_a_larger_buffer_widens_the_space() -> None:
    narrow, wide = (search(Limits(timeouts=1, proposals=0, buffered_max=size)) for size in (3, 4))
    assert wide.states > narrow.states


def test_a_drop_makes_room_for_more_messages() -> None:
    base = {"nodes": 2, "timeouts": 2, "proposals": 0, "buffered_max": 2}
    assert search(Limits(**base, drops=1)).states > search(Limits(**base)).states


def test_progress_is_told_now_and_then() -> None:
    told: list[Progress] = []
    outcome = search(Limits(timeouts=2, states_max=1100), progress=told.append)
    assert [progress.states for progress in told] == [1000]
    assert told[-1].depth <= outcome.depth
    assert all(progress.waiting > 0 for progress in told)


def test_the_same_limits_give_the_same_search_whatever_the_hash_seed() -> None:
    code = (
        "from ferrite.sim.exhaustive import Limits, search\n"
        "from tests.sim.exhaustive.plants import GrantsEveryVote\n"
        "found = search(Limits(timeouts=2, proposals=0, buffered_max=6), replica_class=GrantsEveryVote)\n"
        "clean = search(Limits(nodes=2, timeouts=1, proposals=0, crashes=1, slow_syncs=1, buffered_max=2))\n"
        "print(found.states, found.transitions, found.violation, *found.path, sep='\\n')\n"
        "print(clean.states, clean.transitions, clean.turns, clean.depth)\n"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert "S11" in printed[0]
    assert printed[0] == printed[1]


def test_a_path_is_replayed_and_ends_in_the_same_violation() -> None:
    outcome = search(DOUBLE_VOTE, replica_class=GrantsEveryVote)
    assert outcome.violation is not None
    again = replay(outcome.path, replica_class=GrantsEveryVote)
    assert str(again) == str(outcome.violation)
    assert replay(outcome.path[:-1], replica_class=GrantsEveryVote) is None
    assert replay(outcome.path) is None, "the honest core breaks nothing on the way"


def test_a_step_reads_as_a_sentence() -> None:
    outcome = search(DOUBLE_VOTE, replica_class=GrantsEveryVote)
    lines = [str(step) for step in outcome.path]
    assert lines[0] == "1 times out"
    assert lines[-1] == "deliver RequestVote (term 2, log to 1 of term 1) 1>2"
    assert str(Step(kind=Kind.POWER_LOSS, node=2)) == "2 crashes, all un-synced writes lost"
    assert (
        str(Step(kind=Kind.POWER_LOSS, node=2, number=1))
        == "2 crashes, all but the first 1 un-synced writes lost"
    )
    assert str(Step(kind=Kind.TIMEOUT, node=3, slow=True)) == "3 times out (3 does not sync yet)"
    assert "1000000" not in str(outcome.violation), "nodes go by their numbers"


def test_a_step_that_cannot_happen_is_refused() -> None:
    path = search(DOUBLE_VOTE, replica_class=GrantsEveryVote).path
    with pytest.raises(ValueError, match="step 1 cannot happen here: deliver PreVote "):
        replay(path[2:])
    with pytest.raises(ValueError, match="step 1 cannot happen here: 1 restarts"):
        replay([Step(kind=Kind.RESTART, node=1)])
    with pytest.raises(ValueError, match="step 1 cannot happen here: 4 times out"):
        search(TINY, after=[Step(kind=Kind.TIMEOUT, node=4)])


@pytest.mark.parametrize(
    "bad, sentence",
    [
        ({"nodes": 4}, "nodes is 4; expected 1 to 3"),
        ({"timeouts": -1}, "timeouts is -1; expected 0 to 1000"),
        ({"buffered_max": 5000}, "buffered_max is 5000; expected 0 to 1000"),
        ({"states_max": 0}, "states_max is 0; expected 1 or more"),
    ],
)
def test_limits_out_of_range_are_refused(bad: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Limits(**bad)
