"""Health: real states, named checks, Kubernetes' format."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ferrite.io.http.checks import APPLIED_LAG_MAX, health_answer, liveness, probe, readiness
from tests.io.http.helpers import STATUS

NOTHING: frozenset[str] = frozenset()


def failed(**changes: Any) -> list[str]:
    return [check.name for check in readiness(replace(STATUS, **changes)) if not check.ok]


def test_a_node_in_order_is_ready_and_healthy() -> None:
    assert failed() == []
    healthy, answer = health_answer(STATUS)
    assert (healthy, answer["status"], answer["problems"], answer["applied_lag"]) == (True, "healthy", [], 1)


@pytest.mark.parametrize(
    "changes, names",
    [
        ({"leader_id": 0, "role": "candidate"}, ["leader"]),
        ({"shutting_down": True}, ["serving"]),
        ({"initialized": False, "leader_id": 0}, ["serving", "leader"]),
        ({"commit_index": 20 + APPLIED_LAG_MAX}, ["applied_lag"]),
        ({"commit_index": 19 + APPLIED_LAG_MAX}, []),
        ({"problems": ("disk: no space left",)}, ["disk"]),
        ({"problems": ("leader: cannot be reached", "disk: slow")}, ["leader", "disk"]),
        ({"problems": ("the log lost its end",)}, []),
    ],
)
def test_each_check_fails_for_its_reason(changes: dict[str, Any], names: list[str]) -> None:
    assert failed(**changes) == names


@pytest.mark.parametrize(
    "changes",
    [{"leader_id": 0}, {"shutting_down": True}, {"initialized": False}, {"commit_index": 10_000}, {"problems": ("x",)}],
)  # fmt: skip
def test_health_tells_every_problem(changes: dict[str, Any]) -> None:
    healthy, answer = health_answer(replace(STATUS, **changes))
    assert (healthy, answer["status"]) == (False, "unhealthy")
    assert answer["problems"]


def test_a_problem_that_the_status_names_already_is_told_once() -> None:
    _, answer = health_answer(replace(STATUS, leader_id=0, problems=("no leader is known",)))
    assert answer["problems"] == ["no leader is known"]


def test_liveness_depends_on_nothing() -> None:
    assert all(check.ok for check in liveness())


def test_a_probe_is_short_when_fine_and_names_what_failed() -> None:
    fine = probe("readyz", readiness(STATUS), verbose=False, excluded=NOTHING)
    assert (fine.ok, fine.text) == (True, "ok\n")
    bad = probe("readyz", readiness(replace(STATUS, leader_id=0)), verbose=False, excluded=NOTHING)
    assert not bad.ok
    assert "[-]leader failed: no leader is known\n" in bad.text
    assert bad.text.endswith("readyz check failed\n")


def test_an_excluded_check_does_not_count() -> None:
    checks = readiness(replace(STATUS, leader_id=0))
    spared = probe("readyz", checks, verbose=True, excluded=frozenset({"leader", "no\x1bsuch"}))
    assert spared.ok
    assert "[+]leader excluded: failed\n" in spared.text
    assert "warn: no check to exclude is named 'no\\x1bsuch'" in spared.text


def test_a_check_is_one_line_whatever_the_reason() -> None:
    bad = probe(
        "readyz", readiness(replace(STATUS, problems=("disk: a\nb",))), verbose=False, excluded=NOTHING
    )
    assert "[-]disk failed: a b\n" in bad.text


def test_health_shows_a_full_store_but_clients_may_still_come() -> None:
    full = replace(STATUS, no_space=True)
    assert failed(no_space=True) == []
    assert health_answer(full)[1]["no_space"] is True
