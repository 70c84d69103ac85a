"""Runners that need no cluster: what a sweep does with outcomes, failures and dead workers shows without one."""

import os
import signal

from ferrite.sim.search.sweep import SeedOutcome

BAD_SEED = 3


def clean(seed: int) -> SeedOutcome:
    return SeedOutcome(
        seed=seed,
        verdict="clean",
        digest=f"digest of {seed}",
        simulated_us=2_000_000,
        cpu_us=1000 * seed,
        marks={"always": 2, "rare": seed // 5},
    )


def fails_at_the_bad_seed(seed: int) -> SeedOutcome:
    if seed != BAD_SEED:
        return clean(seed)
    return SeedOutcome(
        seed=seed,
        verdict="safety",
        digest="digest of a failure",
        invariant="S1",
        sentence="One leader a term.",
        facts="two lead",
        time_us=1_234_567,
    )


def kills_its_process_at_the_bad_seed(seed: int) -> SeedOutcome:
    if seed == BAD_SEED:
        os.kill(os.getpid(), signal.SIGKILL)
    return clean(seed)


def cannot_run(seed: int) -> SeedOutcome:
    raise ModuleNotFoundError(f"No module named 'other' (seed {seed})")


def never_ends(seed: int) -> SeedOutcome:
    while True:
        pass
