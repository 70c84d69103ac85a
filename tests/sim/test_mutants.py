"""Planted bugs are caught: the proof that the checks can fail. Each names the checks that may be the first to see it."""

from collections.abc import Callable

import pytest

from ferrite.core import Replica
from ferrite.sim import Cluster, Violation, swarm
from tests.sim import mutants

SECONDS = 8


def first_violation(seeds: range, replica_class: type[Replica] = Replica) -> Violation | None:
    for seed in seeds:
        violation = Cluster(seed, swarm(seed, seconds=SECONDS), replica_class=replica_class).run().violation
        if violation is not None:
            return violation
    return None


@pytest.mark.parametrize(
    "replica_class, seeds, expected",
    [
        (mutants.VotesBeforeDurable, range(5), {"S11"}),
        (mutants.AcknowledgesBeforeDurable, range(5), {"S11", "S10", "DR3"}),
        (mutants.IgnoresSyncErrors, range(5), {"S11", "S10", "S12", "DR3"}),
        (mutants.GrantsEveryVote, range(12, 20), {"S11", "S7", "S1", "S14"}),
        (mutants.AcknowledgesItsOwnEnd, range(5), {"S11", "S12"}),
        (mutants.ReadsWithoutQuorum, range(3, 10), {"S18"}),
    ],
)
def test_a_replica_that_lies_is_caught(
    replica_class: type[Replica], seeds: range, expected: set[str]
) -> None:
    violation = first_violation(seeds, replica_class)
    assert violation is not None, "the planted bug was not found"
    assert violation.name in expected, violation


@pytest.mark.parametrize(
    "plant, seeds, expected",
    [
        (mutants.commits_earlier_terms, range(5), {"S9"}),
        (mutants.truncates_always, range(5), {"S4", "S10", "S12", "CORE"}),
        (mutants.learners_count, range(34, 40), {"S10", "S14"}),
        (mutants.joint_needs_new_majority_only, range(58, 64), {"S10", "S14"}),
        (mutants.sessions_forget, range(5), {"S17"}),
        (mutants.snapshots_omit_sessions, range(3, 10), {"S16", "S15"}),
    ],
)
def test_a_replaced_function_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None],
    seeds: range,
    expected: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch)
    violation = first_violation(seeds)
    assert violation is not None, "the planted bug was not found"
    assert violation.name in expected, violation
