"""The manifest is valid Kubernetes, and its command is one that this version understands."""

import copy
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # ships no types
import pytest
import yaml

from ferrite.sim.cli.group import ferrite_sim
from ferrite.sim.cli.sweep import sweep

MANIFEST = Path(__file__).parents[3] / "configs" / "kubernetes" / "sweep-job.yaml"
# The oldest version with backoffLimitPerIndex in its stable form, and the newest known here.
VERSIONS = ("1.33", kubernetes_validate.latest_version())


@pytest.fixture
def job() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifest_fits_the_schema_of_kubernetes(job: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(job, version, strict=True)


def test_a_misspelt_field_does_not(job: dict[str, Any]) -> None:
    broken = copy.deepcopy(job)
    broken["spec"]["completionsMode"] = broken["spec"].pop("completionMode")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


def test_each_pod_asks_for_another_part_and_together_they_are_the_sweep(job: dict[str, Any]) -> None:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    program, command, *words = container["command"]
    assert (program, ferrite_sim.commands[command]) == ("ferrite-sim", sweep)
    parts = []
    for index in range(job["spec"]["completions"]):
        expanded = [word.replace("$(JOB_COMPLETION_INDEX)", str(index)) for word in words]
        given = sweep.make_context("sweep", expanded).params
        parts.append(given["seeds"][given["shard"][0] :: given["shard"][1]])
    assert sorted(seed for part in parts for seed in part) == list(range(1, 100_001))
