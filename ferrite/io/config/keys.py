"""What a configuration key is. The keys themselves stand in `table`."""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

from ferrite.io.config.address import Address

PEERS_MAX = 64  # nodes of a cluster, learners included; far above what Raft is useful for
NODE_ID_MAX = 2**63 - 1  # the largest integer of TOML, and it fits every wire format

Value: TypeAlias = bool | int | str | Address | None


class Kind(Enum):
    """What the value of a key is."""

    BOOL = auto()
    INT = auto()
    TEXT = auto()  # one line
    NAME = auto()  # letters, digits and . _ - so that it fits metric labels and file names
    CHOICE = auto()
    ADDRESS = auto()
    DIRECTORY = auto()
    FILE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key: what it may be, what it is when nobody says, and what it does.

    `path` is dotted; the N of `cluster.peers.N.http_addr` stands for a node id. `unsupported` is the reason why the
    feature does not exist yet; such a key may only be set to `off`, and has no place in `Config`.
    """

    path: str
    kind: Kind
    doc: str
    default: Value = None
    default_text: str = ""  # what stands in for a default that depends on other keys
    required: bool = False
    minimum: int = 0  # INT: the closed range
    maximum: int = 0
    unit: str = ""
    characters_max: int = 0  # TEXT, NAME
    choices: tuple[str, ...] = ()
    refused_choices: dict[str, str] = field(default_factory=dict)  # choice -> why it is refused
    unsupported: str = ""
    off: Value = None

    @property
    def section(self) -> str:
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def supported(self) -> bool:
        return not self.unsupported

    @property
    def is_text(self) -> bool:
        """Whether the value is a TOML string, so that a bare word on the command line stands for itself."""
        return self.kind not in (Kind.BOOL, Kind.INT)

    @property
    def meaning_of_range(self) -> str:
        """What values are accepted, in words."""
        match self.kind:
            case Kind.BOOL:
                return "true or false"
            case Kind.INT:
                unit = f" {self.unit}" if self.unit else ""
                return f"a whole number from {self.minimum} to {self.maximum}{unit}"
            case Kind.TEXT:
                return f"text of one line, at most {self.characters_max} characters"
            case Kind.NAME:
                return f"1 to {self.characters_max} letters, digits, dots, underscores or dashes"
            case Kind.CHOICE:
                return "one of " + ", ".join(self.choices)
            case Kind.ADDRESS:
                return "host:port"
            case Kind.DIRECTORY:
                return "a directory"
            case Kind.FILE:
                return "a file, or empty for none"


def int_key(
    path: str, default: int, minimum: int, maximum: int, unit: str, doc: str, *, required: bool = False
) -> Key:
    """A whole number in a closed range."""
    assert minimum <= default <= maximum, path
    return Key(
        path=path, kind=Kind.INT, default=default, minimum=minimum, maximum=maximum, unit=unit, doc=doc,
        required=required,
    )  # fmt: skip


def bool_key(path: str, doc: str, *, default: bool) -> Key:
    """A switch."""
    return Key(path=path, kind=Kind.BOOL, default=default, doc=doc)


def absent_key(
    path: str, kind: Kind, reason: str, *, off: Value = None, choices: tuple[str, ...] = ()
) -> Key:
    """A key whose feature does not exist yet."""
    doc = f"Not supported yet: {reason}."
    return Key(path=path, kind=kind, doc=doc, unsupported=reason, off=off, choices=choices)
