"""A counter: compare-and-set in a loop, every attempt of it a command of the session, so that none counts twice."""

from __future__ import annotations

import time
from typing import Final

from ferrite.core import kv
from ferrite.core.kv import Compare, CompareResult, CompareTarget
from ferrite.io.client.engine import Engine
from ferrite.io.client.errors import InvalidArgument
from ferrite.io.client.request import LINEARIZABLE

DIGITS_MAX: Final = 4000
"""Below Python's limit for converting text to integers."""


async def increment(engine: Engine, key: bytes, by: int, timeout_s: float | None) -> int:
    """Add `by` to the key's number, and return the sum."""
    deadline_s = time.monotonic() + engine.timeout_s(timeout_s)
    found = await engine.read(kv.Range(key=key), kv.RangeResult, LINEARIZABLE, timeout_s)
    entry = found.entries[0] if found.entries else None
    while True:
        total = _number(entry) + by
        result = await engine.change(_swap(key, entry, total), kv.TxnResult, _remaining_s(deadline_s))
        if result.succeeded:
            return total
        (present,) = result.results
        assert isinstance(present, kv.RangeResult), "the other branch reads the key"
        entry = present.entries[0] if present.entries else None


def _swap(key: bytes, entry: kv.KeyValue | None, total: int) -> kv.Txn:
    """If the key is still what it was then set it, keeping its lease; else say what it is now."""
    unchanged = Compare(
        target=CompareTarget.MOD,
        result=CompareResult.EQUAL,
        key=key,
        operand=entry.mod_revision if entry else 0,
    )
    put = kv.Put(key=key, value=b"%d" % total, ignore_lease=entry is not None)
    return kv.Txn(compares=(unchanged,), success=(put,), failure=(kv.Range(key=key),))


def _number(entry: kv.KeyValue | None) -> int:
    if entry is None:
        return 0
    text = entry.value
    digits = text.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > DIGITS_MAX:
        raise InvalidArgument(
            f"increment: {entry.key!r} holds {text[:32]!r}; expected decimal digits", code="invalid"
        )
    return int(text)


def _remaining_s(deadline_s: float) -> float:
    """What is left of the call's time; an instant at least, so that the engine says what is wrong."""
    return max(0.001, deadline_s - time.monotonic())
