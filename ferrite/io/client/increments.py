"""Counters: compare-and-set, every attempt a command of the session, so that none counts twice.

What one client asks of a key while a change of it is under way goes together in the next one: so many callers are one
contender. Several clients contend: who lost tries again at once with what the refusal showed, then after a pause and a look,
for a comparison that fails goes through the log as well.
"""

from __future__ import annotations

import asyncio
import operator
import random
import time
from dataclasses import dataclass
from typing import Final

from ferrite.core import kv
from ferrite.core.client import RetryPolicy
from ferrite.core.kv import Compare, CompareResult, CompareTarget
from ferrite.io.client.engine import Engine
from ferrite.io.client.errors import (
    DeadlineExceeded,
    FerriteError,
    InvalidArgument,
    Overloaded,
    Unavailable,
    UnknownOutcome,
)
from ferrite.io.client.request import LINEARIZABLE

DIGITS_MAX: Final = 4000
"""Below Python's limit for converting text to integers."""
POLICY: Final = RetryPolicy(pause_first_us=10_000, pause_max_us=160_000)
"""About the time of one to some changes: the winner of the last round may be on its way again."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Add:
    """One caller's. `sum` is its answer."""

    by: int
    deadline_s: float
    sum: asyncio.Future[int]
    last: FerriteError
    """Why it is not carried out yet."""


class Increments:
    """The counters of one client."""

    def __init__(self, engine: Engine) -> None:
        """Nothing is asked yet."""
        self._engine = engine
        self._waiting: dict[bytes, list[_Add]] = {}
        """By key, while something is under way for it: what is in no change yet."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def increment(self, key: bytes, by: int, timeout_s: float | None) -> int:
        """Add `by` to the key's number, and return the sum."""
        if abs(operator.index(by)) >= 10**DIGITS_MAX:
            raise InvalidArgument(f"by: expected an integer of at most {DIGITS_MAX} digits", code="invalid")
        limit_s = self._engine.timeout_s(timeout_s)
        loop = asyncio.get_running_loop()
        add = _Add(
            by=by,
            deadline_s=time.monotonic() + limit_s,
            sum=loop.create_future(),
            last=DeadlineExceeded(f"{key!r}: no turn within {limit_s:g} s", code="deadline_exceeded"),
        )
        if key in self._waiting:
            self._waiting[key].append(add)
        else:
            self._waiting[key] = [add]
            task = loop.create_task(self._serve(key), name="increment")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await asyncio.wait([add.sum], timeout=limit_s)
            if add in self._waiting.get(key, ()):
                raise _copy(add.last)
            return await add.sum
        finally:
            add.sum.cancel()
            if add in self._waiting.get(key, ()):
                self._waiting[key].remove(add)

    async def _serve(self, key: bytes) -> None:
        """One change after the other, until nobody waits."""
        waiting = self._waiting[key]
        adds: list[_Add] = []
        entry: kv.KeyValue | None = None
        known, failures = False, 0
        try:
            while waiting:
                adds = _next(waiting)
                try:
                    if not known:
                        entry, known = await self._look(key, adds[0]), True
                        adds = _next(waiting)  # Whoever came meanwhile goes along, and who left does not.
                    won, entry = await self._change(key, entry, adds, waiting) if adds else (True, entry)
                except FerriteError as error:
                    won, known = False, False
                    _fail(waiting, adds, error)
                failures = 0 if won else failures + 1
                if not won and (not known or failures % 2 == 0):
                    known = False
                    await asyncio.sleep(POLICY.pause_us(failures // 2, random.randrange) / 1_000_000)
        finally:
            del self._waiting[key]
            _end(waiting, adds)

    async def _look(self, key: bytes, add: _Add) -> kv.KeyValue | None:
        found = await self._engine.read(
            kv.Range(key=key), kv.RangeResult, LINEARIZABLE, _remaining_s(add.deadline_s)
        )
        return found.entries[0] if found.entries else None

    async def _change(
        self, key: bytes, entry: kv.KeyValue | None, adds: list[_Add], waiting: list[_Add]
    ) -> tuple[bool, kv.KeyValue | None]:
        """Whether they count now, and what the key is now. They wait no more; when they do not count, again."""
        total = _number(entry)
        sums = [total := total + add.by for add in adds]
        swap = _swap(key, entry, total)
        for add in adds:
            waiting.remove(add)
        result = await self._engine.change(swap, kv.TxnResult, _remaining_s(adds[0].deadline_s))
        if not result.succeeded:
            _fail(waiting, adds, Overloaded(f"{key!r}: others changed it each time", code="overloaded"))
            (present,) = result.results
            assert isinstance(present, kv.RangeResult), "the other branch reads the key"
            return False, present.entries[0] if present.entries else None
        for add, value in zip(adds, sums, strict=True):
            if not add.sum.done():
                add.sum.set_result(value)
        return True, kv.KeyValue(
            key=key,
            value=b"%d" % total,
            create_revision=entry.create_revision if entry else result.revision,
            mod_revision=result.revision,
            version=entry.version + 1 if entry else 1,
            lease=entry.lease if entry else 0,
        )

    async def close(self) -> None:
        """Who waits is told; for after the engine's end, which ends what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _next(waiting: list[_Add]) -> list[_Add]:
    """Who goes into one change, the most urgent first: it has that one's time, so nobody with much more is in it."""
    if not waiting:
        return []
    ordered = sorted(waiting, key=lambda add: add.deadline_s)
    latest_s = time.monotonic() + 2 * _remaining_s(ordered[0].deadline_s)
    return [add for add in ordered if add.deadline_s <= latest_s]


def _fail(waiting: list[_Add], adds: list[_Add], error: FerriteError) -> None:
    """Tell them; but who has more time waits again, if it is certain that nothing happened and time may mend it."""
    again = isinstance(error, Unavailable) and error.code != "closed"
    now_s = time.monotonic()
    for add in adds:
        if add in waiting:
            waiting.remove(add)
        if again and add.deadline_s > now_s and not add.sum.done():
            add.last = error
            waiting.append(add)
        elif not add.sum.done():
            add.sum.set_exception(_copy(error))


def _end(waiting: list[_Add], adds: list[_Add]) -> None:
    """Nobody serves them any more, as the client is closed. Who is in a change may have been counted."""
    for add in adds:
        if add not in waiting and not add.sum.done():
            detail = "the client was closed while the change was under way"
            add.sum.set_exception(UnknownOutcome(detail, code="unknown_outcome", certainly_not_applied=False))
    for add in waiting:
        if not add.sum.done():
            add.sum.set_exception(Unavailable("the client is closed", code="closed"))


def _copy(error: FerriteError) -> FerriteError:
    """Each caller raises one of its own."""
    certain = error.certainly_not_applied
    return type(error)(error.detail, code=error.code, certainly_not_applied=certain, revision=error.revision)


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
    """What is left of the time; an instant at least, so that the engine says what is wrong."""
    return max(0.001, deadline_s - time.monotonic())
