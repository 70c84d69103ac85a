from __future__ import annotations

import pytest

from ferrite.core.client import Contender, Gone, Held, WaitFor, holder_of, holder_query, prefix_end
from ferrite.core.kv import KeyValue, PutResult, RangeResult, TxnResult


def entry(key: bytes, created: int) -> KeyValue:
    return KeyValue(key=key, value=b"", create_revision=created, mod_revision=created, version=1, lease=1)


def queue(*entries: KeyValue, revision: int = 20) -> RangeResult:
    return RangeResult(revision=revision, entries=entries, more=False)


def looked(*entries: KeyValue, mine: bool = True) -> TxnResult:
    return TxnResult(revision=20, succeeded=mine, results=(queue(*entries),) if mine else ())


def entered(token: int = 9) -> Contender:
    contender = Contender(b"name", 0x1F)
    put = PutResult(revision=token)
    contender.entered(TxnResult(revision=token, succeeded=True, results=(put,)))
    return contender


def test_the_key_is_the_name_and_the_lease() -> None:
    assert Contender(b"name", 0x1F).key == b"name/1f"


def test_the_token_is_the_create_revision_also_of_a_key_that_was_there() -> None:
    contender = Contender(b"name", 1)
    contender.entered(TxnResult(revision=30, succeeded=False, results=(queue(entry(b"name/1", 12)),)))
    assert contender.token == 12
    assert entered(9).token == 9


def test_the_oldest_key_holds_and_others_wait_for_the_one_before_them() -> None:
    contender = entered()
    assert contender.judge(looked()) == Held(token=9)
    assert contender.judge(looked(entry(b"name/2", 8))) == WaitFor(key=b"name/2", start_revision=21)
    assert contender.judge(looked(mine=False)) == Gone()


def test_who_looks_asks_for_the_youngest_key_before_its_own() -> None:
    (older,) = entered().look().success
    assert (older.max_create_revision, older.limit, older.key, older.range_end) == (8, 1, b"name/", b"name0")  # type: ignore[union-attr]  # it is a range


def test_whatever_is_done_as_the_holder_is_fenced() -> None:
    contender = entered()
    for txn in (contender.look(), contender.proclaim(b"x"), contender.leave()):
        assert txn.compares == (contender.fence(),)
        assert txn.failure == ()
    assert contender.fence().operand == 9


def test_the_holder_is_the_oldest_key_if_there_is_one() -> None:
    assert (holder_query(b"n").key, holder_query(b"n").limit) == (b"n/", 1)
    assert holder_of(queue()) is None
    assert holder_of(queue(entry(b"n/1", 3))) == entry(b"n/1", 3)


@pytest.mark.parametrize(
    ("prefix", "end"),
    [(b"a", b"b"), (b"a\xff", b"b"), (b"a\xff\xff", b"b"), (b"\xff", b"\x00"), (b"ab\x00", b"ab\x01")],
)
def test_a_prefix_ends_before_the_next_key_that_has_it_not(prefix: bytes, end: bytes) -> None:
    assert prefix_end(prefix) == end
