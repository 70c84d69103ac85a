"""Bugs of the data model: transactions, compaction, leases, the space quota."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ferrite.core import EntryKind, payload_kind
from ferrite.core.kv import DeleteRange, LeaseKeepAlive, Put, Range, Tick, Txn, TxnResult
from ferrite.core.kv.changes import delete_range, put
from ferrite.core.kv.compaction import _remove
from ferrite.core.kv.execute import _check_space
from ferrite.core.kv.housekeeping import LOOK_US
from ferrite.core.kv.leases import end_due, keep_alive
from ferrite.core.kv.ranges import Budget, ReadLimits, read_range
from ferrite.core.kv.records import Change
from ferrite.core.kv.txn import _holds
from ferrite.core.kv.workspace import Workspace
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.planting import replaced, together


def _any_command_ends_leases(honest: Callable[..., Any]) -> Callable[..., Any]:
    def execute(work: Workspace, operation: Any) -> Any:
        end_due(work)
        return honest(work, operation)

    return execute


def _no_ticks(honest: Callable[..., Any]) -> Callable[..., Any]:
    def consider(keeper: Any, cluster_time_us: int | None, facts: Any) -> Any:
        command, wait_us = honest(keeper, cluster_time_us, facts)
        return (None, LOOK_US) if isinstance(command, Tick) else (command, wait_us)

    return consider


def _compares_late(_honest: Callable[..., Any]) -> Callable[..., Any]:
    def run(work: Workspace, txn: Txn) -> TxnResult:
        holds = all(_holds(work.view, compare) for compare in txn.compares)
        results: list[Any] = []
        for each in txn.success if holds else txn.failure:
            match each:
                case Put():
                    results.append(put(work, each))
                case DeleteRange():
                    results.append(delete_range(work, each))
                case Range():
                    results.append(read_range(work.view, each, Budget(ReadLimits())))
                case Txn():
                    results.append(run(work, each))
        return TxnResult(revision=work.writer.revision, succeeded=holds, results=tuple(results))

    return run


def _takes_the_mark_along(honest: Callable[..., Any]) -> Callable[..., Any]:
    def clear(work: Workspace, change: Change, sub: int, size_bytes: int) -> None:
        honest(work, change, sub, size_bytes)
        if change.mod_revision == work.meta.sweep_to_revision and not change.deleted:
            _remove(work, change.key, change.mod_revision, sub, size_bytes)

    return clear


def _a_new_term_renews(honest: Callable[..., Any]) -> Callable[..., Any]:
    def apply_entry(step: Any, entry: Any, identity: Any) -> Any:
        outcome = honest(step, entry, identity)
        if payload_kind(entry.payload) == EntryKind.NOOP:
            layout = step.work.layout
            all_leases = [
                layout.split_lease(place) for place, _ in step.overlay.scan(*layout.leases_after(0))
            ]
            keep_alive(step.work, LeaseKeepAlive(lease_ids=tuple(all_leases)))
        return outcome

    return apply_entry


def _full_for_deletes(honest: Callable[..., Any]) -> Callable[..., Any]:
    def delete(work: Workspace, operation: Any) -> Any:
        _check_space(work)
        return honest(work, operation)

    return delete


STORE = (
    Mutant(
        number=60,
        name="lease-ends-without-a-tick",
        sentence="Whatever command comes ends the leases whose time is over; nobody proposes Ticks.",
        provenance="etcd #14685's kin: expiry decided beside the log's own command",
        needs="leases that are left to expire",
        plant=together(
            replaced(_any_command_ends_leases, "ferrite.core.kv.execute:_carry_out"),
            replaced(_no_ticks, "ferrite.core.kv.housekeeping:Housekeeper.consider"),
        ),
    ),
    Mutant(
        number=61,
        name="compares-see-own-writes",
        sentence="The compares of a nested transaction see what the outer one did.",
        provenance="etcd's documentation of nested transactions",
        needs="nested transactions behind a put",
        plant=replaced(_compares_late, "ferrite.core.kv.execute:run_txn"),
    ),
    Mutant(
        number=62,
        name="compaction-takes-the-mark-along",
        sentence="Compaction removes the version at the revision that it compacts to.",
        provenance="etcd #18089, #19179's kin",
        needs="compaction, and a read at its mark or above",
        plant=replaced(_takes_the_mark_along, "ferrite.core.kv.compaction:_clear"),
    ),
    Mutant(
        number=63,
        name="expiry-restarts-with-the-leader",
        sentence="A new leader's term gives every lease its whole time again.",
        provenance="etcd before checkpoints of leases, #13766's kin",
        needs="leases, and leaders that change",
        plant=replaced(_a_new_term_renews, "ferrite.core.kv.machine:_Step.apply_entry"),
    ),
    Mutant(
        number=64,
        name="full-for-deletes",
        sentence="A store without space refuses deletions.",
        provenance="etcd's NOSPACE alarm, which must not lock its way out",
        needs="a small quota",
        plant=replaced(_full_for_deletes, "ferrite.core.kv.execute:_delete"),
    ),
)
