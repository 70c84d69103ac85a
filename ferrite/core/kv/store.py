"""The ordered byte store that the key-value machine works on: what it needs, one in memory, and the overlay of an apply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, Self

from sortedcontainers import SortedDict, SortedList

Pair = tuple[bytes, bytes]
Write = tuple[bytes, bytes | None]
"""A key with its new value; None deletes the key, whether it is there or not."""


class ReadableStore(Protocol):
    """Keys and values are bytes, ordered by key as bytes compare."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value, None when the key is absent."""
        ...

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[Pair]:
        """Yield the pairs of the half-open range `[start, end)`, ascending, or descending with `reverse`.

        The store must not be written while the iterator is in use.
        """
        ...


class PinnedStore(ReadableStore, Protocol):
    """The store as it was when it was pinned, while writes go on."""

    def close(self) -> None:
        """Let go of the view; nothing can be read after it. Closing twice is harmless."""
        ...


class OrderedStore(ReadableStore, Protocol):
    """A store that can be written."""

    def write(self, batch: Iterable[Write]) -> None:
        """Do all of it or nothing, in order."""
        ...

    def pin(self) -> PinnedStore:
        """Return a view of the present state that later writes do not change."""
        ...


class MemoryStore:
    """An `OrderedStore` in memory, for the simulator and for tests."""

    __slots__ = ("_data",)

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        """Start with these pairs."""
        self._data: SortedDict[bytes, bytes] = SortedDict(pairs)

    def __len__(self) -> int:
        return len(self._data)

    def get(self, key: bytes) -> bytes | None:
        """Return the value, None when the key is absent."""
        return self._data.get(key)

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[Pair]:
        """Yield the pairs of `[start, end)`."""
        for key in self._data.irange(start, end, inclusive=(True, False), reverse=reverse):
            yield key, self._data[key]

    def write(self, batch: Iterable[Write]) -> None:
        """Do all of it; nothing in here can fail half-way."""
        for key, value in batch:
            if value is None:
                self._data.pop(key, None)
            else:
                self._data[key] = value

    def pin(self) -> Self:
        """Return a copy: the price of a pinned view in memory is linear in the number of keys."""
        return type(self)(self._data.items())

    def close(self) -> None:
        """Nothing to let go of."""


class Overlay:
    """A store with the uncommitted writes of one apply on top: entries of a batch read what earlier ones wrote."""

    __slots__ = ("_base", "_order", "_writes")

    def __init__(self, base: ReadableStore) -> None:
        """Begin with no writes; `base` must not change while the overlay is in use."""
        self._base = base
        self._writes: dict[bytes, bytes | None] = {}
        self._order: SortedList[bytes] | None = None
        """The keys written, from the first scan on: most applies scan nothing, and some for every command."""

    def get(self, key: bytes) -> bytes | None:
        """Return the newest value, written here or below."""
        if key in self._writes:
            return self._writes[key]
        return self._base.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Write a value."""
        if self._order is not None and key not in self._writes:
            self._order.add(key)
        self._writes[key] = value

    def delete(self, key: bytes) -> None:
        """Delete a key, whether it is there or not."""
        if self._order is not None and key not in self._writes:
            self._order.add(key)
        self._writes[key] = None

    def scan(self, start: bytes, end: bytes, *, reverse: bool = False) -> Iterator[Pair]:
        """Yield the pairs of `[start, end)`; writes made after the call are not seen by it."""
        if self._order is None:
            self._order = SortedList(self._writes)
        keys = self._order.irange(start, end, inclusive=(True, False), reverse=reverse)
        own = [(key, self._writes[key]) for key in keys]
        return _merge(own, self._base.scan(start, end, reverse=reverse), reverse=reverse)

    def batch(self) -> list[Write]:
        """Return every key written, once, with its last value."""
        return list(self._writes.items())


def _merge(own: list[Write], below: Iterator[Pair], *, reverse: bool) -> Iterator[Pair]:
    """Merge two runs in key order; on equal keys the own write hides the pair below, and a deletion hides itself too."""
    position = 0
    for key, value in below:
        while position < len(own) and (own[position][0] > key if reverse else own[position][0] < key):
            yield from _present(own[position])
            position += 1
        if position < len(own) and own[position][0] == key:
            yield from _present(own[position])
            position += 1
        else:
            yield key, value
    for write in own[position:]:
        yield from _present(write)


def _present(write: Write) -> Iterator[Pair]:
    key, value = write
    if value is not None:
        yield key, value
