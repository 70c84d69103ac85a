"""Another revision of this repository, as a git worktree in a temporary directory."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


class UnknownRevision(Exception):
    """git does not know it, or this is no checkout."""


def short_name(revision: str) -> str:
    """Return git's short name of a commit. Raises `UnknownRevision`."""
    done = _git("rev-parse", "--short", "--verify", f"{revision}^{{commit}}")
    if done.returncode != 0:
        raise UnknownRevision(f"{revision!r} is no revision of {ROOT}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def worktree(revision: str, directory: Path) -> Iterator[Path]:
    """Check the revision out, and remove it at the end. Nothing is installed: it runs with this environment's packages."""
    place = directory / "revision"
    done = _git("worktree", "add", "--detach", str(place), short_name(revision))
    if done.returncode != 0:
        raise UnknownRevision(f"git worktree add failed: {done.stderr.strip()}")
    try:
        yield place
    finally:
        _git("worktree", "remove", "--force", str(place))


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
