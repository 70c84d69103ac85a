"""Headers of a call, in and out."""

import pytest

from ferrite.io.grpc.call_headers import METADATA_BYTES_MAX, NotGrpc, call_head, status_headers
from ferrite.io.grpc.status import RpcError, StatusCode
from tests.io.grpc.raw import SET, head

NS = {"H": 3600 * 10**9, "M": 60 * 10**9, "S": 10**9, "m": 10**6, "u": 10**3, "n": 1}


@pytest.mark.parametrize("unit", NS)
def test_every_unit_of_time_is_understood(unit: str) -> None:
    for number in (0, 1, 99_999_999):
        found = call_head(tuple(head(b"/a/b", (b"grpc-timeout", f"{number}{unit}".encode()))))
        assert found.timeout_ns == number * NS[unit]


@pytest.mark.parametrize(
    "text", [b"", b"S", b"5", b"5s", b"-5S", b"1.5S", b" 5S", b"5S ", b"123456789S", b"5SS"]
)
def test_other_times_are_errors(text: bytes) -> None:
    with pytest.raises(RpcError, match="grpc-timeout"):
        call_head(tuple(head(b"/a/b", (b"grpc-timeout", text))))


@pytest.mark.parametrize(
    "content_type", [b"application/grpc", b"application/grpc+proto", b"application/grpc;charset=utf8"]
)
def test_grpcs_own_content_types_are_taken(content_type: bytes) -> None:
    assert call_head(tuple(head(b"/a/b", content_type=content_type))).path == b"/a/b"


@pytest.mark.parametrize(
    "content_type", [None, b"", b"text/html", b"application/grpc-web", b"application/grpcx"]
)
def test_others_are_told_so_in_http(content_type: bytes | None) -> None:
    with pytest.raises(NotGrpc) as found:
        call_head(tuple(head(content_type=content_type)))
    assert found.value.http_status == 415


def test_other_methods_and_a_proxy_without_trailers_are_told_so_in_http() -> None:
    for http_status, headers in ((405, head(method=b"GET")), (400, head(te=None)), (400, head(te=b"gzip"))):
        with pytest.raises(NotGrpc) as found:
            call_head(tuple(headers))
        assert found.value.http_status == http_status


def test_an_encoding_that_is_not_known_is_unimplemented() -> None:
    assert call_head(tuple(head(SET, (b"grpc-encoding", b"gzip")))).encoding == b"gzip"
    with pytest.raises(RpcError) as found:
        call_head(tuple(head(SET, (b"grpc-encoding", b"br"))))
    assert found.value.code is StatusCode.UNIMPLEMENTED


def test_metadata_is_counted_as_http2_does() -> None:
    bare = sum(len(name) + len(value) + 32 for name, value in head())
    room = METADATA_BYTES_MAX - bare - 32 - 1
    call_head(tuple(head(SET, (b"x", bytes(room)))))
    with pytest.raises(RpcError) as found:
        call_head(tuple(head(SET, (b"x", bytes(room + 1)))))
    assert found.value.code is StatusCode.RESOURCE_EXHAUSTED


def test_messages_are_percent_encoded() -> None:
    fields = dict(status_headers(RpcError(StatusCode.NOT_FOUND, "50% of ü\n~ \x7f")))
    assert fields[b"grpc-status"] == b"5"
    assert fields[b"grpc-message"] == b"50%25 of %C3%BC%0A~ %7F"
