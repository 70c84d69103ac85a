"""Bugs of durability: what is believed of the disk, what is read back from it, what is dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from ferrite.core import Index, Recovered, Replica, ReplicaConfig, actions, events
from ferrite.core.disk import LogCorrupt
from ferrite.core.disk.files import Files
from ferrite.core.disk.sectors import written_end
from ferrite.core.disk.segment import Owner
from ferrite.core.disk.torn import Cut
from ferrite.core.raft import Raft
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.planting import (
    believing,
    during,
    office_of,
    pretending,
    replaced,
    replica,
    together,
    told,
)


def _cut_anyway(honest: Callable[[bytes, int, int, Owner], Cut | None]) -> Any:
    def find(raw: bytes, number: int, offset: int, owner: Owner) -> Cut | None:
        try:
            return honest(raw, number, offset, owner)
        except LogCorrupt:
            return Cut(number=number, offset=offset, end=offset + written_end(raw[offset:]))

    return find


def _zeros_are_damage(honest: Callable[[Files], Any]) -> Any:
    def read(files: Files) -> Any:
        found = honest(files)
        if found is None:
            raise LogCorrupt("the durable mark holds zeros only")
        return found

    return read


class VotesWithALostTail(Replica):
    """A log that ends below its mark is taken for whole."""

    def __init__(self, config: ReplicaConfig, recovered: Recovered, now_us: int) -> None:
        super().__init__(config, replace(recovered, log=replace(recovered.log, lost_tail=None)), now_us)


class BelievesInFlushes(Replica):
    """The state counts as flushed when the flush is ordered."""

    def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
        ordered = super().step(given, now_us)
        if any(isinstance(action, actions.FlushState) for action in ordered):
            flushed = events.StateFlushed(applied_index=self._raft.applied_index)
            ordered += super().step([flushed], now_us)
        return ordered


def _all_is_durable(raft: Raft) -> AbstractContextManager[None]:
    return pretending(raft.disk, "persisted_index", raft.log.last_index)


def _load_all(_honest: Any) -> Any:
    def order(raft: Raft, first_index: Index, end_index: int, *, urgent: bool = False) -> None:
        if urgent or raft.load_wanted is None:
            raft.load_wanted = (first_index, Index(end_index))

    return order


DISKS = (
    Mutant(
        number=16,
        name="acknowledges-before-sync",
        sentence="A follower acknowledges entries before they are durable.",
        provenance="`--unsafe-no-fsync` in jepsen.etcd",
        needs="nothing: the check sees the answer leave; to do harm, a power loss",
        plant=believing(lambda raft, persist: bool(persist.entries) and office_of(raft) is None),
    ),
    Mutant(
        number=17,
        name="leader-counts-itself-early",
        sentence="A leader counts its own entries before they are durable.",
        provenance="etcd #14370",
        needs="a leader whose disk is slower than a follower and the way there and back; or a single node",
        plant=believing(lambda raft, persist: bool(persist.entries) and office_of(raft) is not None),
    ),
    Mutant(
        number=18,
        name="sync-error-ignored",
        sentence="A failed sync is taken for a good one.",
        provenance="fsyncgate (PostgreSQL, 2018)",
        needs="a failed sync",
        plant=told(events.PersistFailed, lambda _raft, event: events.Persisted(write_seq=event.write_seq)),
    ),
    Mutant(
        number=19,
        name="cuts-at-damage",
        sentence="Recovery cuts the log at damage in its middle, and the node goes on voting.",
        provenance="Protocol-aware recovery (Alagappan 2018): LogCabin, ZooKeeper",
        needs="damaged bytes below the end of the log",
        plant=together(
            replaced(_cut_anyway, "ferrite.core.disk.recovery:find_cut"),
            replaced(
                lambda _honest: lambda _replay, _mark: None, "ferrite.core.disk.recovery:_judge_by_mark"
            ),
        ),
    ),
    Mutant(
        number=37,
        name="loads-the-unwritten",
        sentence="A load reaches into entries whose write is ordered after it.",
        provenance="Ferrite, found by the simulator",
        needs="no room for payloads in memory, and a slow peer",
        plant=replaced(_load_all, "ferrite.core.replication:order_load", "ferrite.core.upkeep:order_load"),
    ),
    Mutant(
        number=39,
        name="zero-mark-is-damage",
        sentence="A durable mark of zeros, which a power loss while it is made leaves, keeps the node from starting.",
        provenance="Ferrite, found by the simulator",
        needs="power lost within the very first write of a node",
        plant=replaced(_zeros_are_damage, "ferrite.core.disk.recovery:read_mark"),
    ),
    Mutant(
        number=40,
        name="votes-with-lost-tail",
        sentence="A node whose log lost what it had acknowledged votes and campaigns.",
        provenance="etcd #3504, openraft FAQ 07",
        needs="a disk that loses synced entries of a node",
        plant=replica(VotesWithALostTail),
    ),
    Mutant(
        number=43,
        name="applies-before-durable",
        sentence="Committed entries are applied before they are durable in the own log.",
        provenance="etcd #14370, its kin",
        needs="a follower whose disk is slower than the commit; to do harm, a power loss",
        plant=during("ferrite.core.replica:order_apply", _all_is_durable),
    ),
    Mutant(
        number=44,
        name="discards-unflushed",
        sentence="A flush is believed at the moment it is ordered, and the log below is let go.",
        provenance="etcd #13766, its kin",
        needs="a log long enough to be cut; to do harm, a power loss before the flush ends",
        plant=replica(BelievesInFlushes),
    ),
    Mutant(
        number=50,
        name="aba",
        sentence="A write that was overwritten on its way counts as durable for what stands there now.",
        provenance="etcd-io/raft, async storage writes append ABA race",
        needs="a truncation while entries of the same places are on their way to a slow disk",
        plant=replaced(
            lambda _honest: lambda _disk, _first_index: None, "ferrite.core.disk_state:DiskState._cap_pending"
        ),
    ),
)
