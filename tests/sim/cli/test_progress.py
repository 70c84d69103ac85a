import io

import pytest
from rich.console import Console

from ferrite.sim.cli.progress import PLAIN_EVERY_SECONDS, PlainProgress, progress


def test_off_a_terminal_a_plain_line_comes_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 1.0, PLAIN_EVERY_SECONDS, PLAIN_EVERY_SECONDS + 1.0, 2.0 * PLAIN_EVERY_SECONDS])
    report = PlainProgress("seeds", 100, lambda: next(times))
    for done in (5, 20, 25, 40):
        report(done=done, failures=done // 20)
    assert capsys.readouterr().err.splitlines() == [
        "seeds: 20 of 100, 2.0/s, 40 s left, 1 failed",
        "seeds: 40 of 100, 2.0/s, 30 s left, 2 failed",
    ]


def test_on_a_terminal_there_is_a_bar_with_rate_and_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=110)
    monkeypatch.setattr("ferrite.sim.cli.progress.stderr_console", lambda: terminal)
    with progress("seeds", 4) as report:
        report(done=3, failures=1)
    shown = screen.getvalue()
    assert "3/4" in shown
    assert "/s" in shown
    assert "1 failed" in shown
