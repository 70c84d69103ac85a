"""Named health checks behind /livez, /readyz and /health, in the manner of etcd and Kubernetes. Pure.

A problem of the status is a sentence; one that begins with a check's name and a colon (`disk: ...`) fails that check. The
others are no reason to send clients elsewhere: /health shows them, /readyz does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ferrite.io.http.cluster_json import store_json
from ferrite.io.request_path import NodeStatus

APPLIED_LAG_MAX: Final = 5000  # committed and not yet applied entries; etcd refuses proposals above it
LIVENESS_CHECKS: Final = ("serving",)
READINESS_CHECKS: Final = ("serving", "leader", "applied_lag", "disk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check's verdict; `why` is empty when it passed."""

    name: str
    why: str = ""

    @property
    def ok(self) -> bool:
        """Did it pass?"""
        return not self.why


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    """What a probe is told: ready or live, and the lines that say why."""

    ok: bool
    text: str


def liveness() -> tuple[Check, ...]:
    """A node that can answer is alive. Neither leader nor disk nor lag matters: a restart would repair none of them."""
    return (Check(name="serving"),)


def readiness(status: NodeStatus) -> tuple[Check, ...]:
    """May clients be sent here?"""
    problems = _problems_by_check(status)
    own = {"serving": _serving(status), "leader": _leader(status), "applied_lag": _applied_lag(status)}
    return tuple(
        Check(name=name, why="; ".join(one for one in (own.get(name, ""), *problems[name]) if one))
        for name in READINESS_CHECKS
    )


def probe(name: str, checks: Sequence[Check], *, verbose: bool, excluded: frozenset[str]) -> ProbeAnswer:
    """Sum up: `ok`, or the failed checks; all of them when `verbose` (Kubernetes' format)."""
    counted = [check for check in checks if check.name not in excluded]
    ok = all(check.ok for check in counted)
    if ok and not verbose:
        return ProbeAnswer(ok=True, text="ok\n")
    lines = [_line(check, excluded=check.name in excluded) for check in checks]
    unknown = sorted(excluded - {check.name for check in checks})
    if unknown:
        lines.append(
            f"warn: no check to exclude is named {', '.join(ascii(one[:32]) for one in unknown[:5])}"
        )
    lines.append(f"{name} check {'passed' if ok else 'failed'}")
    return ProbeAnswer(ok=ok, text="\n".join(lines) + "\n")


def health_answer(status: NodeStatus) -> tuple[bool, dict[str, Any]]:
    """Whether the node is healthy, and the answer of /health."""
    checks = readiness(status)
    problems = list(status.problems)
    for reason in (_serving(status), _leader(status), _applied_lag(status)):
        if reason and reason not in problems:
            problems.append(reason)
    return not problems, {
        "status": "unhealthy" if problems else "healthy",
        "node_id": status.node_id,
        "name": status.node_name,
        "description": status.node_description,
        "cluster": status.cluster_name,
        "version": status.version,
        "role": status.role,
        "term": status.term,
        "leader": status.leader_id or None,
        "initialized": status.initialized,
        "commit_index": status.commit_index,
        "applied_index": status.applied_index,
        "applied_lag": _lag(status),
        "revision": status.revision,
        **store_json(status),
        "disk": "failed" if any(check.name == "disk" and not check.ok for check in checks) else "ok",
        "checks": {check.name: "ok" if check.ok else "failed" for check in checks},
        "problems": problems,
        "warnings": list(status.warnings),
        "shutting_down": status.shutting_down,
    }


def _problems_by_check(status: NodeStatus) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in READINESS_CHECKS}
    for problem in status.problems:
        name, colon, rest = problem.partition(":")
        if colon and name in found:
            found[name].append(rest.strip() or problem)
    return found


def _serving(status: NodeStatus) -> str:
    if status.shutting_down:
        return "the node is shutting down"
    if not status.initialized:
        return "no cluster yet: send /init to one node, or add this one with /add-learner at the leader"
    return ""


def _leader(status: NodeStatus) -> str:
    return "" if status.leader_id else "no leader is known"


def _applied_lag(status: NodeStatus) -> str:
    lag = _lag(status)
    if lag <= APPLIED_LAG_MAX:
        return ""
    return f"{lag} committed entries are not applied yet"


def _lag(status: NodeStatus) -> int:
    return max(0, status.commit_index - status.applied_index)


def _line(check: Check, *, excluded: bool) -> str:
    if excluded:
        return f"[+]{check.name} excluded: {'ok' if check.ok else 'failed'}"
    # One line per check, whatever the reason contains.
    return f"[+]{check.name} ok" if check.ok else f"[-]{check.name} failed: {' '.join(check.why.split())}"
