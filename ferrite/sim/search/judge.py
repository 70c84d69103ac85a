"""From a cluster to its verdict: the run with its own checks, then the clients' history by two checkers that know nothing of
Raft: each key by a search, all keys together by the cycles of transactions. An error that nobody foresaw is a verdict too.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from ferrite.sim.cycles.check import check_transactions
from ferrite.sim.history import to_json_lines
from ferrite.sim.linearizability.check import check_history
from ferrite.sim.transactions import to_transactions
from ferrite.sim.violation import Violation

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster, Result
    from ferrite.sim.tape import Tape

BlackBox = Literal["always", "sometimes", "never"]
BLACK_BOX: Final[tuple[BlackBox, ...]] = ("always", "sometimes", "never")
CLIENT_FAULTS: Final = ("answer_lost", "library_answer_lost", "client_crash", "client_pause")
BLACK_BOX_NAME: Final = "F1"
CYCLES_NAME: Final = "F6"
BLACK_BOX_NAMES: Final = (BLACK_BOX_NAME, CYCLES_NAME)
BLACK_BOX_COUNTERS: Final = ("black_box_checked", "black_box_undecided")
EVERY_SEEDS: Final = 8
"""`sometimes` is every 8th seed: the witness check of the run has decided the same question already, by revisions."""
STEPS_MAX: Final = 200_000
"""Configurations of one check, some seconds; histories of a run need some hundreds."""


def wants_black_box(mode: BlackBox, seed: int) -> bool:
    """Is the history of this seed checked as a black box?"""
    return mode == "always" or (mode == "sometimes" and seed % EVERY_SEEDS == 0)


def judge(cluster: Cluster, *, black_box: bool = False, run: Callable[[], Result] | None = None) -> Result:
    """Run the cluster, by `run` when that is not simply `cluster.run`.

    The result has one of BLACK_BOX_COUNTERS when that was asked for and came to it. An exception is a violation of the kind
    `crash`, with the exception as its cause.
    """
    try:
        result = (run or cluster.run)()
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this seed and must be reported
        found = crash_of(error, time_us=cluster.now_us, event_number=cluster.world.timeline.events_done)
        return _ended(cluster, found)
    if result.violation is not None or not black_box:
        return result
    broken, counter = _black_box(cluster)
    if broken is not None:
        result = _ended(cluster, broken)
    result.counters[counter] = 1
    return result


def _black_box(cluster: Cluster) -> tuple[Violation | None, str]:
    """What the two checkers find, and one of BLACK_BOX_COUNTERS."""
    operations = cluster.history.operations
    verdict = check_history(to_json_lines(operations), model="ferrite", checker="search", steps=STEPS_MAX)
    counter = BLACK_BOX_COUNTERS[verdict.status == "undecided"]
    if verdict.status == "violation":
        sentence = "What clients saw of each key fits one order of their operations."
        found = cluster.world.violation(BLACK_BOX_NAME, sentence, verdict.text(), kind="linearizability")
        return found, counter
    cycles = check_transactions(to_transactions(operations))
    if cycles.anomaly is not None:
        sentence = "What clients saw of all keys together fits one order of their transactions."
        return cluster.world.violation(CYCLES_NAME, sentence, cycles.text(), kind="linearizability"), counter
    return None, counter


def judge_with_tape(cluster: Cluster, *, black_box: bool = False) -> tuple[Tape, Result]:
    """Judge a cluster that keeps its draws, and return its tape."""
    from ferrite.sim.search.tapes import tape_of  # noqa: PLC0415 - as a cluster, only where one runs

    result = judge(cluster, black_box=black_box)
    return tape_of(cluster, result.violation), result


def play_to_end(tape: Tape, cluster: Cluster) -> Result:
    """Run the cluster of a tape for as long as the tape says."""
    from ferrite.sim.search.tapes import end_us  # noqa: PLC0415 - as above

    return judge(
        cluster, black_box=tape.violation in BLACK_BOX_NAMES, run=lambda: cluster.run(until_us=end_us(tape))
    )


def crash_of(error: Exception, *, time_us: int = 0, event_number: int = 0) -> Violation:
    """What a run that ended by an exception broke; the exception is its cause."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    found = Violation(
        type(error).__name__,
        "A run ends by a verdict, never by an exception.",
        f"{error} (in {last.name}, {Path(last.filename).name} line {last.lineno})",
        time_us=time_us,
        event_number=event_number,
        kind="crash",
    )
    found.__cause__ = error
    return found


def _ended(cluster: Cluster, found: Violation) -> Result:
    """The result with a violation that the run itself does not know of; the recording ends by it."""
    from ferrite.sim.ending import finish_recording  # noqa: PLC0415 - as a cluster, only where one runs

    recording = cluster.world.recording
    if recording is not None:
        recording.rows = [row for row in recording.rows if row["row"] not in ("point", "end")]
        finish_recording(cluster, found)
    return cluster.result(found)
