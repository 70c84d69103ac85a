"""The command line: `run --seed N [--nodes N] [--seconds S]`. Exit code 0 clean, 1 safety violation, 2 bad input, 3 liveness,
4 crash.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ferrite.sim.cluster import Cluster, Result
from ferrite.sim.options import NODES_MAX, SECONDS_MAX
from ferrite.sim.swarm import swarm

EXIT_CODES: Final = {"safety": 1, "linearizability": 1, "liveness": 3, "crash": 4}
SEED_MAX: Final = 2**63 - 1
TRACE_LINES: Final = 40


def main(arguments: Sequence[str]) -> int:
    """Run one command; return the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    seconds = given.seconds
    options = replace(
        swarm(given.seed, nodes=given.nodes, seconds=seconds), trace_lines=TRACE_LINES if given.trace else 0
    )
    cluster = Cluster(given.seed, options)
    result = cluster.run()
    _print(result, _replay_command(given), cluster.trace_lines())
    return 0 if result.violation is None else EXIT_CODES[result.violation.kind]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ferrite.sim", description="A whole Ferrite cluster in one seeded process."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="one run with the options that its seed draws")
    run.add_argument(
        "--seed", type=_number(0, SEED_MAX), required=True, help="everything random comes from it"
    )
    run.add_argument(
        "--nodes", type=_number(0, NODES_MAX), default=0, help="voters at the start; 0: the seed draws 3 or 5"
    )
    run.add_argument("--seconds", type=_number(1, SECONDS_MAX), default=20, help="simulated time with faults")
    run.add_argument("--trace", action="store_true", help=f"print the last {TRACE_LINES} steps of a failure")
    return parser


class _number:  # noqa: N801 - argparse shows the name of the type in its errors
    """A number within bounds, for argparse."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def __call__(self, text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = self.low - 1
        if not self.low <= number <= self.high:
            raise argparse.ArgumentTypeError(
                f"{text!r} is out of range; expected a whole number from {self.low} to {self.high}"
            )
        return number


def _replay_command(given: argparse.Namespace) -> str:
    nodes = f" --nodes {given.nodes}" if given.nodes else ""
    return f"python -m ferrite.sim run --seed {given.seed}{nodes} --seconds {given.seconds}"


def _print(result: Result, command: str, trace: Sequence[str]) -> None:
    found = result.violation
    if found is None:
        print("verdict: clean")
    else:
        print(f"verdict: {found.kind}")
        print(f"invariant: {found.name}: {found.sentence}")
        print(textwrap.fill(f"facts: {found.facts}", width=160, subsequent_indent="  "))
        print(f"at: {found.time_us} us, event {found.event_number}")
        for line in trace:
            print(f"  {line}")
    print(f"seed: {result.seed}")
    print(f"replay: {command}")
    print(f"simulated: {result.simulated_us // 1_000_000} s, {result.events} events, {result.steps} steps")
    print(f"operations: {result.operations_ok} acknowledged of {result.operations}")
    print("counters: " + ", ".join(f"{name} {count}" for name, count in result.counters.items()))
    print(f"digest: {result.digest}")
