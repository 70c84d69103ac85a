"""The command envelope (contract, section 7): encoded once at the door, opaque until it is applied.

The operations in it: `ferrite.core.kv.codec`.
"""

from __future__ import annotations

import zlib
from typing import Any, Final, NamedTuple

import msgpack

from ferrite.core.kv.codec import (
    BATCH_OPERATIONS_MAX,
    VALUE_BYTES_MAX,
    FieldsInvalid,
    is_number,
    operation_fields,
    read_operation,
)
from ferrite.core.kv.operations import Operation, Session
from ferrite.core.kv.results import CommandErrorCode
from ferrite.core.values import NodeId, RequestId, value

COMMAND_VERSION: Final = 1
COMMAND_BYTES_MAX: Final = 33 << 20
"""The largest request (32 MiB) and the envelope around it."""
CLIENT_ID_BYTES_MAX: Final = 64


class Origin(NamedTuple):
    """The node that took the request: it answers the client when it applies the entry."""

    node_id: NodeId
    boot: int
    request: RequestId


@value
class Command:
    """A decoded command. `operation_crc32` is 0 without a session: only sessions compare operations."""

    origin: Origin
    session: Session | None
    operation: Operation
    operation_crc32: int


class CommandInvalid(Exception):
    """The bytes are no command of this version. `origin` is None when not even that could be read."""

    def __init__(self, code: CommandErrorCode, detail: str, origin: Origin | None = None) -> None:
        """Carry what the machine answers."""
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.origin = origin


def encode_command(
    operation: Operation, *, origin: tuple[NodeId, int, RequestId], session: Session | None = None
) -> bytes:
    """Return the command's bytes; the same arguments give the same bytes. Sizes are the door's business."""
    sequence = (
        None if session is None else [session.client_id, session.request_id, session.lowest_unacknowledged]
    )
    packed: bytes = msgpack.packb(
        [COMMAND_VERSION, list(origin), sequence, None, 0, operation_fields(operation)]
    )
    return packed


def decode_command(data: bytes) -> Command:
    """Return the command. Raises CommandInvalid for everything that `encode_command` would not make, or that is too large."""
    fields = _unpack(data)
    if type(fields) is not list or len(fields) < 2:
        raise CommandInvalid(CommandErrorCode.MALFORMED, "a command is an array of 6 fields")
    origin = _origin(fields[1])
    try:
        _check_versions(fields)
        session = _session(fields[2])
        operation = read_operation(fields[5])
    except CommandInvalid as error:
        error.origin = origin
        raise
    except FieldsInvalid as error:
        raise CommandInvalid(error.code, error.detail, origin) from error
    crc32 = 0 if session is None else zlib.crc32(msgpack.packb(fields[5]))
    return Command(origin=origin, session=session, operation=operation, operation_crc32=crc32)


def _unpack(data: bytes) -> Any:
    if len(data) > COMMAND_BYTES_MAX:
        raise CommandInvalid(
            CommandErrorCode.MALFORMED,
            f"a command of {len(data)} bytes; at most {COMMAND_BYTES_MAX} are read",
        )
    try:
        return msgpack.unpackb(
            data,
            max_bin_len=VALUE_BYTES_MAX,
            max_array_len=BATCH_OPERATIONS_MAX,
            max_str_len=CLIENT_ID_BYTES_MAX,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        # The library's words may differ between its versions; the answer must not.
        raise CommandInvalid(CommandErrorCode.MALFORMED, "the command's msgpack cannot be read") from error


def _check_versions(fields: list[Any]) -> None:
    version = fields[0]
    if not is_number(version, 0):
        raise CommandInvalid(CommandErrorCode.MALFORMED, "a command begins with the number of its format")
    if version != COMMAND_VERSION:
        raise CommandInvalid(
            CommandErrorCode.UNSUPPORTED_VERSION,
            f"command format {version}; this version of Ferrite applies format {COMMAND_VERSION}",
        )
    if len(fields) != 6:
        raise CommandInvalid(
            CommandErrorCode.MALFORMED, f"a command is an array of 6 fields, not of {len(fields)}"
        )
    if fields[3] is not None or fields[4] != 0 or type(fields[4]) is not int:
        raise CommandInvalid(
            CommandErrorCode.UNSUPPORTED_VERSION,
            "a command with a principal or a feature version; this version of Ferrite knows neither",
        )


def _origin(fields: Any) -> Origin:
    if type(fields) is list and len(fields) == 3:
        node_id, boot, request = fields
        if is_number(node_id, 0) and is_number(boot, 0) and is_number(request, 0):
            return Origin(NodeId(node_id), boot, RequestId(request))
    raise CommandInvalid(
        CommandErrorCode.MALFORMED, "an origin is an array of three numbers: node, boot, request"
    )


def _session(fields: Any) -> Session | None:
    if fields is None:
        return None
    if type(fields) is list and len(fields) == 3:
        client_id, request_id, lowest = fields
        if (
            type(client_id) is bytes
            and 1 <= len(client_id) <= CLIENT_ID_BYTES_MAX
            and is_number(request_id, 1)
            and is_number(lowest, 0)
        ):
            return Session(client_id=client_id, request_id=request_id, lowest_unacknowledged=lowest)
    raise CommandInvalid(
        CommandErrorCode.MALFORMED,
        f"a session is [client id of 1 to {CLIENT_ID_BYTES_MAX} bytes, request number from 1, lowest number not acknowledged]",
    )
