"""A run in the terminal: one column per node, one line per notable event."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ferrite.sim.recording import Row
from ferrite.sim.report.reading import Story, read_story
from ferrite.sim.report.wording import (
    DOWN,
    GLYPHS,
    PAUSED,
    boot_state,
    change_text,
    down_text,
    fault_text,
    operation_text,
    seconds,
)

WIDTH_MIN: Final = 60
SPAN_US: Final = 1_000_000
"""What is shown on either side of `around_us` unless told otherwise."""

_RESET: Final = "\x1b[0m"
_COLOURS: Final = {
    "!": "\x1b[31m",
    "^": "\x1b[32m",
    "*": "\x1b[1m",
    "+": "\x1b[2m",
    "~": "\x1b[33m",
    "X": "\x1b[1;37;41m",
    "<": "\x1b[36m",
    ">": "\x1b[36m",
}
"""Sigil -> the colour of its line."""

LEGEND: Final = (
    "roles: L leader, C candidate, p pre-candidate, . follower, x down, = paused",
    "signs: ^ boot, ! down, * role or term, + commit, ~ fault, > asked, < answered, X violation",
)


@dataclass(slots=True, kw_only=True)
class _Line:
    """`until` is later than `t` only for commits in a row."""

    t: int
    until: int
    node: int
    sigil: str
    text: str


@dataclass(slots=True)
class _Board:
    """What is known of every node at the moment of a line."""

    glyphs: dict[int, str]
    states: dict[int, dict[str, Any]] = field(default_factory=dict)


def terminal_view(
    rows: Sequence[Row],
    *,
    colour: bool,
    width: int,
    around_us: int | None = None,
    span_us: int = SPAN_US,
    clients: bool = False,
) -> Iterator[str]:
    """Lines without line ends, cut to `width`. Raises RecordingInvalid.

    Columns: time in seconds; per node its role (a sigil before it where the line happened); term and
    `commit/applied/last` of the node where it happened; what happened. Commits in a row are one line. With `around_us`,
    only what happened at most `span_us` before or after it. `clients` shows their operations as well.
    """
    if width < WIDTH_MIN:
        raise ValueError(f"width {width}; expected at least {WIDTH_MIN} columns")
    story = read_story(rows)
    return _view(
        story, colour=colour, width=width, window=_window(story, around_us, span_us), clients=clients
    )


def _window(story: Story, around_us: int | None, span_us: int) -> tuple[int, int]:
    if around_us is None:
        return 0, max(row["t"] for row in story.rows)
    return around_us - span_us, around_us + span_us


def _view(story: Story, *, colour: bool, width: int, window: tuple[int, int], clients: bool) -> Iterator[str]:
    run, end = story.run, story.first("end")
    verdict = f", {end['verdict']}, digest {end['digest']}" if end else ""
    yield f"seed {run['seed']}, {len(story.nodes)} nodes{verdict}"[:width]
    yield from (each[:width] for each in LEGEND)
    cell = max(len(str(node)) for node in story.nodes) + 2
    time_width = len(seconds(story.rows[-1]["t"]))
    heads = "".join(f"{node:>{cell}}" for node in story.nodes)
    yield f"{'seconds':>{time_width}} {heads}  {'term':>5} {'commit/applied/last':<20} what happened"[:width]
    board = _Board(dict.fromkeys(story.nodes, DOWN))
    for line, shown in _boards(story, board, clients=clients):
        if line.until >= window[0] and line.t <= window[1]:
            text = _format(story, line, shown, cell=cell, time_width=time_width)[:width].rstrip()
            paint = _COLOURS.get(line.sigil, "") if colour else ""
            yield f"{paint}{text}{_RESET}" if paint else text


def _boards(story: Story, board: _Board, *, clients: bool) -> Iterator[tuple[_Line, _Board]]:
    """Every notable line with the board of its moment; commits in a row of one leader and term become one line."""
    commits: list[Row] = []
    for row in story.rows:
        line = _line(row, board, clients=clients)
        other = row["row"] == "commit" and commits and _leadership(commits[0]) != _leadership(row)
        if commits and (line is not None or other):
            yield _commits(commits), board
            commits = []
        if row["row"] == "commit":
            commits.append(row)
        _update(row, board)
        if line is not None:
            yield line, board
    if commits:
        yield _commits(commits), board


def _leadership(commit: Row) -> tuple[int, int]:
    return commit["node"], commit["term"]


def _commits(rows: list[Row]) -> _Line:
    first, last = rows[0], rows[-1]
    often = f" in {len(rows)} rounds until {seconds(last['t'])}" if len(rows) > 1 else ""
    text = f"commits {first['first']}..{last['last']}{often}"
    return _Line(t=first["t"], until=last["t"], node=first["node"], sigil="+", text=text)


def _update(row: Row, board: _Board) -> None:
    node = row.get("node", 0)
    match row["row"]:
        case "boot":
            board.glyphs[node], board.states[node] = GLYPHS["follower"], boot_state(row)
        case "down":
            board.glyphs[node] = DOWN
            del board.states[node]
        case "paused":
            board.glyphs[node] = PAUSED
        case "resumed":
            board.glyphs[node] = GLYPHS[board.states[node]["role"]]
        case "step" if row.get("state") is not None:
            board.states[node] = row["state"]
            board.glyphs[node] = GLYPHS[row["state"]["role"]]
        case _:
            pass


def _line(row: Row, board: _Board, *, clients: bool) -> _Line | None:
    """The line of a row; None when it is not notable. `board` is that of before."""
    sigil, text = _sigil_and_text(row, board, clients=clients)
    if not sigil:
        return None
    node = row.get("node", 0)
    if row["row"] == "fault" and len(row["nodes"]) == 1:
        node = row["nodes"][0]
    return _Line(t=row["t"], until=row["t"], node=node, sigil=sigil, text=text)


def _sigil_and_text(row: Row, board: _Board, *, clients: bool) -> tuple[str, str]:
    match row["row"]:
        case "boot":
            return "^", "starts" if row["boot"] <= 1 else f"starts again (boot {row['boot']})"
        case "down":
            return "!", down_text(row)
        case "paused" | "resumed" as what:
            return "=", "is paused" if what == "paused" else "goes on after its pause"
        case "step" if row.get("state") is not None:
            text = change_text(board.states[row["node"]], row["state"])
            return ("*", text) if text else ("", "")
        case "fault":
            until = f", until {seconds(row['until'])}" if row["until"] > row["t"] else ""
            return "~", fault_text(row) + until
        case "invoke" if clients:
            return ">", operation_text(row)
        case "complete" if clients:
            return "<", f"operation {row['operation']}: {row['outcome']} {row.get('detail') or ''}".rstrip()
        case "violation":
            return "X", f"{row['name']}: {row['sentence']} {row['facts']}"
        case "end":
            return "$", f"verdict {row['verdict']}"
        case _:
            return "", ""


def _format(story: Story, line: _Line, board: _Board, *, cell: int, time_width: int) -> str:
    columns = "".join(
        f"{(line.sigil if node == line.node else '') + board.glyphs[node]:>{cell}}" for node in story.nodes
    )
    state = board.states.get(line.node)
    term = f"T{state['term']}" if state else ""
    indices = f"{state['commit']}/{state['applied']}/{state['last']}" if state else ""
    sigil = line.sigil if line.node == 0 else " "
    return f"{seconds(line.t):>{time_width}} {columns} {sigil}{term:>5} {indices:<20} {' '.join(line.text.split())}"
