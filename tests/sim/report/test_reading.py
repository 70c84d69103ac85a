"""Whatever a recording contains, a view answers with its rows or with one sentence about what is wrong."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ferrite.sim.recording import RecordingInvalid, Row, from_json_lines, to_json_lines
from ferrite.sim.report import explain, shiviz, terminal_view, timeline_html
from ferrite.sim.report.reading import FIELDS, causes, read_story
from tests.sim.report.sample import sample_rows
from tests.sim.report.small import lost_votes

ROWS = sample_rows(until_us=2_500_000)

VIEWS: list[Callable[[Sequence[Row]], object]] = [
    timeline_html,
    shiviz,
    explain,
    lambda rows: list(terminal_view(rows, colour=False, width=120)),
]


def broken(kind: str, **fields: Any) -> list[Row]:
    """The small story with the first row of this kind changed; a field set to ... is taken away."""
    rows = copy.deepcopy(lost_votes())
    row = next(row for row in rows if row["row"] == kind)
    for name, value in fields.items():
        if value is ...:
            del row[name]
        else:
            row[name] = value
    return rows


def test_the_sample_has_every_kind_of_row() -> None:
    assert {row["row"] for row in sample_rows(until_us=5_000_000)} == set(FIELDS)


def test_a_recording_read_from_its_lines_is_the_same_story() -> None:
    assert read_story(from_json_lines(to_json_lines(ROWS))).rows == ROWS


def test_a_frame_that_arrived_was_caused_by_its_sending() -> None:
    assert causes({"row": "arrive", "id": 9, "t": 0, "send": 7, "node": 1, "damaged": False}) == [7]
    assert causes({"row": "step", "id": 9, "t": 0, "cause": [3, 5]}) == [3, 5]
    assert causes({"row": "violation", "id": 9, "t": 0, "cause": 0}) == []


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([], "row 1 is no `run` row"),
        (lost_votes()[1:], "row 1 is no `run` row"),
        (broken("run", version=2), "row 1 is no `run` row of version 1"),
        (broken("boot", row="reboot"), "row 2: unknown kind 'reboot'"),
        (broken("boot", row=["boot"]), "row 2: unknown kind"),
        (broken("boot", id=1), "row 2: id 1 after 1"),
        (broken("boot", t=-1), "row 2: t -1 after 0"),
        (broken("boot", t="soon"), "row 2: `t` of `boot` is 'soon'; expected int"),
        (broken("boot", node=...), "row 2: `boot` has no `node`"),
        (broken("boot", node=8), "row 2: node 8 is not among the `nodes`"),
        (broken("fault", nodes=[1, 9]), "node 9 is not among the `nodes`"),
        (broken("fault", text=5), "`text` of `fault` is 5; expected str"),
        (broken("step", state=5), "`state` is 5; expected an object"),
        (broken("step", state={"role": "leader"}), "`state` has no `term`"),
        (broken("send", cause=400), "cause 400 of this `send` is no earlier row"),
        (broken("step", cause=["x"]), "cause 'x' of this `step` is no earlier row"),
        (broken("boot", node=2), "row 5: `step` of node 1, which is not running"),
        (broken("arrive", send=5), "row 5 is no `send`"),
    ],
)
def test_a_broken_recording_is_refused_by_every_view_with_the_row_and_the_reason(
    rows: list[Row], complaint: str
) -> None:
    for view in VIEWS:
        with pytest.raises(RecordingInvalid) as refused:
            view(rows)
        assert complaint in str(refused.value)


def test_an_unknown_role_is_refused() -> None:
    rows = broken("step")
    next(row for row in rows if row["row"] == "step")["state"]["role"] = "king"
    with pytest.raises(RecordingInvalid, match="role 'king'; expected one of leader, follower"):
        read_story(rows)
