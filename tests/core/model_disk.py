"""A disk that finishes writes in order and may crash in the middle of any of them, as plain lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ferrite.core import Entry, HardState, actions


@dataclass(slots=True)
class Image:
    """What a disk, or the replica, holds of the log: the entries after `base`."""

    base: int = 0
    entries: list[Entry] = field(default_factory=list)

    @property
    def last(self) -> int:
        return self.base + len(self.entries)

    def copy(self) -> Image:
        return Image(self.base, list(self.entries))

    def at(self, index: int) -> Entry:
        assert self.base < index <= self.last, f"no entry {index} in ({self.base}, {self.last}]"
        return self.entries[index - self.base - 1]

    def write(self, order: actions.Persist) -> Iterator[Image]:
        """Do the parts of a write in the contract's order; each image on the way may be what a crash leaves."""
        if order.base is not None:
            self.base, self.entries = order.base[0], []
            yield self
        if order.truncate:
            assert order.first_index > self.base, "the base is never cut away"
            del self.entries[order.first_index - self.base - 1 :]
            yield self
        assert order.first_index == self.last + 1, f"{order.first_index} does not follow {self.last}"
        self.entries.extend(order.entries)
        yield self


class Disk:
    """The log on a disk that finishes writes in order: one durable image, and the writes on their way."""

    def __init__(self, image: Image, hard_state: HardState) -> None:
        self.durable, self.written = image, image.copy()
        self.hard_state = hard_state
        self.pending: list[actions.Persist] = []

    def order(self, persist: actions.Persist) -> None:
        for _ in self.written.write(persist):
            pass
        self.pending.append(persist)

    def finish(self, count: int) -> int:
        """Make the first `count` writes durable; the number of the last one."""
        done, self.pending = self.pending[:count], self.pending[count:]
        for persist in done:
            for _ in self.durable.write(persist):
                pass
            self.hard_state = persist.hard_state or self.hard_state
        return done[-1].write_seq

    def certain_last(self, current: Image) -> int:
        """The last entry of `current` that every crash from now on leaves there, with all before it."""
        image = self.durable.copy()
        certain = agreed(image, current)
        for persist in self.pending:
            for crashed in image.write(persist):
                certain = min(certain, agreed(crashed, current))
        return certain


def agreed(image: Image, current: Image) -> int:
    """The last entry up to which both hold the same. What is below the current base is in the state store."""
    index = max(image.base, current.base)
    if image.base < current.base and image.last < current.base:
        return current.base
    while index < min(image.last, current.last) and image.at(index + 1) == current.at(index + 1):
        index += 1
    return index
