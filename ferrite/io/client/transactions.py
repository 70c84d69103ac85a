"""Transactions that read well.

    answer = await (
        client.txn()
        .if_(Version("seat/7") == 0)
        .then(Put("seat/7", "alice"))
        .else_(Get("seat/7"))
        .commit()
    )

Conditions compare with `==`, `!=`, `<` and `>`. Of an absent key the numbers are 0, and a condition on its value is false,
whatever
it asks. A condition on a range holds when it holds for every present key of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from ferrite.core import kv
from ferrite.core.kv import CompareResult, CompareTarget
from ferrite.io.client.answers import TxnAnswer, TxnResult, delete_answer, key_value, put_answer, range_answer
from ferrite.io.client.errors import InvalidArgument
from ferrite.io.client.selection import Data, as_bytes, as_key, key_range

_Committed = TypeVar("_Committed")
Condition = kv.Compare
"""What `Version(key) == 0` and its like make."""


class _Side:
    """The left side of a condition."""

    __slots__ = ("_key", "_range_end", "_target")
    __hash__ = None  # type: ignore[assignment]  # `==` makes a condition, so that sides cannot be keys of a dict

    def __init__(
        self, target: CompareTarget, key: Data, range_end: Data, prefix: Data | None, *, from_key: bool
    ) -> None:
        self._target = target
        self._key, self._range_end = key_range(key, range_end, prefix, from_key=from_key)

    def _compare(self, result: CompareResult, operand: object) -> Condition:
        wanted: int | bytes
        if self._target is CompareTarget.VALUE:
            if not isinstance(operand, bytes | str):
                raise InvalidArgument(
                    f"a value is compared with bytes or str, not {operand!r}", code="invalid"
                )
            wanted = as_bytes(operand, "value")
        elif isinstance(operand, int) and not isinstance(operand, bool) and operand >= 0:
            wanted = operand
        else:
            name = self._target.name.lower()
            raise InvalidArgument(
                f"{name} is compared with an integer from 0 on, not {operand!r}", code="invalid"
            )
        return Condition(
            target=self._target, result=result, key=self._key, range_end=self._range_end, operand=wanted
        )

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]  # a condition, on purpose
        return self._compare(CompareResult.EQUAL, other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]  # a condition, on purpose
        return self._compare(CompareResult.NOT_EQUAL, other)

    def __lt__(self, other: Data | int) -> Condition:
        return self._compare(CompareResult.LESS, other)

    def __gt__(self, other: Data | int) -> Condition:
        return self._compare(CompareResult.GREATER, other)


def Value(
    key: Data = b"", range_end: Data = b"", *, prefix: Data | None = None, from_key: bool = False
) -> _Side:
    """The value of a key, to be compared with bytes or str."""
    return _Side(CompareTarget.VALUE, key, range_end, prefix, from_key=from_key)


def Version(
    key: Data = b"", range_end: Data = b"", *, prefix: Data | None = None, from_key: bool = False
) -> _Side:
    """How often a key was put since it was created; 0 when it is absent."""
    return _Side(CompareTarget.VERSION, key, range_end, prefix, from_key=from_key)


def Create(
    key: Data = b"", range_end: Data = b"", *, prefix: Data | None = None, from_key: bool = False
) -> _Side:
    """The revision that created a key; 0 when it is absent."""
    return _Side(CompareTarget.CREATE, key, range_end, prefix, from_key=from_key)


def Mod(
    key: Data = b"", range_end: Data = b"", *, prefix: Data | None = None, from_key: bool = False
) -> _Side:
    """The revision that last changed a key; 0 when it is absent."""
    return _Side(CompareTarget.MOD, key, range_end, prefix, from_key=from_key)


def LeaseOf(
    key: Data = b"", range_end: Data = b"", *, prefix: Data | None = None, from_key: bool = False
) -> _Side:
    """The lease that a key is attached to; 0 for none."""
    return _Side(CompareTarget.LEASE, key, range_end, prefix, from_key=from_key)


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a transaction; `single`: a `Get`, answered with a `KeyValue` or None. Made by `Put`, `Get`, ..."""

    operation: kv.TxnOperation
    single: bool = False
    then: tuple[Step, ...] = ()
    else_: tuple[Step, ...] = ()


def Put(
    key: Data,
    value: Data = b"",
    *,
    lease: int = 0,
    prev_kv: bool = False,
    ignore_value: bool = False,
    ignore_lease: bool = False,
) -> Step:
    """Set a key; answered with a `PutAnswer`."""
    return Step(
        kv.Put(
            key=as_key(key),
            value=as_bytes(value, "value"),
            lease=lease,
            prev_kv=prev_kv,
            ignore_value=ignore_value,
            ignore_lease=ignore_lease,
        )
    )


def Get(key: Data) -> Step:
    """Read a key; answered with a `KeyValue` or None."""
    return Step(kv.Range(key=as_key(key)), single=True)


def Range(
    key: Data = b"",
    range_end: Data = b"",
    *,
    prefix: Data | None = None,
    from_key: bool = False,
    limit: int = 0,
    keys_only: bool = False,
    count_only: bool = False,
) -> Step:
    """Read a range of keys in key order; answered with a `RangeAnswer`."""
    start, end = key_range(key, range_end, prefix, from_key=from_key, everything=True)
    return Step(kv.Range(key=start, range_end=end, limit=limit, keys_only=keys_only, count_only=count_only))


def DeleteRange(
    key: Data = b"",
    range_end: Data = b"",
    *,
    prefix: Data | None = None,
    from_key: bool = False,
    prev_kv: bool = False,
) -> Step:
    """Delete a key or a range; answered with a `DeleteAnswer`."""
    start, end = key_range(key, range_end, prefix, from_key=from_key)
    return Step(kv.DeleteRange(key=start, range_end=end, prev_kv=prev_kv))


class Transaction(Generic[_Committed]):
    """If all conditions hold then one list of operations, else the other; atomically, at one revision.

    Each of `if_`, `then` and `else_` adds to what was said before and returns the transaction itself.
    """

    __slots__ = ("_commit", "_conditions", "_else", "_then")

    def __init__(self, commit: Callable[[Transaction[_Committed], float | None], _Committed]) -> None:
        """`commit` carries it out: a client's own."""
        self._commit = commit
        self._conditions: tuple[Condition, ...] = ()
        self._then: tuple[Step, ...] = ()
        self._else: tuple[Step, ...] = ()

    def if_(self, *conditions: Condition) -> Self:
        """Every one must hold; none at all: they hold."""
        for condition in conditions:
            if not isinstance(condition, Condition):
                raise InvalidArgument(
                    f"if_: {condition!r} is no condition; write one such as Version(key) == 0", code="invalid"
                )
        self._conditions += conditions
        return self

    def then(self, *steps: Step) -> Self:
        """What to do when they hold."""
        self._then += steps
        return self

    def else_(self, *steps: Step) -> Self:
        """What to do when they do not."""
        self._else += steps
        return self

    def as_step(self) -> Step:
        """This transaction as an operation of another one. Its conditions see the state before the outer one."""
        return Step(self.operation(), then=self._then, else_=self._else)

    def operation(self) -> kv.Txn:
        """The transaction in the machine's words."""
        return kv.Txn(
            compares=self._conditions,
            success=tuple(step.operation for step in self._then),
            failure=tuple(step.operation for step in self._else),
        )

    def commit(self, *, timeout_s: float | None = None) -> _Committed:
        """Carry it out: a `TxnAnswer`; from an `AsyncClient`, to be awaited.

        Raises `DuplicateKey`, `KeyNotFound`, `LeaseNotFound`, `Compacted`, and what every call may raise.
        """
        return self._commit(self, timeout_s)

    def answer(self, result: kv.TxnResult) -> TxnAnswer:
        """The client's form of this transaction's result."""
        return _answer(result, self._then, self._else)


def _answer(result: kv.TxnResult, then: tuple[Step, ...], otherwise: tuple[Step, ...]) -> TxnAnswer:
    steps = then if result.succeeded else otherwise
    return TxnAnswer(
        revision=result.revision,
        succeeded=result.succeeded,
        results=tuple(_result(step, found) for step, found in zip(steps, result.results, strict=True)),
    )


def _result(step: Step, result: kv.TxnOperationResult) -> TxnResult:
    match result:
        case kv.PutResult():
            return put_answer(result)
        case kv.DeleteRangeResult():
            return delete_answer(result)
        case kv.TxnResult():
            return _answer(result, step.then, step.else_)
        case kv.RangeResult() if step.single:
            return key_value(result.entries[0]) if result.entries else None
        case kv.RangeResult():
            return range_answer(result)
