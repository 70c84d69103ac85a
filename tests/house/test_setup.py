"""scripts/setup-venv.sh says what is wrong with a machine, and does nothing when there is nothing to do."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.tree import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What setup-venv.sh reads, without an environment."""
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/setup-venv.sh", "pyproject.toml", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def fake_python(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def setup(checkout: Path, *arguments: str, python: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin"} | ({"FERRITE_PYTHON": str(python)} if python else {})
    command = ["bash", str(checkout / "scripts/setup-venv.sh"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=60)


def test_an_old_python_is_refused_with_the_version_needed(checkout: Path) -> None:
    result = setup(checkout, python=fake_python(checkout / "old", "exit 1"))
    assert result.returncode == 1
    assert "older than 3.11" in result.stderr


def test_a_python_without_venv_or_pip_is_refused_with_the_packages_to_install(checkout: Path) -> None:
    no_ensurepip = 'case "$2" in *ensurepip*) exit 1;; esac'
    result = setup(checkout, python=fake_python(checkout / "bare", no_ensurepip))
    assert result.returncode == 1
    assert "apt-get install python3-venv python3-pip" in result.stderr


def test_a_broken_environment_is_refused_with_what_to_remove(checkout: Path) -> None:
    fake_python(checkout / ".venv/bin/python", "exit 1")
    result = setup(checkout)
    assert result.returncode == 1
    assert "Remove the folder .venv" in result.stderr


def test_an_unknown_argument_is_refused(checkout: Path) -> None:
    result = setup(checkout, "--all")
    assert result.returncode == 1
    assert "Expected nothing or --dev" in result.stderr


def test_setup_installs_with_hashes_and_only_once_until_the_lock_changes(checkout: Path) -> None:
    calls = checkout / "calls"
    fake_python(checkout / ".venv/bin/python", f'echo "$*" >> {calls}')

    assert setup(checkout).returncode == 0
    assert "pip --disable-pip-version-check install --require-hashes -r requirements.txt" in calls.read_text()
    assert "--no-deps --no-build-isolation --no-index -e ." in calls.read_text()

    calls.write_text("")
    again = setup(checkout)
    assert (again.returncode, again.stdout, calls.read_text()) == (0, "", "")

    with (checkout / "requirements.txt").open("a") as lock:
        lock.write("# changed\n")
    assert setup(checkout).returncode == 0
    assert "--require-hashes" in calls.read_text()


def test_a_failed_installation_is_tried_again(checkout: Path) -> None:
    calls = checkout / "calls"
    fails = f'echo "$*" >> {calls}; case "$*" in *--require-hashes*) exit 1;; esac'
    fake_python(checkout / ".venv/bin/python", fails)
    assert setup(checkout).returncode != 0
    assert setup(checkout).returncode != 0
    assert calls.read_text().count("--require-hashes") == 2
