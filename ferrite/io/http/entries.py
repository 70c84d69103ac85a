"""Keys, values and lease ids as answers write them. Pure."""

from __future__ import annotations

import base64
from typing import Any

from ferrite.core.kv import KeyValue
from ferrite.io.http.fields import Encoding


def as_text(data: bytes) -> str | None:
    """The text whose UTF-8 this is; None when it is none."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def as_base64(data: bytes) -> str:
    """RFC 4648 section 4, padded."""
    return base64.b64encode(data).decode("ascii")


def entry_json(entry: KeyValue, encoding: Encoding, *, keys_only: bool = False) -> dict[str, Any]:
    """An entry of a listing. `encoding` is there when key and value are in base64: asked for, or one of them is no text."""
    key = None if encoding == "base64" else as_text(entry.key)
    value = None if encoding == "base64" else as_text(entry.value)
    plain = key is not None and value is not None
    shown: dict[str, Any] = {"key": key if plain else as_base64(entry.key)}
    if not keys_only:
        shown["value"] = value if plain else as_base64(entry.value)
    if not plain:
        shown["encoding"] = "base64"
    shown.update(bookkeeping(entry))
    return shown


def key_value_json(entry: KeyValue, encoding: Encoding) -> dict[str, Any]:
    """An entry with its lease (0: none)."""
    return {**entry_json(entry, encoding), "lease": str(entry.lease)}


def bookkeeping(entry: KeyValue | None) -> dict[str, int]:
    """The numbers that etcd keeps by key; all 0 when it is absent."""
    if entry is None:
        return {"create_revision": 0, "mod_revision": 0, "version": 0}
    return {
        "create_revision": entry.create_revision,
        "mod_revision": entry.mod_revision,
        "version": entry.version,
    }
