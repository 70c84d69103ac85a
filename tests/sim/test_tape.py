"""A tape plays a run without the dice: whatever is drawn elsewhere, and in another order, does not touch it."""

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ferrite.sim import Cluster, swarm
from ferrite.sim import dice as dice_module
from ferrite.sim.dice import Stream
from ferrite.sim.recording import Recording
from ferrite.sim.search.tapes import play, record
from ferrite.sim.swarm import SECONDS
from ferrite.sim.tape import TapeInvalid, from_json, options_from, to_json

SEEDS = (3, 12, 35)


def recorded(seed: int) -> tuple[str, str]:
    """(the tape as text, the digest of its run)."""
    cluster = Cluster(seed, swarm(seed, seconds=3), keep_draws=True)
    tape, result = record(cluster)
    assert result.violation is None, result.violation
    assert tape.faults
    return to_json(tape), result.digest


@functools.cache
def recorded_once() -> str:
    """One tape, to be damaged."""
    return recorded(SEEDS[0])[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tape_plays_the_run_that_it_was_made_of(seed: int) -> None:
    text, digest = recorded(seed)
    assert play(from_json(text)).run().digest == digest


def test_a_tape_does_not_ask_the_dice(monkeypatch: pytest.MonkeyPatch) -> None:
    text, digest = recorded(SEEDS[0])
    honest = dice_module.seeded

    def other(*name: str | int) -> Stream:
        return honest("other dice", *name)

    monkeypatch.setattr("ferrite.sim.dice.seeded", other)
    monkeypatch.setattr("ferrite.sim.faults.plan.seeded", other)
    assert Cluster(SEEDS[0], swarm(SEEDS[0], seconds=3)).run().digest != digest
    assert play(from_json(text)).run().digest == digest


def test_a_fault_left_out_by_its_id_does_not_strike_and_moves_no_other() -> None:
    seed = 12
    cluster = Cluster(seed, swarm(seed, seconds=3))
    cluster.run()
    first, *later = [fault for fault in cluster.world.plan.struck if fault.id.count(":")]
    again = Cluster(seed, swarm(seed, seconds=3), without=[first.id])
    again.run()
    struck = [fault.id for fault in again.world.plan.struck]
    assert first.id not in struck
    # What comes later may strike elsewhere, for the run has changed; its time of striking has not.
    timed = {fault.id: fault.at_us for fault in later if fault.kind in ("partition", "pause", "drift")}
    assert all(timed[fault.id] == fault.at_us for fault in again.world.plan.struck if fault.id in timed)


def test_recording_and_keeping_draws_change_nothing_in_a_run() -> None:
    options = swarm(5, seconds=3)
    plain = Cluster(5, options).run().digest
    recording = Recording()
    assert Cluster(5, options, recording=recording, keep_draws=True).run().digest == plain
    kinds = {row["row"] for row in recording.rows}
    assert {
        "run",
        "boot",
        "step",
        "send",
        "arrive",
        "disk",
        "commit",
        "invoke",
        "complete",
        "point",
        "end",
    } <= kinds


@pytest.mark.parametrize(
    "change, expected",
    [
        (lambda raw: raw.pop("tape"), "no tape of version 1"),
        (lambda raw: raw.update(tape=9), "no tape of version 1"),
        (lambda raw: raw.update(strange=1), "unknown field 'strange'"),
        (lambda raw: raw.update(seed="1"), "tape.seed is '1'; expected int"),
        (lambda raw: raw["options"].update(nodes=77), "nodes is 77; expected 1 to 9"),
        (lambda raw: raw["options"]["network"].update(loss_ppm=2_000_000), "loss_ppm is 2000000"),
        (lambda raw: raw.update(faults=[{"id": 3, "kind": "crash", "at_us": 1}]), "expected str"),
        (lambda raw: raw.update(draws=[]), "tape.draws is []"),
        (lambda raw: raw.pop("draws"), "tape has no field 'draws'"),
        (lambda raw: raw["options"].pop("nodes"), "tape.options has no field 'nodes'"),
        (lambda raw: raw["faults"][0].pop("kind"), "tape.faults has no field 'kind'"),
        (lambda raw: raw["draws"].update(cluster=[-1]), "tape.draws['cluster'] has the number -1"),
        (lambda raw: raw.update(until_us=-1), "tape.until_us has the number -1"),
    ],
)
def test_a_damaged_tape_is_refused_with_a_reason(
    change: Callable[[dict[str, Any]], object], expected: str
) -> None:
    raw = json.loads(recorded_once())
    change(raw)
    with pytest.raises(TapeInvalid) as refused:
        from_json(json.dumps(raw))
    assert expected in str(refused.value)


def test_half_a_tape_is_refused() -> None:
    text, _ = recorded(SEEDS[0])
    with pytest.raises(TapeInvalid, match="not JSON"):
        from_json(text[: len(text) // 2])


def test_options_survive_json() -> None:
    options = replace(swarm(8), trace_lines=3)
    raw = json.loads(to_json(record(Cluster(8, replace(options, seconds=1), keep_draws=True))[0]))["options"]
    assert options_from(raw) == replace(options, seconds=1)
    assert swarm(8).seconds == SECONDS
