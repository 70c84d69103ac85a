"""The timeline as a document: one file, nothing to load, whatever the recording contains."""

import json
import re
from html.parser import HTMLParser

from ferrite.sim.recording import Row
from ferrite.sim.report import timeline_html
from ferrite.sim.report.reading import FIELDS
from ferrite.sim.report.timeline import LAYOUT
from tests.sim.report import small
from tests.sim.report.sample import sample_rows
from tests.sim.report.small import lost_votes

HOSTILE = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> \u2028 ]]> &lt;"


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def recording_of(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="recording">(.*?)</script>', page, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def hostile_rows() -> list[Row]:
    rows = lost_votes()
    for row in rows:
        for name in ("facts", "text", "why", "verdict", "sentence", "commit"):
            if name in row:
                row[name] = HOSTILE
        for name in ("messages", "events", "actions"):
            if name in row:
                row[name] = [HOSTILE]
    end = rows.pop()
    operation = {"operation": 0, "t": end["t"]}
    rows.append(
        {
            "row": "invoke",
            "id": end["id"],
            "client": HOSTILE,
            "kind": HOSTILE,
            "key": HOSTILE,
            "value": "v",
            **operation,
        }
    )
    rows.append({**end, "id": end["id"] + 1})
    return rows


def test_nothing_in_the_page_points_outside_of_it() -> None:
    elements = Elements(timeline_html(lost_votes())).found
    assert {tag for tag, _ in elements} & {
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
    } == set()
    assert [
        value
        for _, attributes in elements
        for name, value in attributes.items()
        if name in ("src", "href", "action")
    ] == []


def test_what_a_recording_contains_never_becomes_a_part_of_the_page() -> None:
    plain, hostile = timeline_html(lost_votes()), timeline_html(hostile_rows())
    assert Elements(hostile).found == Elements(plain).found
    assert HOSTILE in json.dumps(recording_of(hostile), ensure_ascii=False)


def test_the_policy_allows_the_one_script_and_the_one_style_and_no_network() -> None:
    page = timeline_html(lost_votes())
    policy = next(
        a["content"] for tag, a in Elements(page).found if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert re.fullmatch(r"default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'", policy)


def test_every_row_and_every_kind_reaches_the_page() -> None:
    rows = sample_rows(until_us=3_000_000)
    packed = recording_of(timeline_html(rows))
    assert isinstance(packed["rows"], list)
    assert len(packed["rows"]) == len(rows)
    assert LAYOUT.keys() == FIELDS.keys()
    for kind, cells in LAYOUT.items():
        read = {field for _, field, _ in cells} - {"cause"}
        optional = {"key", "value", "revision", "detail", "state"}
        assert read <= FIELDS[kind].keys() | optional, kind


def test_texts_that_repeat_are_stored_once() -> None:
    recording = small.run()
    small.boot(recording, 0, 1)
    for t in range(500):
        small.step(recording, t, 1, events=["the same long text again and again"])
    page = timeline_html(recording.rows)
    assert page.count("the same long text again and again") == 1


def test_the_same_rows_give_the_same_file() -> None:
    assert timeline_html(sample_rows(until_us=700_000)) == timeline_html(sample_rows(until_us=700_000))
