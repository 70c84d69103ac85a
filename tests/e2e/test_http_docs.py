"""What docs/http.md shows is what a node answers."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tests.e2e.conftest import MakeCluster

PAGE = Path(__file__).parents[2] / "docs" / "http.md"


def shown() -> list[tuple[str, list[str]]]:
    """The page's commands, each with the lines of its answer."""
    commands: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif line:
                commands[-1][1].append(line)
    return commands


def test_every_command_of_the_page_answers_what_the_page_says(make_cluster: MakeCluster) -> None:
    node = make_cluster(1).start().nodes[1]
    (function, nothing), *commands = shown()
    assert not nothing
    assert len(commands) > 10
    for command, answer in commands:
        script = f"{function}\n{command}".replace("127.0.0.1:8001", node.http_addr)
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=True)
        got = [json.loads(line) for line in done.stdout.splitlines()]
        assert got == [json.loads(line) for line in answer], command
