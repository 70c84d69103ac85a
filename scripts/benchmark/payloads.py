"""What is sent: keys, values, request bodies and frames. Every store gets the same keys and values."""

from __future__ import annotations

import random
import string
import struct
from typing import Final

from ferrite.io.grpc.pb import kv_pb2

VALUE_BYTES: Final = 256
KEYS: Final = 1_000
"""Over which JSON requests go round; h2load sends one body only, so that gRPC requests are for one key, at every store."""
_LETTERS: Final = string.ascii_letters + string.digits


def key_of(number: int) -> str:
    """Return a key of ten characters."""
    return f"bench/{number:04d}"


def value_of(number: int) -> str:
    """Return printable characters that compress little, always the same for the same number."""
    return "".join(random.Random(number).choices(_LETTERS, k=VALUE_BYTES))


def put_message(key: str, value: str) -> bytes:
    """Return a SetRequest of Ferrite, which is byte for byte etcd's PutRequest: key is field 1, value is field 2 of both."""
    return kv_pb2.SetRequest(key=key.encode(), value=value.encode()).SerializeToString()


def get_message(key: str) -> bytes:
    """Return a GetRequest of Ferrite, which is etcd's RangeRequest for one key; both are linearizable unless told otherwise."""
    return kv_pb2.GetRequest(key=key.encode()).SerializeToString()


def grpc_frame(message: bytes) -> bytes:
    """Return the message as a gRPC body: a byte that says "not compressed", the length, the message."""
    return struct.pack(">BI", 0, len(message)) + message
