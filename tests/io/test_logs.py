import json
import logging
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from ferrite.io import logs
from ferrite.io.config import LoggingConfig, Override, load_config
from ferrite.io.logs import LogHandle, configure, get_logger

HOSTILE = "a\r\nb\x1b[31m\x00\x9b\u2028\u2029\u202e\ud800c"
FORMATS = ["json", "pretty", "compact"]


def logging_config(**settings: object) -> LoggingConfig:
    overrides = [
        Override(
            key=f"logging.{name}",
            text=str(value).lower() if isinstance(value, bool) else str(value),
            option="test",
        )
        for name, value in settings.items()
        if name != "env"
    ]
    environment = {"FERRITE_LOG": str(settings.get("env", ""))}
    return load_config(None, overrides=overrides, environment=environment).logging


class Pipe:
    """A pipe in the place of stderr, read when the logs are closed."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()

    def close_and_read(self) -> list[str]:
        os.close(self.write_fd)
        with os.fdopen(self.read_fd, "rb") as file:
            return file.read().decode().splitlines()


def lines_of(write: Callable[[], None], **settings: Any) -> list[str]:
    """What `write` logs, by line."""
    pipe = Pipe()
    clock = settings.pop("clock", None)
    extra = {"clock": clock} if clock else {}
    with configure(logging_config(**settings), stderr_fd=pipe.write_fd, **extra):
        write()
    return pipe.close_and_read()


def events_of(write: Callable[[], None], **settings: Any) -> list[dict[str, Any]]:
    """What `write` logs, as objects."""
    return [json.loads(line) for line in lines_of(write, format="json", **settings)]


@pytest.fixture(autouse=True)
def untouched_root() -> Iterator[None]:
    before = (logging.getLogger().handlers[:], logging.getLogger().level)
    yield
    assert (logging.getLogger().handlers[:], logging.getLogger().level) == before, "a handle was not closed"


# ---------------------------------------------------------------------------------------------------------- formats


def test_json_is_one_object_a_line_with_the_fields_as_members() -> None:
    (event,) = events_of(
        lambda: get_logger("ferrite.io.x").info("peer connected", peer=2, ok=True, none=None, ratio=0.5)
    )
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "level": "info", "logger": "ferrite.io.x", "event": "peer connected", "peer": 2, "ok": True, "none": None,
        "ratio": 0.5,
    }  # fmt: skip


def test_a_logger_of_structlog_itself_goes_the_same_way() -> None:
    early = structlog.get_logger("ferrite.io.early")  # as modules do at import

    def write() -> None:
        early.info("a", peer=1)
        early.debug("not this")
        structlog.get_logger("ferrite.io.late").bind(node=2).warning("b %s", "c")

    first, second = events_of(write)
    assert (first["logger"], first["event"], first["peer"]) == ("ferrite.io.early", "a", 1)
    assert (second["logger"], second["event"], second["node"]) == ("ferrite.io.late", "b c", 2)
    assert events_of(write)[0]["logger"] == "ferrite.io.early", (
        "a second configuration serves the same loggers"
    )


@pytest.mark.parametrize("format_", ["pretty", "compact"])
def test_lines_for_people_have_the_message_and_the_fields(format_: str) -> None:
    (line,) = lines_of(
        lambda: get_logger("ferrite.io.x").warning("peer lost", peer=2, why="no answer"), format=format_
    )
    for part in ("ferrite.io.x", "peer lost", "peer=2", "why=", "no answer"):
        assert part in line


def test_compact_lines_are_shorter_than_pretty_ones() -> None:
    def write() -> None:
        get_logger("ferrite.io.x").info("peer connected", peer=2)

    (compact,), (pretty,) = lines_of(write, format="compact"), lines_of(write, format="pretty")
    assert len(compact) < len(pretty)


def test_unstructured_events_have_their_fields_in_the_message() -> None:
    (event,) = events_of(
        lambda: get_logger("ferrite.io.x").info("peer connected", peer=2, why="b"), structured=False
    )
    assert event["event"] == "peer connected: peer=2, why=b"
    assert "peer" not in event


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize("format_", FORMATS)
def test_hostile_text_stays_on_its_line(format_: str, structured: bool) -> None:
    def write() -> None:
        get_logger("ferrite.io.x").info(HOSTILE, key=HOSTILE, raw=HOSTILE.encode("utf-8", "surrogatepass"))
        logging.getLogger("some.package").error("%s", HOSTILE)

    lines = lines_of(write, format=format_, structured=structured)
    assert len(lines) == 2
    assert not set("".join(lines)) & set(HOSTILE) - set("ab[31mc")


@pytest.mark.parametrize("format_", FORMATS)
def test_a_traceback_cannot_pass_for_another_line(format_: str) -> None:
    def write() -> None:
        try:
            raise ValueError("x\n2026-01-01T00:00:00Z [info] forged \x1b[31m")
        except ValueError:
            get_logger("ferrite.io.x").exception("failed")

    lines = lines_of(write, format=format_)
    assert "failed" in lines[0]
    assert any("ValueError" in line for line in lines)
    assert "\x1b" not in "".join(lines)
    assert all(line.startswith("    | ") for line in lines[1:])


def test_values_are_cut_and_counted_instead_of_filling_the_log() -> None:
    fields = {f"field{number}": number for number in range(100)}

    def write() -> None:
        get_logger("ferrite.x").info("a", key="k" * 10_000)
        get_logger("ferrite.x").info("b", **fields)

    long, many = events_of(write)
    assert long["key"] == "k" * logs.VALUE_CHARACTERS_MAX + "...(5904 characters cut)"
    assert many["fields_cut"] == 100 - logs.FIELDS_MAX


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, {1: {2}}, object, b"\xff"])
def test_any_value_can_be_written(value: object) -> None:
    (event,) = events_of(lambda: get_logger("ferrite.x").info("a", value=value))
    assert event["value"]


@pytest.mark.parametrize("format_", FORMATS)
def test_a_value_that_cannot_be_shown_costs_its_line_only(format_: str) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    def write() -> None:
        get_logger("ferrite.x").info("a", value=Broken())
        get_logger("ferrite.x").info("next one")

    broken, good = lines_of(write, format=format_)
    assert "could not be formatted: RuntimeError" in broken
    assert "next one" in good


# ----------------------------------------------------------------------------------------------------------- colours


@pytest.mark.parametrize(
    "terminal, settings, coloured",
    [
        (True, {"format": "pretty"}, True),
        (True, {"format": "pretty", "enable_colors": False}, False),
        (False, {"format": "pretty"}, False),
        (True, {"format": "json"}, False),
        (True, {"format": "compact"}, False),
    ],
)
def test_colours_are_for_terminals_only(terminal: bool, settings: dict[str, Any], coloured: bool) -> None:
    read_fd, write_fd = pty.openpty() if terminal else os.pipe()
    with configure(logging_config(**settings), stderr_fd=write_fd):
        get_logger("ferrite.x").info("a", key="\x1b[31m")
    text = os.read(read_fd, 10_000)
    assert (b"\x1b[" in text) is coloured
    assert b"\x1b[31m\n" not in text
    os.close(read_fd)
    os.close(write_fd)


# ------------------------------------------------------------------------------------------------------------ levels


def write_everything() -> None:
    for name in ("ferrite.core.x", "ferrite.io.x", "some.package"):
        for level in ("debug", "info", "warning", "error"):
            getattr(logging.getLogger(name), level)("text")


@pytest.mark.parametrize(
    "level, env, core, io, library",
    [
        ("trace", "", 4, 4, 4),
        ("debug", "", 4, 4, 2),
        ("info", "", 3, 3, 2),
        ("warn", "", 2, 2, 2),
        ("error", "", 1, 1, 1),
        ("info", "ferrite.core=debug,ferrite.io=error", 4, 1, 2),
        ("error", "debug", 4, 4, 1),
        ("info", "some=debug", 3, 3, 4),
    ],
)
def test_levels_apply_by_module(level: str, env: str, core: int, io: int, library: int) -> None:
    found = [event["logger"] for event in events_of(write_everything, level=level, env=env)]
    assert [found.count(name) for name in ("ferrite.core.x", "ferrite.io.x", "some.package")] == [
        core,
        io,
        library,
    ]


def test_closing_gives_the_levels_back() -> None:
    before = logging.getLogger("ferrite").level
    with configure(logging_config(level="debug")):
        assert logging.getLogger("ferrite").level == logging.DEBUG
    assert logging.getLogger("ferrite").level == before


# -------------------------------------------------------------------------------------------------- sinks that fail


def fill_pipe(write_fd: int) -> None:
    os.set_blocking(write_fd, False)
    try:
        while True:
            os.write(write_fd, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write_fd, True)


def test_a_blocked_stderr_blocks_nobody_and_what_is_lost_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "QUEUE_LINES_MAX", 100)
    monkeypatch.setattr(logs, "CLOSE_TIMEOUT_S", 0.05)
    pipe = Pipe()
    fill_pipe(pipe.write_fd)
    handle = configure(logging_config(format="json"), stderr_fd=pipe.write_fd)
    for number in range(1000):  # would stand still at the first line if it waited for the pipe
        get_logger("ferrite.x").info("line", number=number)
    assert 899 <= handle.dropped <= 900  # the writer thread may hold one line
    handle.close()  # returns although the pipe is full
    drained: list[bytes] = []
    reader = threading.Thread(target=lambda: drained.extend(iter(lambda: os.read(pipe.read_fd, 65536), b"")))
    os.close(pipe.write_fd)
    reader.start()
    reader.join(30)
    assert not reader.is_alive(), "the writer thread did not finish once the pipe moved again"
    os.close(pipe.read_fd)
    lines = b"".join(drained).decode().lstrip("x").splitlines()
    assert any("log lines dropped" in line for line in lines)
    assert 100 <= sum('"number"' in line for line in lines) <= 101


def test_long_lines_fill_the_queue_before_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "QUEUE_CHARACTERS_MAX", 10_000)
    monkeypatch.setattr(logs, "CLOSE_TIMEOUT_S", 0.05)
    pipe = Pipe()
    fill_pipe(pipe.write_fd)
    with configure(logging_config(format="json"), stderr_fd=pipe.write_fd) as handle:
        for _ in range(20):
            get_logger("ferrite.x").info("a" * 2000)
        assert handle.dropped >= 14
    os.close(pipe.write_fd)
    os.close(pipe.read_fd)


def test_a_stderr_that_nobody_reads_is_counted() -> None:
    pipe = Pipe()
    os.close(pipe.read_fd)
    handle = configure(logging_config(), stderr_fd=pipe.write_fd)
    get_logger("ferrite.x").info("a")
    handle.close()
    assert handle.dropped >= 1
    os.close(pipe.write_fd)


def test_lines_after_closing_are_counted_and_closing_twice_is_harmless() -> None:
    pipe = Pipe()
    handle = configure(logging_config(), stderr_fd=pipe.write_fd)
    handle.close()
    handle.close()
    assert pipe.close_and_read() == []


def test_a_process_with_a_blocked_stderr_can_exit() -> None:
    script = """
import os, sys
from ferrite.io import logs
from ferrite.io.config import load_config
logs.CLOSE_TIMEOUT_S = 0.05
with logs.configure(load_config(None).logging):
    for number in range(3000):
        logs.get_logger("ferrite.x").info("a" * 100, number=number)
print("done")
"""
    read_fd, write_fd = os.pipe()
    fill_pipe(write_fd)
    result = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=write_fd, timeout=60, check=True
    )
    assert result.stdout == b"done\n"
    os.close(read_fd)
    os.close(write_fd)


# --------------------------------------------------------------------------------------------------------- log files


def files(directory: Path) -> Sequence[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_log_file_takes_the_place_of_stderr(tmp_path: Path) -> None:
    assert lines_of(lambda: get_logger("ferrite.x").info("a"), file_path=tmp_path / "f.log") == []
    assert "ferrite.x" in (tmp_path / "f.log").read_text()


def test_a_log_file_is_put_aside_when_it_is_full_and_old_ones_are_removed(tmp_path: Path) -> None:
    def write() -> None:
        for number in range(300):
            get_logger("ferrite.x").info("a" * 1000, number=number)

    lines_of(write, file_path=tmp_path / "f.log", max_file_size=65536, max_files=3, format="json")
    assert files(tmp_path) == ["f.log", "f.log.1", "f.log.2"]
    assert all((tmp_path / name).stat().st_size <= 65536 for name in files(tmp_path))
    newest = (tmp_path / "f.log").read_text().splitlines()[-1]
    assert json.loads(newest)["number"] == 299


def test_a_log_file_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    config = logging_config(file_path=tmp_path / "f.log")
    (tmp_path / "f.log").mkdir()
    with pytest.raises(IsADirectoryError):
        configure(config)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_counted() -> None:
    handle: LogHandle = configure(logging_config(file_path="/dev/full"))
    get_logger("ferrite.x").info("a")
    handle.close()
    assert handle.dropped >= 1


# --------------------------------------------------------------------------------------------------- noisy libraries


@pytest.mark.parametrize("name", ["aiohttp.server", "asyncio", "grpc._server"])
def test_a_noisy_library_is_limited_and_the_rest_counted(name: str) -> None:
    now = 0.0

    def write() -> None:
        nonlocal now
        for _ in range(1000):
            logging.getLogger(name).error("Error handling request")
        get_logger("ferrite.x").info("not limited")
        now = float(logs.LIBRARY_WINDOW_S)
        logging.getLogger(name).error("Error handling request")

    events = events_of(write, clock=lambda: now)
    assert [event["logger"] for event in events] == [name] * logs.LIBRARY_LINES_MAX + ["ferrite.x", name]
    assert events[-1]["suppressed"] == 1000 - logs.LIBRARY_LINES_MAX
    assert not any("suppressed" in event for event in events[:-1])


def test_libraries_do_not_share_their_limits() -> None:
    def write() -> None:
        for _ in range(100):
            logging.getLogger("aiohttp.server").error("a")
        logging.getLogger("asyncio").error("b")

    assert events_of(write)[-1]["event"] == "b"


def test_an_error_that_a_client_causes_has_no_traceback_and_a_bug_of_ours_has_one() -> None:
    from aiohttp.http_exceptions import BadStatusLine

    def write() -> None:
        for error in (BadStatusLine("GARBAGE\r\n"), ConnectionResetError("gone"), KeyError("ours")):
            try:
                raise error
            except Exception:
                logging.getLogger("aiohttp.server").exception("Error handling request")

    bad, gone, ours = events_of(write)
    assert bad["error"].startswith("BadStatusLine: ")
    assert gone["error"] == "ConnectionResetError: gone"
    assert "exception" not in bad
    assert "exception" not in gone
    assert "Traceback" in ours["exception"]
