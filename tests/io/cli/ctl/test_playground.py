"""A playground starts a cluster that serves, and leaves nothing behind."""

import io
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ferrite.io.cli.ctl.playground_nodes import PlaygroundNode
from ferrite.io.cli.ctl.playground_view import Picture, screen
from tests.io.cli.ctl.conftest import Ctl
from tests.io.cli.ctl.fake_client import STATUS
from tests.io.cli.ctl.processes import end, read_line, start_ctl


def started(size: int) -> tuple[subprocess.Popen[bytes], list[str]]:
    """A playground, and what it printed until it had a leader."""
    process = start_ctl("playground", "-n", str(size))
    lines: list[str] = []
    while not any(": leader in term" in line for line in lines):
        line = read_line(process)
        assert line, lines
        lines.append(line)
    return process, lines


def pids_in(lines: list[str]) -> list[int]:
    return [int(line.rpartition("pid ")[2]) for line in lines if ", pid " in line]


def test_a_playground_serves_and_ends_without_a_trace(run_ctl: Ctl) -> None:
    process, lines = started(2)
    pids = pids_in(lines)
    assert len(pids) == 2
    (endpoints,) = [line.removeprefix("endpoints: ") for line in lines if line.startswith("endpoints: ")]
    (data,) = [line.split()[1] for line in lines if line.startswith("data: ")]
    assert run_ctl("--endpoints", endpoints, "put", "greeting", "hello").out == b"OK\n"
    assert Path(data).is_dir()
    process.send_signal(signal.SIGINT)
    code, out, err = end(process)
    assert (code, err) == (0, "")
    assert out.endswith("ended; everything is removed\n")
    assert not Path(data).exists()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_node_that_ends_is_told_and_sigterm_ends_a_playground_too() -> None:
    process, lines = started(1)
    os.kill(pids_in(lines)[0], signal.SIGKILL)
    while lines[-1] != f"node 1: ended with code -{int(signal.SIGKILL)}":
        lines.append(read_line(process))
        assert lines[-1], lines
    process.send_signal(signal.SIGTERM)
    assert end(process)[0] == 0


def picture(tmp_path: Path) -> Picture:
    """Node 1 leads, node 2 is a learner that trails, node 3 does not answer."""
    nodes = []
    for number in (1, 2, 3):
        directory = tmp_path / f"node{number}"
        directory.mkdir()
        node = PlaygroundNode(
            node_id=number, directory=directory, http_port=8000 + number, grpc_port=9000 + number
        )
        node.log.write_text(f"2026-01-01T00:00:0{number}Z \x1b[32mline\x1b[0m of {number}\n")
        nodes.append(node)
    follower = replace(STATUS, node_id=2, role="follower", applied_index=21)
    return Picture(nodes=nodes, statuses=[STATUS, follower, None], keys=5)


def test_the_view_shows_roles_lag_keys_and_the_newest_log_lines(tmp_path: Path) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(screen(picture(tmp_path)))
    text = console.export_text()
    rows = [
        [cell.strip() for cell in line.split("│")][1:-1]
        for line in text.splitlines()
        if "127.0.0.1:90" in line
    ]
    assert rows == [
        ["1", "leader", "4", "3", "28", "0", "20 kB", "127.0.0.1:8001", "127.0.0.1:9001"],
        ["2", "follower", "4", "3", "21", "7", "20 kB", "127.0.0.1:8002", "127.0.0.1:9002"],
        ["3", "does not answer", "", "", "", "", "", "127.0.0.1:8003", "127.0.0.1:9003"],
    ]
    assert "5 keys" in text
    assert text.index("1 2026-01-01T00:00:01Z line of 1") < text.index("3 2026-01-01T00:00:03Z line of 3")
    assert "ferritectl put greeting hello" in text
