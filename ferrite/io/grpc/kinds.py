"""Operations as data: how each is read from its message, and how its answer becomes one. Unary calls and pipelines run the same.

A kind decides nothing of the node: `decode` gives checked operations and raises `Invalid`, `encode` builds a message.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from google.protobuf.message import Message as ProtoMessage

from ferrite.core import Consistency
from ferrite.core.kv import Operation, Query, Session
from ferrite.io.config import Config
from ferrite.io.config.model import LimitsConfig
from ferrite.io.grpc.pb import kv_pb2
from ferrite.io.request_path import Answered, CommandRejected
from ferrite.io.validation import Invalid, check_session, check_staleness_ms

ANSWER_ROOM_BYTES: Final = (
    64 * 1024
)  # of a message, kept free of keys and values: leader's addresses, framing, to spare
LIGHT: Final = 1
HEAVY: Final = 64
"""What an operation counts in a pipeline whose answer may hold as much as a message can: 16 of them fill it."""

_CONSISTENCY: Final[dict[int, Consistency]] = {
    kv_pb2.CONSISTENCY_LINEARIZABLE: Consistency.LINEARIZABLE,
    kv_pb2.CONSISTENCY_SERIALIZABLE: Consistency.SERIALIZABLE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What of the configuration matters to single calls."""

    limits: LimitsConfig
    timeout_ms_max: int
    list_bytes_max: int
    """Of keys and values in one answer, so that it fits into a message."""
    answer_bytes_max: int


def settings_of(config: Config) -> Settings:
    """Take them from the configuration."""
    answer_bytes_max = config.network.max_message_size - ANSWER_ROOM_BYTES
    return Settings(
        limits=config.limits,
        timeout_ms_max=config.network.request_timeout,
        list_bytes_max=min(config.limits.list_bytes_max, answer_bytes_max),
        answer_bytes_max=answer_bytes_max,
    )


@dataclass(slots=True, kw_only=True)
class Write:
    """A checked request that goes through the log."""

    operation: Operation
    session: Session | None = None
    weight: int = LIGHT


@dataclass(slots=True, kw_only=True)
class Read:
    """A checked request that does not."""

    query: Query
    consistency: Consistency = Consistency.LINEARIZABLE
    max_staleness_ms: int = 0
    weight: int = LIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One operation: `rpc` is its name in the service; `encode` takes a result of `result_type` and who leads."""

    rpc: str
    decode: Callable[[Any, Settings], Write | Read]
    result_type: type
    encode: Callable[[Any, kv_pb2.Leader | None, Settings], ProtoMessage]

    def answer(self, answered: Answered, settings: Settings) -> bytes:
        """The message's bytes. Raises `CommandRejected` when they would not fit."""
        assert isinstance(answered.result, self.result_type), answered
        data = self.encode(answered.result, leader_message(answered), settings).SerializeToString()
        if len(data) > settings.answer_bytes_max:
            raise CommandRejected(
                "reply_too_large",
                f"it was carried out, but the answer has {len(data)} bytes, and at most {settings.answer_bytes_max} fit a "
                "message: ask for less at a time",
                revision=answered.result.revision,
            )
        return data


class _Consistent(Protocol):
    """Requests that say how fresh the answer must be."""

    @property
    def consistency(self) -> int: ...

    @property
    def max_staleness_ms(self) -> int: ...


def read_of(query: Query, request: _Consistent, *, weight: int = LIGHT) -> Read:
    """A query with its request's consistency and staleness, checked."""
    if not request.consistency and not request.max_staleness_ms:
        return Read(query=query, weight=weight)
    consistency = _CONSISTENCY.get(request.consistency)
    if consistency is None:
        names = ", ".join(f"{number} ({found.value})" for number, found in _CONSISTENCY.items())
        raise Invalid("consistency", str(int(request.consistency)), names)
    staleness_ms = check_staleness_ms(request.max_staleness_ms)
    if staleness_ms and consistency is not Consistency.SERIALIZABLE:
        raise Invalid(
            "max_staleness_ms", str(staleness_ms), "0, or consistency = CONSISTENCY_SERIALIZABLE with it"
        )
    return Read(query=query, consistency=consistency, max_staleness_ms=staleness_ms, weight=weight)


class _WithSession(Protocol):
    """Requests that carry a `Session`."""

    @property
    def session(self) -> kv_pb2.Session: ...

    def HasField(self, field_name: Any) -> bool: ...


def session_of(request: _WithSession) -> Session | None:
    """The exactly-once fields of a changing call, checked; None when there are none."""
    if not request.HasField("session"):
        return None
    session = request.session
    try:
        return check_session(session.client_id, session.request_id, session.lowest_unacknowledged)
    except Invalid as error:
        raise Invalid(f"session.{error.field}", error.given, error.expected, code=error.code) from None


def leader_message(answered: Answered) -> kv_pb2.Leader | None:
    """Who led when the call was answered; None (the field stays unset) when nobody knows."""
    if not answered.leader_id:
        return None
    return _leader(answered.leader_id, answered.leader_http_addr, answered.leader_grpc_addr)


@functools.lru_cache(maxsize=16)
def _leader(node_id: int, http_addr: str, grpc_addr: str) -> kv_pb2.Leader:
    """It is in every answer and hardly ever changes. Messages copy what is put into them."""
    return kv_pb2.Leader(node_id=node_id, http_addr=http_addr, grpc_addr=grpc_addr)
