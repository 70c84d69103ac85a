"""Standard output in the form that was asked for. Keys and values are bytes, so output is too."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ferrite.io.cli.ctl.exit_codes import wrong_input
from ferrite.io.cli.ctl.quoting import hex_escaped, quoted
from ferrite.io.cli.ctl.settings import Settings

Pair = tuple[str, object]
"""A line of the fields form: bytes and text are quoted, numbers and truth values are not; `Bare` text is not either."""
_WIDE: Final = 10_000
"""A row of a table is one line, however long: what wraps cannot be searched."""


@dataclass(frozen=True, slots=True)
class Bare:
    """Text that the fields form does not quote."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`rows` of text; columns in `right` are aligned to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """One answer in all its forms, each made when asked for. `table` None: it has no such form."""

    simple: Callable[[], Iterable[bytes | str]]
    fields: Callable[[], Iterable[Pair]]
    json: Callable[[], object]
    table: Callable[[], Table] | None = None


def refuse_table(settings: Settings, command: str) -> None:
    """To be called before anything is sent. Raises ClickException."""
    if settings.write_out == "table":
        raise wrong_input(f"{command} has no table form; expected -w simple, json or fields")


def show(settings: Settings, forms: Forms) -> None:
    """Write one answer."""
    if settings.write_out == "json":
        write_lines([json_line(forms.json())])
    elif settings.write_out == "fields":
        write_lines(f'"{name}" : {_field(value)}' for name, value in forms.fields())
    elif settings.write_out == "table":
        assert forms.table is not None, "refuse_table was called before"
        write_table(forms.table())
    else:
        write_lines(forms.simple())


def data_line(settings: Settings, data: bytes) -> bytes:
    """A key or a value in the simple form."""
    return hex_escaped(data) if settings.hex else data


def json_line(value: object) -> str:
    """One line, the same bytes for the same value."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def write_lines(lines: Iterable[bytes | str]) -> None:
    """Write and flush: whoever watches sees it now."""
    out = sys.stdout.buffer
    for line in lines:
        out.write((line.encode("utf-8", "surrogateescape") if isinstance(line, str) else line) + b"\n")
    out.flush()


def write_table(table: Table) -> None:
    """Etcdctl's frame of + and |; the head is bold on a terminal."""
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    ascii_box = Box("+-++\n| ||\n+-++\n| ||\n+-++\n+-++\n| ||\n+-++\n", ascii=True)
    shown = RichTable(box=ascii_box, header_style="bold")
    for column in table.columns:
        shown.add_column(
            Text(column.upper(), justify="center"),
            justify="right" if column in table.right else "left",
            no_wrap=True,
        )
    for row in table.rows:
        shown.add_row(*(Text(cell) for cell in row))
    sys.stdout.flush()
    console = Console(file=sys.stdout, width=_WIDE, highlight=False, markup=False, emoji=False)
    console.print(shown)


def _field(value: Any) -> str:
    match value:
        case Bare(text=text):
            return text
        case bytes():
            return quoted(value)
        case str():
            return quoted(value.encode("utf-8", "surrogateescape"))
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)
