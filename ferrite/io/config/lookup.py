"""Finding keys by path, and guessing what a wrong path was meant to be."""

import re
from difflib import get_close_matches

from ferrite.io.config.keys import NODE_ID_MAX, Key
from ferrite.io.config.table import BY_PATH, KEYS, SECTION_DOCS

Path = tuple[str, ...]

_NODE_ID = re.compile(r"[1-9][0-9]{0,18}")
_GUESSED_CHARACTERS_MAX = 60  # difflib is quadratic
_PEERS: Path = ("cluster", "peers")
_SECTIONS = frozenset(
    tuple(section.split(".")[:depth])
    for section in SECTION_DOCS
    for depth in range(1, section.count(".") + 2)
)


def is_peer(path: Path) -> bool:
    """Whether `path` is at or below one peer's table."""
    return len(path) > len(_PEERS) and path[:2] == _PEERS


def parse_node_id(text: str) -> int | None:
    """The id that the N of `cluster.peers.N` writes, or None. One spelling an id: no sign, no leading zero."""
    return int(text) if _NODE_ID.fullmatch(text) and int(text) <= NODE_ID_MAX else None


def find_key(path: Path) -> Key | None:
    """The key at `path`, where a node id stands in the place of N."""
    return BY_PATH.get(".".join(_generic(path)))


def is_section(path: Path) -> bool:
    """Whether keys stand below `path`."""
    return not path or _generic(path) in _SECTIONS


def suggest(path: Path) -> str:
    """The dotted path that `path`, which does not exist, was most likely meant to be; empty when nothing is near."""
    parent, name = path[:-1], path[-1][:_GUESSED_CHARACTERS_MAX].lower()
    siblings = _children(parent)
    near = get_close_matches(name, siblings, n=1, cutoff=0.7)
    if near:
        return ".".join((*parent, near[0]))
    elsewhere = [key.path for key in KEYS if key.name == name]
    if elsewhere:
        return elsewhere[0]
    dotted = ".".join(path)[:_GUESSED_CHARACTERS_MAX].lower()
    return next(
        iter(get_close_matches(dotted, [key.path for key in KEYS if key.supported], n=1, cutoff=0.8)), ""
    )


def children_text(parent: Path) -> str:
    """What may stand below `parent`, for an error message."""
    return ", ".join(sorted(_children(parent)))


def _children(parent: Path) -> set[str]:
    generic = _generic(parent)
    depth = len(generic)
    paths = [*(tuple(key.path.split(".")) for key in KEYS if key.supported), *_SECTIONS]
    return {path[depth] for path in paths if len(path) > depth and path[:depth] == generic} - {
        "N",
        "discovery",
    }


def _generic(path: Path) -> Path:
    return (*_PEERS, "N", *path[3:]) if is_peer(path) else path
