"""A planted bug leaves a folder with everything: complete, the same run, and enough to have it again without the seed."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ferrite.core.disk import check_log
from ferrite.core.kv import Batch, KeyValue, Put
from ferrite.sim import Cluster, Options, swarm
from ferrite.sim.cluster import Result
from ferrite.sim.cycles.check import check_transactions
from ferrite.sim.history import Operation
from ferrite.sim.linearizability.check import check_file
from ferrite.sim.recording import RecordingInvalid, from_json_lines
from ferrite.sim.report.folder import FolderRefused, Origin, Report, refuse_folder, report_seed, report_tape
from ferrite.sim.search.judge import BLACK_BOX_NAME, CYCLES_NAME, judge, play_to_end
from ferrite.sim.search.shrink import shrink
from ferrite.sim.search.tapes import play
from ferrite.sim.tape import from_json, options_from
from tests.sim.mutants import BY_NUMBER

ORIGIN = Origin(commit="abc", replay="ferrite-sim run --seed 0")
FILES = {
    "verdict.json", "story.txt", "timeline.html", "options.json", "history.jsonl", "transactions.jsonl", "events.jsonl",
    "disks", "tape.json",
}  # fmt: skip


@pytest.fixture(params=[12, 16], ids=lambda number: BY_NUMBER[number].name)
def planted(request: pytest.FixtureRequest) -> Iterator[Result]:
    """With a planted bug: the first run that fails. Which seed that is changes with the code."""
    with BY_NUMBER[request.param].planted():
        results = (Cluster(seed, swarm(seed, seconds=3)).run() for seed in range(20))
        yield next(result for result in results if result.violation is not None)


def of_seed(folder: Path, options: Options, origin: Origin = ORIGIN) -> Report:
    return report_seed(folder, 0, options, origin)


def test_the_folder_of_a_failure_is_complete_and_of_the_same_run(planted: Result, tmp_path: Path) -> None:
    first, options = planted, swarm(planted.seed, seconds=3)
    assert first.violation is not None
    folder = report_seed(
        tmp_path / "report", first.seed, options, replace(ORIGIN, digest=first.digest)
    ).folder
    assert {path.name for path in folder.iterdir()} == FILES
    verdict = json.loads((folder / "verdict.json").read_text())
    assert (verdict["kind"], verdict["invariant"]) == (first.violation.kind, first.violation.name)
    assert (verdict["facts"], verdict["time_us"]) == (first.violation.facts, first.violation.time_us)
    assert (verdict["digest"], verdict["commit"], verdict["seed"]) == (first.digest, "abc", first.seed)
    assert options_from(json.loads((folder / "options.json").read_text())) == options
    rows = from_json_lines((folder / "events.jsonl").read_text())
    assert (rows[0]["replay"], rows[-1]["digest"]) == (ORIGIN.replay, first.digest)
    assert f"{first.violation.name} is violated" in (folder / "story.txt").read_text()
    assert (folder / "timeline.html").read_text().startswith("<!")
    assert check_file(str(folder / "history.jsonl"), model="ferrite").linearizable
    assert check_transactions((folder / "transactions.jsonl").read_text()).anomaly is None


def test_the_tape_of_a_folder_plays_and_shrinks_to_the_same_invariant(planted: None, tmp_path: Path) -> None:
    made = of_seed(tmp_path / "report", swarm(0))
    tape = from_json((made.folder / "tape.json").read_text())
    again = play_to_end(tape, play(tape))
    assert again.digest == made.result.digest
    shrunk = shrink(tape, trials_max=12)
    small = report_tape(tmp_path / "small", shrunk.tape, replace(ORIGIN, digest=shrunk.result.digest))
    assert small.verdict["invariant"] == made.verdict["invariant"]
    assert small.verdict["kind"] == "safety"


def test_the_disks_are_those_of_the_nodes(tmp_path: Path) -> None:
    folder = of_seed(tmp_path / "report", swarm(0, nodes=3, seconds=2)).folder
    options = options_from(json.loads((folder / "options.json").read_text()))
    cluster = Cluster(0, options)
    cluster.run()
    for node in cluster.nodes.values():
        place = folder / "disks" / f"node{node.node_id}"
        kept = {path.name: path.read_bytes() for path in place.iterdir()}
        assert kept == {name: node.disk.read(name, 0, node.disk.size(name)) for name in node.disk.list()}
    assert check_log(cluster.nodes[min(cluster.nodes)].disk)[0].last_index > 0


def test_another_digest_is_nondeterminism_and_both_are_named(tmp_path: Path) -> None:
    made = of_seed(tmp_path / "report", swarm(0, seconds=1), replace(ORIGIN, digest="f" * 32))
    assert made.verdict["kind"] == "nondeterminism"
    assert f"the first run has the digest {'f' * 32}, the second one {made.result.digest} (clean)" in str(
        made.verdict["facts"]
    )


def test_a_report_takes_the_place_of_an_older_one_only(tmp_path: Path) -> None:
    options = swarm(0, seconds=1)
    folder = of_seed(tmp_path / "report", options).folder
    (folder / "left over").write_text("")
    of_seed(folder, options)
    assert {path.name for path in folder.iterdir()} == FILES
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("")
    with pytest.raises(FolderRefused, match="holds other files"):
        of_seed(tmp_path / "mine", options)
    with pytest.raises(FolderRefused, match="is a file"):
        refuse_folder(tmp_path / "mine" / "thesis")
    with pytest.raises(FolderRefused, match="there is no folder"):
        refuse_folder(tmp_path / "no" / "such")
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_what_the_options_were_is_all_there(tmp_path: Path) -> None:
    options = swarm(5, seconds=1)
    folder = report_seed(tmp_path / "report", 5, options, ORIGIN).folder
    assert json.loads((folder / "options.json").read_text()) == json.loads(json.dumps(asdict(options)))


def test_a_black_box_check_needs_no_revision_to_find_a_stale_read(tmp_path: Path) -> None:
    cluster = Cluster(0, swarm(0, nodes=3, seconds=3))

    def run_and_forge() -> Result:
        """The run is clean; then one client is made to have seen a value that was never there."""
        result = cluster.run()
        read = next(
            each
            for each in cluster.history.operations
            if each.kind == "get" and each.outcome == "ok" and each.linearizable and each.entries
        )
        read.entries = (replace(read.entries[0], value=b"never written"),)
        return result

    result = judge(cluster, black_box=True, run=run_and_forge)
    assert result.violation is not None
    assert (result.violation.name, result.violation.kind) == (BLACK_BOX_NAME, "linearizability")
    assert "never written" in result.violation.facts
    assert result.counters["black_box_checked"] == 1


def test_the_cycle_check_finds_half_of_a_batch_that_was_seen_which_no_key_shows_alone(tmp_path: Path) -> None:
    cluster = Cluster(0, swarm(0, nodes=3, seconds=3))

    def run_and_forge() -> Result:
        """The run is clean; then two clients are made to have met in a way that is fine for each key by itself."""
        result = cluster.run()
        history, now_us = cluster.history, cluster.now_us
        old = history.acknowledged_revision + 1

        def add(client: str, kind: str, command: Put | Batch | None) -> Operation:
            return history.invoke(client, kind, b"key", command, request_id=0, now_us=now_us + 1)

        first = add(
            "first", "batch", Batch(operations=(Put(key=b"key8", value=b"a"), Put(key=b"key9", value=b"b")))
        )
        both = add(
            "both", "batch", Batch(operations=(Put(key=b"key8", value=b"c"), Put(key=b"key9", value=b"d")))
        )
        seen = add("seen", "range", None)
        first.revision, both.revision, seen.revision = old, old + 1, old + 1
        first.existed, both.existed = (False, False), (True, True)
        seen.entries = (
            KeyValue(key=b"key8", value=b"c", create_revision=old, mod_revision=old + 1, version=2),
            KeyValue(key=b"key9", value=b"b", create_revision=old, mod_revision=old, version=1),
        )
        for each in (first, both, seen):
            history.complete(each, "ok", now_us + 2)
        return result

    result = judge(cluster, black_box=True, run=run_and_forge)
    assert result.violation is not None
    assert (result.violation.name, result.violation.kind) == (CYCLES_NAME, "linearizability")
    assert result.violation.facts.startswith("not strictly serializable: G-single: ")


def test_faults_of_clients_are_no_faults_of_nodes(tmp_path: Path) -> None:
    drawn = swarm(106, seconds=1)
    options = replace(drawn, clients=replace(drawn.clients, crash_ppm=300_000))
    folder = report_seed(tmp_path / "report", 106, options, ORIGIN).folder
    struck = [row for row in from_json_lines((folder / "events.jsonl").read_text()) if row["row"] == "fault"]
    of_clients = [row for row in struck if row["kind"] == "client_crash"]
    assert of_clients
    assert {tuple(row["nodes"]) for row in of_clients} == {()}


def test_a_recording_that_no_view_accepts_costs_the_views_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> str:
        raise RecordingInvalid("row 7 is odd")

    monkeypatch.setattr("ferrite.sim.report.folder.timeline_html", refuses)
    folder = of_seed(tmp_path / "report", swarm(0, seconds=1)).folder
    assert {path.name for path in folder.iterdir()} == FILES - {"timeline.html"}
    assert (folder / "story.txt").read_text().endswith("the recording is not as expected: row 7 is odd\n")
