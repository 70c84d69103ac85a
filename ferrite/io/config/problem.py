"""Where a setting came from, and what is wrong with one."""

import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

PROBLEMS_MAX = 100  # a file with more mistakes than this is no configuration; the report stays readable
SHOWN_CHARACTERS_MAX = 60
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who set a key: the default, a file, an environment variable, or an option of the command line."""

    kind: Literal["default", "file", "environment", "flag"]
    name: str = ""

    def __str__(self) -> str:
        prefix = {"default": "default", "file": "", "environment": "environment variable ", "flag": "option "}
        return prefix[self.kind] + self.name


DEFAULT = Source(kind="default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, in the five parts that a reader needs to repair it."""

    source: Source
    key: str  # dotted, as the source spells it; empty when it is about the whole source
    given: str  # the value as text, shortened; empty when the key is missing
    expected: str
    advice: str

    def __str__(self) -> str:
        head = f"{self.source}: {self.key}" if self.key else str(self.source)
        if self.given:
            head += f" = {self.given}" if self.key else f": {self.given}"
        return f"{head}\n    expected: {self.expected}\n    to do:    {self.advice}"


class ConfigError(Exception):
    """The configuration is refused; `problems` has everything that is wrong with it, at least one."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        assert self.problems
        super().__init__(self._text())

    def _text(self) -> str:
        shown = self.problems[:PROBLEMS_MAX]
        count = f"{len(shown)} problem{'s' if len(shown) > 1 else ''}"
        if len(self.problems) > PROBLEMS_MAX:
            count = f"more than {PROBLEMS_MAX} problems"
        return "\n".join(
            (f"{count} in the configuration", "", *(f"  {problem}\n" for problem in shown))
        ).rstrip()


class TooManyProblems(Exception):
    """Collecting stopped: `PROBLEMS_MAX` is passed."""


class ProblemList:
    """Problems in the order found. Raises `TooManyProblems` past the limit, so that a hostile file costs little."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def report(self, *, source: Source, key: str, given: str, expected: str, advice: str) -> None:
        self.found.append(
            Problem(source=source, key=show_key(key), given=given, expected=expected, advice=advice)
        )
        if len(self.found) > PROBLEMS_MAX:
            raise TooManyProblems


def has_unprintable(text: str) -> bool:
    """Whether `text` has what may not reach a log, a terminal or a path: controls, NUL, line ends, lone surrogates,
    characters that reorder text.
    """
    return any(
        unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _BIDI_CONTROLS for char in text
    )


def escape(text: str) -> str:
    """`text` on one line: what `has_unprintable` would find, written as backslash escapes."""
    if not has_unprintable(text):
        return text
    return "".join(char.encode("unicode_escape").decode() if has_unprintable(char) else char for char in text)


def show_key(key: str) -> str:
    """`key` as a message may print it: one line, not longer than a line."""
    return escape(_shorten(key, SHOWN_CHARACTERS_MAX * 2))


def show_value(value: object) -> str:
    """`value` as TOML would write it, shortened: never longer than a line, never more than one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return str(value) if math.isfinite(value) else f"{value}"
    if isinstance(value, str):
        shortened = _shorten(value, SHOWN_CHARACTERS_MAX).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escape(shortened)}"'
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a table"
    return escape(_shorten(str(value), SHOWN_CHARACTERS_MAX))


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
