"""However often something happens, the log stays short."""

from __future__ import annotations

import logging

import pytest

from ferrite.io.http.quiet_log import INTERVAL_S, QuietLog


def test_a_kind_is_logged_once_an_interval_with_the_number_left_out(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    log = QuietLog(logging.getLogger("test.quiet"), lambda: now[0])
    with caplog.at_level(logging.INFO):
        for _ in range(1000):
            log.refusal("bad request", "x")
        log.refusal("another kind", "y")
        now[0] += INTERVAL_S
        log.refusal("bad request", "z")
        now[0] += INTERVAL_S
        log.refusal("bad request", "w")
    assert [record.getMessage() for record in caplog.records] == [
        "bad request: x",
        "another kind: y",
        "bad request: z (999 more since the last line)",
        "bad request: w",
    ]


def test_our_own_failures_come_with_their_traceback(caplog: pytest.LogCaptureFixture) -> None:
    log = QuietLog(logging.getLogger("test.quiet"), lambda: 1.0)
    log.failure("it broke", ValueError("inside"))
    assert caplog.records[0].levelno == logging.ERROR
    assert "ValueError: inside" in caplog.text
