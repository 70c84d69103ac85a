"""endpoint status, health: what single nodes say of themselves."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from ferrite.io.cli.ctl.command import command, group
from ferrite.io.cli.ctl.exit_codes import CtlExit, failed
from ferrite.io.cli.ctl.header import header_of
from ferrite.io.cli.ctl.output import Bare, Forms, Pair, Table, show
from ferrite.io.cli.ctl.session import make_client, run
from ferrite.io.cli.ctl.settings import Settings, settings_of

if TYPE_CHECKING:
    from ferrite.io.client import EndpointStatus, Health

_STATUS_COLUMNS: Final = (
    "ENDPOINT", "ID", "VERSION", "DB SIZE", "IS LEADER", "IS LEARNER", "RAFT TERM", "RAFT INDEX", "RAFT APPLIED INDEX", "ERRORS",
)  # fmt: skip
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_UNIT_FULL: Final = 999.5
"""Sizes from here on would round to 1000 of a unit, and are 1.0 of the next."""
_ONE_DIGIT_BELOW: Final = 9.95


@group("endpoint", short_help="Single nodes: status, health.")
def endpoint() -> None:
    """What the nodes of --endpoints, each for itself, say."""


_cluster = click.option("--cluster", is_flag=True, help="All members of the cluster instead of --endpoints.")


@command("status", short_help="Role, term, log positions.")
@_cluster
@click.pass_context
def status(context: click.Context, *, cluster: bool) -> None:
    """Endpoint, id, version, size, is leader, is learner, term, last index, applied index, errors."""
    settings = settings_of(context)

    async def work() -> None:
        answers = await asyncio.gather(
            *(_status(settings, one) for one in await _endpoints(settings, cluster=cluster))
        )
        for name, answer in answers:
            if isinstance(answer, str):
                click.echo(f"Failed to get the status of endpoint {name} ({answer})", err=True)
        found = [(name, answer) for name, answer in answers if not isinstance(answer, str)]
        if found or settings.write_out == "json":
            show(settings, _status_forms(found))
        if len(found) < len(answers):
            raise failed(
                f"{len(answers) - len(found)} of {len(answers)} endpoints did not answer", CtlExit.CONNECTION
            )

    run(work)


@command("health", short_help="Whether nodes are well.")
@_cluster
@click.pass_context
def health(context: click.Context, *, cluster: bool) -> None:
    """Whether each node hears a leader and has no problem; exit code 5 when one has."""
    settings = settings_of(context)

    async def work() -> None:
        answers = await asyncio.gather(
            *(_health(settings, one) for one in await _endpoints(settings, cluster=cluster))
        )
        show(settings, _health_forms(answers))
        if not all(answer.healthy for answer in answers):
            raise failed("unhealthy cluster", CtlExit.UNHEALTHY)

    run(work)


for _command in (status, health):
    endpoint.add_command(_command)


async def _endpoints(settings: Settings, *, cluster: bool) -> tuple[str, ...]:
    if not cluster:
        return settings.endpoints
    async with make_client(settings) as client:
        members = await client.members()
        known = await client.endpoints()
    speaks_http = all(one.startswith("http://") for one in known)
    return tuple(member.http_addr if speaks_http else member.grpc_addr for member in members)


async def _status(settings: Settings, name: str) -> tuple[str, EndpointStatus | str]:
    """A client for each: one that does not answer must not stop the others."""
    from ferrite.io.client import Unavailable

    async with make_client(settings, (name,)) as client:
        try:
            return name, await client.status(name)
        except Unavailable as error:
            return name, error.detail


async def _health(settings: Settings, name: str) -> Health:
    async with make_client(settings, (name,)) as client:
        return replace(await client.health(name), endpoint=name)


def _status_forms(found: list[tuple[str, EndpointStatus]]) -> Forms:
    return Forms(
        simple=lambda: [", ".join(_row(name, answer)) for name, answer in found],
        fields=lambda: [pair for name, answer in found for pair in _status_fields(name, answer)],
        json=lambda: [{"Endpoint": name, "Status": _status_json(answer)} for name, answer in found],
        table=lambda: Table(
            columns=_STATUS_COLUMNS,
            rows=[_row(name, answer) for name, answer in found],
            right=frozenset(_STATUS_COLUMNS[2:9]),
        ),
    )


def _row(name: str, answer: EndpointStatus) -> tuple[str, ...]:
    return (
        name,
        str(answer.node_id),
        answer.version,
        human_size(answer.size_bytes),
        str(answer.is_leader).lower(),
        str(_is_learner(answer)).lower(),
        str(answer.term),
        str(answer.last_log_index),
        str(answer.applied_index),
        "; ".join(_errors(answer)),
    )


def _status_fields(name: str, answer: EndpointStatus) -> list[Pair]:
    return [
        *header_of(answer).fields(answer.revision),
        ("Version", answer.version),
        ("DBSize", answer.size_bytes),
        ("Leader", answer.leader_id),
        ("IsLearner", _is_learner(answer)),
        ("RaftIndex", answer.last_log_index),
        ("RaftTerm", answer.term),
        ("RaftAppliedIndex", answer.applied_index),
        ("Errors", Bare("[" + "; ".join(_errors(answer)) + "]")),
        ("Endpoint", name),
    ]


def _status_json(answer: EndpointStatus) -> dict[str, Any]:
    return {
        "header": header_of(answer).json(answer.revision),
        "version": answer.version,
        "dbSize": answer.size_bytes,
        "leader": answer.leader_id,
        "raftIndex": answer.last_log_index,
        "raftTerm": answer.term,
        "raftAppliedIndex": answer.applied_index,
        "isLearner": _is_learner(answer),
        "role": answer.role,
        "clusterId": answer.cluster_id,
        "compactRevision": answer.compacted_revision,
        "errors": _errors(answer),
    }


def _is_learner(answer: EndpointStatus) -> bool:
    return any(member.node_id == answer.node_id and not member.voter for member in answer.members)


def _errors(answer: EndpointStatus) -> list[str]:
    errors = [] if answer.initialized else ["belongs to no cluster yet"]
    if answer.initialized and not answer.leader_id:
        errors.append("no leader")
    if answer.no_space:
        errors.append("NOSPACE: the quota is used up")
    return errors


def _health_forms(answers: list[Health]) -> Forms:
    return Forms(
        simple=lambda: [_health_line(answer) for answer in answers],
        fields=lambda: [
            pair
            for answer in answers
            for pair in (
                ("Endpoint", answer.endpoint),
                ("Health", answer.healthy),
                ("Took", Bare(_took(answer))),
                ("Error", Bare("; ".join(answer.problems))),
            )
        ],
        json=lambda: [
            {
                "endpoint": answer.endpoint,
                "health": answer.healthy,
                "took": _took(answer),
                **({"error": "; ".join(answer.problems)} if answer.problems else {}),
                **({"warnings": list(answer.warnings)} if answer.warnings else {}),
            }
            for answer in answers
        ],
        table=lambda: Table(
            columns=("ENDPOINT", "HEALTH", "TOOK", "ERROR"),
            rows=[
                (
                    answer.endpoint,
                    str(answer.healthy).lower(),
                    _took(answer),
                    "; ".join(answer.problems),
                )
                for answer in answers
            ],
            right=frozenset({"HEALTH", "TOOK"}),
        ),
    )


def _health_line(answer: Health) -> str:
    if not answer.healthy:
        return f"{answer.endpoint} is unhealthy: {'; '.join(answer.problems) or 'it does not say why'}"
    warnings = f" (warning: {'; '.join(answer.warnings)})" if answer.warnings else ""
    return f"{answer.endpoint} is healthy: hears a leader, has no problem: took = {_took(answer)}{warnings}"


def _took(answer: Health) -> str:
    return f"{answer.took_s:.6g}s" if answer.took_s >= 1 else f"{answer.took_s * 1000:.6g}ms"


def human_size(size_bytes: int) -> str:
    """As etcdctl writes sizes: powers of 1000, 20 kB or 1.2 MB."""
    size, unit = float(size_bytes), 0
    while size >= _UNIT_FULL and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    digits = 1 if unit and size < _ONE_DIGIT_BELOW else 0
    return f"{size:.{digits}f} {_UNITS[unit]}"
