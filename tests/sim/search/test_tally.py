from itertools import permutations

from ferrite.sim.search.tally import Tally
from tests.sim.search import runners


def tally_of(*seeds: int) -> Tally:
    tally = Tally()
    for seed in seeds:
        tally.add(runners.fails_at_the_bad_seed(seed))
    return tally


def test_the_order_of_outcomes_changes_nothing_that_is_reported() -> None:
    assert len({str(tally_of(*order).to_json()) for order in permutations((1, 2, 3))}) == 1


def test_the_combined_digest_sees_every_seed_and_every_digest() -> None:
    digests = {tally_of(*seeds).combined_digest() for seeds in ((), (1,), (2,), (1, 2), (1, 3))}
    assert len(digests) == 5


def test_marks_that_no_run_reached_are_named() -> None:
    assert tally_of(1, 2).never_reached() == ["rare"]
    assert tally_of(1, 2, 5).never_reached() == []


def test_percentiles_are_values_that_occurred() -> None:
    tally = tally_of(*range(4, 104))
    assert (tally.cpu_us_percentile(50), tally.cpu_us_percentile(99)) == (53_000, 102_000)
    assert Tally().cpu_us_percentile(99) == 0


def test_speed_is_simulated_time_per_cpu_time() -> None:
    assert tally_of(1, 4).simulated_per_cpu_milli() == 800_000
