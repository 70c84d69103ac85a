"""The checks that both doors share."""

from collections.abc import Callable

import pytest

from ferrite.core.kv import Batch, Delete, ListKeys, Put, Session
from ferrite.io import validation as v
from ferrite.io.validation import Invalid
from tests.io.grpc.fakes import make_config

LIMITS = make_config().limits


def test_what_is_within_the_limits_passes_unchanged() -> None:
    assert v.check_put(b"k" * 4096, b"v" * 2**20, LIMITS) == Put(key=b"k" * 4096, value=b"v" * 2**20)
    assert v.check_put(b"\x00", b"", LIMITS) == Put(key=b"\x00", value=b"")
    assert v.check_session(b"c" * 64, 2**63 - 1, 2**63 - 1) == Session(
        client_id=b"c" * 64, request_id=2**63 - 1, lowest_unacknowledged=2**63 - 1
    )
    assert v.check_session(b"", 0) is None
    assert v.check_list(b"", 10_000, b"a", LIMITS) == ListKeys(limit=10_000, after=b"a")
    assert v.check_voters([3, 1]) == (3, 1)
    assert v.check_address("[::1]:8001", "a") == "[::1]:8001"
    assert v.check_address("", "a") == ""


def test_a_batch_may_set_and_delete_different_keys() -> None:
    operations = (Put(key=b"a", value=b"1"), Delete(key=b"b"))
    assert v.check_batch(operations, LIMITS) == Batch(operations=operations)


@pytest.mark.parametrize(
    "check, field, code",
    [
        (lambda: v.check_key(b"", LIMITS), "key", "invalid"),
        (lambda: v.check_key(bytes(4097), LIMITS), "key", "too_large"),
        (lambda: v.check_value(bytes(2**20 + 1), LIMITS), "value", "too_large"),
        (lambda: v.check_batch([], LIMITS), "operations", "invalid"),
        (lambda: v.check_batch([Delete(key=b"%d" % n) for n in range(129)], LIMITS), "operations", "invalid"),
        (
            lambda: v.check_batch([Put(key=b"a", value=b""), Delete(key=b"a")], LIMITS),
            "operations[1].key",
            "invalid",
        ),
        (lambda: v.check_batch([Batch(operations=())], LIMITS), "operations[0]", "invalid"),
        (
            lambda: v.check_batch(
                [Put(key=b"a", value=bytes(2**20)), Put(key=b"b", value=bytes(2**20))], LIMITS
            ),
            "operations",
            "too_large",
        ),
        (lambda: v.check_session(b"", 1), "client_id", "invalid"),
        (lambda: v.check_session(b"c", 0), "request_id", "invalid"),
        (lambda: v.check_session(b"c", -1), "request_id", "invalid"),
        (lambda: v.check_session(b"c", True), "request_id", "invalid"),
        (lambda: v.check_session(b"c", 10**5000), "request_id", "invalid"),
        (lambda: v.check_session(b"c", 1, 2), "lowest_unacknowledged", "invalid"),
        (lambda: v.check_list(b"", -1, b"", LIMITS), "limit", "invalid"),
        (lambda: v.check_list(b"", 10_001, b"", LIMITS), "limit", "invalid"),
        (lambda: v.check_staleness_ms(-1), "max_staleness_ms", "invalid"),
        (lambda: v.check_node_id(0), "node_id", "invalid"),
        (lambda: v.check_node_id("1"), "node_id", "invalid"),
        (lambda: v.check_node_id(1.0), "node_id", "invalid"),
        (lambda: v.check_voters([]), "member_ids", "invalid"),
        (lambda: v.check_voters(range(1, 66)), "member_ids", "invalid"),
        (lambda: v.check_voters([1, 2, 1]), "member_ids", "invalid"),
        (lambda: v.check_address("host", "addr"), "addr", "invalid"),
        (lambda: v.check_address("224.0.0.1:80", "addr"), "addr", "invalid"),
    ],
)
def test_what_is_outside_is_refused_by_name(check: Callable[[], object], field: str, code: str) -> None:
    with pytest.raises(Invalid) as found:
        check()
    assert (found.value.field, found.value.code) == (field, code)
    assert found.value.given
    assert found.value.expected
    assert len(str(found.value)) < 400


def test_a_refused_value_is_shown_on_one_printable_line() -> None:
    assert v.shown("a\nb\u202e") == "'a\\nb\\u202e'"
    assert len(v.shown("x" * 10_000)) == 60
    assert v.shown(10**5000) == "an integer of 16610 bits"
