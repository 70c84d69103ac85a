"""The models: how the operations of a history are understood, and which of them can be checked apart from the others.

Linearizability is local (Herlihy and Wing 1990, theorem 1): a history is linearizable when the histories of its objects are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, Literal

from ferrite.sim.linearizability import actions as act
from ferrite.sim.linearizability.actions import Action, Scalar, Semantics, State, Transactions
from ferrite.sim.linearizability.history import FAIL, NEVER, OK, HistoryInvalid, Operation
from ferrite.sim.linearizability.values import freeze, show, thaw

ModelName = Literal["cas-register", "kv-append", "multi-register", "mutex", "ferrite"]
MODELS: Final[tuple[ModelName, ...]] = ("cas-register", "kv-append", "multi-register", "mutex", "ferrite")
CasFail = Literal["nothing", "result"]
NullRead = Literal["auto", "any", "value"]


@dataclass(slots=True, kw_only=True)
class Reading:
    """How a history is to be understood where conventions differ.

    `initial`: the state before the first operation as a JSON value; for multi-register an object of registers. Not given:
    null, "" for kv-append, unlocked, absent.
    `cas_fail`: a `fail` of a cas means that nothing happened (Jepsen), or it is the result of a comparison (porcupine's etcd).
    `null_read`: an `ok` read of null matches any state (Jepsen: the value was not recorded), or is the value null. `auto`: it
    is a value exactly when null is one, that is the initial state or something written.
    """

    initial: Any = None
    cas_fail: CasFail = "nothing"
    null_read: NullRead = "auto"


@dataclass(slots=True, kw_only=True)
class Call:
    """An operation as one object sees it. `ret` is NEVER when the outcome is unknown."""

    operation: Operation
    action: Action
    kind: act.Kind
    invoke: int
    ret: int


@dataclass(slots=True, kw_only=True)
class Part:
    """What can be checked by itself: the calls on one object, in the order of invocation."""

    name: str
    semantics: Semantics
    initial: State
    calls: list[Call]


def parts_of(operations: list[Operation], model: ModelName, reading: Reading) -> list[Part]:
    """Translate the operations; what constrains nothing is left out. Raises HistoryInvalid."""
    if model == "multi-register":
        return _transactions(operations, reading)
    translate = _TRANSLATORS[model](operations, reading)
    initial: State = {"kv-append": "", "mutex": _FREE}.get(model)
    if reading.initial is not None:
        initial = freeze(reading.initial)
    if model == "kv-append" and not isinstance(initial, str):
        raise HistoryInvalid(0, f"the initial state of kv-append is {show(initial)}; expected a string")
    if model == "mutex" and initial not in (_FREE, _HELD):
        raise HistoryInvalid(0, f'the initial state of mutex is {show(initial)}; expected "free" or "held"')
    scalar = Scalar()
    parts: dict[Hashable, Part] = {}
    for operation in operations:
        action = translate(operation)
        part = parts.get(operation.key)
        if part is None:
            part = Part(name=show(operation.key), semantics=scalar, initial=initial, calls=[])
            parts[operation.key] = part
        if action is not None:
            part.calls.append(_call(operation, action, scalar))
    return list(parts.values())


def _call(operation: Operation, action: Action, semantics: Semantics) -> Call:
    return Call(
        operation=operation,
        action=action,
        kind=semantics.kind(action),
        invoke=operation.invoke,
        ret=operation.ret,
    )


Translator = Callable[[Operation], Action | None]


def _unknown_function(operation: Operation, model: str, names: str) -> HistoryInvalid:
    return HistoryInvalid(operation.invoke, f"{operation.f!r} is no operation of {model}; expected {names}")


def _same_argument(operation: Operation) -> None:
    if operation.outcome == OK and operation.result not in (None, operation.argument):
        raise HistoryInvalid(
            operation.ret,
            f"{operation.f} of {show(operation.result)} is ok; {show(operation.argument)} was invoked on line {operation.invoke}",
        )


def _null_is_value(operations: list[Operation], reading: Reading, writes: frozenset[str]) -> bool:
    if reading.null_read != "auto":
        return reading.null_read == "value"
    return reading.initial is None or any(
        operation.argument is None for operation in operations if operation.f in writes
    )


def _cas_register(operations: list[Operation], reading: Reading) -> Translator:
    null_is_value = _null_is_value(operations, reading, frozenset({"write"}))

    def translate(operation: Operation) -> Action | None:
        match operation.f:
            case "read":
                if operation.outcome != OK or (operation.result is None and not null_is_value):
                    return None
                return (act.READ, operation.result)
            case "write":
                _same_argument(operation)
                return (act.WRITE, operation.argument)
            case "cas":
                old, new = _pair(operation)
                if operation.outcome != FAIL:
                    _same_argument(operation)
                    return (act.CAS, old, new)
                return (act.NOT, old) if reading.cas_fail == "result" else None
            case _:
                raise _unknown_function(operation, "cas-register", "read, write or cas")

    return translate


def _pair(operation: Operation) -> tuple[Hashable, Hashable]:
    pair = thaw(operation.argument)
    if not isinstance(pair, list) or len(pair) != 2:
        raise HistoryInvalid(operation.invoke, f"cas of {show(operation.argument)}; expected [old, new]")
    return freeze(pair[0]), freeze(pair[1])


def _kv_append(_operations: list[Operation], _reading: Reading) -> Translator:
    def translate(operation: Operation) -> Action | None:
        match operation.f:
            case "get":
                return (act.READ, _text(operation, operation.result)) if operation.outcome == OK else None
            case "put":
                _same_argument(operation)
                return (act.WRITE, _text(operation, operation.argument))
            case "append":
                _same_argument(operation)
                return (act.APPEND, _text(operation, operation.argument))
            case _:
                raise _unknown_function(operation, "kv-append", "get, put or append")

    return translate


def _text(operation: Operation, value: Hashable) -> str:
    if not isinstance(value, str):
        raise HistoryInvalid(
            operation.invoke, f"{operation.f} with {show(value)}; kv-append has strings only"
        )
    return value


_FREE: Final = "free"
_HELD: Final = "held"


def _mutex(_operations: list[Operation], _reading: Reading) -> Translator:
    def translate(operation: Operation) -> Action | None:
        match operation.f:
            case "acquire":
                return (act.CAS, _FREE, _HELD)
            case "release":
                return (act.CAS, _HELD, _FREE)
            case _:
                raise _unknown_function(operation, "mutex", "acquire or release")

    return translate


def _ferrite(_operations: list[Operation], _reading: Reading) -> Translator:
    def translate(operation: Operation) -> Action | None:
        match operation.f:
            case "get":
                # A read that is not linearizable may be old: it says nothing about the order.
                return (
                    (act.READ, operation.result)
                    if operation.outcome == OK and operation.linearizable
                    else None
                )
            case "put":
                _same_argument(operation)
                if operation.argument is None:
                    raise HistoryInvalid(operation.invoke, "put of null; null stands for an absent key")
                return (act.WRITE, operation.argument)
            case "delete":
                if operation.outcome == OK and operation.existed is not None:
                    return (act.TAKE,) if operation.existed else (act.READ, None)
                return (act.WRITE, None)
            case _:
                raise _unknown_function(operation, "ferrite", "get, put or delete")

    return translate


_TRANSLATORS: Final[dict[str, Callable[[list[Operation], Reading], Translator]]] = {
    "cas-register": _cas_register,
    "kv-append": _kv_append,
    "mutex": _mutex,
    "ferrite": _ferrite,
}


def _transactions(operations: list[Operation], reading: Reading) -> list[Part]:
    """Registers that no transaction connects, even through others, are checked apart."""
    initial = {} if reading.initial is None else reading.initial
    if not isinstance(initial, dict):
        raise HistoryInvalid(
            0, f"the initial state of multi-register is {initial!r}; expected an object of registers"
        )
    for operation in operations:
        if operation.f != "txn":
            raise _unknown_function(operation, "multi-register", "txn")
    steps = [_micro_operations(operation) for operation in operations]
    groups = _connected([[register for _, register, _ in one] for one in steps])
    null_is_value = reading.null_read == "value" or (
        reading.null_read == "auto"
        and (
            any(initial.get(_name(register)) is None for register in groups)
            or any(write and value is None for one in steps for write, _, value in one)
        )
    )
    parts: dict[Hashable, Part] = {}
    places: dict[Hashable, int] = {}
    for register, group in groups.items():
        if group not in parts:
            parts[group] = Part(name="", semantics=Transactions(0), initial=(), calls=[])
        part = parts[group]
        assert isinstance(part.initial, tuple)
        places[register] = len(part.initial)
        part.name += (", " if part.name else "") + show(register)
        part.initial = (*part.initial, freeze(initial.get(_name(register))))
        part.semantics = Transactions(len(part.initial))
    for operation, one in zip(operations, steps, strict=True):
        known = [step for step in one if step[0] or step[2] is not None or null_is_value]
        reads_only = not any(write for write, _, _ in known)
        if known and not (reads_only and operation.outcome != OK):
            part = parts[groups[known[0][1]]]
            action = tuple((write, places[register], value) for write, register, value in known)
            if operation.outcome != OK:
                # What an unknown transaction read nobody knows; what it wrote we do.
                action = tuple(step for step in action if step[0])
            part.calls.append(_call(operation, action, part.semantics))
    return list(parts.values())


def _name(register: Hashable) -> str:
    return register if isinstance(register, str) else show(register)


def _micro_operations(operation: Operation) -> list[tuple[bool, Hashable, Hashable]]:
    listed = thaw(
        operation.result if operation.outcome == OK and operation.result is not None else operation.argument
    )
    if not isinstance(listed, list):
        raise HistoryInvalid(operation.invoke, f"txn of {show(operation.argument)}; expected a list of steps")
    steps = []
    for step in listed:
        match step:
            case ["read" | "r" | "write" | "w" as f, register, value]:
                steps.append((f in ("write", "w"), freeze(register), freeze(value)))
            case _:
                raise HistoryInvalid(
                    operation.invoke, f'step {step!r} of a txn; expected ["read"|"write", register, value]'
                )
    return steps


def _connected(groups: list[list[Hashable]]) -> dict[Hashable, Hashable]:
    """Return register -> one register that stands for all that are connected with it (union-find)."""
    above: dict[Hashable, Hashable] = {}

    def root(register: Hashable) -> Hashable:
        while above[register] != register:
            above[register] = above[above[register]]
            register = above[register]
        return register

    for group in groups:
        for register in group:
            above.setdefault(register, register)
            above[root(register)] = root(group[0])
    return {register: root(register) for register in above}


def is_unknown(call: Call) -> bool:
    """Whether the outcome is unknown."""
    return call.ret == NEVER
