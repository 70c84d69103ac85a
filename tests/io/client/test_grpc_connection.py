"""What the real doors do not do: servers without a pipeline, streams that break half way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio

from ferrite import AsyncClient
from ferrite.client import Unavailable, Unsupported
from ferrite.core import kv
from ferrite.io.client.cluster_guard import ClusterGuard
from ferrite.io.client.connection import Answered, Lost, Outcome, Refusal
from ferrite.io.client.grpc_connection import GrpcConnection
from ferrite.io.client.grpc_words import message_of
from ferrite.io.client.request import Request
from ferrite.io.grpc.pb import kv_pb2, management_pb2

PUT = Request(operation=kv.Put(key=b"k", value=b"v"))
Handler = Callable[..., Any]


@asynccontextmanager
async def scripted(**methods: Handler) -> AsyncIterator[str]:
    """A server with these methods of `KvService` only, and of no cluster."""
    makers: dict[str, Any] = {
        "Put": (grpc.unary_unary_rpc_method_handler, kv_pb2.PutRequest, kv_pb2.PutResponse),
        "Pipeline": (
            grpc.stream_stream_rpc_method_handler, kv_pb2.PipelineRequests, kv_pb2.PipelineResponses,
        ),
    }  # fmt: skip
    handlers = {}
    for name, handler in methods.items():
        make, request_type, response_type = makers[name]
        handlers[name] = make(
            handler,
            request_deserializer=request_type.FromString,
            response_serializer=response_type.SerializeToString,
        )
    server = aio.server()
    metrics = grpc.unary_unary_rpc_method_handler(
        no_cluster,
        management_pb2.GetMetricsRequest.FromString,
        management_pb2.GetMetricsResponse.SerializeToString,
    )
    services = {
        "ferrite.kv.KvService": handlers,
        "ferrite.management.ManagementService": {"GetMetrics": metrics},
    }
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(name, served) for name, served in services.items()]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def no_cluster(
    request: management_pb2.GetMetricsRequest, context: object
) -> management_pb2.GetMetricsResponse:
    return management_pb2.GetMetricsResponse()


@asynccontextmanager
async def connection(address: str) -> AsyncIterator[GrpcConnection]:
    made = GrpcConnection(address, 2.0, ClusterGuard())
    try:
        yield made
    finally:
        await made.close()


async def attempts(conn: GrpcConnection, count: int) -> list[Outcome]:
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[Outcome]] = [loop.create_future() for _ in range(count)]
    for future in futures:
        conn.begin(PUT, None, 5.0, future.set_result)
    return await asyncio.wait_for(asyncio.gather(*futures), 10)


async def put(request: kv_pb2.PutRequest, context: object) -> kv_pb2.PutResponse:
    return kv_pb2.PutResponse(revision=7)


async def test_a_server_without_a_pipeline_is_asked_call_by_call() -> None:
    async with scripted(Put=put) as address, connection(address) as conn:
        outcomes = await attempts(conn, 3) + await attempts(conn, 1)
    assert outcomes == [Answered(result=kv.PutResult(revision=7))] * 4
    assert not conn._has_pipeline


async def test_what_the_server_does_not_know_is_unsupported() -> None:
    async with scripted() as address, AsyncClient(f"grpc://{address}") as client:
        with pytest.raises(Unsupported) as caught:
            await client.put("k", "v")
        assert caught.value.certainly_not_applied


def nested(levels: int) -> kv.Txn:
    txn = kv.Txn(success=(kv.Put(key=b"k"),))
    for _ in range(levels - 1):
        txn = kv.Txn(success=(txn,))
    return txn


@pytest.mark.parametrize(
    "operation",
    [nested(64), kv.Compact(revision=2**64), kv.LeaseRevoke(lease_id=-1)],
    ids=["nest", "revision", "lease"],
)
async def test_what_no_message_can_carry_is_invalid(operation: kv.Operation) -> None:
    outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    async with connection("127.0.0.1:1") as conn:
        conn.begin(Request(operation=operation), None, 1.0, outcome.set_result)
        assert not outcome.done(), "never within the call"
        refused = await outcome
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.certainly_not_applied) == ("invalid", True)


async def test_a_negative_ttl_is_the_least_as_over_http() -> None:
    _, message = message_of(Request(operation=kv.LeaseGrant(lease_id=1, ttl_s=-1)), None)
    assert message == kv_pb2.LeaseGrantRequest(lease_id=1, ttl_s=0)


async def test_what_is_in_flight_when_a_stream_breaks_may_have_happened() -> None:
    async def pipeline(requests: Any, context: Any) -> AsyncIterator[kv_pb2.PipelineResponses]:
        async for message in requests:
            first = kv_pb2.PipelineResponse(id=message.requests[0].id, put=kv_pb2.PutResponse(revision=7))
            yield kv_pb2.PipelineResponses(responses=[first])
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    async with scripted(Pipeline=pipeline) as address, connection(address) as conn:
        answered, *lost = await attempts(conn, 4)
        assert answered == Answered(result=kv.PutResult(revision=7))
        assert lost == [Lost(detail="gone", sent=True)] * 3
        again = await attempts(conn, 1)
        assert isinstance(again[0], Answered), "the next attempt opens a new stream"


async def test_concurrent_operations_share_messages() -> None:
    sizes = []

    async def pipeline(requests: Any, context: Any) -> AsyncIterator[kv_pb2.PipelineResponses]:
        async for message in requests:
            sizes.append(len(message.requests))
            done = [
                kv_pb2.PipelineResponse(id=request.id, put=kv_pb2.PutResponse(revision=1))
                for request in message.requests
            ]
            yield kv_pb2.PipelineResponses(responses=done)

    async with scripted(Pipeline=pipeline) as address, connection(address) as conn:
        await attempts(conn, 100)
        assert len(sizes) < 10


async def test_nobody_at_the_address_has_certainly_seen_nothing() -> None:
    async with connection("127.0.0.1:1") as conn:
        (outcome,) = await attempts(conn, 1)
    assert isinstance(outcome, Lost) and not outcome.sent


async def test_a_server_that_answers_in_another_language_is_no_answer() -> None:
    async def pipeline(requests: Any, context: Any) -> AsyncIterator[kv_pb2.PipelineResponses]:
        async for message in requests:
            yield kv_pb2.PipelineResponses(
                responses=[kv_pb2.PipelineResponse(id=request.id) for request in message.requests]
            )

    async with (
        scripted(Pipeline=pipeline) as address,
        AsyncClient(f"grpc://{address}", timeout_s=0.3) as client,
    ):
        with pytest.raises(Unavailable, match="unknown kind") as caught:
            await client.get("k")
        assert caught.value.certainly_not_applied
