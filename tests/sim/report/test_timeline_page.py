"""The timeline in a real browser: what a person sees and does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ferrite.sim.recording import Row
from ferrite.sim.report import timeline_html
from tests.sim.report.browser import Browser, find_browser
from tests.sim.report.sample import FACTS, sample_rows
from tests.sim.report.test_timeline import HOSTILE, hostile_rows

PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no Chromium on this machine (Debian package: chromium)"
)

ROWS = sample_rows(until_us=2_500_000)
ROWS[0]["replay"] = "ferrite-sim run --seed 7"
VIOLATION = next(row for row in ROWS if row["row"] == "violation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    assert PROGRAM is not None
    with Browser(PROGRAM, folder / "profile") as started:
        yield started


def opened(browser: Browser, folder: Path, rows: list[Row]) -> Browser:
    file = folder / "page.html"
    file.write_text(timeline_html(rows), encoding="utf-8")
    browser.load(file)
    browser.evaluate("document.getElementById('canvas').focus()")
    return browser


@pytest.fixture(scope="module")
def sample_file(folder: Path) -> Path:
    file = folder / "sample.html"
    file.write_text(timeline_html(ROWS), encoding="utf-8")
    return file


@pytest.fixture
def page(browser: Browser, sample_file: Path) -> Iterator[Browser]:
    """The sample, freshly loaded. Whatever a test does, the page must not complain and must not ask the network."""
    browser.load(sample_file)
    browser.evaluate("document.getElementById('canvas').focus()")
    yield browser
    assert browser.errors == []
    assert browser.requests == [sample_file.as_uri()]


def view(page: Browser) -> dict[str, Any]:
    return dict(page.evaluate("timeline.view"))


def text_of(page: Browser, selector: str) -> str:
    return str(page.evaluate(f"document.querySelector('{selector}').textContent"))


def drawn(page: Browser) -> dict[str, int]:
    page.frame()
    return dict(page.evaluate("timeline.drawn"))


def middle_of(page: Browser, id_: int) -> tuple[float, float]:
    """Where a row is drawn, in the coordinates of the mouse."""
    place = page.evaluate(
        f"(() => {{ const box = document.getElementById('canvas').getBoundingClientRect(), p = timeline.place({id_});"
        " return { x: box.x + p.x, y: box.y + p.y }; })()"
    )
    return place["x"], place["y"]


def states_at(time_us: int) -> dict[int, dict[str, Any] | None]:
    """What the rows say of every node at a time: its newest state since its boot; None when it is down."""
    states: dict[int, dict[str, Any] | None] = dict.fromkeys(ROWS[0]["nodes"])
    for row in ROWS:
        if row["row"] != "point" and row["t"] <= time_us:
            if row["row"] == "boot":
                fields = {
                    "commit": "applied",
                    "applied": "applied",
                    "persisted": "last",
                    "last": "last",
                    "term": "term",
                }
                states[row["node"]] = {"role": "follower", "leader": 0} | {
                    a: row[b] for a, b in fields.items()
                }
            elif row["row"] == "down":
                states[row["node"]] = None
            elif row["row"] == "step" and "state" in row:
                states[row["node"]] = row["state"]
    return states


def test_it_opens_at_the_first_error_with_its_facts_and_the_command_that_replays_it(page: Browser) -> None:
    assert view(page)["cursor"]["t"] == VIOLATION["t"]
    assert view(page)["chosen"] == VIOLATION["id"]
    assert view(page)["from"] < VIOLATION["t"] < view(page)["to"]
    assert text_of(page, "#verdict") == "safety: S10"
    assert text_of(page, "#facts") == FACTS
    assert text_of(page, "#sentence").startswith("S10 at 2.500000 s, node 4: What was committed")
    assert text_of(page, "#command") == "ferrite-sim run --seed 7"
    assert FACTS in text_of(page, "#chosen")
    assert "seed 7 · 5 nodes" in text_of(page, "#about")


def test_the_button_and_the_key_lead_back_to_the_first_error(page: Browser) -> None:
    for back in (
        lambda: page.evaluate("document.getElementById('first-error').click()"),
        lambda: page.press("e"),
    ):
        page.evaluate("timeline.show(0, 5e5); timeline.moveCursor(250000)")
        assert view(page)["chosen"] is None
        back()
        assert view(page)["chosen"] == VIOLATION["id"]
        assert view(page)["from"] < VIOLATION["t"] < view(page)["to"]


def test_it_draws(page: Browser) -> None:
    page.evaluate("document.getElementById('fit').click()")
    counts = drawn(page)
    assert counts["messages"] > 500
    assert counts["operations"] > 100
    for canvas in ("canvas", "overview"):
        colours = page.evaluate(
            f"(() => {{ const c = document.getElementById('{canvas}'), d = c.getContext('2d').getImageData(0, 0, c.width,"
            " c.height).data, seen = new Set(); for (let i = 0; i < d.length; i += 4)"
            " seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); return seen.size; })()"
        )
        assert colours > 20, canvas


def shown_states(page: Browser) -> dict[str, list[str]]:
    return dict(
        page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('#states tr[data-node]')].map((line) =>"
            " [line.dataset.node, [...line.cells].map((cell) => cell.textContent)]))"
        )
    )


def test_the_inspector_shows_what_every_node_was_at_the_cursor(page: Browser) -> None:
    for time_us in (0, 200_000, 600_000, 1_200_000, 1_600_000, 1_900_000, 2_100_000, 2_500_000):
        page.evaluate(f"timeline.moveCursor({time_us})")
        shown = shown_states(page)
        for node, state in states_at(time_us).items():
            cells = shown[str(node)]
            if state is None:
                assert cells[:2] == [str(node), "down"]
                continue
            assert cells[1].removesuffix(" (paused)") == state["role"]
            numbers = [state[name] for name in ("term", "commit", "applied", "persisted", "last")]
            assert [cells[2], *cells[4:8]] == [str(number) for number in numbers]
            assert cells[3].isdigit() == bool(state["leader"])
            assert not state["leader"] or cells[3] == str(state["leader"])


def test_the_inspector_says_who_is_paused(page: Browser) -> None:
    page.evaluate("timeline.moveCursor(1600000)")
    assert text_of(page, '#states tr[data-node="3"] td').endswith("(paused)")


def test_what_is_in_flight_is_what_was_sent_and_has_not_ended(page: Browser) -> None:
    time_us = max(row["t"] for row in ROWS if row["row"] == "send" and row["t"] < 2_400_000) + 1
    until = [row for row in ROWS if row["row"] != "point" and row["t"] <= time_us]
    ended = {row["send"] for row in until if row["row"] in ("arrive", "lost")}
    # A frame that the network will deliver again is on its way until then.
    again = [row["send"] for row in ROWS if row["row"] in ("arrive", "lost") and row["t"] > time_us]
    flying = {
        row["id"] for row in until if row["row"] == "send" and (row["id"] not in ended or row["id"] in again)
    }
    assert flying
    assert set(page.evaluate(f"timeline.inFlightAt({time_us})")) == flying


def test_a_filter_hides_the_messages_of_a_kind_from_drawing_and_list(page: Browser) -> None:
    page.evaluate("timeline.show(1.3e6, 1.5e6); timeline.moveCursor(1400000)")
    before = drawn(page)["messages"]
    kind = "AppendEntries"
    assert f"{kind} term" in text_of(page, "#near")
    page.evaluate(f"document.querySelector('#filter-kinds input[value={kind}]').click()")
    after = drawn(page)["messages"]
    assert 0 < after < before
    assert f": {kind} term" not in text_of(page, "#near")
    page.evaluate("document.querySelector('#filter-kinds input').click()")  # "all" again
    assert drawn(page)["messages"] == before


def test_a_hidden_node_takes_its_lane_and_its_messages_along(page: Browser) -> None:
    page.evaluate("timeline.show(1.3e6, 1.5e6); timeline.moveCursor(1400000)")
    before = drawn(page)["messages"]
    page.evaluate("document.querySelector('#filter-nodes input[value=\"4\"]').click()")
    assert drawn(page)["messages"] < before
    assert page.evaluate(f"timeline.place({VIOLATION['id']}).y ?? null") is None


def test_hidden_clients_are_not_drawn(page: Browser) -> None:
    page.evaluate("timeline.show(1e6, 1.5e6)")
    before = drawn(page)["operations"]
    page.evaluate("document.querySelector('#filter-clients input[value=c1]').click()")
    assert 0 < drawn(page)["operations"] < before


def test_arrow_keys_walk_through_the_events(page: Browser) -> None:
    page.evaluate("timeline.choose(100)")
    page.press("ArrowRight")
    assert view(page)["chosen"] == 101
    page.press("ArrowLeft")
    page.press("ArrowLeft")
    assert view(page)["chosen"] == 99
    assert "seconds, " in text_of(page, "#spoken")


def test_keys_zoom_pan_and_show_the_whole_run(page: Browser) -> None:
    page.press("f")
    whole = view(page)
    assert whole["from"] <= 0 < ROWS[-1]["t"] <= whole["to"]
    page.press("+")
    near = view(page)
    assert near["to"] - near["from"] < 0.7 * (whole["to"] - whole["from"])
    page.press("a")
    assert view(page)["from"] < near["from"]
    page.press("-")
    assert view(page)["to"] - view(page)["from"] == pytest.approx(whole["to"] - whole["from"])


def test_enter_follows_the_cause(page: Browser) -> None:
    page.press("Enter")
    assert view(page)["chosen"] == VIOLATION["cause"]


def test_a_click_on_a_cause_goes_there_and_the_chain_is_marked(page: Browser) -> None:
    assert VIOLATION["cause"] in view(page)["chain"]
    page.evaluate(f"document.querySelector('#chosen button[data-id=\"{VIOLATION['cause']}\"]').click()")
    assert view(page)["chosen"] == VIOLATION["cause"]
    assert "Led to" in text_of(page, "#chosen")


def test_the_wheel_zooms_at_the_pointer_and_dragging_moves(page: Browser) -> None:
    page.evaluate("timeline.show(5e5, 1.5e6)")
    page.frame()
    x, y = 500, 400
    at = (
        "(() => { const c = document.getElementById('canvas'), v = timeline.view, left = c.getBoundingClientRect().x + 84;"
        " return v.from + (%s - left) / (c.clientWidth - 84) * (v.to - v.from); })()"
    )
    before = page.evaluate(at % x)
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-200)
    page.frame()
    assert view(page)["to"] - view(page)["from"] < 800_000
    assert page.evaluate(at % x) == pytest.approx(before, abs=10)
    zoomed = view(page)
    page.mouse("mousePressed", x, y, button="left", clickCount=1)
    page.mouse("mouseMoved", x + 100, y, button="left", buttons=1)
    page.mouse("mouseReleased", x + 100, y, button="left", clickCount=1)
    assert view(page)["from"] < zoomed["from"]
    assert view(page)["cursor"] == zoomed["cursor"]


def test_a_click_on_an_arrow_chooses_the_frame_and_hovering_tells_what_it_is(page: Browser) -> None:
    arrived = next(row for row in ROWS if row["row"] == "arrive" and row["t"] > 1_000_000)
    page.evaluate(f"timeline.show({arrived['t'] - 30000}, {arrived['t'] + 10000})")
    page.frame()
    x, y = middle_of(page, arrived["id"])
    page.mouse("mouseMoved", x, y)
    sent = next(row for row in ROWS if row["id"] == arrived["send"])
    assert text_of(page, "#tip").startswith(sent["messages"][0])
    page.mouse("mousePressed", x, y, button="left", clickCount=1)
    page.mouse("mouseReleased", x, y, button="left", clickCount=1)
    assert view(page)["chosen"] == arrived["id"]


def test_hovering_an_operation_tells_its_outcome_and_where_it_took_effect(page: Browser) -> None:
    point = next(row for row in ROWS if row["row"] == "point" and row["t"] > 1_000_000)
    invoke = next(row for row in ROWS if row["row"] == "invoke" and row["operation"] == point["operation"])
    page.evaluate(f"timeline.show({invoke['t'] - 5000}, {invoke['t'] + 50000})")
    page.frame()
    x, y = middle_of(page, invoke["id"])
    page.mouse("mouseMoved", x + 3, y)
    assert f"{invoke['client']}: {invoke['kind']} {invoke['key']}" in text_of(page, "#tip")
    assert f"took effect at {point['t'] // 1_000_000}.{point['t'] % 1_000_000:06d} s" in text_of(page, "#tip")


def test_search_finds_and_walks_through_the_matches(page: Browser) -> None:
    page.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.evaluate("document.getElementById('search').value = 'Power LOSS'")
    page.press("Enter")
    downs = [row["id"] for row in ROWS if "power loss" in str(row.get("why", "")) + str(row.get("text", ""))]
    assert len(downs) == 4
    assert view(page)["chosen"] == downs[0]
    page.press("Enter")
    assert view(page)["chosen"] == downs[1]
    assert text_of(page, "#matches") == "2 of 4"
    assert page.evaluate("timeline.search('no such thing')") == 0


def test_notable_events_only_leave_out_the_daily_traffic(page: Browser) -> None:
    page.evaluate("timeline.moveCursor(1010000); document.getElementById('notable').click()")
    near = text_of(page, "#near")
    assert "fault partition:0" in near
    assert "gets from" not in near


def test_a_clean_run_says_so_and_has_no_error_to_jump_to(browser: Browser, folder: Path) -> None:
    page = opened(browser, folder, sample_rows(until_us=400_000, violation=False))
    assert text_of(page, "#verdict") == "clean"
    assert page.evaluate("document.getElementById('first-error').disabled")
    assert page.evaluate(
        "document.getElementById('finding').hidden && document.getElementById('replay').hidden"
    )
    page.press("e")
    assert view(page)["chosen"] is None
    assert page.errors == []


def test_a_violation_of_no_single_node_is_drawn_across_all_lanes(browser: Browser, folder: Path) -> None:
    rows = sample_rows(until_us=400_000)
    next(row for row in rows if row["row"] == "violation").update(node=0, cause=0)
    page = opened(browser, folder, rows)
    page.evaluate("timeline.moveCursor(300000)")
    page.frame()
    red = page.evaluate(
        "(() => { const c = document.getElementById('canvas'), b = c.clientWidth, r = c.width / b, v = timeline.view;"
        " const x = 84 + (400000 - v.from) / (v.to - v.from) * (b - 84) + 2;"
        " const d = c.getContext('2d').getImageData(Math.round(x * r), c.height - 40, 1, 1).data; return d[0] - d[2]; })()"
    )
    assert red > 20
    assert text_of(page, "#sentence").startswith("S10 at 0.400000 s: What was committed")
    assert page.errors == []


def test_hostile_texts_are_shown_as_they_are(browser: Browser, folder: Path) -> None:
    page = opened(browser, folder, hostile_rows())
    assert text_of(page, "#facts") == HOSTILE
    assert page.evaluate("document.querySelectorAll('img, script:not([id])').length") == 1, (
        "the page's own script"
    )
    assert page.evaluate("timeline.search('onerror')") > 10
    assert page.errors == []


def test_many_rows_draw_a_bounded_number_of_arrows_and_say_so(browser: Browser, folder: Path) -> None:
    page = opened(browser, folder, sample_rows(until_us=6_000_000, clients=12))
    page.press("f")
    assert 0 < drawn(page)["messages"] <= 2500
    assert "Too many for arrows here" in text_of(page, "#note")
    page.evaluate("timeline.show(3e6, 3.1e6)")
    assert drawn(page)["messages"] > 0
    assert text_of(page, "#note") == ""
    assert page.errors == []


LEAST_CONTRAST = """(() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const style = getComputedStyle(document.documentElement);
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = (name) => {
    pen.fillStyle = style.getPropertyValue("--" + name);
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const pairs = ["ink back", "ink panel", "ink lane", "soft panel", "soft back", "bad back", "bad bad-back", "good good-back",
    "back chosen", "warn panel"];
  return Math.min(...pairs.map((pair) => pair.split(" ").map(light)).map(([a, b]) => Math.max(a, b) / Math.min(a, b)));
})()"""
"""The smallest contrast of a text with what is behind it. WCAG 2.2, definitions of relative luminance and contrast ratio."""


def test_it_follows_the_systems_colours_and_is_readable_in_both(page: Browser) -> None:
    backs = []
    for on in (False, True):
        page.dark(on=on)
        page.frame()
        backs.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        # WCAG 2.2, 1.4.3: at least 4.5 to 1 for text.
        assert page.evaluate(LEAST_CONTRAST) >= 4.5
    page.dark(on=False)
    assert backs[0] != backs[1]


def test_every_control_has_a_name_and_the_drawing_can_be_focused(page: Browser) -> None:
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, canvas[tabindex], summary')].filter((e) =>"
        " !(e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label')?.textContent.trim())).length"
    )
    assert nameless == 0
    assert page.evaluate("document.activeElement.id") == "canvas"


def test_the_page_may_not_load_or_run_anything_else(browser: Browser, sample_file: Path) -> None:
    browser.load(sample_file)
    refused = browser.evaluate(
        "new Promise((done) => { document.addEventListener('securitypolicyviolation', (e) => done(e.effectiveDirective));"
        " const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s); })"
    )
    assert refused == "script-src-elem"
    assert browser.evaluate("window.ran ?? null") is None
    assert browser.evaluate("fetch('http://127.0.0.1:9/').then(() => 'loaded', (e) => e.name)") == "TypeError"
