"""What watchers were told, compared with the replay of the committed log."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from ferrite.core.kv import WatchEnd
from ferrite.sim.checks.model import FIRST_REVISION, Changed, within
from ferrite.sim.checks.replay import Model
from ferrite.sim.violation import Violation
from ferrite.sim.watchers import Began, Ended, Got, Watcher

SENTENCES: Final = {
    "W2": "A watch gives every change of its range, each once and in order, a revision at a time.",
    "W3": "A watch begins where it was asked to, or at what its node's present is.",
    "W4": "A watch ends as compacted when its next revision is, and only then.",
    "W5": "A progress notification comes after every event up to its revision, and no sooner than the node is there.",
    "W6": "With prev_kv an event says what the key was before, unless that is compacted by then.",
    "W8": "A watch that was cut can be resumed from what it is told, without a gap.",
}


def check_watchers(watchers: Iterable[Watcher], model: Model) -> None:
    """Compare all that was told with the committed log. Raises Violation W2 to W6, W8."""
    past = _Past(model)
    for watcher in watchers:
        _Checked(watcher, past).check()


class _Past:
    """What the committed log says of the state after an entry."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._revision_indexes = list(model.index_of.values())
        self._mark_indexes = [index for index, _ in model.compactions]
        self._marks = [0, *(mark for _, mark in model.compactions)]

    def revision(self, applied_index: int) -> int:
        """The store's revision then."""
        return FIRST_REVISION + bisect_right(self._revision_indexes, applied_index)

    def compacted(self, applied_index: int) -> int:
        """The revision that it was compacted to then; 0 for none."""
        return self._marks[bisect_right(self._mark_indexes, applied_index)]

    def has_mark(self, mark: int, applied_index: int) -> bool:
        """Had the store been compacted to just this revision by then?"""
        return mark in self._marks[1 : 1 + bisect_right(self._mark_indexes, applied_index)]


class _Checked:
    """One watcher. `after`: all up to it was told. `due`: nothing may come but the end, for the beginning is compacted."""

    def __init__(self, watcher: Watcher, past: _Past) -> None:
        self._watcher = watcher
        self._past = past
        self._after = 0
        self._due = False

    def check(self) -> None:
        for each in self._watcher.told:
            match each:
                case Began():
                    self._began(each)
                case Got():
                    self._got(each)
                case Ended(reason=WatchEnd.COMPACTED):
                    self._compacted(each)
                case Ended():
                    self._cut(each)

    def _fail(self, name: str, facts: str) -> Violation:
        watcher = self._watcher
        return Violation(name, SENTENCES[name], f"{watcher.key!r} to {watcher.range_end!r}, {facts}")

    def _began(self, began: Began) -> None:
        expected = began.asked - 1 if began.asked else self._past.revision(began.applied_index)
        if began.revision != expected:
            raise self._fail("W3", f"{began}: expected revision {expected}")
        if not began.resumed:
            self._after = began.revision
        self._due = 0 < began.asked < self._past.compacted(began.applied_index)

    def _got(self, got: Got) -> None:
        if self._due:
            raise self._fail("W4", f"{got} after {self._after}: that is compacted")
        expected = self._wanted(got.revision)
        found = [
            (each.entry.mod_revision, each.entry.key, None if each.deleted else each.entry)
            for each in got.events
        ]
        present = self._past.revision(got.applied_index)
        if got.revision > present or found != [(at, each.key, each.now) for at, each in expected]:
            raise self._fail(
                "W2" if got.events else "W5",
                f"after {self._after} up to {got.revision}, the node at {present}: {found}; the log has {expected}",
            )
        self._check_previous(got, [each for _, each in expected])
        self._after = max(self._after, got.revision)

    def _wanted(self, through: int) -> list[tuple[int, Changed]]:
        """(revision, change), of what was not told yet."""
        watcher, changes = self._watcher, self._past.model.kv.changes
        return [
            (revision, change)
            for revision in range(self._after + 1, through + 1)
            for change in changes.get(revision, ())
            if within(change.key, watcher.key, watcher.range_end)
            and not (watcher.no_deletes if change.now is None else watcher.no_puts)
        ]

    def _check_previous(self, got: Got, changes: list[Changed]) -> None:
        # What a compaction took before the event was taken need not be known any more; it takes nothing above its mark.
        gone = got.revision <= self._past.compacted(got.applied_index)
        for event, change in zip(got.events, changes, strict=True):
            expected = change.before if self._watcher.prev_kv else None
            if event.prev != expected and not (gone and event.prev is None):
                raise self._fail("W6", f"{event}; before it: {change.before}")

    def _compacted(self, end: Ended) -> None:
        mark = end.revision + 1
        if not (end.next_revision < mark and self._past.has_mark(mark, end.applied_index)):
            raise self._fail("W4", f"{end}: no committed compaction to {mark} says that")
        self._after, self._due = max(self._after, end.revision), False

    def _cut(self, end: Ended) -> None:
        missing = self._wanted(end.revision)
        if self._due or missing:
            raise self._fail("W8", f"{end}: not told: {missing}; compacted: {self._due}")
        self._after = max(self._after, end.revision)
