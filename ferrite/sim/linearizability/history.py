"""A history as JSON lines, read into operations.

Every line is an object with `process`, `type` (invoke, ok, fail, info), `f`, `key` and `value`; a process that is a string is
no client and is skipped. The order of the lines is real time. docs/histories.md describes the form.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from ferrite.sim.linearizability.values import freeze, show

LINE_CHARACTERS_MAX: Final = 16 * 1024 * 1024
"""One line: sixteen times the largest value that a store of ours takes. A longer one is no history but some other file."""
OPERATIONS_MAX: Final = 5_000_000
"""All operations stand in memory, at about 300 bytes each."""
DEPTH_MAX: Final = 64
"""Nesting of one value: freezing it recurses."""

OK: Final = "ok"
FAIL: Final = "fail"
INFO: Final = "info"
_TYPES: Final = ("invoke", OK, FAIL, INFO)
NEVER: Final = 1 << 62
"""The return position of an operation whose outcome is unknown: it may take effect at any later time, or never."""


class HistoryInvalid(Exception):
    """The history cannot be read. `line` counts from 1; 0 when no single line is at fault."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.line = line


@dataclass(slots=True, kw_only=True)
class Operation:
    """One operation of one client, from its invocation to its return.

    `invoke` and `ret` are line numbers and so the order in real time; `ret` is NEVER when the outcome is unknown (`info`).
    `argument` is the value of the invocation, `result` that of an `ok`. What follows is what only Ferrite's answers carry.
    """

    number: int
    process: int
    f: str
    key: Hashable
    argument: Hashable
    invoke: int
    ret: int = NEVER
    outcome: str = INFO
    result: Hashable = None
    revision: int | None = None
    mod_revision: int | None = None
    existed: bool | None = None
    linearizable: bool = True

    def describe(self) -> str:
        """One line for people, such as `process 3 (lines 7-9): read -> 4`."""
        lines = f"line {self.invoke}" if self.ret == NEVER else f"lines {self.invoke}-{self.ret}"
        key = "" if self.key is None else f" key {show(self.key)}"
        argument = "" if self.argument is None else f" {show(self.argument)}"
        result = {
            OK: ""
            if self.f in {"write", "put", "append", "cas", "acquire", "release"}
            else f" -> {show(self.result)}",
            FAIL: " -> refused",
            INFO: " -> outcome unknown",
        }[self.outcome]
        facts = "".join(
            f" {name}={show(value)}"
            for name in ("revision", "mod_revision", "existed")
            if (value := getattr(self, name)) is not None
        )
        return f"process {self.process} ({lines}): {self.f}{key}{argument}{result}{facts}"

    def as_json(self) -> dict[str, Any]:
        """The operation as one JSON object."""
        return {
            "process": self.process,
            "f": self.f,
            "key": show(self.key),
            "argument": show(self.argument),
            "result": show(self.result),
            "outcome": self.outcome,
            "invoke_line": self.invoke,
            "return_line": None if self.ret == NEVER else self.ret,
            "revision": self.revision,
            "mod_revision": self.mod_revision,
        }


def read_history(lines: str | Iterable[str | bytes], *, keep_failed: bool = False) -> list[Operation]:
    """Return the operations in the order of their invocation; raises HistoryInvalid.

    An operation that failed did not happen and is left out, unless `keep_failed`, and but for `cas`: whether its failure is a
    result is the model's question. `lines` is the whole text, or its lines.
    """
    reader = _Reader()
    for number, line in enumerate(lines.split("\n") if isinstance(lines, str) else lines, start=1):
        if len(line) > LINE_CHARACTERS_MAX:
            raise HistoryInvalid(
                number, f"{len(line):,} characters; a line of a history has at most {LINE_CHARACTERS_MAX:,}"
            )
        if line.strip():
            reader.take(number, _decode(number, line))
    return [
        operation
        for operation in reader.operations
        if keep_failed or operation.outcome != FAIL or operation.f == "cas"
    ]


def _decode(number: int, line: str | bytes) -> dict[str, Any]:
    try:
        row = json.loads(line, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise HistoryInvalid(number, f"byte {error.start} is no UTF-8; a history is text") from error
    except json.JSONDecodeError as error:
        raise HistoryInvalid(
            number,
            f"no JSON ({error.msg}, column {error.colno}); expected one object a line, such as "
            '{"process":0,"type":"invoke","f":"read","value":null}',
        ) from error
    except (ValueError, RecursionError) as error:
        raise HistoryInvalid(number, f"no JSON value that can be compared: {error}") from error
    if not isinstance(row, dict):
        raise HistoryInvalid(number, f"{type(row).__name__} instead of an object")
    return row


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON and equals not even itself")


@dataclass(slots=True)
class _Reader:
    operations: list[Operation] = field(default_factory=list)
    open: dict[int, Operation] = field(default_factory=dict)
    """process -> its operation that has not returned."""

    def take(self, line: int, row: dict[str, Any]) -> None:
        process = row.get("process")
        if isinstance(process, str):
            return
        if type(process) is not int:
            raise HistoryInvalid(line, f"process is {process!r}; expected an integer (or a name: skipped)")
        kind = row.get("type")
        if kind not in _TYPES:
            raise HistoryInvalid(line, f"type is {kind!r}; expected one of {', '.join(_TYPES)}")
        if kind == "invoke":
            self._invoke(line, process, row)
        else:
            self._complete(line, process, kind, row)

    def _invoke(self, line: int, process: int, row: dict[str, Any]) -> None:
        earlier = self.open.get(process)
        if earlier is not None:
            raise HistoryInvalid(
                line,
                f"process {process} invokes again while its {earlier.f} of line {earlier.invoke} is open; "
                "expected its ok, fail or info first",
            )
        f = row.get("f")
        if not isinstance(f, str):
            raise HistoryInvalid(line, f"f is {f!r}; expected the operation's name")
        if len(self.operations) >= OPERATIONS_MAX:
            raise HistoryInvalid(line, f"more than {OPERATIONS_MAX:,} operations; cut the history")
        operation = Operation(
            number=len(self.operations),
            process=process,
            f=f,
            key=_value(line, row, "key"),
            argument=_value(line, row, "value"),
            invoke=line,
            linearizable=row.get("linearizable") is not False,
        )
        self.operations.append(operation)
        self.open[process] = operation

    def _complete(self, line: int, process: int, kind: str, row: dict[str, Any]) -> None:
        operation = self.open.pop(process, None)
        if operation is None:
            raise HistoryInvalid(
                line, f"{kind} of process {process}, which has nothing open; expected its invoke before"
            )
        if row.get("f", operation.f) != operation.f:
            raise HistoryInvalid(line, f"{kind} of {row['f']!r}; process {process} invoked {operation.f!r}")
        if row.get("key") is not None and _value(line, row, "key") != operation.key:
            raise HistoryInvalid(
                line, f"{kind} for key {row['key']!r}; it was invoked for {show(operation.key)}"
            )
        operation.outcome = kind
        if kind == INFO:
            return
        operation.ret = line
        operation.result = _value(line, row, "value")
        operation.revision = _integer(line, row, "revision")
        operation.mod_revision = _integer(line, row, "mod_revision")
        existed = row.get("existed")
        if existed is not None and not isinstance(existed, bool):
            raise HistoryInvalid(line, f"existed is {existed!r}; expected true or false")
        operation.existed = existed


def _value(line: int, row: dict[str, Any], name: str) -> Hashable:
    value = row.get(name)
    if value is None or type(value) is int or type(value) is str:
        return value
    if _deeper_than(value, DEPTH_MAX):
        raise HistoryInvalid(line, f"{name} is nested deeper than {DEPTH_MAX}")
    return freeze(value)


def _deeper_than(value: Any, depth: int) -> bool:
    if not isinstance(value, list | dict):
        return False
    inner = value if isinstance(value, list) else value.values()
    return depth == 0 or any(_deeper_than(item, depth - 1) for item in inner)


def _integer(line: int, row: dict[str, Any], name: str) -> int | None:
    value = row.get(name)
    if value is None or (type(value) is int and value >= 0):
        return value
    raise HistoryInvalid(line, f"{name} is {value!r}; expected an integer of at least 0")
