"""The headers of a call as the protocol has them (PROTOCOL-HTTP2): checked on the way in, made on the way out."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final

from ferrite.io.grpc.http2_roles import Header
from ferrite.io.grpc.messages import ENCODINGS
from ferrite.io.grpc.status import DETAILS_METADATA_KEY, RpcError, StatusCode

METADATA_BYTES_MAX: Final = 16 * 1024
"""Of one call's headers, counted as HTTP/2 does: 32 bytes a field beside its name and value."""
FIELD_OVERHEAD_BYTES: Final = 32

_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_NS: Final = {
    b"H": 3_600_000_000_000,
    b"M": 60_000_000_000,
    b"S": 1_000_000_000,
    b"m": 1_000_000,
    b"u": 1_000,
    b"n": 1,
}
_CONTENT_TYPE: Final = re.compile(rb"application/grpc(?:[+;].*)?", re.DOTALL)
_MESSAGE_ESCAPED: Final = re.compile(rb"[^ -$&-~]")

_CONTENT: Final = (b"content-type", b"application/grpc")
_ACCEPTS: Final = (b"grpc-accept-encoding", b", ".join(ENCODINGS))
RESPONSE: Final = [(b":status", b"200"), _CONTENT, _ACCEPTS]
"""What comes before the first message of an answer."""
OK_TRAILERS: Final = [(b"grpc-status", b"0")]
"""What comes after the last one."""


class NotGrpc(Exception):
    """A request that is no gRPC at all; it gets an HTTP status too, so that nobody takes the answer for a good one."""

    def __init__(self, http_status: int, detail: str) -> None:
        """`detail` is for people."""
        super().__init__(detail)
        self.http_status = http_status
        self.error = RpcError(StatusCode.INTERNAL, detail)


@dataclass(slots=True, kw_only=True)
class CallHead:
    """What the headers of a call say."""

    path: bytes
    encoding: bytes
    timeout_ns: int | None
    headers: tuple[Header, ...]


def call_head(headers: tuple[Header, ...]) -> CallHead:
    """Read and check them. Raises `NotGrpc`, or `RpcError` for what is gRPC but cannot be served."""
    fields = dict(headers)
    if fields.get(b":method") != b"POST":
        raise NotGrpc(405, "gRPC calls have the method POST")
    if not _CONTENT_TYPE.fullmatch(fields.get(b"content-type", b"")):
        raise NotGrpc(415, "gRPC calls have the content-type application/grpc")
    if fields.get(b"te") != b"trailers":
        raise NotGrpc(400, "gRPC calls have the header te: trailers; a proxy on the way may have removed it")
    size = sum(len(name) + len(value) for name, value in headers) + FIELD_OVERHEAD_BYTES * len(headers)
    if size > METADATA_BYTES_MAX:
        raise RpcError(
            StatusCode.RESOURCE_EXHAUSTED, f"metadata of {size} bytes; at most {METADATA_BYTES_MAX} are taken"
        )
    timeout = fields.get(b"grpc-timeout")
    encoding = fields.get(b"grpc-encoding", b"identity")
    if encoding not in ENCODINGS:
        shown = encoding[:40].decode("ascii", "replace")
        known = b", ".join(ENCODINGS).decode()
        raise RpcError(
            StatusCode.UNIMPLEMENTED, f"grpc-encoding {shown} is not known here; known are {known}"
        )
    return CallHead(
        path=fields[b":path"],
        encoding=encoding,
        timeout_ns=None if timeout is None else _timeout_ns(timeout),
        headers=headers,
    )


def status_headers(error: RpcError) -> list[Header]:
    """Status, message and details of a refused call, for its trailers."""
    message = _MESSAGE_ESCAPED.sub(
        lambda byte: b"%%%02X" % byte[0][0], error.message.encode(errors="replace")
    )
    details = base64.b64encode(error.details.SerializeToString()).rstrip(b"=")
    return [
        (b"grpc-status", b"%d" % error.code),
        (b"grpc-message", message),
        (DETAILS_METADATA_KEY.encode(), details),
    ]


def trailers_only(error: RpcError, http_status: int = 200) -> list[Header]:
    """The whole answer of a call that is refused before its first message."""
    return [(b":status", b"%d" % http_status), _CONTENT, _ACCEPTS, *status_headers(error)]


def _timeout_ns(text: bytes) -> int:
    found = _TIMEOUT.fullmatch(text)
    if found is None:
        raise RpcError(StatusCode.INTERNAL, "Error parsing 'grpc-timeout' metadata")
    return int(found[1]) * _UNIT_NS[found[2]]
