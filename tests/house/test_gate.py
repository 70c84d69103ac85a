"""The gate's own rules can fail: planted imports are refused by the linter and by the import contracts."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house.tree import ROOT, read

BANNED = tomllib.loads(read("ferrite/core/ruff.toml"))["lint"]["flake8-tidy-imports"]["banned-api"]
TOOLS = Path(sys.executable).parent


def lint(source: str, path: str) -> subprocess.CompletedProcess[str]:
    """Ruff's verdict on a text as if it stood at `path`."""
    command = [
        str(TOOLS / "ruff"),
        "check",
        "--no-cache",
        "--output-format",
        "concise",
        "--stdin-filename",
        path,
        "-",
    ]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, input=source)


def test_every_banned_module_is_refused_in_the_core_with_its_reason() -> None:
    source = '"""Planted."""\n' + "".join(f"import {name}\n" for name in BANNED)
    found = lint(source, "ferrite/core/planted.py").stdout
    for name, entry in BANNED.items():
        assert f"TID251 `{name}` is banned: {entry['msg']}" in found
        assert len(entry["msg"].split()) > 3, name


def test_a_banned_module_is_refused_deep_in_the_core_and_allowed_in_the_drivers() -> None:
    source = '"""Planted."""\n\nimport time\n'
    assert "TID251" in lint(source, "ferrite/core/kv/planted.py").stdout
    assert "TID251" not in lint(source, "ferrite/io/planted.py").stdout


@pytest.mark.parametrize(
    ("path", "statement", "broken"),
    [
        ("core/planted.py", "from ferrite.io import x", "The core imports nobody of ours BROKEN"),
        ("core/planted.py", "import ferrite.sim.x", "The core imports nobody of ours BROKEN"),
        ("io/planted.py", "import ferrite.sim.x", "never import each other BROKEN"),
        ("sim/planted.py", "import ferrite.io.x", "never import each other BROKEN"),
        (
            "core/planted.py",
            "import threading",
            "The core has no clock, dice, I/O, threads or logging BROKEN",
        ),
        (
            "core/planted.py",
            "from os import path",
            "The core has no clock, dice, I/O, threads or logging BROKEN",
        ),
        ("sim/planted.py", "import asyncio", "The simulator is deterministic"),
        ("io/planted.py", "import asyncio\nimport ferrite.core", ""),
        ("sim/planted.py", "import random\nimport ferrite.core", ""),
    ],
)
def test_the_import_contracts_hold(tmp_path: Path, path: str, statement: str, broken: str) -> None:
    (tmp_path / "pyproject.toml").write_text(read("pyproject.toml"))
    for package in ("", "core", "io", "sim"):
        (tmp_path / "ferrite" / package).mkdir(exist_ok=True)
        (tmp_path / "ferrite" / package / "__init__.py").touch()
        (tmp_path / "ferrite" / package / "x.py").touch()
    (tmp_path / "ferrite" / path).write_text(statement + "\n")
    command = [str(TOOLS / "lint-imports"), "--no-logo", "--no-cache"]
    verdict = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert (verdict.returncode != 0) == bool(broken), verdict.stdout
    assert broken in verdict.stdout.replace("\n", " ")
