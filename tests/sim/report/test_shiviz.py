"""The export for ShiViz: its format, and clocks that say what happened before what."""

import json
import re
from collections import defaultdict

from ferrite.sim.recording import Row
from ferrite.sim.report import shiviz
from ferrite.sim.report.reading import causes, read_story
from tests.sim.report.sample import sample_rows
from tests.sim.report.small import lost_votes

Clock = dict[str, int]


def parsed(text: str) -> list[tuple[str, Clock, str]]:
    """As ShiViz reads it: first line the expression, second the delimiter of executions, the rest is matched."""
    expression, delimiter, log = text.split("\n", 2)
    assert delimiter == ""
    python = expression.replace("(?<", "(?P<")
    found = list(re.finditer(python, log))
    assert "".join(match.group() + "\n" for match in found) == log, "every line belongs to an event"
    return [(match["host"], json.loads(match["clock"]), match["event"]) for match in found]


def before(first: Clock, second: Clock) -> bool:
    return first != second and all(count <= second.get(host, 0) for host, count in first.items())


def events_of(rows: list[Row]) -> list[Row]:
    """The rows that are events, in order; the others only pass causes on."""
    return [row for row in rows if row["row"] not in ("run", "lost", "point", "end", "attempt")]


def test_the_head_is_what_shiviz_expects_of_a_file() -> None:
    assert shiviz(lost_votes()).startswith("(?<host>\\S*) (?<clock>{.*})\\n(?<event>.*)\n\nnode1 ")


def test_every_event_counts_its_own_host_up_by_one() -> None:
    counts: dict[str, int] = defaultdict(int)
    events = parsed(shiviz(sample_rows(until_us=1_500_000)))
    for host, clock, text in events:
        counts[host] += 1
        assert clock[host] == counts[host]
        assert text
    assert {"node1", "node5", "client-c0", "faults"} <= counts.keys()


def test_one_event_is_before_another_exactly_when_a_chain_of_causes_leads_there() -> None:
    rows = sample_rows(until_us=800_000, clients=2)
    story, events = read_story(rows), parsed(shiviz(rows))
    chosen = events_of(rows)
    assert len(events) == len(chosen) > 200
    reached: dict[int, set[int]] = {}
    newest: dict[str, int] = {}
    host_of = {row["id"]: host for row, (host, _, _) in zip(chosen, events, strict=True)}
    for row in story.rows:
        past = set()
        own = newest.get(host_of.get(row["id"], ""), 0)
        for cause in (*causes(row), own):
            if cause:
                past |= reached[cause] | {cause}
        reached[row["id"]] = past
        if row["id"] in host_of:
            newest[host_of[row["id"]]] = row["id"]
    clocks = {row["id"]: clock for row, (_, clock, _) in zip(chosen, events, strict=True)}
    wrong = [
        (first, second)
        for second in clocks
        for first in clocks
        if first < second and before(clocks[first], clocks[second]) != (first in reached[second])
    ]
    assert wrong == []


def test_a_frame_carries_the_senders_clock_and_a_lost_one_carries_nothing() -> None:
    events = {text.split("  ", 1)[1]: (host, clock) for host, clock, text in parsed(shiviz(lost_votes()))}
    sent = events["send to node 2: AppendEntries term 1"][1]
    got = events["from node 1: AppendEntries term 1"]
    assert got[0] == "node2"
    assert before(sent, got[1])
    missed = events["send to node 3: Heartbeat term 1"][1]
    assert not any(before(missed, clock) for host, clock in events.values() if host != "node1")


def test_texts_with_line_ends_stay_one_line() -> None:
    rows = lost_votes()
    next(row for row in rows if row["row"] == "violation")["facts"] = 'a\nnode1 {"node1": 1}\nb'
    assert 'a node1 {"node1": 1} b' in parsed(shiviz(rows))[-1][2]
