"""A run that failed becomes the smallest story that fails in the same way."""

import pytest

from ferrite.sim import Cluster, swarm
from ferrite.sim.search.shrink import NotReproduced, shrink
from ferrite.sim.search.tapes import play, record
from ferrite.sim.tape import Tape, from_json, to_json
from tests.sim.mutants import BY_NUMBER

SEEDS_MAX = 30
EARLY_US = 300_000


def failing(number: int) -> Tape:
    """The tape of the first seed that this planted bug fails on early, so that few trials do. Called while it is planted."""
    for seed in range(1, SEEDS_MAX):
        found = Cluster(seed, swarm(seed)).run().violation
        if found is not None and found.time_us < EARLY_US:
            return record(Cluster(seed, swarm(seed), keep_draws=True))[0]
    raise AssertionError(f"the planted bug {number} was not found")


@pytest.mark.parametrize("number", [7, 16])
def test_a_failure_shrinks_to_a_few_events_and_still_fails_alike(number: int) -> None:
    with BY_NUMBER[number].planted():
        tape = failing(number)
        small = shrink(tape, trials_max=60)
        assert small.result.violation is not None
        assert small.result.violation.name == tape.violation
        again = play(from_json(to_json(small.tape))).run(until_us=small.tape.until_us + 1)
        assert again.violation is not None
        assert again.violation.name == tape.violation
    assert small.after.faults <= 2
    assert small.after.operations <= 5
    assert small.after.draws < small.before.draws or small.before.draws < 10
    assert small.sentence().startswith(f"faults {small.before.faults} -> {small.after.faults}")
    assert play(small.tape).run(until_us=small.tape.until_us + 1).violation is None, (
        "honest code survives the story"
    )


def test_a_tape_of_a_clean_run_has_nothing_to_shrink() -> None:
    tape, _ = record(Cluster(3, swarm(3, seconds=1), keep_draws=True))
    with pytest.raises(NotReproduced):
        shrink(tape)
