"""One sequence on both stores, and what differs."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace

from ferrite.core import kv
from tests.e2e.differential.answers import SILENT, Answer, Failed, OpenWatch, Operation, Place, Store, Watched
from tests.e2e.differential.divergences import explain
from tests.e2e.differential.sequences import Sequence

_EVERYTHING = kv.DeleteRange(key=b"\x00", range_end=kv.FROM_KEY)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two answers to one operation that are not the same."""

    position: int
    operation: Operation
    etcd: Answer
    ferrite: Answer

    def __str__(self) -> str:
        return (
            f"operation {self.position}: {self.operation}\n  etcd:    {self.etcd}\n  ferrite: {self.ferrite}"
        )


@dataclass(slots=True)
class Tally:
    """What was compared so far."""

    sequences: int = 0
    operations: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    events: int = 0
    explained: Counter[str] = field(default_factory=Counter)

    def count(self, operation: Operation, answer: Answer) -> None:
        self.operations += 1
        self.kinds[type(operation).__name__] += 1
        if isinstance(answer, Failed):
            self.refusals[answer.code] += 1
        if isinstance(answer, Watched):
            self.events += len(answer.events)

    def __str__(self) -> str:
        def listed(counter: Counter[str]) -> str:
            return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "none"

        return (
            f"{self.sequences} sequences, {self.operations} operations ({listed(self.kinds)})\n"
            f"refused alike: {listed(self.refusals)}; watch events: {self.events}\n"
            f"differences that are known and wanted: {listed(self.explained)}"
        )


class Unexplained(AssertionError):
    """Ferrite answered otherwise than etcd, and the table of divergences does not know why."""


async def compare(sequence: Sequence, etcd: Store, ferrite: Store, tally: Tally) -> None:
    """Run a sequence on both and count. Raises Unexplained."""
    theirs, ours = await asyncio.gather(_run(sequence, etcd), _run(sequence, ferrite))
    assert len(theirs) == len(ours), "each answered everything"
    tally.sequences += 1
    asked = (*sequence.operations, *_watches(sequence))
    for position, (operation, their, our) in enumerate(zip(asked, theirs, ours, strict=True)):
        tally.count(operation, our)
        if their == our and not _silent(our):
            continue
        difference = Difference(position, operation, their, our)
        known = explain(operation, their, our)
        if known is None:
            raise Unexplained(f"{difference}\nthe sequence: {sequence}")
        tally.explained[known.name] += 1
        if known.forks:
            return


def _silent(answer: Answer) -> bool:
    """Both silent is no agreement: events that must come did not."""
    return isinstance(answer, Watched) and answer.ended == SILENT


def _watches(sequence: Sequence) -> tuple[kv.WatchSpec, ...]:
    live = [each for each in sequence.operations if isinstance(each, kv.WatchSpec)]
    return (*live, *sequence.watches)


async def _run(sequence: Sequence, store: Store) -> list[Answer]:
    """Answers of all operations, and then those of all watches, live ones first."""
    place = Place(await _clear(store))
    answers: list[Answer] = []
    opened: list[OpenWatch | Failed] = []
    for operation in sequence.operations:
        there = place.there(operation)
        if isinstance(there, kv.WatchSpec):
            watch = await store.watch(there)
            opened.append(watch)
            answers.append(watch if isinstance(watch, Failed) else Watched(()))
            continue
        answer = await store.call(there)
        if isinstance(answer, kv.LeaseGrantResult) and not getattr(operation, "lease_id", 0):
            place.chosen_leases.append(answer.lease_id)
        answers.append(place.here(answer))
    for spec in sequence.watches:
        there = place.there(spec)
        assert isinstance(there, kv.WatchSpec), "a watch stays one"
        opened.append(await store.watch(there))
    compacted = max((each.compacted for each in answers if isinstance(each, kv.CompactResult)), default=0)
    watched = await _read_watches(store, place, _watches(sequence), opened)
    live = len(watched) - len(sequence.watches)
    answers += [_without_compacted(each, compacted) for each in watched[:live]] + watched[live:]
    return list(map(_comparable, answers))


async def _clear(store: Store) -> int:
    """No keys, no leases, no history; return the revision."""
    held = await store.call(kv.ListLeases())
    assert isinstance(held, kv.ListLeasesResult), held
    for lease_id in held.lease_ids:
        await store.call(kv.LeaseRevoke(lease_id=lease_id))
    await store.call(kv.Put(key=b"a"))
    deleted = await store.call(_EVERYTHING)
    assert isinstance(deleted, kv.DeleteRangeResult) and deleted.deleted, deleted
    compacted = await store.call(kv.Compact(revision=deleted.revision))
    assert isinstance(compacted, kv.CompactResult), compacted
    return deleted.revision


async def _read_watches(
    store: Store, place: Place, specs: tuple[kv.WatchSpec, ...], opened: list[OpenWatch | Failed]
) -> list[Answer]:
    """End the sequence with a put and a deletion of each watched key: the event by which a watch's reader knows the end."""
    ends: dict[bytes, tuple[int, int]] = {}
    for key in sorted({spec.key for spec in specs}):
        put = await store.call(kv.Put(key=key, value=b"end"))
        assert isinstance(put, kv.PutResult), put
        ends[key] = (put.revision, put.revision + 1)
        await store.call(kv.DeleteRange(key=key))

    async def read(spec: kv.WatchSpec, watch: OpenWatch | Failed) -> Answer:
        if isinstance(watch, Failed):
            return watch
        put_at, deleted_at = ends[spec.key]
        last = put_at if spec.no_deletes else deleted_at
        if place.revision_there(spec.start_revision) > last:
            last = 0  # From after the end of the sequence: nothing comes.
        watched = await watch.read(last)
        until = tuple(event for event in watched.events if event.entry.mod_revision <= last)
        return place.here(Watched(until, watched.ended))

    return list(await asyncio.gather(*map(read, specs, opened)))


def _without_compacted(answer: Answer, compacted: int) -> Answer:
    """What a live watch is told of a previous version depends on whether the event was sent before the version was compacted."""
    if not isinstance(answer, Watched):
        return answer
    return replace(
        answer,
        events=tuple(
            replace(event, prev=None) if event.entry.mod_revision <= compacted else event
            for event in answer.events
        ),
    )


def _comparable(answer: Answer) -> Answer:
    """Without what cannot be the same: times, and what etcd does not say at all."""
    match answer:
        case kv.LeaseTimeToLiveResult(remaining_us=remaining_us):
            return replace(answer, remaining_us=min(remaining_us, 0))
        case kv.LeaseRevokeResult():
            return replace(answer, deleted=0)
        case kv.TxnResult(results=results):
            return replace(answer, results=tuple(map(_comparable_part, results)))
        case _:
            return answer


def _comparable_part(result: kv.TxnOperationResult) -> kv.TxnOperationResult:
    """etcd gives a nested transaction no revision."""
    if not isinstance(result, kv.TxnResult):
        return result
    return replace(result, revision=0, results=tuple(map(_comparable_part, result.results)))
