"""The decision tape of a run: everything that was drawn, made explicit, so that it can be played without the dice.

A tape holds the options, every fault with its place and time, and the raw draws of every other stream. It plays the same run
while the code is the same, and a similar one when the code has changed: dice that are drawn in another order do not touch it.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from ferrite.sim.faults.plan import Fault
from ferrite.sim.options import Options

VERSION: Final = 1
BYTES_MAX: Final = 256 << 20
"""More than the longest run that the options allow needs."""


_WHOLE: Final = {
    "Tape": ("seed", "options", "faults", "draws"),
    "Options": ("nodes", "spares", "seconds", "replica", "network", "disk", "faults", "clients"),
}
"""What a tape must say though the class has a default. An option that came later has its default: the fault is off."""


class TapeInvalid(ValueError):
    """The text is no tape: says what was wrong and what was expected."""


@dataclass(slots=True, kw_only=True)
class Tape:
    """`draws`: name of a stream -> its raw numbers; what lies beyond the end is the plainest choice. `without`: operations that
    are left out (`client0:17`, and `client0:17+` for all after that one). `violation` is the name of the invariant that the run
    broke, "" for none.
    """

    seed: int
    options: Options
    faults: list[Fault] = field(default_factory=list)
    draws: dict[str, list[int]] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    violation: str = ""
    until_us: int = 0
    """Where the violation was; 0 for a run to its end."""


def to_json(tape: Tape) -> str:
    """One JSON object."""
    return json.dumps({"tape": VERSION, **dataclasses.asdict(tape)}, separators=(",", ":")) + "\n"


def from_json(text: str) -> Tape:
    """Read a tape. Raises TapeInvalid."""
    if len(text) > BYTES_MAX:
        raise TapeInvalid(f"the tape has {len(text)} characters; expected at most {BYTES_MAX}")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TapeInvalid(f"the tape is not JSON ({error}); expected the file that a run left") from error
    if not isinstance(raw, dict) or raw.pop("tape", None) != VERSION:
        raise TapeInvalid(
            f"this is no tape of version {VERSION}; expected the file `tape.json` that a run left"
        )
    try:
        tape = _value(Tape, raw, "tape")
    except (TypeError, ValueError) as error:
        raise TapeInvalid(str(error)) from error
    assert isinstance(tape, Tape), "that is what was asked for"
    for name, least in _least_numbers(tape):
        if least < 0:
            raise TapeInvalid(f"tape.{name} has the number {least}; expected none below 0")
    return tape


def _least_numbers(tape: Tape) -> Iterator[tuple[str, int]]:
    """The least of the numbers that are never negative, by the field's name."""
    yield "seed", tape.seed
    yield "until_us", tape.until_us
    for name, drawn in tape.draws.items():
        yield f"draws[{name!r}]", min(drawn, default=0)
    for number, fault in enumerate(tape.faults):
        yield f"faults[{number}]", min(fault.at_us, fault.until_us, fault.dice)


def options_from(raw: object) -> Options:
    """Read options from decoded JSON. Raises ValueError for unknown or ill-typed ones."""
    try:
        options = _value(Options, raw, "options")
    except TypeError as error:
        raise ValueError(str(error)) from error
    assert isinstance(options, Options), "that is what was asked for"
    return options


def _value(kind: Any, raw: object, where: str) -> Any:
    """Check decoded JSON against a type: dataclasses, lists, tuples, dictionaries, and plain values."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _record(kind, raw, where)
    if origin in (list, tuple):
        if not isinstance(raw, list):
            raise TypeError(f"{where} is {_short(raw)}; expected a list")
        items = [
            _value(inner[0] if origin is list or inner[-1:] == (...,) else each, item, where)
            for each, item in zip(
                inner if origin is tuple and inner[-1:] != (...,) else [inner[0]] * len(raw), raw, strict=True
            )
        ]
        return tuple(items) if origin is tuple else items
    if origin is not None and isinstance(raw, dict):
        key, each = inner
        return {
            (int(name) if key is not str else name): _value(each, item, where) for name, item in raw.items()
        }
    if kind is Any:
        return raw
    plain = getattr(kind, "__supertype__", kind)
    if origin is not None or type(raw) is not plain:
        raise TypeError(f"{where} is {_short(raw)}; expected {getattr(plain, '__name__', plain)}")
    return raw


def _record(kind: Any, raw: object, where: str) -> Any:
    if not isinstance(raw, dict):
        raise TypeError(f"{where} is {_short(raw)}; expected an object")
    hints = typing.get_type_hints(kind)
    unknown = sorted(raw.keys() - hints.keys())
    if unknown:
        raise TypeError(
            f"{where} has the unknown field {unknown[0]!r}; expected some of {', '.join(sorted(hints))}"
        )
    always = [each.name for each in dataclasses.fields(kind) if _has_no_default(each)]
    missing = [name for name in (*always, *_WHOLE.get(kind.__name__, ())) if name not in raw]
    if missing:
        raise TypeError(f"{where} has no field {missing[0]!r}; expected the file `tape.json` that a run left")
    return kind(**{name: _value(hints[name], item, f"{where}.{name}") for name, item in raw.items()})


def _has_no_default(each: dataclasses.Field[Any]) -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING


def _short(raw: object) -> str:
    text = repr(raw)
    return text if len(text) <= 40 else text[:37] + "..."


__all__ = ["Tape", "TapeInvalid", "from_json", "options_from", "to_json"]
