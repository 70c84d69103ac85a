"""The door: routing, admission and errors, without an engine. The engine reads bytes, asks here, and writes the answer.

    admitted = door.admit(head)                  # RequestHead -> Admitted, or an HttpAnswer that refuses
    answer = await door.answer(admitted, body, hold)   # never raises but for cancellation
    door.begin(admitted, body, hold, finish)           # the same without a task, where the route needs none

A path is compared as it stands on the request line, undecoded: `/%77rite`, `//write` and `/WRITE` are other paths, which do
not exist, so there is no second spelling for a rule to miss.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

from ferrite.io.http.exchange import (
    PROBLEM_JSON,
    Begin,
    Call,
    HttpAnswer,
    HttpStream,
    RequestHead,
    Route,
    json_answer,
)
from ferrite.io.http.fields import suggestion
from ferrite.io.http.held_bytes import Hold
from ferrite.io.http.metrics import HttpMetrics
from ferrite.io.http.problems import (
    HttpProblem,
    ProblemAnswer,
    from_http_problem,
    from_invalid,
    from_request_error,
    problem_answer,
)
from ferrite.io.http.quiet_log import QuietLog
from ferrite.io.http.settings import HttpSettings
from ferrite.io.request_path import RequestError
from ferrite.io.validation import Invalid, shown

_NO_ROUTE: Final = "none"  # the label of requests that match no route
_QUERY_FIELDS_MAX: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A request whose head is fine; its body may be read, at most `body_bytes_max` of it."""

    method: str
    route: Route
    argument: str
    query: Mapping[str, tuple[str, ...]]
    accept: str
    last_event_id: str
    body_bytes_max: int


class Door:
    """Admits requests to routes and turns every outcome into an answer."""

    def __init__(
        self, routes: tuple[Route, ...], settings: HttpSettings, metrics: HttpMetrics, log: QuietLog
    ) -> None:
        """Index the routes."""
        self._exact: dict[str, tuple[Route, ...]] = {}
        self._families: dict[str, tuple[Route, ...]] = {}
        for route in routes:
            table = self._families if route.argument else self._exact
            table[route.path] = (*table.get(route.path, ()), route)
        self._labels = tuple(route.label for route in routes)
        self._settings = settings
        self._metrics = metrics
        self._log = log

    def admit(self, head: RequestHead) -> Admitted | HttpAnswer:
        """Decide by the head alone."""
        started_s = time.perf_counter()
        try:
            return self.find(head)
        except HttpProblem as problem:
            refusal, close = from_http_problem(problem), problem.close or head.has_body
        except Invalid as error:
            refusal, close = from_invalid(error), head.has_body
        return self._refuse(refusal, self._label_of(head.target), started_s, close=close)

    def find(self, head: RequestHead) -> Admitted:
        """As `admit`, but raises `HttpProblem` or `Invalid` instead of refusing, and counts nothing."""
        path, query_text, authority = _split_target(head.target)
        self._check_host(authority if authority is not None else head.headers.get("host"))
        routes, argument = self._find(path)
        route = _by_method(routes, head.method)
        if route.method == "POST":
            _check_origin(head.headers)
        if head.has_body:
            self._check_body_headers(route, head.headers)
        return Admitted(
            method=head.method,
            route=route,
            argument=argument,
            query=_parse_query(query_text, route.query),
            accept=head.headers.get("accept", ""),
            last_event_id=head.headers.get("last-event-id", ""),
            body_bytes_max=self._settings.limits.request_bytes_max,
        )

    async def answer(self, admitted: Admitted, body: bytes, hold: Hold) -> HttpAnswer | HttpStream:
        """Run the handler; `hold` counts the answer then. Whoever gets a stream reads it to the end or closes it."""
        started_s = time.perf_counter()
        route, call = admitted.route, _call(admitted, body, hold)
        answer: HttpAnswer | HttpStream | Exception
        try:
            if route.begin is not None:
                answer = await _outcome_of(route.begin, call)
            else:
                assert route.handler is not None, "a route has one of the two"
                answer = await route.handler(call)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            answer = error
        return self._settle(admitted, hold, started_s, answer)

    def begin(
        self, admitted: Admitted, body: bytes, hold: Hold, finish: Callable[[HttpAnswer], None]
    ) -> asyncio.Task[HttpAnswer] | None:
        """As `answer`, for a route that does not stream; `finish` gets the answer. Returns the task, if there is one."""
        begin = admitted.route.begin
        if begin is None:
            task = asyncio.ensure_future(self._answer_whole(admitted, body, hold))
            task.add_done_callback(partial(_pass_on, finish))
            return task
        started_s = time.perf_counter()

        def settle(outcome: HttpAnswer | Exception) -> None:
            finish(self._settle_whole(admitted, hold, started_s, outcome))

        try:
            begin(_call(admitted, body, hold), settle)
        except Exception as error:  # noqa: BLE001 - as in `answer`
            settle(error)
        return None

    async def _answer_whole(self, admitted: Admitted, body: bytes, hold: Hold) -> HttpAnswer:
        answer = await self.answer(admitted, body, hold)
        assert isinstance(answer, HttpAnswer), f"{admitted.route.label} does not stream"
        return answer

    def refuse_body(self, admitted: Admitted, problem: HttpProblem) -> HttpAnswer:
        """Answer a request whose body did not come in as it should; the connection ends."""
        return self._refuse(from_http_problem(problem), admitted.route.label, time.perf_counter(), close=True)

    def refuse_connection(self, problem: HttpProblem) -> HttpAnswer:
        """Answer what is no request: bytes that are not HTTP, a head that never ended, a connection too many."""
        return self._refuse(from_http_problem(problem), _NO_ROUTE, time.perf_counter(), close=True)

    def _settle(
        self, admitted: Admitted, hold: Hold, started_s: float, outcome: HttpAnswer | HttpStream | Exception
    ) -> HttpAnswer | HttpStream:
        """Count what a handler returned or raised, and make an answer of it."""
        label = admitted.route.label
        if isinstance(outcome, HttpStream):
            self._metrics.answered(label, 200, time.perf_counter() - started_s)
            if admitted.method != "HEAD":
                return outcome
            outcome.source.close()
            return HttpAnswer(
                status=200, body=b"", content_type=outcome.content_type, headers=outcome.headers
            )
        return self._settle_whole(admitted, hold, started_s, outcome)

    def _settle_whole(
        self, admitted: Admitted, hold: Hold, started_s: float, outcome: HttpAnswer | Exception
    ) -> HttpAnswer:
        label = admitted.route.label
        if isinstance(outcome, HttpAnswer):
            try:
                hold.answer(len(outcome.body))
            except HttpProblem as problem:
                outcome = problem
            else:
                self._metrics.answered(label, outcome.status, time.perf_counter() - started_s)
                return outcome
        close = False
        match outcome:
            case Invalid():
                refusal = from_invalid(outcome)
            case HttpProblem():
                refusal, close = from_http_problem(outcome), outcome.close
            case RequestError():
                refusal = from_request_error(outcome)
            case _:
                self._log.failure(f"{admitted.route.method} {label} failed", outcome)
                refusal = problem_answer(
                    "internal", "The request failed inside Ferrite; the node's log says why."
                )
        return self._refuse(refusal, label, started_s, close=close)

    def _refuse(
        self, problem: ProblemAnswer, label: str, started_s: float, *, close: bool = False
    ) -> HttpAnswer:
        self._metrics.answered(label, problem.status, time.perf_counter() - started_s)
        self._metrics.rejected(problem.code)
        return json_answer(
            problem.body,
            status=problem.status,
            content_type=PROBLEM_JSON,
            headers=problem.headers,
            close=close,
        )

    def _label_of(self, target: str) -> str:
        """Of a request that was refused: its path's, when there is such a path."""
        try:
            return self._find(_split_target(target)[0])[0][0].label
        except HttpProblem:
            return _NO_ROUTE

    def _find(self, path: str) -> tuple[tuple[Route, ...], str]:
        """The routes of a path, one for each method that it has."""
        routes = self._exact.get(path)
        if routes is not None:
            return routes, ""
        family, _, argument = path.rpartition("/")
        routes = self._families.get(family)
        if routes is not None and argument:
            return routes, argument
        advice = suggestion(path, self._labels) if path.isascii() else ""
        raise HttpProblem("not_found", f"There is no such path{advice}; GET / lists them all.")

    def _check_host(self, host: str | None) -> None:
        """Refuse names that are not ours (DNS rebinding); an address cannot be rebound."""
        allowed = self._settings.allowed_hosts
        if allowed is None or host is None:  # HTTP/1.0 may leave it out; browsers do not
            return
        name = _host_name(host)
        if name in allowed or name == "localhost" or name.endswith(".localhost") or _is_ip(name):
            return
        raise HttpProblem(
            "wrong_host",
            f"The Host header says {shown(host)}; this server listens on loopback and expects an IP address, localhost or a "
            "configured address of the node.",
            extra={"field": "Host", "given": shown(host)},
        )

    def _check_body_headers(self, route: Route, headers: Mapping[str, str]) -> None:
        if route.method != "POST":
            raise HttpProblem("invalid", "A GET request has no body here.", close=True)
        _check_content_type(headers)
        declared = headers.get("content-length", "")
        bytes_max = self._settings.limits.request_bytes_max
        if declared.isascii() and declared.isdigit() and (len(declared) > 18 or int(declared) > bytes_max):
            raise body_too_large(bytes_max)


def _call(admitted: Admitted, body: bytes, hold: Hold) -> Call:
    return Call(
        body=body,
        hold=hold,
        argument=admitted.argument,
        query=admitted.query,
        accept=admitted.accept,
        last_event_id=admitted.last_event_id,
    )


def _pass_on(finish: Callable[[HttpAnswer], None], task: asyncio.Task[HttpAnswer]) -> None:
    if not task.cancelled():
        finish(task.result())


async def _outcome_of(begin: Begin, call: Call) -> HttpAnswer:
    """Wait for what `begin` finishes with."""
    asked: asyncio.Future[HttpAnswer] = asyncio.get_running_loop().create_future()

    def finish(outcome: HttpAnswer | Exception) -> None:
        if asked.done():  # whoever waited was cancelled: the client is gone
            return
        if isinstance(outcome, Exception):
            asked.set_exception(outcome)
        else:
            asked.set_result(outcome)

    begin(call, finish)
    return await asked


def body_too_large(bytes_max: int) -> HttpProblem:
    """The body, or what its headers announce, is over the limit."""
    return HttpProblem(
        "too_large",
        f"The body is larger than {bytes_max} bytes (limits.request_bytes_max).",
        extra={"field": "body", "expected": f"at most {bytes_max} bytes"},
        close=True,
    )


def _split_target(target: str) -> tuple[str, str, str | None]:
    """Path, query and, in absolute-form, the authority, which then counts instead of `Host` (RFC 9112, 3.2.2)."""
    authority = None
    if not target.startswith("/"):
        scheme, separator, rest = target.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            raise HttpProblem(
                "not_found", "The request target is not a path; GET / lists all paths.", close=True
            )
        authority, _, tail = rest.partition("/")
        target = f"/{tail}"
    path, _, query = target.partition("?")
    return path, query, authority


def _by_method(routes: tuple[Route, ...], method: str) -> Route:
    for route in routes:
        if method in route.methods:
            return route
    methods = tuple(one for route in routes for one in route.methods)
    raise HttpProblem(
        "method_not_allowed",
        f"{routes[0].label} supports {' and '.join(methods)}.",
        allow=methods,
        close=method == "CONNECT",
    )


def _check_origin(headers: Mapping[str, str]) -> None:
    """A web page of another origin can send a POST without asking first; its browser says so in `Origin`."""
    origin = headers.get("origin")
    if origin is None:
        return
    if origin.partition("://")[2].lower() != headers.get("host", "").lower():
        raise HttpProblem(
            "cross_origin",
            "The Origin header names another origin than this server; no web page may write here.",
        )


def _check_content_type(headers: Mapping[str, str]) -> None:
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", ""):
        raise HttpProblem(
            "unsupported_media_type",
            f"Content-Encoding is {shown(coding)}; send the body as it is.",
            extra={"field": "Content-Encoding", "given": shown(coding), "expected": "none"},
        )
    given = headers.get("content-type")
    if given is None:
        return
    media_type, *parameters = (part.strip().lower() for part in given.split(";"))
    charset = [one.partition("=")[2].strip("\"' ") for one in parameters if one.startswith("charset")]
    if media_type != "application/json" or any(one not in ("utf-8", "utf8") for one in charset):
        raise HttpProblem(
            "unsupported_media_type",
            f"Content-Type is {shown(given)}; send JSON with Content-Type: application/json.",
            extra={"field": "Content-Type", "given": shown(given), "expected": "application/json"},
        )


def _parse_query(text: str, known: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    if not text:
        return {}
    if not text.isascii():
        raise Invalid("query", "bytes that are not ASCII", "them percent-encoded")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_QUERY_FIELDS_MAX, errors="strict")
    except UnicodeDecodeError:
        raise Invalid("query", "percent-encoded bytes that are not UTF-8", "UTF-8") from None
    except ValueError:
        raise Invalid("query", "too many parameters", f"at most {_QUERY_FIELDS_MAX}") from None
    found: dict[str, tuple[str, ...]] = {}
    for name, content in pairs:
        if name not in known:
            expected = f"only {', '.join(known)}" if known else "no query parameters"
            raise Invalid("query", f"the parameter {shown(name)}{suggestion(name, known)}", expected)
        found[name] = (*found.get(name, ()), content)
    return found


def _host_name(host: str) -> str:
    """The name of `host[:port]`, lower case, without the dot that ends a full name."""
    name = host.strip().lower()
    if name.startswith("["):
        inside, bracket, _ = name[1:].partition("]")
        return inside if bracket else ""
    name, colon, port = name.rpartition(":") if ":" in name else (name, "", "")
    if colon and not (port.isascii() and port.isdigit()) and port:
        return ""
    return name.removesuffix(".")


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
