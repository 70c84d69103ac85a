"""The table of keys as a commented configuration file, and as the tables of docs/configuration.md."""

import json
import textwrap
from collections.abc import Iterable

from ferrite.io.config.address import Address
from ferrite.io.config.keys import Key, Kind
from ferrite.io.config.load import load_config
from ferrite.io.config.lookup import find_key
from ferrite.io.config.sources import Override, parse_text
from ferrite.io.config.table import KEYS, SECTION_DOCS

DOC_BEGIN = "<!-- generated from ferrite/io/config/table.py: begin -->\n"
DOC_END = "<!-- generated: end -->\n"
_COMMENT_WIDTH = 108
_HEAD = """\
# Configuration of ferrite-server. Every key with its default: a line that is removed changes nothing.
# Times are in ms. Check this file with: ferrite-server --config FILE --validate-config
"""
_PEERS_EXAMPLE = """\
# The nodes of the cluster, this one among them; without any, the cluster begins with this node alone.
# [cluster.peers.1]
# http_addr = "127.0.0.1:8001"
# grpc_addr = "127.0.0.1:9001"
"""


def render_file(overrides: Iterable[Override] = ()) -> str:
    """A commented file with every supported key, which loads again; keys in `overrides` have those values.

    Raises `ConfigError` when the overrides are no valid configuration.
    """
    overrides = tuple(overrides)
    load_config(None, overrides=overrides)  # only to refuse what is wrong
    values = {override.key: _parse(override) for override in overrides}
    parts = [_HEAD]
    for section, doc in SECTION_DOCS.items():
        keys = [key for key in KEYS if key.section == section and key.supported]
        if section == "cluster.peers.N":
            parts.append(_render_peers(keys, values))
        elif keys:
            body = "".join(_render_key(key, values.get(key.path)) for key in keys)
            parts.append(f"# {doc}\n[{section}]\n{body}")
    return "\n".join(parts)


def _parse(override: Override) -> object:
    key = find_key(tuple(override.key.split(".")))
    assert key is not None
    return parse_text(key, override.text)


def _render_key(key: Key, value: object) -> str:
    comment = "".join(f"# {line}\n" for line in textwrap.wrap(key.doc + _range(key), _COMMENT_WIDTH))
    if value is None and key.default is None:
        return f"{comment}# {key.name} =   (default: {key.default_text})\n"
    return f"{comment}{key.name} = {_toml(key.default if value is None else value)}\n"


def _render_peers(keys: list[Key], values: dict[str, object]) -> str:
    about = "".join(
        f"# {line}\n"
        for key in keys
        for line in textwrap.wrap(
            f"{key.name}: {key.doc}{_range(key)}", _COMMENT_WIDTH, subsequent_indent="  "
        )
    )
    ids = sorted({path.split(".")[2] for path in values if path.startswith("cluster.peers.")}, key=int)
    tables = [
        f"[cluster.peers.{id_}]\n"
        + "".join(
            f"{key.name} = {_toml(value)}\n"
            for key in keys
            if (value := values.get(f"cluster.peers.{id_}.{key.name}")) is not None
        )
        for id_ in ids
    ]
    return _PEERS_EXAMPLE + about + "".join(f"\n{table}" for table in tables)


def _range(key: Key) -> str:
    """The range, where the sentence before it does not give it already."""
    default = key.default_text or (_toml(key.default) if key.default is not None else "")
    default = f" Default {default}." if default and not key.required else ""
    match key.kind:
        case Kind.INT:
            return f" {key.minimum} to {key.maximum}{' ' + key.unit if key.unit else ''}.{default}"
        case Kind.CHOICE:
            return f" One of {', '.join(key.choices)}.{default}"
        case _:
            return default


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    assert isinstance(value, str | Address)
    return json.dumps(str(value), ensure_ascii=False)  # the same escapes as TOML's; controls were refused


def render_key_tables() -> str:
    """The Markdown between `DOC_BEGIN` and `DOC_END` of docs/configuration.md."""
    parts = []
    for section, doc in SECTION_DOCS.items():
        keys = [key for key in KEYS if key.section == section]
        parts.append(f"\n### `[{section}]`\n\n{doc}.\n")
        supported = [key for key in keys if key.supported]
        if supported:
            parts.append("\n| key | default | accepted | what it does |\n|---|---|---|---|\n")
            parts += [_doc_row(key) for key in supported]
        absent = [key for key in keys if not key.supported]
        if absent:
            parts.append("\nNot supported yet:\n\n| key | accepted | why |\n|---|---|---|\n")
            parts += [_doc_absent_row(key) for key in absent]
    return "".join(parts) + "\n"


def _doc_row(key: Key) -> str:
    default = "(required)" if key.required else f"`{key.default_text or _toml(key.default)}`"
    accepted = key.meaning_of_range.replace("a whole number from ", "")
    return f"| `{key.name}` | {default} | {accepted} | {key.doc} |\n"


def _doc_absent_row(key: Key) -> str:
    accepted = "nothing" if key.off is None else f"`{_toml(key.off)}`"
    return f"| `{key.name}` | {accepted} | {key.unsupported} |\n"
