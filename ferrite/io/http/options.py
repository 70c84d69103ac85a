"""What may stand in many requests: a session, a time limit, how consistent a read is, which keys are meant. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ferrite.core import Consistency
from ferrite.core.kv import FROM_KEY, Session
from ferrite.io.config import LimitsConfig
from ferrite.io.http.fields import Encoding, JsonObject
from ferrite.io.request_path import Answered
from ferrite.io.validation import (
    CLIENT_ID_BYTES_MAX,
    Invalid,
    check_session,
    check_size,
    check_staleness_ms,
)

TIMEOUT_MS_MAX: Final = 600_000  # ten minutes: longer waits are the client's to repeat
WRITE_FIELDS: Final = ("encoding", "client_id", "request_id", "lowest_unacknowledged", "timeout_ms")
READ_FIELDS: Final = ("encoding", "consistency", "max_staleness_ms", "timeout_ms")
RANGE_FIELDS: Final = ("key", "range_end", "prefix", "from_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How a change is carried out. `timeout_ms` None: the configured one."""

    session: Session | None
    timeout_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How a read is carried out. `timeout_ms` None: the configured one."""

    consistency: Consistency
    max_staleness_ms: int
    timeout_ms: int | None


def parse_write_options(request: JsonObject) -> WriteOptions:
    """Session and time limit. Raises `Invalid`."""
    return WriteOptions(session=_parse_session(request), timeout_ms=parse_timeout(request))


def parse_read_options(request: JsonObject) -> ReadOptions:
    """Consistency and time limit. Raises `Invalid`."""
    name = request.choice(
        "consistency", tuple(one.value for one in Consistency), Consistency.LINEARIZABLE.value
    )
    consistency = Consistency(name)
    max_staleness_ms = check_staleness_ms(request.integer("max_staleness_ms", 0, default=0))
    if max_staleness_ms and consistency is not Consistency.SERIALIZABLE:
        expected = '"consistency":"serializable" with it: a linearizable read is never stale'
        raise Invalid("max_staleness_ms", str(max_staleness_ms), expected)
    return ReadOptions(
        consistency=consistency, max_staleness_ms=max_staleness_ms, timeout_ms=parse_timeout(request)
    )


def parse_timeout(request: JsonObject) -> int | None:
    """The client's own time limit in ms."""
    return request.integer("timeout_ms", 1, TIMEOUT_MS_MAX) if "timeout_ms" in request else None


def parse_key_range(request: JsonObject, encoding: Encoding, limits: LimitsConfig) -> tuple[bytes, bytes]:
    """`key` and `range_end` of: a key; a key and a range_end; a key and from_key; a prefix. The sizes of the first three are
    not checked here.
    """
    from_key = request.boolean("from_key", default=False)
    if "prefix" in request:
        for name in ("key", "range_end"):
            if name in request:
                raise Invalid(request.join(request.path, name), "given beside prefix", "one of the two")
        if from_key:
            raise Invalid(
                request.join(request.path, "from_key"), "true beside prefix", '"key" instead of "prefix"'
            )
        prefix = request.data("prefix", encoding)
        return range_of_prefix(check_size(request.join(request.path, "prefix"), prefix, limits.key_bytes_max))
    if "key" not in request:
        raise Invalid(request.join(request.path, "key"), "missing", 'this field, or "prefix"')
    key = request.data("key", encoding)
    if not from_key:
        return key, request.data("range_end", encoding, b"")
    if "range_end" in request:
        raise Invalid(request.join(request.path, "range_end"), "given beside from_key", "one of the two")
    return key, FROM_KEY


def range_of_prefix(prefix: bytes) -> tuple[bytes, bytes]:
    """The `key` and `range_end` of all keys with this prefix; of an empty one, of all keys."""
    head = prefix.rstrip(b"\xff")
    if not head:
        return prefix or b"\x00", FROM_KEY
    return prefix, head[:-1] + bytes((head[-1] + 1,))


def the_one(request: JsonObject, names: tuple[str, ...]) -> str:
    """Which of these members the object has; it must be exactly one."""
    found = [name for name in names if name in request]
    if len(found) != 1:
        given = " and ".join(found) if found else "no operation"
        raise Invalid(request.path or "body", given, f"exactly one of {', '.join(names)}")
    return found[0]


def leader_json(answered: Answered) -> dict[str, Any]:
    """Who led when this was answered; null: unknown."""
    return {"leader": answered.leader_id or None}


def _parse_session(request: JsonObject) -> Session | None:
    if "client_id" not in request:
        for name in ("request_id", "lowest_unacknowledged"):
            if name in request:
                raise Invalid(
                    "client_id", "missing", f"a client_id of 1 to {CLIENT_ID_BYTES_MAX} bytes with {name}"
                )
        return None
    client_id = request.text("client_id").encode("utf-8")
    if not client_id:
        raise Invalid("client_id", "empty", f"1 to {CLIENT_ID_BYTES_MAX} bytes, or leave the field out")
    request_id = request.integer("request_id", 1)
    lowest = request.integer("lowest_unacknowledged", 0, request_id, 0)
    return check_session(client_id, request_id, lowest)
