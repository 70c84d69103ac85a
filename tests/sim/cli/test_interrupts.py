"""Ctrl-C while `ferrite-sim` starts: it ends as at any other time. When it strikes is part of the test, not of chance."""

import signal
import subprocess
import sys

import pytest

from ferrite.sim.search.workers import local_workers

STRIKE = "import signal; signal.raise_signal(signal.SIGINT)"
PROGRAM = """
import runpy, sys

class Strikes:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            {strike}

sys.meta_path.insert(0, Strikes())
sys.argv = ["ferrite-sim", *{words!r}]
runpy.run_module("ferrite.sim", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("strike", [STRIKE, f"exec({STRIKE!r})"])
@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("ferrite.sim.cli.group", ["run"]),
        ("ferrite.sim.cluster", ["options"]),
        ("ferrite.sim.search.sweep", ["sweep", "--seeds", "1..9"]),
        ("tests.sim.mutants", ["mutants", "--only", "1"]),
    ],
)
def test_ctrl_c_while_a_command_is_loaded_ends_it_with_130_and_a_line(
    module: str, words: list[str], strike: str
) -> None:
    program = PROGRAM.format(module=module, strike=strike, words=words)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    # On a terminal the line of the `^C` may be ended before.
    assert (done.returncode, done.stderr.lstrip("\n")) == (130, "ferrite-sim: interrupted\n")


def hears_interrupts() -> bool:
    """Run in a worker. Nothing but what it was started with can have blocked them."""
    return signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_worker_is_started_deaf_to_ctrl_c_and_its_parent_still_hears_it() -> None:
    with local_workers(1) as workers:
        assert not workers.submit(hears_interrupts).result()
        workers.renew()
        assert not workers.submit(hears_interrupts).result()
        assert hears_interrupts()


def test_the_front_door_gives_the_function_swarm_also_after_the_module_of_that_name_was_loaded() -> None:
    program = "import ferrite.sim.swarm; from ferrite.sim import Options, swarm; assert isinstance(swarm(1), Options)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
