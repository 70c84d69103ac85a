"""The first contact: which of the given endpoints answer, what they speak, and which protocol the client will speak."""

from __future__ import annotations

import asyncio

from ferrite.io.client.answers import EndpointStatus
from ferrite.io.client.cluster_guard import ClusterGuard
from ferrite.io.client.connection import Answered, Connection, Outcome, Scheme
from ferrite.io.client.errors import FerriteError, Unavailable
from ferrite.io.client.recognise import NotRecognised, recognise
from ferrite.io.client.request import AskStatus, Request
from ferrite.io.client.settings import ClientSettings


def address_of(scheme: Scheme, http_addr: str, grpc_addr: str) -> str:
    """A node's address for this protocol."""
    return grpc_addr if scheme == "grpc" else http_addr


async def connect_to(address: str, timeout_s: float) -> Scheme:
    """What `host:port` speaks. Raises `Unavailable`."""
    try:
        return await recognise(address, timeout_s)
    except NotRecognised as error:
        raise Unavailable(str(error), code="unreachable") from None


async def find_cluster(settings: ClientSettings, guard: ClusterGuard) -> tuple[Scheme, tuple[str, ...]]:
    """The protocol to speak, and endpoints that speak it, one at least. Raises `Unavailable` when none of the given ones
    answers.
    """
    known = [(scheme, address) for scheme, address in settings.endpoints if scheme]
    found, refusals = await _recognised(
        [address for scheme, address in settings.endpoints if not scheme], settings.connect_timeout_s
    )
    known += found
    if not known:
        raise Unavailable("; ".join(refusals), code="unreachable")
    of_grpc = tuple(f"grpc://{address}" for scheme, address in known if scheme == "grpc")
    of_http = tuple(f"http://{address}" for scheme, address in known if scheme == "http")
    if of_grpc:
        return "grpc", of_grpc
    if settings.protocol == "auto":
        elsewhere = await _grpc_of(of_http, settings.connect_timeout_s, guard)
        if elsewhere:
            return "grpc", elsewhere
    return "http", of_http


async def _recognised(addresses: list[str], timeout_s: float) -> tuple[list[tuple[str, str]], list[str]]:
    """(scheme, address) of those that answer, and why the others do not. As soon as one does, the others have a moment."""
    if not addresses:
        return [], []
    tasks = {asyncio.create_task(recognise(address, timeout_s)): address for address in addresses}
    try:
        pending = set(tasks)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if any(task.exception() is None for task in done):
                if pending:
                    await asyncio.wait(pending, timeout=0.1)
                break
    finally:
        for task in tasks:
            task.cancel()
    finished = [task for task in tasks if task.done() and not task.cancelled()]
    found = [(task.result(), tasks[task]) for task in finished if task.exception() is None]
    return [(str(scheme), address) for scheme, address in found], [
        str(task.exception()) for task in finished if isinstance(task.exception(), NotRecognised)
    ]


async def _grpc_of(endpoints: tuple[str, ...], timeout_s: float, guard: ClusterGuard) -> tuple[str, ...]:
    """Ask an HTTP endpoint for the node's gRPC addresses; those of them that answer as gRPC, or nothing."""
    from ferrite.io.client.http_connection import HttpConnection  # noqa: PLC0415 - loads aiohttp, which gRPC does not need

    for endpoint in endpoints:
        connection = HttpConnection(endpoint.partition("://")[2], timeout_s, guard)
        try:
            status = await ask_status(connection, timeout_s)
        except FerriteError:
            continue
        finally:
            await connection.close()
        addresses = list(dict.fromkeys(member.grpc_addr for member in status.members if member.grpc_addr))
        found, _ = await _recognised(addresses, timeout_s)
        return tuple(f"grpc://{address}" for scheme, address in found if scheme == "grpc")
    return ()


async def ask_status(connection: Connection, timeout_s: float) -> EndpointStatus:
    """What the node says of itself. Raises `Unavailable`."""
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    connection.begin(Request(operation=AskStatus()), None, timeout_s, future.set_result)
    outcome = await future
    if isinstance(outcome, Answered) and isinstance(outcome.result, EndpointStatus):
        return outcome.result
    raise Unavailable(f"no status: {outcome}", code="unreachable")
