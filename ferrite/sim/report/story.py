"""A run as a text to read: its faults, its operations, what led to the failure, and what every node did around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ferrite.sim.recording import Row
from ferrite.sim.report import explain, explanation_text, terminal_view
from ferrite.sim.report.wording import fault_text, operation_text, seconds

LINES_MAX: Final = 40
"""Of faults and of operations: the newest. `events.jsonl` has all."""
WIDTH: Final = 160


def story_text(rows: Sequence[Row]) -> str:
    """All of it, with a heading each."""
    parts = [f"Faults\n\n{_newest(fault_lines(rows))}", f"Operations\n\n{_newest(operation_lines(rows))}"]
    violation = next((row for row in rows if row["row"] == "violation"), None)
    if violation is not None:
        parts.append(f"Why it happened\n\n{explanation_text(explain(rows))}")
    around_us = None if violation is None else violation["t"]
    shown = terminal_view(rows, colour=False, width=WIDTH, around_us=around_us, clients=True)
    parts.append(
        "What every node did" + (" around it" if violation else "") + "\n\n" + "\n".join(shown) + "\n"
    )
    return "\n".join(parts)


def fault_lines(rows: Sequence[Row]) -> Iterator[str]:
    """One line for each fault that struck."""
    for row in rows:
        if row["row"] != "fault":
            continue
        place = "".join(f" {node}" for node in row["nodes"]) or "".join(
            f" {source}->{target}" for source, target in row["links"]
        )
        lasts = f", until {seconds(row['until'])} s" if row["until"] > row["t"] else ""
        yield f"{seconds(row['t']):>12} s  {fault_text(row)}{place and f', at{place}'}{lasts}"


def operation_lines(rows: Sequence[Row]) -> Iterator[str]:
    """One line for each operation of a client, with what became of it."""
    ended = {row["operation"]: row for row in rows if row["row"] == "complete"}
    for row in rows:
        if row["row"] == "invoke":
            end = ended.get(row["operation"])
            became = "no answer" if end is None else f"{end['outcome']} at {seconds(end['t'])} s"
            yield f"{seconds(row['t']):>12} s  {operation_text(row)}: {became}"


def _newest(lines: Iterator[str]) -> str:
    every = list(lines)
    left_out = len(every) - LINES_MAX
    head = [f"... and {left_out} before these"] if left_out > 0 else []
    return "\n".join([*head, *every[-LINES_MAX:]] or ["none"]) + "\n"
