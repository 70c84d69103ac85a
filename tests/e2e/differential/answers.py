"""What both stores answer, in the machine's words, and with revisions and lease ids that a fresh store would have given.

A sequence of operations is written as for an empty store at revision 1, compacted to 1. The real stores carry on from sequence
to sequence, each at a revision of its own: `Place` moves numbers there and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeVar

from ferrite.core import kv

CHOSEN_LEASE: Final = 9
"""Stands for the latest lease whose id the store itself chose; before there is one, it is just an id that nobody has."""

SILENT: Final = "silent"
"""In `Watched.ended`: the events that must come did not."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The operation was refused. `code` is one of Ferrite's stable codes; `detail` is for people, and not compared."""

    code: str
    detail: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Watched:
    """All that a watch delivered, up to the end of the sequence. `ended`: why the store ended it before; "" when it did not."""

    events: tuple[kv.WatchEvent, ...]
    ended: str = ""


Operation = kv.Operation | kv.Range | kv.ListLeases | kv.WatchSpec
Answer = kv.CommandResult | kv.QueryResult | Failed | Watched
"""Of a watch in the middle of a sequence: `Watched` without events when it was taken; those come with the last answers."""


class OpenWatch(Protocol):
    """A watch that a store has taken."""

    async def read(self, last_revision: int) -> Watched:
        """All until the event of `last_revision` (0: nothing is to come), or until the store ends the watch. Closes it."""


class Store(Protocol):
    """A real store. Raises nothing that an operation can cause: refusals are `Failed`."""

    async def call(self, operation: Operation) -> Answer:
        """Carry out one operation, no watch."""

    async def watch(self, spec: kv.WatchSpec) -> OpenWatch | Failed:
        """Begin a watch; known to the store when this returns."""


_T = TypeVar("_T")


@dataclass(slots=True)
class Place:
    """Where in a store's life a sequence runs: `base` is the store's revision that stands for 1."""

    base: int
    chosen_leases: list[int] = field(default_factory=list)

    # -- from the sequence to the store

    def revision_there(self, revision: int) -> int:
        """0 means "none" or "now" everywhere, and stays."""
        return revision + self.base - 1 if revision else 0

    def lease_there(self, lease: int) -> int:
        return self.chosen_leases[-1] if lease == CHOSEN_LEASE and self.chosen_leases else lease

    def there(self, operation: Operation) -> Operation:
        """The operation as the store gets it."""
        match operation:
            case kv.Put(lease=lease):
                return replace(operation, lease=self.lease_there(lease))
            case kv.Range() | kv.Txn():
                return self._part_there(operation)
            case kv.Compact(revision=revision):
                return replace(operation, revision=self.revision_there(revision))
            case kv.WatchSpec(start_revision=revision):
                return replace(operation, start_revision=self.revision_there(revision))
            case kv.LeaseRevoke(lease_id=lease) | kv.LeaseTimeToLive(lease_id=lease):
                return replace(operation, lease_id=self.lease_there(lease))
            case kv.LeaseKeepAlive(lease_ids=leases):
                return replace(operation, lease_ids=tuple(map(self.lease_there, leases)))
            case _:
                return operation

    def _part_there(self, operation: kv.TxnOperation) -> kv.TxnOperation:
        match operation:
            case kv.Range():
                return replace(
                    operation,
                    revision=self.revision_there(operation.revision),
                    min_mod_revision=self.revision_there(operation.min_mod_revision),
                    max_mod_revision=self.revision_there(operation.max_mod_revision),
                    min_create_revision=self.revision_there(operation.min_create_revision),
                    max_create_revision=self.revision_there(operation.max_create_revision),
                )
            case kv.Put(lease=lease):
                return replace(operation, lease=self.lease_there(lease))
            case kv.Txn(compares=compares, success=success, failure=failure):
                return kv.Txn(
                    compares=tuple(map(self._compare_there, compares)),
                    success=tuple(map(self._part_there, success)),
                    failure=tuple(map(self._part_there, failure)),
                )
            case kv.DeleteRange():
                return operation

    def _compare_there(self, compare: kv.Compare) -> kv.Compare:
        operand = compare.operand
        match compare.target:
            case kv.CompareTarget.CREATE | kv.CompareTarget.MOD if isinstance(operand, int):
                return replace(compare, operand=self.revision_there(operand))
            case kv.CompareTarget.LEASE if isinstance(operand, int):
                return replace(compare, operand=self.lease_there(operand))
            case _:
                return compare

    # -- from the store to the sequence

    def revision_here(self, revision: int) -> int:
        return revision - self.base + 1 if revision else 0

    def lease_here(self, lease: int) -> int:
        """Leases that the store named are `CHOSEN_LEASE` and up, in the order in which it named them."""
        return self.chosen_leases.index(lease) + CHOSEN_LEASE if lease in self.chosen_leases else lease

    def pair_here(self, pair: kv.KeyValue) -> kv.KeyValue:
        return replace(
            pair,
            create_revision=self.revision_here(pair.create_revision),
            mod_revision=self.revision_here(pair.mod_revision),
            lease=self.lease_here(pair.lease),
        )

    def here(self, answer: Answer) -> Answer:
        """The answer as it is compared."""
        match answer:
            case Failed():
                return answer
            case Watched(events=events, ended=ended):
                return Watched(tuple(map(self._event_here, events)), ended)
            case kv.CommandFailed() | kv.DeleteResult() | kv.BatchResult() | kv.Done():
                raise TypeError(f"not an answer to what sequences ask: {answer}")
            case kv.GetResult() | kv.ExistsResult() | kv.ListKeysResult():
                raise TypeError(f"not an answer to what sequences ask: {answer}")
            case _:
                return self._result_here(answer)

    def _event_here(self, event: kv.WatchEvent) -> kv.WatchEvent:
        prev = None if event.prev is None else self.pair_here(event.prev)
        return replace(event, entry=self.pair_here(event.entry), prev=prev)

    def _result_here(self, result: _T) -> _T:
        found: object
        match result:
            case kv.PutResult(prev=prev):
                found = replace(result, prev=None if prev is None else self.pair_here(prev))
            case kv.RangeResult(entries=entries):
                found = replace(result, entries=tuple(map(self.pair_here, entries)))
            case kv.DeleteRangeResult(prev=pairs):
                found = replace(result, prev=tuple(map(self.pair_here, pairs)))
            case kv.TxnResult(results=results):
                found = replace(result, results=tuple(map(self._result_here, results)))
            case kv.CompactResult(compacted=compacted):
                found = replace(result, compacted=self.revision_here(compacted))
            case kv.LeaseGrantResult(lease_id=lease):
                found = replace(result, lease_id=self.lease_here(lease))
            case kv.ListLeasesResult(lease_ids=leases):
                found = replace(result, lease_ids=tuple(sorted(map(self.lease_here, leases))))
            case _:
                found = result
        return replace(found, revision=self.revision_here(result.revision))  # type: ignore[attr-defined, type-var]  # every result has one
