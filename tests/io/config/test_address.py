import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.io.config import Address, AddressError, parse_address


@pytest.mark.parametrize(
    "text, host, port",
    [
        ("127.0.0.1:8001", "127.0.0.1", 8001),
        ("localhost:1", "localhost", 1),
        ("Node-1.Example.ORG:65535", "node-1.example.org", 65535),
        ("node1.example.org.:8001", "node1.example.org", 8001),
        (
            "ferrite-0.ferrite.default.svc.cluster.local:9001",
            "ferrite-0.ferrite.default.svc.cluster.local",
            9001,
        ),
        ("[::1]:8001", "::1", 8001),
        ("[2001:DB8:0:0::1]:8001", "2001:db8::1", 8001),
        ("[fe80::1%eth0]:8001", "fe80::1%eth0", 8001),
        ("0.0.0.0:8001", "0.0.0.0", 8001),
    ],
)
def test_a_good_address_is_understood(text: str, host: str, port: int) -> None:
    assert parse_address(text) == Address(host=host, port=port)


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "8001", ":8001", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1",
        "127.0.0.1:+1", "127.0.0.1:80:80", "127.0.0.1::80", "127.0.0.1: 80", " 127.0.0.1:80", "127.0.0.1:80 ",
        "127.0.0.1:8_0", "127.0.0.1:\uff18\uff10", "127.0.0.1:0x50", "127.0.0.1:99999999999999999999", "256.1.1.1:80",
        "1.2.3:80", "127.0.0.1.5:80", "01.2.3.4:80", "::1:8001", "::1", "[::1]", "[::1]:0", "[::1]8001", "[]:80",
        "[127.0.0.1]:80", "[::g]:80", "[fe80::1%]:80", "[fe80::1%a b]:80", "[::1:80", "::1]:80", "http://a:80",
        "a/b:80", "a b:80", "a\nb:80", "-a:80", "a-:80", "a..b:80", "ä:80", "user@host:80", "a" * 64 + ":80",
        ".".join(["a" * 60] * 5) + ":80",
    ],
)  # fmt: skip
def test_a_bad_address_is_refused_with_advice(text: str) -> None:
    with pytest.raises(AddressError, match=r"^write "):
        parse_address(text)


@given(st.text())
def test_any_text_is_an_address_or_an_address_error(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text, wildcard, loopback, multicast",
    [
        ("0.0.0.0:1", True, False, False),
        ("[::]:1", True, False, False),
        ("[::ffff:0.0.0.0]:1", True, False, False),
        ("127.0.0.1:1", False, True, False),
        ("127.9.9.9:1", False, True, False),
        ("[::1]:1", False, True, False),
        ("[::ffff:127.0.0.1]:1", False, True, False),
        ("localhost:1", False, True, False),
        ("node.localhost:1", False, True, False),
        ("localhost.example.org:1", False, False, False),
        ("10.0.0.1:1", False, False, False),
        ("224.0.0.1:1", False, False, True),
        ("255.255.255.255:1", False, False, True),
        ("[ff02::1]:1", False, False, True),
    ],
)
def test_an_address_knows_who_can_reach_it(
    text: str, wildcard: bool, loopback: bool, multicast: bool
) -> None:
    address = parse_address(text)
    assert (address.is_wildcard, address.is_loopback, address.is_multicast) == (wildcard, loopback, multicast)


@pytest.mark.parametrize(
    "one, other, overlap",
    [
        ("127.0.0.1:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "127.0.0.1:2", False),
        ("127.0.0.1:1", "0.0.0.0:1", True),
        ("[::]:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "127.0.0.2:1", False),
    ],
)
def test_two_listeners_collide_on_one_port_of_one_host(one: str, other: str, overlap: bool) -> None:
    assert parse_address(one).overlaps(parse_address(other)) is overlap
    assert parse_address(other).overlaps(parse_address(one)) is overlap
