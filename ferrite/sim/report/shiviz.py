"""Export for ShiViz (https://bestchai.bitbucket.io/shiviz/): first line the regular expression of the log, second line the
delimiter of executions (empty: there is one), then two lines per event: host and vector clock, and the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

from ferrite.sim.recording import Row
from ferrite.sim.report.reading import Story, causes, read_story
from ferrite.sim.report.wording import boot_text, down_text, fault_text, frame_text, operation_text, seconds

EXPRESSION: Final = r"(?<host>\S*) (?<clock>{.*})\n(?<event>.*)"
"""What ShiViz itself uses for logs of this shape."""

Clock = tuple[int, ...]
"""One count per host, in the order in which the hosts first appear."""


def shiviz(rows: Sequence[Row]) -> str:
    """The whole run as a ShiViz log. Hosts: `node1`, ..., one per client, `faults`, `checks`. Raises RecordingInvalid.

    One event happened before another exactly when its clock is smaller: by the order on one host, by frames from sending to
    arrival, and by every other recorded cause. A frame that got lost has only its sending.
    """
    story = read_story(rows)
    clients = {row["operation"]: row["client"] for row in rows if row["row"] == "invoke"}
    places = {row["id"]: _host(row, clients) for row in rows}
    hosts = [host for host in dict.fromkeys(places.values()) if host]
    lines = [EXPRESSION, ""]
    for row, clock in _events(story, places, hosts):
        counts = {host: count for host, count in zip(hosts, clock, strict=True) if count}
        lines.append(f"{places[row['id']]} {json.dumps(counts)}")
        lines.append(f"{seconds(row['t'])} s  {' '.join(_text(story, row).split())}")
    return "\n".join(lines) + "\n"


def _events(story: Story, places: dict[int, str], hosts: list[str]) -> Iterator[tuple[Row, Clock]]:
    number = {host: place for place, host in enumerate(hosts)}
    nothing = (0,) * len(hosts)
    newest: dict[str, Clock] = {}
    clocks: dict[int, Clock] = {}
    for row in story.rows:
        host = places[row["id"]]
        before = [clocks[cause] for cause in causes(row)]
        if not host:
            # No event of its own, but what it causes comes after what caused it.
            clocks[row["id"]] = _latest([nothing, *before])
            continue
        counts = list(_latest([newest.get(host, nothing), *before]))
        counts[number[host]] += 1
        newest[host] = clocks[row["id"]] = tuple(counts)
        yield row, newest[host]


def _latest(clocks: list[Clock]) -> Clock:
    return tuple(map(max, *clocks)) if len(clocks) > 1 else clocks[0]


def _host(row: Row, clients: dict[int, str]) -> str:
    """Where this happened; empty for rows that are no event: of the run as a whole, or the loss of a frame on its way."""
    match row["row"]:
        case "send":
            return f"node{row['source']}"
        case "fault":
            return "faults"
        case "violation" if not row["node"]:
            return "checks"
        case "invoke" | "complete":
            return "client-" + re.sub(r"\W", "_", clients.get(row["operation"], "unknown"))
        case "run" | "lost" | "point" | "end" | "attempt":
            return ""
        case _:
            return f"node{row['node']}"


def _text(story: Story, row: Row) -> str:
    match row["row"]:
        case "boot":
            return boot_text(row)
        case "down":
            return down_text(row)
        case "step":
            events = "; ".join(row["events"]) or "timer"
            return f"{events} -> {'; '.join(row['actions']) or 'nothing to do'}"
        case "send":
            return f"send to node {row['target']}: {frame_text(row)}"
        case "arrive":
            send = story.by_id[row["send"]]
            damaged = " (damaged, dropped)" if row["damaged"] else ""
            return f"from node {send['source']}: {frame_text(send)}{damaged}"
        case "disk":
            return str(row["text"])
        case "commit":
            return f"commit {row['first']}..{row['last']} of term {row['term']}"
        case "fault":
            return fault_text(row)
        case "invoke":
            return operation_text(row)
        case "complete":
            return f"operation {row['operation']}: {row['outcome']} {row.get('detail') or ''}".rstrip()
        case "violation":
            return f"VIOLATION {row['name']}: {row['sentence']} {row['facts']}"
        case kind:
            return str(kind)
