"""The recording of a run: everything that happened, as rows that are JSON objects, for the timeline, the terminal view and
`--explain`.

A sweep records nothing; a failure is run again with a recording, which changes nothing in the run (the digest proves it).

Every row has `row` (its kind), `id` (growing from 1, unique) and `t` (simulated microseconds, never decreasing). `cause` is the
id of the row that brought it about, or a list of such ids; 0 stands for nobody. Texts are for people, numbers for programs.

| row | fields |
|---|---|
| `run` | `version` (1), `seed`, `nodes` (all ids), `voters` (of the first membership), `commit` (of the code), `options` |
| `boot` | `node`, `boot` (number of the incarnation), `last` (index the log ends at), `applied`, `term` |
| `down` | `node`, `why`: `killed`, `power loss`, or `stop CODE` |
| `paused`, `resumed` | `node` |
| `step` | `node`, `cause` (a list), `events` and `actions` (lists of texts), `state` (only when it changed) |
| `send` | `source`, `target`, `cause` (the step), `messages` (texts), `bytes` |
| `arrive` | `send` (the row's id), `node`, `damaged` |
| `lost` | `send`, `why`: `loss`, `partition`, `overflow`, `down` |
| `disk` | `node`, `cause` (the step that ordered it), `text`: a log write became durable, an apply finished, ... |
| `commit` | `node` (the leader that committed first), `first`, `last`, `term` |
| `fault` | `fault` (its id, such as `crash:3`), `kind`, `until` (µs; `t` for a moment), `nodes`, `links` (pairs), `text` |
| `invoke` | `operation` (number), `client`, `kind`, `key`, `value` |
| `attempt` | `operation`, `node`, `cause` (the invoke) |
| `complete` | `operation`, `outcome` (`ok`, `fail`, `info`), `value`, `revision`, `detail` |
| `point` | `operation`: at this `t` it took effect (rows of this kind come at the end, out of order of time) |
| `violation` | `name`, `kind`, `sentence`, `facts`, `node` (0: none in particular), `cause` |
| `end` | `verdict` (`clean` or the kind), `digest`, `events`, `steps` |

`state` is `{role, term, leader, commit, applied, persisted, last, voters, outgoing, learners}`; role is `leader`, `follower`,
`candidate` or `pre-candidate` as in the status of a replica.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

Row = dict[str, Any]

VERSION: Final = 1
ROWS_MAX: Final = 2_000_000
"""A recording above this is cut: no person reads it, and it would fill the memory."""


class Recording:
    """Rows in the order in which they happened."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.last_id = 0
        self.cut = False
        """Rows are missing at the end: there were more than ROWS_MAX."""

    def add(self, row: str, t: int, **fields: Any) -> int:
        """Add a row and return its id."""
        self.last_id += 1
        if self.last_id > ROWS_MAX:
            self.cut = True
            return self.last_id
        self.rows.append({"row": row, "id": self.last_id, "t": t, **fields})
        return self.last_id


class RecordingInvalid(ValueError):
    """A file is no recording: says which line, what was wrong, what was expected."""


def to_json_lines(rows: Iterable[Row]) -> str:
    """One JSON object per line."""
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


def from_json_lines(text: str) -> list[Row]:
    """The rows of a recording. Raises RecordingInvalid."""
    rows: list[Row] = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise RecordingInvalid(
                f"line {number} is not JSON ({error}); expected one object per line"
            ) from error
        if not isinstance(row, dict) or not {"row", "id", "t"} <= row.keys():
            raise RecordingInvalid(f"line {number} has no `row`, `id` and `t`; expected a row of a recording")
        rows.append(row)
    if not rows or rows[0]["row"] != "run" or rows[0].get("version") != VERSION:
        raise RecordingInvalid(
            f"the first line is no `run` row of version {VERSION}; expected a recording of this version"
        )
    return rows
