"""Results in files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click


def write_json(name: str, value: Any) -> None:
    """Write a value as JSON; see `write_text`."""
    write_text(name, json.dumps(value, indent=1) + "\n")


def write_text(name: str, text: str) -> None:
    """Write the whole file or none; `-` is standard output."""
    if name == "-":
        click.echo(text, nl=False)
        return
    half = Path(f"{name}.part")
    try:
        half.write_text(text, encoding="utf-8")
        os.replace(half, name)
    except OSError as error:
        raise click.UsageError(f"{name} cannot be written: {error.strerror}") from error
