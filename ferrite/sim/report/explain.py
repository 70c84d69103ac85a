"""Why it happened: the causal chain backwards from the failing event, told forwards."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ferrite.sim.recording import RecordingInvalid, Row
from ferrite.sim.report.reading import Story, causes, read_story
from ferrite.sim.report.wording import (
    boot_state,
    boot_text,
    change_text,
    down_text,
    fault_text,
    frame_text,
    node_name,
    operation_text,
    seconds,
)

STEPS_MAX: Final = 40
"""A longer story is not read."""
FAULTS_MAX: Final = 3
"""Of the faults that may have mattered to one step, the newest: in a stormy run everything was struck by something."""
_MARKS: Final = ("boot", "down", "paused", "resumed")
_ORDINARY: Final = 3
_TELLING: Final = 1


@dataclass(slots=True, kw_only=True)
class Link:
    """One sentence of the story. `row` is the recording's id, `because` are numbers (from 1) of earlier sentences."""

    row: int
    t_us: int
    node: int
    text: str
    because: tuple[int, ...]


def explain(rows: Sequence[Row], *, row: int | None = None, steps_max: int = STEPS_MAX) -> list[Link]:
    """At most `steps_max` links, oldest first, ending at `row` (the first violation when None). Raises RecordingInvalid.

    From each row the story goes back to what caused it, to the node's last change of state before, and to the faults that struck
    in between. When there is more than fits, changes of state, faults and boots win over what merely moved an index.
    """
    if steps_max < 1:
        raise ValueError(f"steps_max {steps_max}; expected at least 1")
    story = read_story(rows)
    past = _Past(story)
    before = _gather(past, _start(story, row), steps_max)
    order = sorted(before)
    numbers = {chosen: place for place, chosen in enumerate(order, start=1)}
    return [
        Link(
            row=chosen,
            t_us=story.by_id[chosen]["t"],
            node=_node(story.by_id[chosen]),
            text=past.sentence(story.by_id[chosen]),
            because=tuple(numbers[each] for each in sorted(before[chosen]) if each in numbers),
        )
        for chosen in order
    ]


def explanation_text(links: Sequence[Link]) -> str:
    """Numbered sentences, one a line: `#3  1.250000 s  node 2 becomes leader of term 3, because of #1, #2.`"""
    width = len(str(len(links))) + 1
    time_width = max((len(seconds(link.t_us)) for link in links), default=0)
    lines = []
    for number, link in enumerate(links, start=1):
        because = ", because of " + ", ".join(f"#{each}" for each in link.because) if link.because else ""
        head = f"#{number}".ljust(width)
        lines.append(f"{head}  {seconds(link.t_us):>{time_width}} s  {link.text.rstrip('.')}{because}.")
    return "\n".join(lines) + "\n"


def _start(story: Story, row: int | None) -> Row:
    if row is None:
        violation = story.first("violation")
        if violation is None:
            raise RecordingInvalid("the recording has no `violation`; name the id of the row to explain")
        return violation
    if row not in story.by_id:
        raise RecordingInvalid(f"the recording has no row {row}; expected one of 1..{story.rows[-1]['id']}")
    return story.by_id[row]


def _gather(past: _Past, start: Row, steps_max: int) -> dict[int, list[int]]:
    """The chosen rows with their predecessors: cheapest paths first, among equals the most recent."""
    waiting: list[tuple[int, int]] = [(0, -start["id"])]
    chosen: dict[int, list[int]] = {}
    while waiting and len(chosen) < steps_max:
        cost, negated = heapq.heappop(waiting)
        if -negated in chosen:
            continue
        before = past.predecessors(past.story.by_id[-negated])
        chosen[-negated] = before
        for each in before:
            if each not in chosen:
                heapq.heappush(waiting, (cost + past.weight(each), -each))
    return chosen


def _node(row: Row) -> int:
    """Where it happened; 0 for what concerns no node alone."""
    match row["row"]:
        case "send":
            return int(row["source"])
        case "fault":
            return int(row["nodes"][0]) if len(row["nodes"]) == 1 else 0
        case "attempt":
            return 0
        case _:
            return int(row.get("node", 0))


class _Past:
    """What a node lived through, in order: found by bisection over ids and times."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.changes: dict[int, str] = {}
        """Step -> its notable change of state."""
        self._marks: dict[int, list[int]] = defaultdict(list)
        self._steps: dict[int, list[int]] = defaultdict(list)
        self._faults: dict[int, list[Row]] = defaultdict(list)
        self._lost: dict[int, list[Row]] = defaultdict(list)
        self._operations: dict[int, list[int]] = defaultdict(list)
        states: dict[int, dict[str, Any]] = {}
        for row in story.rows:
            self._learn(row, states)

    def _learn(self, row: Row, states: dict[int, dict[str, Any]]) -> None:
        kind, node = row["row"], row.get("node", 0)
        if kind == "step":
            self._steps[node].append(row["id"])
            new = row.get("state")
            if new is not None:
                self.changes[row["id"]] = text = change_text(states[node], new)
                states[node] = new
                if text:
                    self._marks[node].append(row["id"])
        elif kind in _MARKS:
            self._marks[node].append(row["id"])
            if kind == "boot":
                states[node] = boot_state(row)
        elif kind == "fault":
            struck = [*row["nodes"], *(end for link in row["links"] for end in link)]
            for each in dict.fromkeys(struck):
                self._faults[each].append(row)
        elif kind == "lost":
            self._lost[self.story.by_id[row["send"]]["target"]].append(row)
        elif kind in ("invoke", "attempt"):
            self._operations[row["operation"]].append(row["id"])

    def weight(self, number: int) -> int:
        """What it costs the story to take this row in."""
        row = self.story.by_id[number]
        ordinary = row["row"] == "step" and not self.changes.get(number)
        return _ORDINARY if ordinary else _TELLING

    def predecessors(self, row: Row) -> list[int]:
        """What brought this row about, ids, oldest first."""
        found = set(self._predecessors(row))
        return sorted(number for number in found if number < row["id"])

    def _predecessors(self, row: Row) -> Iterator[int]:
        kind = row["row"]
        if kind == "arrive":
            # The sending is told in the same sentence.
            yield from causes(self.story.by_id[row["send"]])
            return
        yield from causes(row)
        if kind in ("complete", "point"):
            yield from self._operations[row["operation"]]
        if kind == "commit" or (kind == "violation" and row["node"] and not causes(row)):
            yield from self._latest(self._steps[row["node"]], row["id"])
        if kind in ("step", "boot", "down") or (kind == "violation" and row["node"]):
            yield from self._lived_through(row)

    def _lived_through(self, row: Row) -> Iterator[int]:
        """The node's last notable row before this one, and the faults since then."""
        last = self._latest(self._marks[row["node"]], row["id"])
        yield from last
        since_us = self.story.by_id[last[0]]["t"] if last else 0
        # A timer that fires is explained by what kept others quiet: faults still in force count as well.
        timer = row["row"] == "step" and not row["cause"]
        end = "until" if timer else "t"
        struck = [
            fault["id"]
            for fault in self._faults[row["node"]]
            if fault["id"] < row["id"] and fault[end] >= since_us
        ]
        yield from struck[-FAULTS_MAX:]

    @staticmethod
    def _latest(ids: list[int], before: int) -> list[int]:
        place = bisect_left(ids, before)
        return ids[place - 1 : place] if place else []

    # -- sentences --------------------------------------------------------------------------------------------

    def sentence(self, row: Row) -> str:
        """One sentence without a full stop."""
        match row["row"]:
            case "step":
                return self._step_sentence(row)
            case "boot":
                return f"node {row['node']} {boot_text(row)}"
            case "down":
                return f"node {row['node']} {down_text(row)}"
            case "paused" | "resumed" as verb:
                return f"node {row['node']} {'is paused' if verb == 'paused' else 'goes on after its pause'}"
            case "send":
                return f"node {row['source']} sends node {row['target']} {frame_text(row)}"
            case "arrive" | "lost":
                return self._frame_sentence(row)
            case "disk":
                return f"on node {row['node']}'s disk: {row['text']}"
            case "commit":
                return f"node {row['node']} commits {row['first']}..{row['last']} in term {row['term']}"
            case "fault":
                until = f", until {seconds(row['until'])} s" if row["until"] > row["t"] else ""
                return f"{fault_text(row)}{until}"
            case "invoke":
                return operation_text(row)
            case "attempt":
                return f"operation {row['operation']} goes to node {row['node']}"
            case "complete":
                return (
                    f"operation {row['operation']} ends: {row['outcome']} {row.get('detail') or ''}".rstrip()
                )
            case "violation":
                return (
                    f"{row['name']} is violated at {node_name(row['node'])}: {row['sentence']} {row['facts']}"
                )
            case kind:
                return f"row `{kind}`"

    def _step_sentence(self, row: Row) -> str:
        told = "; ".join(row["events"]) if row["events"] else "its timer fires" + self._silence(row)
        change = self.changes.get(row["id"], "")
        done = "; ".join(row["actions"])
        return (
            f"node {row['node']}: {told}"
            + (f": {change}" if change else "")
            + (f" -> {done}" if done else "")
        )

    def _silence(self, row: Row) -> str:
        """How many frames to this node got lost since its last notable row, and why."""
        last = self._latest(self._marks[row["node"]], row["id"])
        lost = self._lost[row["node"]]
        ids = [each["id"] for each in lost]
        missing = lost[bisect_right(ids, last[0] if last else 0) : bisect_left(ids, row["id"])]
        if not missing:
            return ""
        counts = Counter(each["why"] for each in missing)
        reasons = ", ".join(f"{count} by {why}" for why, count in sorted(counts.items()))
        frames = "1 frame to it was" if len(missing) == 1 else f"{len(missing)} frames to it were"
        return f" after {frames} lost ({reasons})"

    def _frame_sentence(self, row: Row) -> str:
        send = self.story.by_id[row["send"]]
        route = f"{frame_text(send)} from node {send['source']}"
        if row["row"] == "lost":
            return f"{route} to node {send['target']} is lost ({row['why']})"
        damaged = " damaged" if row["damaged"] else ""
        return f"{route} (sent at {seconds(send['t'])} s) arrives{damaged} at node {row['node']}"
