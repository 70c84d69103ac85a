"""From settings to one checked value a key: layers are merged, each value is checked, problems are collected."""

from collections.abc import Iterable
from pathlib import Path

from ferrite.io.config.address import Address
from ferrite.io.config.keys import Key, Value
from ferrite.io.config.lookup import find_key, is_peer
from ferrite.io.config.problem import DEFAULT, ProblemList, Source, show_value
from ferrite.io.config.sources import Given
from ferrite.io.config.table import KEYS
from ferrite.io.config.values import Fault, check_value


class Resolved:
    """The effective value of each key by dotted path, and who gave it. A key whose value was refused is absent, so that
    a rule over several keys can tell that it has nothing to say.
    """

    __slots__ = ("_givens", "_values", "peer_ids", "problems")

    def __init__(self, problems: ProblemList) -> None:
        self.problems = problems
        self.peer_ids: tuple[int, ...] = ()  # in order
        self._values: dict[str, Value] = {}
        self._givens: dict[str, Given] = {}

    def has(self, *paths: str) -> bool:
        return all(path in self._values for path in paths)

    def value(self, path: str) -> Value:
        return self._values[path]

    def int(self, path: str) -> int:
        value = self._values[path]
        assert isinstance(value, int)
        return value

    def flag(self, path: str) -> bool:
        value = self._values[path]
        assert isinstance(value, bool)
        return value

    def text(self, path: str) -> str:
        value = self.value(path)
        assert isinstance(value, str), path
        return value

    def address(self, path: str) -> Address | None:
        value = self._values[path]
        assert value is None or isinstance(value, Address)
        return value

    def is_given(self, path: str) -> bool:
        return path in self._givens

    def source(self, path: str) -> Source:
        given = self._givens.get(path)
        return DEFAULT if given is None else given.source

    def sources(self) -> dict[str, Source]:
        """Who set each key that somebody set, in the order of the table; peers last."""
        order = {key.path: number for number, key in enumerate(KEYS)}
        paths = (path for path in self._givens if path in self._values)
        return {
            path: self.source(path) for path in sorted(paths, key=lambda path: (order.get(path, 9999), path))
        }

    def changed(self) -> dict[str, str]:
        """The keys of `sources` whose values are not the defaults, as TOML writes them."""
        found = {}
        for path in self.sources():
            key = find_key(tuple(path.split(".")))
            if key is not None and key.supported and self._values[path] != self._default(key):
                found[path] = show_value(_plain(self._values[path]))
        return found

    def describe(self, path: str) -> str:
        """A key with its value and who set it, for messages about several keys."""
        return f"{path} = {show_value(_plain(self._values[path]))} ({self.source(path)})"

    def report(self, path: str, *, expected: str, advice: str) -> None:
        """A problem at a key."""
        given = self._givens.get(path)
        value = show_value(_plain(self._values[path])) if self._values.get(path) is not None else ""
        self.problems.report(
            source=DEFAULT if given is None else given.source, key=path if given is None else given.shown,
            given=value, expected=expected, advice=advice,
        )  # fmt: skip

    def merge(self, layers: Iterable[list[Given]], working_dir: Path) -> None:
        """Check every value of every layer, from the weakest layer to the strongest, and keep the strongest value."""
        refused = set()
        for layer in layers:
            for given in layer:
                path = ".".join(given.path)
                key = find_key(given.path)
                if key is None:
                    assert is_peer(given.path)  # the mark that a peer exists
                    self._givens.setdefault(path, given)
                    continue
                self._givens[path] = given
                self._values.pop(path, None)
                refused.discard(path)
                value = check_value(key, given.value, working_dir)
                if isinstance(value, Fault):
                    self._report_fault(key, given, value)
                    refused.add(path)
                else:
                    self._values[path] = value
        peers = (
            given.path[2] for given in self._givens.values() if len(given.path) == 3 and is_peer(given.path)
        )
        self.peer_ids = tuple(sorted(int(id_) for id_ in peers))
        self._fill_defaults(refused)

    def _report_fault(self, key: Key, given: Given, fault: Fault) -> None:
        hidden = key.section == "security" and key.unsupported and isinstance(given.value, str)
        self.problems.report(
            source=given.source, key=given.shown, given="(not shown)" if hidden else show_value(given.value),
            expected=fault.expected, advice=fault.advice,
        )  # fmt: skip

    def _fill_defaults(self, refused: set[str]) -> None:
        for key in KEYS:
            if not key.supported:
                continue
            names = (
                [key.path.replace(".N.", f".{id_}.") for id_ in self.peer_ids]
                if ".N." in key.path
                else [key.path]
            )
            for path in names:
                if key.required and path not in self._values and path not in refused:
                    self._report_missing(key, path)
                elif path not in self._values and path not in refused:
                    self._values[path] = self._default(key)

    def _default(self, key: Key) -> Value:
        # Addresses stand in the table as text, so that it reads like a file.
        value = check_value(key, key.default, Path("/")) if key.default and key.is_text else key.default
        assert not isinstance(value, Fault), key.path
        return value

    def _report_missing(self, key: Key, path: str) -> None:
        peer = self._givens[path.rpartition(".")[0]]
        self.problems.report(
            source=peer.source, key=f"{peer.shown}.{key.name}", given="", expected=key.meaning_of_range,
            advice=f"add it: {key.doc}",
        )  # fmt: skip


def _plain(value: Value) -> object:
    return str(value) if isinstance(value, Address) else value
