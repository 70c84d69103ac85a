"""Importing the core loads nothing that could look at a clock, throw dice or do I/O."""

import json
import subprocess
import sys
from pathlib import Path

import msgpack
import sortedcontainers

import ferrite
from tests.house.tree import dotted_name, python_files

# Neither the core nor what it imports may load these.
FORBIDDEN = frozenset({
    "aiohttp", "asyncio", "click", "concurrent", "email", "grpc", "http", "logging", "multiprocessing", "pathlib",
    "prometheus_client", "queue", "random", "rich", "rocksdict", "secrets", "select", "selectors", "shutil", "signal",
    "socket", "ssl", "structlog", "subprocess", "tempfile", "threading", "tomli", "urllib", "uuid", "uvloop", "zipfile",
})  # fmt: skip
# Honest exceptions, not in FORBIDDEN: `datetime` is loaded by msgpack (its Timestamp type, which the core does not use), and
# `time`, `os` and `io` are loaded by the interpreter itself before the first line runs. That the core does not import them is
# checked where it can be: ferrite/core/ruff.toml and the import contracts.
PACKAGES = frozenset({"ferrite", "msgpack", "sortedcontainers"})

# -I -S: no environment, no hooks of site-packages; the three packages come from explicit paths.
PROBE = """
import sys, json
paths, names = json.loads(sys.argv[1]), sys.argv[2:]
sys.path[:0] = paths
before = set(sys.modules)
for name in names:
    __import__(name)
print(json.dumps({n: getattr(m, "__file__", None) or "" for n, m in sys.modules.items() if n not in before}))
"""


def loaded_by(*modules: str) -> dict[str, str]:
    """Module name -> file (empty for built-in ones), of what a fresh interpreter loads for these modules."""
    homes = {str(Path(str(module.__file__)).parents[1]) for module in (ferrite, msgpack, sortedcontainers)}
    command = [sys.executable, "-I", "-S", "-c", PROBE, json.dumps(sorted(homes)), *modules]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    files: dict[str, str] = json.loads(run.stdout)
    return files


def impure(files: dict[str, str]) -> set[str]:
    return {name.partition(".")[0] for name in files} & FORBIDDEN


def foreign(files: dict[str, str]) -> set[str]:
    """Installed packages among the loaded modules that are not the three allowed ones."""
    installed = {name.partition(".")[0] for name, file in files.items() if "site-packages" in file}
    return installed - PACKAGES


def test_the_front_door_loads_nothing_impure() -> None:
    files = loaded_by("ferrite.core")
    assert "ferrite.core" in files
    assert impure(files) == set()
    assert foreign(files) == set()


def test_no_module_of_the_core_loads_anything_impure() -> None:
    modules = [dotted_name(path) for path in python_files("ferrite/core/")]
    assert "ferrite.core.events" in modules
    files = loaded_by(*modules)
    assert set(modules) <= set(files)
    assert impure(files) == set()
    assert foreign(files) == set()


def test_the_probe_finds_what_it_looks_for() -> None:
    assert impure(loaded_by("asyncio")) >= {"asyncio", "socket", "selectors", "threading", "logging"}
    assert foreign(loaded_by("pytest")) >= {"pytest"}


def test_asking_for_the_version_works_and_an_unknown_name_is_an_attribute_error() -> None:
    assert ferrite.__version__.count(".") == 2
    assert not hasattr(ferrite, "no_such_name")
