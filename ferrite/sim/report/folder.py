"""The folder that a failure leaves: all that is known of the run, for people and for programs, and enough to have it again.

| file | what it is |
|---|---|
| `verdict.json` | kind, invariant, sentence, facts, time, event, seed, commit, options hash, digest, replay command |
| `story.txt` | the same to read: faults, operations, causes, and what every node did around the failure |
| `timeline.html` | the timeline, one file that needs no network |
| `options.json` | all options |
| `history.jsonl` | what clients did and saw, as `ferrite-sim check --model ferrite` reads it |
| `transactions.jsonl` | the same of several keys at once, as `ferrite-sim check --model list-append` reads it |
| `events.jsonl` | the recording: everything that happened |
| `disks/nodeN/` | the log's files of each node, as the run left them |
| `tape.json` | every decision, for `replay` and `shrink` |
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ferrite.sim.cluster import Cluster, Result
from ferrite.sim.history import to_json_lines as history_lines
from ferrite.sim.options import Options
from ferrite.sim.recording import Recording, RecordingInvalid, to_json_lines
from ferrite.sim.report import timeline_html
from ferrite.sim.report.story import story_text
from ferrite.sim.search.judge import judge_with_tape, play_to_end
from ferrite.sim.search.settings import options_hash
from ferrite.sim.search.tapes import play
from ferrite.sim.tape import Tape, to_json
from ferrite.sim.transactions import to_transactions
from ferrite.sim.violation import Violation

VERDICT: Final = "verdict.json"
"""A folder with this file is a report."""


class FolderRefused(ValueError):
    """A report cannot be written there: says why."""


@dataclass(slots=True, kw_only=True, frozen=True)
class Origin:
    """Where a report comes from. `digest` is that of the run which it repeats; "" when nothing is known of it."""

    commit: str
    replay: str
    """The one command that has the run again."""
    digest: str = ""
    black_box: bool = False
    """Is the history of a clean run checked by the black-box checker?"""


@dataclass(slots=True, kw_only=True, frozen=True)
class Report:
    """What stands in a folder. `verdict` is the content of `verdict.json`."""

    folder: Path
    verdict: dict[str, Any]
    result: Result
    recording: Recording


def report_seed(folder: Path, seed: int, options: Options, origin: Origin) -> Report:
    """Run the seed again with everything recorded, and write its report. Raises FolderRefused, OSError.

    When it is not the run of `origin.digest`, the verdict is `nondeterminism`.
    """
    recording = Recording()
    cluster = Cluster(seed, replace(options, trace_lines=0), recording=recording, keep_draws=True)
    describe(recording, origin)
    tape, result = judge_with_tape(cluster, black_box=origin.black_box)
    return _write(folder, cluster, result, tape, origin)


def report_tape(folder: Path, tape: Tape, origin: Origin) -> Report:
    """The same for a tape, which becomes the tape of the report."""
    recording = Recording()
    cluster = play(tape, recording=recording)
    describe(recording, origin)
    return _write(folder, cluster, play_to_end(tape, cluster), tape, origin)


def describe(recording: Recording, origin: Origin) -> None:
    """Tell the first row what code ran, and how to have the run again."""
    recording.rows[0].update(commit=origin.commit, replay=origin.replay)


def refuse_folder(folder: Path) -> None:
    """Raise FolderRefused unless a report can be written there: nothing is there, or an older report, or an empty folder."""
    if folder.exists():
        if not folder.is_dir():
            raise FolderRefused(f"{folder} is a file; expected a folder for the report, or a free name")
        if any(folder.iterdir()) and not (folder / VERDICT).is_file():
            raise FolderRefused(f"{folder} holds other files; expected an empty folder or an older report")
    if not folder.absolute().parent.is_dir():
        raise FolderRefused(f"{folder} cannot be made: there is no folder {folder.absolute().parent}")


def _write(folder: Path, cluster: Cluster, result: Result, tape: Tape, origin: Origin) -> Report:
    """Write everything beside, then put it in the place of what was there."""
    recording = cluster.world.recording
    assert recording is not None, "reports are of recorded runs"
    refuse_folder(folder)
    verdict = verdict_of(cluster, result, origin)
    half = folder.absolute().with_name(f"{folder.absolute().name}.part")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir()
    files = {
        VERDICT: _json(verdict),
        "options.json": _json(dataclasses.asdict(cluster.world.options)),
        "history.jsonl": history_lines(cluster.history.operations),
        "transactions.jsonl": to_transactions(cluster.history.operations),
        "events.jsonl": to_json_lines(recording.rows),
        "tape.json": to_json(tape),
        **_views(verdict, recording, result.violation),
    }
    for name, text in files.items():
        (half / name).write_text(text, encoding="utf-8")
    _copy_disks(cluster, half / "disks")
    shutil.rmtree(folder, ignore_errors=True)
    half.replace(folder)
    return Report(folder=folder, verdict=verdict, result=result, recording=recording)


def verdict_of(cluster: Cluster, result: Result, origin: Origin) -> dict[str, Any]:
    """The verdict as one JSON object."""
    found = result.violation
    if origin.digest and origin.digest != result.digest:
        again = "clean" if found is None else f"{found.kind}, {found.name}: {found.facts}"
        found = cluster.world.violation(
            "DETERMINISM",
            "The same seed gives the same run.",
            f"the first run has the digest {origin.digest}, the second one {result.digest} ({again})",
            kind="nondeterminism",
        )
    return {
        "kind": "clean" if found is None else found.kind,
        "invariant": "" if found is None else found.name,
        "sentence": "" if found is None else found.sentence,
        "facts": "" if found is None else found.facts,
        "time_us": result.simulated_us if found is None else found.time_us,
        "event": result.events if found is None else found.event_number,
        "seed": result.seed,
        "commit": origin.commit,
        "options_hash": options_hash(replace(cluster.world.options, trace_lines=0)),
        "digest": result.digest,
        "replay": origin.replay,
        "damaged_disks": _damaged(cluster),
    }


def _damaged(cluster: Cluster) -> list[int]:
    """Nodes whose log a fault damaged on purpose: it need not be whole."""
    return sorted(
        {node for fault in cluster.world.plan.struck if fault.kind == "disk_damage" for node in fault.nodes}
    )


def _copy_disks(cluster: Cluster, place: Path) -> None:
    """Every file as the next process would read it."""
    cluster.world.plan.over = True  # the run is over: reading fails no more
    for node in cluster.nodes.values():
        folder = place / f"node{node.node_id}"
        folder.mkdir(parents=True)
        for name in node.disk.list():
            (folder / name).write_bytes(node.disk.read(name, 0, node.disk.size(name)))


def _views(verdict: dict[str, Any], recording: Recording, found: Violation | None) -> dict[str, str]:
    """What people read, by file name. A recording that the views refuse must not cost the report: the story says so then."""
    head = "".join(f"{name}: {what}\n" for name, what in verdict.items() if what not in ("", []))
    error = found.__cause__ if found is not None else None
    if error is not None:
        head += "\nTraceback\n\n" + "".join(traceback.format_exception(error))
    try:
        story, timeline = story_text(recording.rows), {"timeline.html": timeline_html(recording.rows)}
    except RecordingInvalid as refused:
        story, timeline = f"no story and no timeline: the recording is not as expected: {refused}\n", {}
    return {"story.txt": f"{head}\n{story}", **timeline}


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1) + "\n"
