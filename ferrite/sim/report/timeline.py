"""The timeline of a run: one HTML file that needs nothing else, no network, no server."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable, Sequence
from importlib import resources
from string import Template
from typing import Any, Final

from ferrite.sim.recording import Row
from ferrite.sim.report.reading import STATE_FIELDS, causes, read_story

SCRIPTS: Final = (
    "wording.js",
    "model.js",
    "colours.js",
    "messages.js",
    "draw.js",
    "panels.js",
    "input.js",
    "main.js",
)
"""In this order: later ones use earlier ones, and `main.js` begins."""

_CAUSES: Final = ("causes", "cause", "back")
LAYOUT: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    "run": (("seed", "seed", "plain"),),
    "boot": (_CAUSES, *((name, name, "plain") for name in ("node", "boot", "last", "applied", "term"))),
    "down": (_CAUSES, ("node", "node", "plain"), ("why", "why", "text")),
    "paused": (("node", "node", "plain"),),
    "resumed": (("node", "node", "plain"),),
    "step": (
        ("node", "node", "plain"),
        _CAUSES,
        ("events", "events", "texts"),
        ("actions", "actions", "texts"),
        ("state", "state", "state"),
    ),
    "send": (
        ("source", "source", "plain"),
        ("target", "target", "plain"),
        _CAUSES,
        ("messages", "messages", "texts"),
        ("bytes", "bytes", "plain"),
    ),
    "arrive": (("send", "send", "plain"), ("node", "node", "plain"), ("damaged", "damaged", "plain")),
    "lost": (("send", "send", "plain"), ("why", "why", "text")),
    "disk": (("node", "node", "plain"), _CAUSES, ("text", "text", "text")),
    "commit": (_CAUSES, *((name, name, "plain") for name in ("node", "first", "last", "term"))),
    "fault": (
        ("fault", "fault", "text"),
        ("what", "kind", "text"),
        ("until", "until", "plain"),
        ("nodes", "nodes", "plain"),
        ("links", "links", "plain"),
        ("text", "text", "text"),
    ),
    "invoke": (
        ("operation", "operation", "plain"),
        ("client", "client", "text"),
        ("what", "kind", "text"),
        ("key", "key", "plain"),
        ("value", "value", "plain"),
    ),
    "attempt": (("operation", "operation", "plain"), ("node", "node", "plain"), _CAUSES),
    "complete": (
        _CAUSES,
        ("operation", "operation", "plain"),
        ("outcome", "outcome", "text"),
        ("value", "value", "plain"),
        ("revision", "revision", "plain"),
        ("detail", "detail", "plain"),
    ),
    "point": (("operation", "operation", "plain"),),
    "violation": (
        ("name", "name", "text"),
        ("what", "kind", "text"),
        ("sentence", "sentence", "text"),
        ("facts", "facts", "text"),
        ("node", "node", "plain"),
        _CAUSES,
    ),
    "end": (("verdict", "verdict", "text"), ("digest", "digest", "text")),
}
"""Row -> (name on the page, field of the row, how it is packed) of each cell after kind, id and time.

`plain`: as it is. `text`: its number in the table of texts. `texts`: a list of them. `back`: the causes, each as the distance
back from the row's own id. `state`: a list in the order of STATE_FIELDS, memberships as numbers in their table; 0 for none.
"""


def timeline_html(rows: Sequence[Row]) -> str:
    """One HTML document. Raises RecordingInvalid.

    A `replay` in the `run` row is shown as the command that replays the run. The page may load nothing and runs only the one
    script whose hash its content security policy names: whatever a recording contains stays data.
    """
    recording = _safe(json.dumps(_pack(rows), separators=(",", ":"), ensure_ascii=False))
    script = '"use strict";\n(() => {\n' + "".join(_part(name) for name in SCRIPTS) + "})();\n"
    style = _part("style.css")
    policy = f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}"
    return Template(_part("page.html")).substitute(
        policy=policy,
        title=html.escape(f"Ferrite run, seed {rows[0]['seed']}"),
        style=style,
        recording=recording,
        script=script,
    )


def _part(name: str) -> str:
    return resources.files("ferrite.sim.report").joinpath("page", name).read_text(encoding="utf-8")


def _safe(text: str) -> str:
    """JSON that ends no script element, opens no comment, and holds no line end that a parser of pages would change."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _hash(inline: str) -> str:
    """The source expression of an inline script or style. Content Security Policy Level 3, section 2.3.1."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}'"


class _Table:
    """Values by number, each once."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def number(self, value: str) -> int:
        return self.numbers.setdefault(value, len(self.numbers))


def _pack(rows: Sequence[Row]) -> dict[str, Any]:
    story = read_story(rows)
    texts, members = _Table(), _Table()
    packers = _packers(texts, members)
    kinds = list(LAYOUT)
    numbers = {kind: number for number, kind in enumerate(kinds)}
    packed = []
    last_id = last_us = 0
    for row in story.rows:
        kind = row["row"]
        cells = [packers[how](row, field) for _, field, how in LAYOUT[kind]]
        packed.append([numbers[kind], row["id"] - last_id, row["t"] - last_us, *cells])
        last_id, last_us = row["id"], row["t"]
    return {
        "run": {name: story.run.get(name) for name in ("seed", "nodes", "commit", "replay")},
        "kinds": kinds,
        "layout": {kind: [[name, how] for name, _, how in cells] for kind, cells in LAYOUT.items()},
        "state": list(STATE_FIELDS),
        "members": [json.loads(each) for each in members.numbers],
        "texts": list(texts.numbers),
        "rows": packed,
    }


def _packers(texts: _Table, members: _Table) -> dict[str, Callable[[Row, str], Any]]:
    def state(row: Row, field: str) -> Any:
        value = row.get(field)
        if value is None:
            return 0
        cells = []
        for name in STATE_FIELDS:
            if name == "role":
                cells.append(texts.number(value[name]))
            elif name in ("voters", "outgoing", "learners"):
                cells.append(members.number(json.dumps(value[name])))
            else:
                cells.append(value[name])
        return cells

    return {
        "plain": lambda row, field: row.get(field),
        "text": lambda row, field: texts.number(str(row[field])),
        "texts": lambda row, field: [texts.number(str(each)) for each in row[field]],
        "back": lambda row, _: [row["id"] - cause for cause in causes(row)],
        "state": state,
    }
