"""`ferritectl`, the operator's tool: one file a topic. What every command prints: docs/ferritectl.md."""

from ferrite.io.cli.ctl.group import main

__all__ = ["main"]
