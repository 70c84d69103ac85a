"""Bytes as Go's %q writes them."""

import pytest

from ferrite.io.cli.ctl.quoting import hex_escaped, quoted


@pytest.mark.parametrize(
    "data, text",
    [
        (b"", '""'),
        (b"plain text", '"plain text"'),
        (b'a "quote" and a \\', r'"a \"quote\" and a \\"'),
        (b"\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        (b"\x00\x01\x7f", r'"\x00\x01\x7f"'),
        ("é😀".encode(), '"é😀"'),
        ("\u200b\u00a0".encode(), r'"\u200b\u00a0"'),
        ("\U000e0001".encode(), r'"\U000e0001"'),
        (b"\xff\xc3", r'"\xff\xc3"'),
        (b"\xc3\xa9\xff", r'"é\xff"'),
    ],
)
def test_bytes_are_quoted_as_go_quotes_them(data: bytes, text: str) -> None:
    assert quoted(data) == text


def test_hex_escapes_every_byte() -> None:
    assert hex_escaped(b"a\xff") == rb"\x61\xff"
    assert hex_escaped(b"") == b""
