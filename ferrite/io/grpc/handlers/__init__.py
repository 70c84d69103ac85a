"""The services' handlers: protobuf in, the one request path, protobuf out; no engine in sight (front door).

A handler validates (`Invalid`), asks the request path (`RequestError`) and translates. What becomes of those exceptions is
`service.Method`'s business.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from ferrite.io.config import Config
from ferrite.io.grpc.handlers.health import HealthHandlers
from ferrite.io.grpc.handlers.management import ManagementHandlers
from ferrite.io.grpc.handlers.pipeline import PipelineHandler
from ferrite.io.grpc.handlers.raft import PEER_ADDR_METADATA_KEY, FrameReceiver, RaftHandlers
from ferrite.io.grpc.handlers.reflection import ReflectionHandlers
from ferrite.io.grpc.handlers.unary import UnaryHandler
from ferrite.io.grpc.handlers.watch import WatchHandler
from ferrite.io.grpc.kinds import settings_of
from ferrite.io.grpc.kv_kinds import KV_KINDS
from ferrite.io.grpc.lease_kinds import LEASE_KINDS
from ferrite.io.grpc.pb import kv_pb2, management_pb2, raft_pb2
from ferrite.io.grpc.plain_kinds import PLAIN_KINDS
from ferrite.io.grpc.service import Handler, Method, handlers_in, methods_of
from ferrite.io.request_path import PipelinedPath


def client_methods(path: PipelinedPath, config: Config) -> tuple[Method, ...]:
    """Everything that clients and operators may call."""
    settings = settings_of(config)
    kv: dict[str, Handler] = {
        kind.rpc: UnaryHandler(kind, path, settings) for kind in (*PLAIN_KINDS, *KV_KINDS, *LEASE_KINDS)
    }
    kv["Watch"] = WatchHandler(path, settings)
    kv["Pipeline"] = PipelineHandler(path, settings)
    return (
        *methods_of(kv_pb2.DESCRIPTOR, "KvService", kv.__getitem__),
        *methods_of(management_pb2.DESCRIPTOR, "ManagementService", handlers_in(ManagementHandlers(path))),
    )


def peer_methods(raft: RaftHandlers) -> tuple[Method, ...]:
    """Everything that other nodes may call."""
    return methods_of(raft_pb2.DESCRIPTOR, "RaftService", handlers_in(raft), counted=False)


def health_methods(health: HealthHandlers) -> tuple[Method, ...]:
    """What probes may ask, also of a node that takes no more calls."""
    return methods_of(
        cast(FileDescriptor, health_pb2.DESCRIPTOR), "Health", handlers_in(health), counted=False
    )


def reflection_methods(service_names: Iterable[str]) -> tuple[Method, ...]:
    """What tools may ask about these services, and about itself."""
    handlers = ReflectionHandlers((*service_names, f"{reflection_pb2.DESCRIPTOR.package}.ServerReflection"))
    return methods_of(
        cast(FileDescriptor, reflection_pb2.DESCRIPTOR), "ServerReflection", handlers_in(handlers)
    )


__all__ = [
    "PEER_ADDR_METADATA_KEY",
    "FrameReceiver",
    "HealthHandlers",
    "RaftHandlers",
    "client_methods",
    "health_methods",
    "peer_methods",
    "reflection_methods",
]
