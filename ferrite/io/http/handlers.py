"""What each path does: parse, ask the request path, answer. Knows nothing of the engine that carries the bytes.

Keys, leases and watches: `kv_handlers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from ferrite.io.config import LimitsConfig
from ferrite.io.http.accept import accepted
from ferrite.io.http.backup_stream import BACKUP_QUERY, begin_backup
from ferrite.io.http.checks import (
    LIVENESS_CHECKS,
    READINESS_CHECKS,
    Check,
    health_answer,
    liveness,
    probe,
    readiness,
)
from ferrite.io.http.cluster_json import (
    Identity,
    identity_answer,
    init_answer,
    leader_answer,
    metrics_answer,
    parse_add_learner,
    parse_change_membership,
    parse_init,
    parse_remove_member,
    parse_transfer_leader,
)
from ferrite.io.http.exchange import Call, HttpAnswer, HttpStream, Route, json_answer, text_answer
from ferrite.io.http.json_body import parse_json
from ferrite.io.http.kv_handlers import KvHandlers
from ferrite.io.http.openapi import openapi_document
from ferrite.io.http.problems import HttpProblem
from ferrite.io.request_path import PipelinedPath

_OPENMETRICS_FORMAT: Final = "application/openmetrics-text"
_OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_TEXT_FORMATS: Final = ("text/plain", _OPENMETRICS_FORMAT)
_JSON_FORMAT: Final = "application/json"
_PROBE_QUERY: Final = ("verbose", "exclude")


class Handlers:
    """The handlers of one node."""

    def __init__(
        self,
        request_path: PipelinedPath,
        limits: LimitsConfig,
        identity: Callable[[], Identity],
        registry: CollectorRegistry,
    ) -> None:
        """Nothing is asked yet."""
        self._request_path = request_path
        self._limits = limits
        self._kv = KvHandlers(request_path, limits)
        self._identity = identity
        self._registry = registry

    def routes(self) -> tuple[Route, ...]:
        """Everything that is served: the one table."""
        return (
            *self._kv.routes(),
            Route(method="POST", path="/init", handler=self._init),
            Route(method="POST", path="/add-learner", handler=self._add_learner),
            Route(method="POST", path="/change-membership", handler=self._change_membership),
            Route(method="POST", path="/remove-member", handler=self._remove_member),
            Route(method="POST", path="/transfer-leader", handler=self._transfer_leader),
            Route(method="GET", path="/backup", handler=self._backup, query=BACKUP_QUERY, streams=True),
            Route(method="GET", path="/", handler=self._index),
            Route(method="GET", path="/health", handler=self._health),
            Route(method="GET", path="/livez", handler=self._livez, query=_PROBE_QUERY),
            Route(method="GET", path="/livez", handler=self._livez_one, argument=True, query=("verbose",)),
            Route(method="GET", path="/readyz", handler=self._readyz, query=_PROBE_QUERY),
            Route(method="GET", path="/readyz", handler=self._readyz_one, argument=True, query=("verbose",)),
            Route(method="GET", path="/metrics", handler=self._metrics),
            Route(method="GET", path="/metrics/prometheus", handler=self._prometheus),
            Route(method="GET", path="/is-leader", handler=self._is_leader),
            Route(method="GET", path="/leader", handler=self._leader),
            Route(method="GET", path="/identity", handler=self._identity_of_node),
            Route(method="GET", path="/openapi.json", handler=self._openapi),
        )

    # -- cluster

    async def _init(self, call: Call) -> HttpAnswer:
        members = parse_init(_optional_json(call.body))
        return json_answer(init_answer(await self._request_path.initialize(members)))

    async def _add_learner(self, call: Call) -> HttpAnswer:
        request = parse_add_learner(parse_json(call.body))
        log_index = await self._request_path.add_learner(request.member, timeout_ms=request.timeout_ms)
        return json_answer({"node_id": request.member.node_id, "log_index": log_index})

    async def _change_membership(self, call: Call) -> HttpAnswer:
        request = parse_change_membership(parse_json(call.body))
        log_index = await self._request_path.change_membership(request.voters, timeout_ms=request.timeout_ms)
        return json_answer({"voters": sorted(request.voters), "log_index": log_index})

    async def _remove_member(self, call: Call) -> HttpAnswer:
        request = parse_remove_member(parse_json(call.body))
        log_index = await self._request_path.remove_member(request.target, timeout_ms=request.timeout_ms)
        return json_answer({"node_id": request.target, "log_index": log_index})

    async def _transfer_leader(self, call: Call) -> HttpAnswer:
        request = parse_transfer_leader(_optional_json(call.body))
        leader = await self._request_path.transfer_leader(request.target, timeout_ms=request.timeout_ms)
        return json_answer({"leader": leader or None})

    async def _backup(self, call: Call) -> HttpStream:
        return await begin_backup(self._request_path, call)

    # -- state of the node

    async def _index(self, call: Call) -> HttpAnswer:
        paths = [f"{route.method} {route.label}" for route in self.routes()]
        return json_answer({"name": "ferrite", "version": self._identity().version, "paths": paths})

    async def _health(self, call: Call) -> HttpAnswer:
        healthy, content = health_answer(self._request_path.status())
        return json_answer(content, status=200 if healthy else 503)

    async def _livez(self, call: Call) -> HttpAnswer:
        return _probe_answer("livez", liveness(), call)

    async def _livez_one(self, call: Call) -> HttpAnswer:
        _known_check(call.argument, LIVENESS_CHECKS)
        return _probe_answer("livez", _named(liveness(), call.argument), call)

    async def _readyz(self, call: Call) -> HttpAnswer:
        return _probe_answer("readyz", readiness(self._request_path.status()), call)

    async def _readyz_one(self, call: Call) -> HttpAnswer:
        _known_check(call.argument, READINESS_CHECKS)
        return _probe_answer("readyz", _named(readiness(self._request_path.status()), call.argument), call)

    async def _metrics(self, call: Call) -> HttpAnswer:
        if _wants_text(call.accept):
            return await self._prometheus(call)
        return json_answer(metrics_answer(self._request_path.status()))

    async def _prometheus(self, call: Call) -> HttpAnswer:
        # Not the library's negotiation: it copies parts of the client's header into ours, and fails on others.
        if accepted(call.accept).get(_OPENMETRICS_FORMAT, 0):
            body = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]  # the library has no types there
            return HttpAnswer(status=200, body=body, content_type=_OPENMETRICS_TYPE)
        body = generate_latest(self._registry)
        return HttpAnswer(status=200, body=body, content_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def _is_leader(self, call: Call) -> HttpAnswer:
        return json_answer({"is_leader": self._request_path.status().role == "leader"})

    async def _leader(self, call: Call) -> HttpAnswer:
        return json_answer(leader_answer(self._request_path.status()))

    async def _identity_of_node(self, call: Call) -> HttpAnswer:
        return json_answer(identity_answer(self._identity()))

    async def _openapi(self, call: Call) -> HttpAnswer:
        return json_answer(openapi_document(self._identity().version, self._limits))


def _optional_json(body: bytes) -> Any:
    """The body's value; None when there is no body."""
    return parse_json(body) if body else None


def _known_check(name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise HttpProblem("not_found", f"There is no such check; the checks are {', '.join(known)}.")


def _named(checks: Sequence[Check], name: str) -> tuple[Check, ...]:
    return tuple(check for check in checks if check.name == name)


def _probe_answer(name: str, checks: Sequence[Check], call: Call) -> HttpAnswer:
    verbose = "verbose" in call.query and call.query["verbose"][-1] not in ("false", "0")
    answer = probe(name, checks, verbose=verbose, excluded=frozenset(call.query.get("exclude", ())))
    return text_answer(answer.text, status=200 if answer.ok else 503)


def _wants_text(accept: str) -> bool:
    """Is a Prometheus format asked for, and preferred to JSON? A scraper names one; a browser and curl do not."""
    quality = accepted(accept)
    best = max((quality.get(one, 0) for one in _TEXT_FORMATS), default=0)
    return best > quality.get(_JSON_FORMAT, 0)
