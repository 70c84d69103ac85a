"""Asking a gRPC address who is there (`RaftService.Identify`), over grpcio."""

from __future__ import annotations

from typing import Any, Final

import grpc
from grpc import aio

from ferrite.io.grpc.pb import raft_pb2
from ferrite.io.node_identity import NodeIdentity, checked_identity

IDENTIFY_PATH: Final = "/ferrite.raft.RaftService/Identify"


class AskFailed(Exception):
    """No answer; the text says why."""


async def ask_identity(address: str, *, answer_bytes_max: int) -> NodeIdentity:
    """Ask once, for as long as the caller waits. Raises `AskFailed`, or `Invalid` for an answer that is no node's."""
    options = (
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", answer_bytes_max),
    )
    async with aio.insecure_channel(address, options=options) as channel:
        ask: Any = channel.unary_unary(
            IDENTIFY_PATH,
            request_serializer=raft_pb2.IdentifyRequest.SerializeToString,
            response_deserializer=raft_pb2.IdentifyResponse.FromString,
        )
        try:
            answer: raft_pb2.IdentifyResponse = await ask(raft_pb2.IdentifyRequest())
        except aio.AioRpcError as error:
            raise AskFailed(f"{error.code().name}: {error.details()}") from error
        except grpc.RpcError as error:  # a call that could not even begin
            raise AskFailed(str(error)) from error
    return checked_identity(
        NodeIdentity(
            node_id=answer.node_id,
            instance=answer.instance,
            cluster_id=answer.cluster_id,
            http_addr=answer.http_addr,
            grpc_addr=answer.grpc_addr,
            peer_addr=answer.peer_addr,
            version=answer.version,
        )
    )
