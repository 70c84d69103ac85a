"""The log as a plain list: what `LogStore` must agree with, and how to compare the two."""

from dataclasses import dataclass, field, replace

from ferrite.core import (
    NO_CLUSTER,
    Entry,
    EntryKind,
    HardState,
    Identity,
    Index,
    NodeId,
    RecoveredLog,
    Term,
    encode_payload,
)
from ferrite.core.actions import Persist
from ferrite.core.disk import LogOptions, LogStore
from tests.core.disk.two_images import TwoImages

CLUSTER = b"cluster-16-bytes"
NODE = Identity(node_id=NodeId(3), instance=b"instance-16bytes", boot=1)
SMALL = LogOptions(segment_bytes=4096, record_bytes_max=700, spare_slice_bytes=1024, tail_bytes_max=3000)


@dataclass(kw_only=True, slots=True)
class Model:
    """`entries[i]` has index `base_index + 1 + i`."""

    hard_state: HardState = field(default_factory=HardState)
    base_index: int = 0
    base_term: int = 0
    entries: tuple[Entry, ...] = ()
    write_seq: int = 0

    @property
    def last_index(self) -> int:
        return self.base_index + len(self.entries)

    @property
    def last_term(self) -> int:
        return self.entries[-1].term if self.entries else self.base_term

    def after(self, persist: Persist) -> "Model":
        after = replace(self, write_seq=persist.write_seq)
        if persist.hard_state is not None:
            after.hard_state = persist.hard_state
        if persist.base is not None:
            (after.base_index, after.base_term), after.entries = persist.base, ()
        if persist.truncate:
            after.entries = after.entries[: persist.first_index - after.base_index - 1]
        after.entries += persist.entries
        return after

    def stages(self, persist: Persist) -> list["Model"]:
        """Every state that a crash within this write may leave: before it, or with a beginning of its entries."""
        return [
            self,
            *(
                self.after(replace(persist, entries=persist.entries[:count]))
                for count in range(len(persist.entries) + 1)
            ),
        ]


def entry(term: int, body: bytes = b"", kind: EntryKind = EntryKind.COMMAND) -> Entry:
    return Entry(Term(term), encode_payload(kind, 7, body))


def begin(term: int = 1) -> Persist:
    return Persist(
        write_seq=1,
        first_index=Index(1),
        hard_state=HardState(cluster_id=CLUSTER, term=Term(term), voted_for=NodeId(3)),
    )


def put(write_seq: int, first_index: int, *entries: Entry, truncate: bool = False) -> Persist:
    return Persist(write_seq=write_seq, first_index=Index(first_index), entries=entries, truncate=truncate)


def reopen(files: TwoImages, options: LogOptions = SMALL) -> tuple[LogStore, RecoveredLog]:
    return LogStore.open(files, NODE, options=options)


def all_entries(store: LogStore) -> tuple[Entry, ...]:
    if store.last_index < store.first_index:
        return ()
    return store.load(store.first_index, store.last_index + 1, 1 << 40)


def agrees(model: Model, store: LogStore, log: RecoveredLog) -> bool:
    """Is this what was recovered? The log may begin later than the model's, where segments were discarded."""
    kept = model.entries[log.base_index - model.base_index :]
    memberships = tuple(
        (index, item.payload)
        for index, item in enumerate(kept, log.base_index + 1)
        if item.payload[0] == EntryKind.MEMBERSHIP
    )
    base_term = model.base_term if log.base_index == model.base_index else None
    if log.base_index > model.base_index and log.base_index <= model.last_index:
        base_term = model.entries[log.base_index - model.base_index - 1].term
    return (
        log.base_index >= model.base_index
        and log.base_term == base_term
        and log.hard_state == (model.hard_state if model.hard_state.cluster_id != NO_CLUSTER else HardState())
        and log.last_index == model.last_index
        and all_entries(store) == kept
        and log.tail == (kept[len(kept) - len(log.tail) :])
        and log.tail_first_index == log.last_index + 1 - len(log.tail)
        and log.memberships == memberships
        and log.term_runs == runs(log.base_index + 1, kept)
    )


def runs(first_index: int, entries: tuple[Entry, ...]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for index, item in enumerate(entries, first_index):
        if not found or found[-1][1] != item.term:
            found.append((index, item.term))
    return tuple(found)
