"""Planted bugs are found, by the shortest path there is; the path is proved by living replicas that share nothing."""

from collections.abc import Callable

import pytest

from ferrite.core import Replica
from ferrite.sim.exhaustive import Limits, Outcome, replay, search
from tests.sim.exhaustive import plants, stories


def found(outcome: Outcome, replica_class: type[Replica] = Replica) -> str:
    """The violation's name, once it is proved."""
    assert outcome.violation is not None, "the planted bug was not found"
    nodes = outcome.limits.nodes
    assert str(replay(outcome.path, nodes=nodes, replica_class=replica_class)) == str(outcome.violation)
    assert replay(outcome.path[:-1], nodes=nodes, replica_class=replica_class) is None
    return outcome.violation.name


@pytest.mark.parametrize(
    "replica_class, limits, name, steps",
    [
        (plants.GrantsEveryVote, Limits(timeouts=2, proposals=0, buffered_max=6), "S11", 7),
        (plants.ForgetsItsVote, Limits(nodes=2, timeouts=2, proposals=0, crashes=1), "S7", 5),
        (plants.SpeaksBeforeItIsDurable, Limits(timeouts=1, proposals=0, slow_syncs=1), "S11", 3),
        (plants.SpeaksBeforeItIsDurable, Limits(nodes=2, timeouts=1, slow_syncs=1), "S11", 3),
    ],
)
def test_a_replica_that_lies_is_found(
    replica_class: type[Replica], limits: Limits, name: str, steps: int
) -> None:
    outcome = search(limits, replica_class=replica_class)
    assert (found(outcome, replica_class), len(outcome.path)) == (name, steps)


@pytest.mark.parametrize(
    "plant, story, limits, name, steps",
    [
        (
            plants.takes_a_refusal_for_success,
            stories.a_leader_that_nobody_heard,
            Limits(timeouts=1, proposals=0, buffered_max=5),
            "S10",
            7,
        ),
        (
            plants.accepts_any_previous_term,
            stories.two_leaders_with_an_entry_each,
            Limits(timeouts=2, proposals=0, buffered_max=4),
            "S3",
            12,
        ),
        (
            plants.counts_earlier_terms,
            stories.two_leaders_with_an_entry_each,
            Limits(timeouts=2, proposals=0, buffered_max=4),
            "S9",
            15,
        ),
        (
            plants.length_decides,
            stories.a_longer_log_of_an_earlier_term,
            Limits(timeouts=3, proposals=0, buffered_max=4),
            "S4",
            9,
        ),
    ],
)
def test_a_replaced_function_is_found_near_the_end_of_a_story(
    plant: Callable[[pytest.MonkeyPatch], None],
    story: stories.Telling,
    limits: Limits,
    name: str,
    steps: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = story().path
    plant(monkeypatch)
    outcome = search(limits, after=begun)
    assert outcome.path[: len(begun)] == tuple(begun)
    assert (found(outcome), len(outcome.path) - len(begun)) == (name, steps)


def test_a_bug_that_the_story_itself_meets_is_reported_where_it_shows() -> None:
    begun = stories.two_leaders_with_an_entry_each().path
    outcome = search(Limits(), after=begun, replica_class=plants.SpeaksBeforeItIsDurable)
    assert found(outcome, plants.SpeaksBeforeItIsDurable) == "S11"
    assert (outcome.path, outcome.states) == (tuple(begun[:3]), 0)
