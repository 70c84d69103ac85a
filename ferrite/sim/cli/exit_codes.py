"""What the exit code of `ferrite-sim` says to scripts and CI."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """One number per kind of end. Stable: scripts decide on them."""

    CLEAN = 0
    VIOLATION = (
        1  # a safety invariant is broken, or a history is not linearizable; a planted bug survived its search
    )
    BAD_INPUT = 2  # unknown option, damaged file, number out of range: nothing was run
    LIVENESS = 3  # the cluster did not come to rest in time; `check` without a verdict within its budget
    CRASH = 4  # a node stopped on a broken assertion, or the simulator itself failed
    NONDETERMINISM = 5  # the same seed gave two different runs
    INTERRUPTED = 130  # Ctrl-C (what shells use)
    BROKEN_PIPE = 141  # whoever read the output has gone, as in `| head` (what shells use)


EXIT_CODES_HELP: Final = """\b
Exit codes: 0 clean, 1 safety or linearizability violation, 2 bad input, 3 liveness (or undecided),
4 crash, 5 nondeterminism, 130 interrupted, 141 the reader of the output has gone.
"""

_BY_KIND: Final = {
    "clean": ExitCode.CLEAN,
    "safety": ExitCode.VIOLATION,
    "linearizability": ExitCode.VIOLATION,
    "nondeterminism": ExitCode.NONDETERMINISM,
    "crash": ExitCode.CRASH,
    "liveness": ExitCode.LIVENESS,
}


def exit_code(kind: str) -> ExitCode:
    """The code of one verdict: `clean` or the kind of a violation."""
    return _BY_KIND[kind]


def worst_exit_code(kinds: Iterable[str]) -> ExitCode:
    """The code of many verdicts: the gravest one's, in the order safety, nondeterminism, crash, liveness."""
    found = {exit_code(kind) for kind in kinds}
    for code in dict.fromkeys(_BY_KIND.values()):
        if code in found and code is not ExitCode.CLEAN:
            return code
    return ExitCode.CLEAN
