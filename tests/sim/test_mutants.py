"""The search finds planted bugs: the proof that a run's faults and checks are good for something. The stories that each bug fails
stand in `test_mutant_scenarios.py`.
"""

import pickle
from contextlib import ExitStack

import pytest

import ferrite.core.replica
from ferrite.core import Membership, Replica
from ferrite.sim import Cluster, Violation, swarm
from tests.sim.mutants import BY_NUMBER, MUTANTS, Mutant
from tests.sim.mutants.planting import pretending, replaced

SECONDS = 8
SEEDS = 8
QUICK = (1, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 32, 42, 43)
"""Found within the first seeds, whatever they draw. The others need a longer search: `needs` says what for."""


def first_violation(mutant: Mutant) -> Violation | None:
    for seed in range(SEEDS):
        violation = mutant.run(seed, swarm(seed, seconds=SECONDS)).violation
        if violation is not None:
            return violation
    return None


@pytest.mark.parametrize("number", QUICK, ids=lambda number: BY_NUMBER[number].name)
def test_a_planted_bug_is_found_within_a_few_seeds(number: int) -> None:
    assert first_violation(BY_NUMBER[number]) is not None, "the planted bug was not found"


def test_the_thirty_are_all_there_and_numbers_are_unique() -> None:
    numbers = [mutant.number for mutant in MUTANTS]
    assert numbers == sorted(set(numbers))
    assert set(range(1, 31)) <= set(numbers)
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_what_cannot_be_planted_says_why() -> None:
    for mutant in MUTANTS:
        assert (mutant.plant is None) == bool(mutant.impossible), mutant.name
    with pytest.raises(ValueError, match="mutant 30 cannot be planted: there are no lease reads"):
        BY_NUMBER[30].run(0, swarm(0))


def test_every_plant_is_undone() -> None:
    watched = [vars(Membership), vars(ferrite.core.replica), Cluster.__init__.__kwdefaults__]
    before = [dict(names or {}) for names in watched]
    for mutant in MUTANTS:
        if mutant.plant is not None:
            with mutant.planted():
                pass
    assert [dict(names or {}) for names in watched] == before


def test_a_plant_whose_target_has_moved_plants_nothing_silently() -> None:
    moved = replaced(lambda honest: honest, "ferrite.core.replica:advance_commit_by_fiat")
    with pytest.raises(LookupError, match="has no advance_commit_by_fiat"), moved():
        pass
    with (
        pytest.raises(LookupError, match="has no joint_consensus"),
        pretending(Membership, "joint_consensus", 1),
    ):
        pass


def test_a_target_that_fails_to_be_there_undoes_the_first_half() -> None:
    honest = Membership.committed
    half = replaced(
        lambda _honest: None, "ferrite.core.membership:Membership.committed", "ferrite.core.membership:gone"
    )
    with pytest.raises(LookupError), ExitStack() as undo:
        undo.enter_context(half())
    assert Membership.committed is honest


def test_a_mutant_names_the_class_that_nodes_make_their_replica_with() -> None:
    assert BY_NUMBER[7].replica_class is Replica
    assert issubclass(BY_NUMBER[27].replica_class, Replica)
    assert BY_NUMBER[27].replica_class is not Replica


def test_a_mutant_travels_to_other_processes_by_its_number() -> None:
    assert [pickle.loads(pickle.dumps(mutant)) for mutant in MUTANTS] == list(MUTANTS)
    assert len(pickle.dumps(BY_NUMBER[7])) < 100
