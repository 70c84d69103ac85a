"""Ranges of keys as clients name them."""

from __future__ import annotations

from ferrite.core.kv import FROM_KEY


def prefix_end(prefix: bytes) -> bytes:
    """The `range_end` of all keys that begin with a non-empty prefix: the first key after them, or `FROM_KEY`."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else FROM_KEY
