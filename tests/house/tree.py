"""What the repository consists of: tracked files and new ones that git does not ignore."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_GENERATED_ENDINGS = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")
_TEXT_ENDINGS = (
    ".py",
    ".pyi",
    ".sh",
    ".toml",
    ".proto",
    ".md",
    ".txt",
    ".json",
    ".yml",
    ".yaml",
    ".cfg",
    ".service",
    "run",
)


@cache
def repository_files() -> tuple[str, ...]:
    """Paths relative to the root, with slashes. Skips the test when this tree is no git checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: which files belong to the repository is unknown")
    command = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(sorted(path for path in listed.split("\0") if path and (ROOT / path).is_file()))


def is_generated(path: str) -> bool:
    return path.endswith(_GENERATED_ENDINGS)


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def python_files(*folders: str) -> list[str]:
    """Our own Python files, generated ones left out; with folders, only those below one of them."""
    return [
        path
        for path in repository_files()
        if path.endswith(".py") and not is_generated(path) and (not folders or path.startswith(folders))
    ]


def text_files() -> list[str]:
    return [path for path in repository_files() if path.endswith(_TEXT_ENDINGS) and not is_generated(path)]


def dotted_name(path: str) -> str:
    """The module of a file: `ferrite/core/kv/__init__.py` is `ferrite.core.kv`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
