"""Which code ran."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ferrite import __version__


def code_commit() -> str:
    """The commit of the checkout this file lies in, with `+changes` when files differ from it; else the version."""
    here = Path(__file__).resolve().parent
    described = subprocess.run(  # noqa: S603 - fixed words
        ["git", "-C", str(here), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+changes"],  # noqa: S607 - git of the user's PATH
        check=False,
        capture_output=True,
        text=True,
    )
    return described.stdout.strip() if described.returncode == 0 else f"version {__version__}"
