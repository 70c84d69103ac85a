"""Reading settings from a file, from the environment and from options, without judging their values.

Each source becomes a flat list of `Given`: a path, a value, and who said it. Unknown sections and keys are reported here,
since only here is their context known.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomli

from ferrite.io.config.keys import NODE_ID_MAX, PEERS_MAX, Key
from ferrite.io.config.lookup import Path as KeyPath
from ferrite.io.config.lookup import children_text, find_key, is_peer, is_section, parse_node_id, suggest
from ferrite.io.config.problem import ProblemList, Source, show_value
from ferrite.io.config.table import KEYS

FILE_BYTES_MAX = 1 << 20  # a configuration of every key and 64 peers has 20 kB
ENVIRONMENT_PREFIX = "FERRITE_"
LOG_FILTER_VARIABLE = "FERRITE_LOG"
_SECRET = re.compile(r"token|secret|passw|credential|private")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One setting as somebody wrote it. `shown` is the key as that source spells it."""

    path: KeyPath
    shown: str
    value: object
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A setting of the command line: `option` is what the user typed, `text` its value."""

    key: str
    text: str
    option: str


def read_file(path: Path, working_dir: Path, problems: ProblemList) -> list[Given]:
    """The settings of a TOML file."""
    source = Source(kind="file", name=str(path))
    table = _parse_file(working_dir / path, source, problems)
    return list(_walk((), "", table, source, problems))


def read_environment(environment: Mapping[str, str], problems: ProblemList) -> list[Given]:
    """The settings of `FERRITE_SECTION__KEY` variables. Others are not ours, unless one underscore is missing."""
    found: list[Given] = []
    missed = {
        _variable(key).replace("__", "_"): _variable(key) for key in KEYS if "N" not in key.path.split(".")
    }
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        source = Source(kind="environment", name=name)
        if "__" in name:
            path = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
            found += _read_text(path, environment[name], source, problems)
        elif name in missed:
            problems.report(
                source=source, key="", given=show_value(environment[name]),
                expected="two underscores between section and key", advice=f"write {missed[name]}",
            )  # fmt: skip
    return found


def read_overrides(overrides: Iterable[Override], problems: ProblemList) -> list[Given]:
    """The settings of the command line; a later one wins."""
    found: list[Given] = []
    for override in overrides:
        source = Source(kind="flag", name=override.option)
        found += _read_text(tuple(override.key.split(".")), override.text, source, problems)
    return found


def _variable(key: Key) -> str:
    return ENVIRONMENT_PREFIX + key.path.upper().replace(".", "__")


def _parse_file(path: Path, source: Source, problems: ProblemList) -> dict[str, object]:
    def refuse(expected: str, advice: str, given: str = "") -> dict[str, object]:
        problems.report(source=source, key="", given=given, expected=expected, advice=advice)
        return {}

    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return refuse("a file that can be read", f"check the path and its permissions ({reason})")
    if len(data) > FILE_BYTES_MAX:
        return refuse(f"at most {FILE_BYTES_MAX} bytes", "check that this is a configuration file")
    if data.startswith(b"\xef\xbb\xbf"):
        return refuse("UTF-8 without a byte order mark", "save the file without BOM")
    try:
        return tomli.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        return refuse("UTF-8", f"save the file as UTF-8: byte {error.start} is not")
    except tomli.TOMLDecodeError as error:
        return refuse("TOML", f"repair the syntax: {error}")
    except (
        ValueError,
        RecursionError,
    ) as error:  # an integer of thousands of digits; a hostile depth of nesting
        return refuse("TOML of reasonable size", f"repair the file: {str(error).split(';')[0]}")


def _walk(
    path: KeyPath, shown: str, table: Mapping[str, object], source: Source, problems: ProblemList
) -> Iterator[Given]:
    """The keys below a table. The depth is bounded by the table of keys: nothing below an unknown name is looked at."""
    for name, value in table.items():
        inner, inner_shown = (*path, name), f"{shown}.{name}" if shown else name
        if inner == ("cluster", "peer"):
            yield from _walk_peer_list(value, source, problems)
        elif is_section(inner):
            yield from _walk_section(inner, inner_shown, value, source, problems)
        elif find_key(inner) is not None:
            yield Given(path=inner, shown=inner_shown, value=value, source=source)
        else:
            _report_unknown(inner, inner_shown, value, source, problems)


def _walk_section(
    path: KeyPath, shown: str, value: object, source: Source, problems: ProblemList
) -> Iterator[Given]:
    if is_peer(path) and parse_node_id(path[2]) is None:
        _report_node_id(shown, "", source, problems)
    elif not isinstance(value, dict):
        problems.report(
            source=source, key=shown, given=show_value(value), expected=f"a section with {children_text(path)}",
            advice=f"write [{shown}] on a line of its own, and its keys below",
        )  # fmt: skip
    else:
        if is_peer(path):  # an empty table is a peer, too: one that lacks its addresses
            yield Given(path=path, shown=shown, value=value, source=source)
        yield from _walk(path, shown, value, source, problems)


def _walk_peer_list(value: object, source: Source, problems: ProblemList) -> Iterator[Given]:
    """`[[cluster.peer]]` tables with an id, as if they were `[cluster.peers.N]`."""
    if not isinstance(value, list) or not all(isinstance(peer, dict) for peer in value):
        problems.report(
            source=source, key="cluster.peer", given=show_value(value), expected="a list of tables",
            advice="write [[cluster.peer]] with id, http_addr and grpc_addr, once for each node",
        )  # fmt: skip
        return
    for number, peer in enumerate(value):
        shown = f"cluster.peer[{number}]"
        id_ = peer.get("id")
        if type(id_) is not int or not 1 <= id_ <= NODE_ID_MAX:
            _report_node_id(f"{shown}.id", show_value(id_) if "id" in peer else "", source, problems)
            continue
        path = ("cluster", "peers", str(id_))
        yield Given(path=path, shown=shown, value=peer, source=source)
        yield from _walk(path, shown, {key: peer[key] for key in peer if key != "id"}, source, problems)


def _read_text(path: KeyPath, text: str, source: Source, problems: ProblemList) -> Iterator[Given]:
    """One setting written as text: TOML, except that text needs no quotes."""
    shown = ".".join(path)
    key = find_key(path)
    if is_peer(path) and parse_node_id(path[2]) is None:
        _report_node_id(shown, show_value(text), source, problems)
    elif key is not None:
        if is_peer(path):
            yield Given(path=path[:3], shown=".".join(path[:3]), value={}, source=source)
        yield Given(path=path, shown=shown, value=parse_text(key, text), source=source)
    elif is_section(path) or path[:2] == ("cluster", "peer"):
        problems.report(
            source=source, key=shown, given=show_value(text), expected="a key, not a section",
            advice="set one key at a time, such as cluster.peers.2.http_addr",
        )  # fmt: skip
    else:
        _report_unknown(path, shown, text, source, problems)


def parse_text(key: Key, text: str) -> object:
    """The value that `text` means for `key`; text itself when it is no TOML value."""
    if key.is_text and text[:1] not in ('"', "'"):
        return text
    try:
        document = tomli.loads(f"value = {text}")
    except (
        ValueError,
        RecursionError,
    ):  # TOMLDecodeError is a ValueError; the check of the value says what is wrong
        return text
    return document["value"] if len(document) == 1 else text


def _report_unknown(path: KeyPath, shown: str, value: object, source: Source, problems: ProblemList) -> None:
    """An unknown name. A value that may be a secret is not repeated."""
    hidden = not isinstance(value, bool) and (
        path[0] == "security" or _SECRET.search(shown.lower()) is not None
    )
    near = suggest(path)
    where = ".".join(path[:-1])
    kind = "section or key" if not where else f"key of [{where}]"
    problems.report(
        source=source, key=shown, given="(not shown)" if hidden else show_value(value), expected=f"a known {kind}",
        advice=f"did you mean {near}?" if near else f"remove it, or choose from: {children_text(path[:-1])}",
    )  # fmt: skip


def _report_node_id(shown: str, given: str, source: Source, problems: ProblemList) -> None:
    problems.report(
        source=source, key=shown, given=given, expected=f"the id of a node, from 1 to {NODE_ID_MAX}",
        advice="write its node.id, as in [cluster.peers.2], without sign or leading zeros",
    )  # fmt: skip


def check_peer_tables(layer: Sequence[Given], problems: ProblemList) -> None:
    """Report a node that one source lists twice (as a table and in the list), and too many nodes."""
    seen: dict[KeyPath, str] = {}
    for given in layer:
        if len(given.path) != 3 or not is_peer(given.path) or given.source.kind != "file":
            continue
        if given.path in seen:
            problems.report(
                source=given.source, key=given.shown, given=f"node {given.path[2]}", expected="each node once",
                advice=f"remove this one or {seen[given.path]}",
            )  # fmt: skip
        seen.setdefault(given.path, given.shown)
    if len(seen) > PEERS_MAX:
        problems.report(
            source=layer[0].source, key="cluster.peers", given=f"{len(seen)} nodes",
            expected=f"at most {PEERS_MAX} nodes", advice="remove some",
        )  # fmt: skip


def search_paths(home: Path | None) -> tuple[Path, ...]:
    """Where a configuration file is looked for when none is named, the first that exists is used. `home` may be unknown."""
    user = () if home is None else (home / ".config/ferrite/config.toml", home / ".ferrite.toml")
    return (Path("ferrite.toml"), Path("config/ferrite.toml"), Path("/etc/ferrite/config.toml"), *user)


def find_file(home: Path | None, working_dir: Path) -> Path | None:
    """The first of `search_paths` at which something exists, even when it cannot be read: that is for the reader to say."""
    return next((path for path in search_paths(home) if os.path.lexists(working_dir / path)), None)
