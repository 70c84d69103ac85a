"""The terminal view: fixed columns, one line per notable event."""

import re

import pytest

from ferrite.sim.report import terminal_view
from ferrite.sim.report.terminal import LEGEND, WIDTH_MIN
from tests.sim.report import small
from tests.sim.report.sample import sample_rows
from tests.sim.report.small import lost_votes

HEAD = 2 + len(LEGEND)


def test_the_small_story_reads_as_it_happened() -> None:
    assert list(terminal_view(lost_votes(), colour=False, width=110))[HEAD:] == [
        "0.000000  ^.  x  x     T0 0/0/0                starts",
        "0.000000   . ^.  x     T0 0/0/0                starts",
        "0.000000   .  . ^.     T0 0/0/0                starts",
        "0.000010  *L  .  .     T1 0/0/0                becomes leader of term 1",
        "0.000020   L *.  .     T1 0/0/3                follows node 1 in term 1",
        "0.000030   L ~.  .     T1 0/0/3                fault crash:0: a crash, until 0.000050",
        "0.000030   L !x  .                             lost power",
        "0.000050   L ^.  .     T0 0/0/0                starts again (boot 2)",
        "0.000060   L  .  . ~                           fault partition:0: a partition, until 0.000200",
        "0.000100   L  . *C     T2 0/0/0                becomes candidate of term 2",
        "0.000110   L *.  C     T2 0/0/0                enters term 2",
        "0.000110   L X.  C     T2 0/0/0                S10: Nothing is lost. entry 3",
        "0.000110   L  .  C $                           verdict safety",
    ]


def test_no_line_is_wider_than_asked_and_nothing_is_coloured_unasked() -> None:
    for width in (WIDTH_MIN, 120):
        lines = list(terminal_view(sample_rows(until_us=3_000_000), colour=False, width=width))
        assert max(map(len, lines)) <= width
        assert not any("\x1b" in line for line in lines)
        assert not any("\n" in line for line in lines)


def test_colours_change_nothing_but_the_colour() -> None:
    plain = list(terminal_view(lost_votes(), colour=False, width=110))
    coloured = list(terminal_view(lost_votes(), colour=True, width=110))
    assert any("\x1b[31m" in line for line in coloured)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == plain
    assert all(line.endswith("\x1b[0m") for line in coloured if "\x1b" in line)


def test_commits_in_a_row_are_one_line() -> None:
    recording = small.run()
    small.boot(recording, 0, 1)
    for index in range(1, 5):
        recording.add("commit", index, node=1, first=index, last=index, term=1)
    recording.add("commit", 9, node=1, first=5, last=6, term=2)
    lines = list(terminal_view(recording.rows, colour=False, width=110))[HEAD + 1 :]
    assert [line.split(maxsplit=6)[-1] for line in lines] == [
        "commits 1..4 in 4 rounds until 0.000004",
        "commits 5..6",
    ]


def test_a_window_shows_only_what_lies_in_it() -> None:
    rows = sample_rows(until_us=3_000_000)
    lines = list(terminal_view(rows, colour=False, width=120, around_us=1_200_000, span_us=100_000))[HEAD:]
    times = [float(line.split()[0]) for line in lines]
    assert any("node 2 is cut off" in line for line in lines)
    assert all(time <= 1.3 for time in times)
    # A line of commits may begin before the window when some of them lie in it.
    assert all(time >= 1.1 or " commits " in line for time, line in zip(times, lines, strict=True))


def test_clients_are_shown_when_asked_for() -> None:
    rows = sample_rows(until_us=500_000)
    quiet = "\n".join(terminal_view(rows, colour=False, width=120))
    full = "\n".join(terminal_view(rows, colour=False, width=120, clients=True))
    assert "asks" not in quiet
    assert re.search(r"> .*c0 asks", full)
    assert re.search(r"< .*operation 0: (ok|fail|info)", full)


def test_a_paused_node_is_shown_as_such_until_it_goes_on() -> None:
    recording = small.run()
    small.boot(recording, 0, 2)
    recording.add("paused", 1, node=2)
    small.boot(recording, 2, 1)
    recording.add("resumed", 3, node=2)
    lines = list(terminal_view(recording.rows, colour=False, width=110))[HEAD:]
    assert [line[8:18].rstrip() for line in lines] == ["   x ^.  x", "   x ==  x", "  ^.  =  x", "   . =.  x"]


def test_a_terminal_too_narrow_is_refused() -> None:
    with pytest.raises(ValueError, match="width 20; expected at least 60"):
        list(terminal_view(lost_votes(), colour=False, width=20))
