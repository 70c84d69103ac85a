"""`ferrite-sim trace` and `ferrite-sim determinism`: all that a run's digest is made of, and whether it is the same twice."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Final

import click

from ferrite.sim.cli.choices import choice_of, choice_options, seed_option
from ferrite.sim.cli.exit_codes import ExitCode, exit_code

LINES_MAX: Final = 50_000_000
"""All lines of any run that a person waits for; each is some hundred bytes of memory."""
HASH_SEEDS: Final = ("1", "2")
"""Python orders sets of texts by a secret of the process, which these replace: what depends on the order shows."""
BEFORE_SHOWN: Final = 5

_TRACE_HELP = """Print every line of a run's trace, the digest last. The digest is a hash over what these lines say.

A line has the simulated time in microseconds, the node (0: none) and what happened.

\b
  ferrite-sim trace --seed 42 --seconds 2 | less
  diff <(old/ferrite-sim trace --seed 42) <(ferrite-sim trace --seed 42) | head

The exit code is that of `ferrite-sim run`.
"""

_DETERMINISM_HELP = """Run one seed in two processes with different PYTHONHASHSEED, compare all that happened, locate the first
difference.

\b
  ferrite-sim determinism --seed 42
  ferrite-sim determinism --seed 42 --nodes 5 --seconds 60

\b
Exit codes: 0 both runs are the same, 2 bad input, 4 a run broke down, 5 they differ.
"""


@click.command(help=_TRACE_HELP, short_help="Everything that happened in a run, a line each.")
@seed_option
@choice_options
def trace(*, seed: int, nodes: int, seconds: int, settings: tuple[tuple[str, str], ...]) -> int:
    """Run and print."""
    from ferrite.sim.cluster import Cluster

    choice = choice_of(nodes, seconds, settings, seed=seed)
    cluster = Cluster(seed, replace(choice.options(seed), trace_lines=LINES_MAX))
    result = cluster.run()
    for line in cluster.trace_lines():
        sys.stdout.write(f"{line}\n")
    click.echo(f"digest: {result.digest}")
    return exit_code("clean" if result.violation is None else result.violation.kind)


@click.command(help=_DETERMINISM_HELP, short_help="The same seed twice: is it the same run? Where not?")
@seed_option
@choice_options
def determinism(*, seed: int, nodes: int, seconds: int, settings: tuple[tuple[str, str], ...]) -> int:
    """Compare two processes line by line."""
    choice = choice_of(nodes, seconds, settings, seed=seed)
    words = ["trace", "--seed", str(seed), "--nodes", str(nodes), "--seconds", str(seconds)]
    for key, text in choice.settings:
        words += ["--set", f"{key}={text}"]
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(_output_of(words, hash_seed)) for hash_seed in HASH_SEEDS)
        return _compare(first, second, seed)


@contextlib.contextmanager
def _output_of(words: list[str], hash_seed: str) -> Iterator[IO[str]]:
    """The output of another process of ours with this hash seed; the process ends with the block."""
    process = subprocess.Popen(  # noqa: S603 - ourselves, with checked words
        [sys.executable, "-m", "ferrite.sim", *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    assert process.stdout is not None, "a pipe was asked for"
    try:
        with process.stdout:
            yield process.stdout
    finally:
        process.kill()
        process.wait()


def _compare(first: IO[str], second: IO[str], seed: int) -> int:
    before: deque[str] = deque(maxlen=BEFORE_SHOWN)
    count, last = 0, ""
    for one, other in itertools.zip_longest(first, second, fillvalue="(nothing more)\n"):
        if one != other:
            _show_difference(seed, count + 1, before, one, other)
            return ExitCode.NONDETERMINISM
        before.append(one)
        count, last = count + 1, one
    if not last.startswith("digest: "):
        click.echo("both runs ended without a digest; what they said stands above", err=True)
        return ExitCode.CRASH
    click.echo(f"deterministic: seed {seed} gave the same {count - 1} lines in two processes")
    click.echo(last, nl=False)
    return ExitCode.CLEAN


def _show_difference(seed: int, number: int, before: deque[str], one: str, other: str) -> None:
    click.echo(f"verdict: nondeterminism\nseed: {seed}\nfirst difference: line {number} of the trace")
    for line in before:
        click.echo(f"          both: {line}", nl=False)
    for hash_seed, line in zip(HASH_SEEDS, (one, other), strict=True):
        click.echo(f"  hash seed {hash_seed}: {line}", nl=False)
