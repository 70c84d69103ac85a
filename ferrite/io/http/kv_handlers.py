"""What the paths of keys, leases and watches do: parse, ask the request path, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from ferrite.core.kv import ListKeys, Operation, Query, Range, Txn, is_read_only
from ferrite.io.config import LimitsConfig
from ferrite.io.http.answer_sizes import largest_answer_bytes, result_bytes
from ferrite.io.http.exchange import (
    Call,
    Finish,
    HttpAnswer,
    HttpStream,
    Route,
    json_answer,
    json_bytes_answer,
)
from ferrite.io.http.held_bytes import SMALL_BYTES
from ferrite.io.http.json_body import parse_json
from ferrite.io.http.kv_json import (
    ReadRequest,
    list_answer,
    parse_list,
    parse_read,
    parse_write,
    read_answer,
    write_answer,
)
from ferrite.io.http.lease_json import (
    LIST_FIELDS,
    lease_answer,
    list_leases_answer,
    parse_lease_grant,
    parse_lease_keep_alive,
    parse_lease_revoke,
    parse_lease_time_to_live,
    parse_list_leases,
)
from ferrite.io.http.options import ReadOptions
from ferrite.io.http.plain_forms import plain_read, plain_read_answer, plain_write, plain_write_answer
from ferrite.io.http.query import query_object
from ferrite.io.http.range_json import (
    ChangeRequest,
    change_answer,
    parse_compact,
    parse_delete_range,
    parse_put,
    parse_range,
    range_answer,
)
from ferrite.io.http.txn_json import parse_txn, txn_answer
from ferrite.io.http.watch_json import WATCH_FIELDS, WATCH_FLAGS, parse_watch
from ferrite.io.http.watch_stream import begin_watch
from ferrite.io.request_path import Answered, PipelinedPath, RequestError

_LIST_INTEGERS: Final = ("max_staleness_ms", "timeout_ms")


class KvHandlers:
    """The handlers of one node."""

    def __init__(self, request_path: PipelinedPath, limits: LimitsConfig) -> None:
        """Nothing is asked yet."""
        self._request_path = request_path
        self._limits = limits
        self._encoding = asyncio.Lock()

    def routes(self) -> tuple[Route, ...]:
        """Their part of the table."""
        return (
            Route(method="POST", path="/write", begin=self._write),
            Route(method="POST", path="/read", begin=self._read),
            Route(method="POST", path="/list", handler=self._list),
            Route(method="POST", path="/kv/put", handler=self._put),
            Route(method="POST", path="/kv/range", handler=self._range),
            Route(method="POST", path="/kv/delete", handler=self._delete),
            Route(method="POST", path="/kv/txn", handler=self._txn),
            Route(method="POST", path="/kv/compact", handler=self._compact),
            Route(method="POST", path="/lease/grant", handler=self._lease_grant),
            Route(method="POST", path="/lease/revoke", handler=self._lease_revoke),
            Route(method="POST", path="/lease/keep-alive", handler=self._lease_keep_alive),
            Route(method="POST", path="/lease/time-to-live", handler=self._lease_time_to_live),
            Route(method="GET", path="/lease/list", handler=self._lease_list, query=LIST_FIELDS),
            Route(method="POST", path="/watch", handler=self._watch, streams=True),
            Route(method="GET", path="/watch", handler=self._watch_by_url, query=WATCH_FIELDS, streams=True),
        )

    # -- the three plain ones

    def _write(self, call: Call, finish: Finish) -> None:
        request = plain_write(call.body, self._limits) or parse_write(parse_json(call.body), self._limits)
        self._request_path.begin_write(
            request.operation,
            partial(_finish, finish, _write_answer),
            session=request.options.session,
            timeout_ms=request.options.timeout_ms,
        )

    def _read(self, call: Call, finish: Finish) -> None:
        request = plain_read(call.body, self._limits) or parse_read(parse_json(call.body), self._limits)
        options = request.options
        self._request_path.begin_read(
            request.query,
            partial(_finish, finish, partial(_read_answer, request)),
            consistency=options.consistency,
            max_staleness_ms=options.max_staleness_ms,
            timeout_ms=options.timeout_ms,
        )

    async def _list(self, call: Call) -> HttpAnswer:
        request = parse_list(parse_json(call.body) if call.body else {}, self._limits)
        await self._reserve(call, request.query)
        answered = await self._ask(request.query, request.options)
        await self._turn_of(answered)
        return json_answer(list_answer(request, answered, self._limits))

    # -- ranges and transactions

    async def _put(self, call: Call) -> HttpAnswer:
        return await self._change(call, parse_put(parse_json(call.body), self._limits))

    async def _delete(self, call: Call) -> HttpAnswer:
        return await self._change(call, parse_delete_range(parse_json(call.body), self._limits))

    async def _compact(self, call: Call) -> HttpAnswer:
        return await self._change(call, parse_compact(parse_json(call.body)))

    async def _range(self, call: Call) -> HttpAnswer:
        request = parse_range(parse_json(call.body), self._limits)
        await self._reserve(call, request.query)
        answered = await self._ask(request.query, request.options)
        await self._turn_of(answered)
        return json_answer(range_answer(request, answered, self._limits))

    async def _txn(self, call: Call) -> HttpAnswer:
        request = parse_txn(parse_json(call.body), self._limits)
        await self._reserve(call, request.txn)
        if request.is_query:
            answered = await self._ask(request.txn, request.read)
        else:
            answered = await self._request_path.write(
                request.txn, session=request.write.session, timeout_ms=request.write.timeout_ms
            )
        await self._turn_of(answered)
        return json_answer(txn_answer(request, answered))

    async def _change(self, call: Call, request: ChangeRequest) -> HttpAnswer:
        await self._reserve(call, request.operation)
        answered = await self._carry_out(request)
        await self._turn_of(answered)
        return json_answer(change_answer(request, answered))

    # -- leases

    async def _lease_grant(self, call: Call) -> HttpAnswer:
        return await self._lease(parse_lease_grant(parse_json(call.body)))

    async def _lease_revoke(self, call: Call) -> HttpAnswer:
        return await self._lease(parse_lease_revoke(parse_json(call.body)))

    async def _lease_keep_alive(self, call: Call) -> HttpAnswer:
        return await self._lease(parse_lease_keep_alive(parse_json(call.body), self._limits))

    async def _lease_time_to_live(self, call: Call) -> HttpAnswer:
        return await self._lease(parse_lease_time_to_live(parse_json(call.body)))

    async def _lease_list(self, call: Call) -> HttpAnswer:
        request = parse_list_leases(query_object(call.query, integers=_LIST_INTEGERS))
        return json_answer(list_leases_answer(await self._ask(request.query, request.options)))

    async def _lease(self, request: ChangeRequest) -> HttpAnswer:
        return json_answer(lease_answer(request, await self._carry_out(request)))

    # -- watches

    async def _watch(self, call: Call) -> HttpStream:
        request = parse_watch(parse_json(call.body), self._limits)
        return begin_watch(self._request_path, request, call)

    async def _watch_by_url(self, call: Call) -> HttpStream:
        given = query_object(call.query, integers=("start_revision",), booleans=WATCH_FLAGS)
        return begin_watch(self._request_path, parse_watch(given, self._limits), call)

    # -- large answers

    async def _reserve(self, call: Call, asked: Query | Operation) -> None:
        """Make room for the answer before anything is read or changed for it. Raises `HttpProblem` when there is none."""
        size_bytes = largest_answer_bytes(asked, self._limits)
        if size_bytes:
            owed = not (
                isinstance(asked, Range | ListKeys) or (isinstance(asked, Txn) and is_read_only(asked))
            )
            await call.hold.reserve(size_bytes, owed=owed)

    async def _turn_of(self, answered: Answered) -> None:
        """Large answers that came together are encoded one in a turn of the loop: heartbeats go on between them."""
        if result_bytes(answered.result) > SMALL_BYTES:
            async with self._encoding:
                await asyncio.sleep(0)

    # -- the request path

    async def _carry_out(self, request: ChangeRequest) -> Answered:
        options = request.options
        return await self._request_path.write(
            request.operation, session=options.session, timeout_ms=options.timeout_ms
        )

    async def _ask(self, query: Query, options: ReadOptions) -> Answered:
        return await self._request_path.read(
            query,
            consistency=options.consistency,
            max_staleness_ms=options.max_staleness_ms,
            timeout_ms=options.timeout_ms,
        )


def _write_answer(answered: Answered) -> HttpAnswer:
    plain = plain_write_answer(answered)
    return json_answer(write_answer(answered)) if plain is None else json_bytes_answer(plain)


def _read_answer(request: ReadRequest, answered: Answered) -> HttpAnswer:
    plain = plain_read_answer(request, answered)
    return json_answer(read_answer(request, answered)) if plain is None else json_bytes_answer(plain)


def _finish(
    finish: Finish, encode: Callable[[Answered], HttpAnswer], outcome: Answered | RequestError
) -> None:
    """Encode the answer; whatever that raises is an outcome, too."""
    if isinstance(outcome, RequestError):
        finish(outcome)
        return
    try:
        answer = encode(outcome)
    except Exception as error:  # noqa: BLE001 - nobody else is there to tell the client
        finish(error)
    else:
        finish(answer)
