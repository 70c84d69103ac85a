import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ferrite.sim.search.settings import RunChoice, SettingInvalid
from ferrite.sim.search.spread import CHUNK_PIECES_MAX
from ferrite.sim.search.sweep import Runner, SeedOutcome, run_seed, seed_runner, sweep
from ferrite.sim.search.tally import Tally
from ferrite.sim.search.workers import WorkersFailed, dask_workers, local_workers
from tests.sim.search import runners

ROOT = Path(__file__).parents[3]
SHORT = RunChoice(nodes=3, seconds=1)


def swept(seeds: range, run: Runner, jobs: int) -> Tally:
    tally = Tally()
    with local_workers(jobs) as workers:
        for outcome in sweep(seeds, run, workers):
            tally.add(outcome)
    return tally


def test_two_workers_give_the_same_combined_digest_as_one() -> None:
    one, two = (swept(range(1, 6), seed_runner(SHORT), jobs) for jobs in (1, 2))
    assert sorted(one.digests) == list(range(1, 6))
    assert one.combined_digest() == two.combined_digest()
    assert len(set(one.digests.values())) == 5


def test_every_seed_comes_back_once_with_chunks_of_any_size() -> None:
    seeds = range(5, 5 + 7 * CHUNK_PIECES_MAX, 3)
    tally = swept(seeds, runners.clean, 2)
    assert (tally.done, sorted(tally.digests)) == (len(seeds), list(seeds))


def test_a_seed_that_kills_its_worker_is_named_and_the_others_are_judged_all_the_same() -> None:
    tally = swept(range(1, 9), runners.kills_its_process_at_the_bad_seed, 2)
    assert sorted(tally.digests) == list(range(1, 9))
    (dead,) = tally.failures
    assert (dead.seed, dead.verdict, dead.invariant) == (runners.BAD_SEED, "crash", "WORKER")
    assert "seed 3 alone" in dead.facts


def test_an_error_that_is_not_the_seeds_ends_the_sweep_and_says_so() -> None:
    with pytest.raises(WorkersFailed, match=r"No module named 'other'.*same version of ferrite"):
        swept(range(1, 9), runners.cannot_run, 1)


def test_closing_the_iterator_ends_the_sweep_early() -> None:
    with (
        local_workers(1) as workers,
        contextlib.closing(sweep(range(10_000), runners.clean, workers)) as outcomes,
    ):
        assert next(outcomes).seed == 0


def test_settings_that_do_not_fit_what_a_later_seed_draws_name_that_seed() -> None:
    # Nine nodes leave no place for spares; about every third seed draws none and would fit.
    spares = {seed: RunChoice().options(seed).spares for seed in range(20)}
    seed = next(seed for seed, drawn in spares.items() if drawn)
    with pytest.raises(SettingInvalid, match=f"^seed {seed}: spares is"):
        run_seed(RunChoice(settings=(("nodes", "9"),)), seed)


def test_an_exception_in_a_run_is_a_crash_of_that_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("ferrite.sim.cluster.Cluster.run", breaks)
    outcome = run_seed(SHORT, 1)
    assert (outcome.verdict, outcome.invariant) == ("crash", "ZeroDivisionError")
    assert "planted (in breaks, test_sweep.py line" in outcome.facts


def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(WorkersFailed, match=r"pip install 'ferrite\[dask\]'"),
        dask_workers("tcp://127.0.0.1:1"),
    ):
        pass


def test_an_outcome_is_a_plain_value_that_travels() -> None:
    import pickle

    outcome = runners.fails_at_the_bad_seed(runners.BAD_SEED)
    copy = pickle.loads(pickle.dumps(outcome))
    assert isinstance(copy, SeedOutcome)
    assert copy == outcome


ENDLESS = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin deaf to it, and pass that on
from ferrite.sim.search.sweep import sweep
from ferrite.sim.search.workers import local_workers
from tests.sim.search import runners

with local_workers(1) as workers:
    print(list(sweep(range(5), runners.never_ends, workers)))
"""


def test_an_interrupt_as_a_worker_starts_leaves_interrupts_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else no second one is heard: the search hangs until somebody kills it."""
    real = signal.pthread_sigmask

    def as_one_waits(how: int, mask: set[signal.Signals]) -> set[signal.Signals | int]:
        before = real(how, mask)
        if mask == {signal.SIGINT}:
            raise KeyboardInterrupt
        return before

    monkeypatch.setattr(signal, "pthread_sigmask", as_one_waits)
    try:
        with local_workers(1) as workers, pytest.raises(KeyboardInterrupt):
            workers.submit(abs, 1)
        assert signal.SIGINT not in real(signal.SIG_BLOCK, ())
    finally:
        real(signal.SIG_UNBLOCK, {signal.SIGINT})


def test_a_second_ctrl_c_does_not_wait_for_a_run_that_never_ends(tmp_path: Path) -> None:
    """It would hang here, until the limit for all tests."""
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-c", ENDLESS], cwd=ROOT, stdout=log, stderr=log)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not children.read_text():
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
    assert "KeyboardInterrupt" in (tmp_path / "log").read_text()
