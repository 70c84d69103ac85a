"""The data model a second time, as plainly as it can be said: what `docs/kv.md` promises, on dictionaries, with all history.

The witness check runs it beside the real machine over the committed log. It shares the operations' and answers' types with the
machine, and no code. What a request of a session did before, and what a door refuses, is not its business.
"""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from ferrite.core.kv import (
    Batch,
    BatchResult,
    CommandErrorCode,
    CommandFailed,
    CommandResult,
    Compact,
    CompactResult,
    Compare,
    CompareResult,
    CompareTarget,
    Delete,
    DeleteRange,
    DeleteRangeResult,
    DeleteResult,
    Done,
    KeyValue,
    LeaseGrant,
    LeaseGrantResult,
    LeaseKeepAlive,
    LeaseKeepAliveResult,
    LeaseRevoke,
    LeaseRevokeResult,
    LeaseTimeToLive,
    LeaseTimeToLiveResult,
    Operation,
    Put,
    PutResult,
    Range,
    RangeResult,
    SetNoSpace,
    SortOrder,
    SortTarget,
    Tick,
    Txn,
    TxnOperationResult,
    TxnResult,
)

SECOND_US: Final = 1_000_000
TTL_MIN_S: Final = 2
ENDED_TOGETHER_MAX: Final = 64
FIRST_REVISION: Final = 1

_RELATIONS: Final[dict[CompareResult, Callable[[Any, Any], bool]]] = {
    CompareResult.EQUAL: operator.eq,
    CompareResult.GREATER: operator.gt,
    CompareResult.LESS: operator.lt,
    CompareResult.NOT_EQUAL: operator.ne,
}
_FIELDS: Final[dict[CompareTarget, Callable[[KeyValue], int | bytes]]] = {
    CompareTarget.VERSION: lambda entry: entry.version,
    CompareTarget.CREATE: lambda entry: entry.create_revision,
    CompareTarget.MOD: lambda entry: entry.mod_revision,
    CompareTarget.VALUE: lambda entry: entry.value,
    CompareTarget.LEASE: lambda entry: entry.lease,
}
_ORDERS: Final[dict[SortTarget, Callable[[KeyValue], Any]]] = {
    SortTarget.KEY: lambda entry: entry.key,
    SortTarget.VERSION: lambda entry: entry.version,
    SortTarget.CREATE: lambda entry: entry.create_revision,
    SortTarget.MOD: lambda entry: entry.mod_revision,
    SortTarget.VALUE: lambda entry: entry.value,
}


def within(key: bytes, start: bytes, range_end: bytes) -> bool:
    """Is the key in the range, as etcd writes ranges?"""
    if not range_end:
        return key == start
    return start <= key and (range_end == b"\x00" or key < range_end)


@dataclass(slots=True, kw_only=True, frozen=True)
class Changed:
    """One change of a key: what it is now and was before; None when it is not, or was not, there."""

    key: bytes
    now: KeyValue | None
    before: KeyValue | None


@dataclass(slots=True)
class Lease:
    """Ends with the first Tick at or after `deadline_us`, cluster time."""

    ttl_s: int
    deadline_us: int


class _Failed(Exception):
    """The command changes nothing. Carries the code."""


@dataclass(slots=True)
class KvModel:
    """The store as the committed log makes it. `execute` must be told every command that takes effect, in order."""

    revision: int = FIRST_REVISION
    compacted: int = 0
    time_us: int = 0
    no_space: bool = False
    present: dict[bytes, KeyValue] = field(default_factory=dict)
    versions: dict[bytes, list[tuple[int, KeyValue | None]]] = field(default_factory=dict)
    """key -> (revision, what it became), ascending; None is a deletion. Nothing is ever removed."""
    changes: dict[int, list[Changed]] = field(default_factory=dict)
    """Revision -> its changes, in the order in which they were made."""
    leases: dict[int, Lease] = field(default_factory=dict)
    _open: list[Changed] = field(default_factory=list)
    """Changes of the revision that is being made."""

    def execute(self, command: Operation) -> CommandResult:
        """Carry a command out and return its answer; of a failure only the code counts."""
        try:
            return self._carry_out(command)
        except _Failed as failed:
            assert not self._open, "what fails is found out before anything changes"
            return CommandFailed(code=failed.args[0], detail="", revision=self.revision)

    def state_at(self, revision: int, start: bytes, range_end: bytes) -> list[KeyValue]:
        """The keys of a range that were there at a revision, ascending. O(all keys)."""
        if revision >= self._now:
            found: Iterator[KeyValue] = (
                entry for key, entry in self.present.items() if within(key, start, range_end)
            )
        else:
            found = self._past(revision, start, range_end)
        return sorted(found, key=lambda entry: entry.key)

    def _past(self, revision: int, start: bytes, range_end: bytes) -> Iterator[KeyValue]:
        for key, versions in self.versions.items():
            if within(key, start, range_end):
                place = bisect_right(versions, revision, key=lambda version: version[0])
                entry = versions[place - 1][1] if place else None
                if entry is not None:
                    yield entry

    def answer_range(self, query: Range, revision: int) -> RangeResult:
        """What a range read returns that was served when the store was at `revision`. Limits of the server are not met."""
        everything = self.state_at(query.revision or revision, query.key, query.range_end)
        if query.count_only:
            return RangeResult(revision=revision, entries=(), more=False, count=len(everything))
        passing = [
            entry
            for entry in everything
            if _between(entry.mod_revision, query.min_mod_revision, query.max_mod_revision)
            and _between(entry.create_revision, query.min_create_revision, query.max_create_revision)
        ]
        # Sorting is stable, so that equal ones stay in the order of keys, also when it is descending.
        passing.sort(key=_ORDERS[query.sort_target], reverse=query.sort_order == SortOrder.DESCEND)
        entries = passing[: query.limit] if query.limit else passing
        if query.keys_only:
            entries = [_without_value(entry) for entry in entries]
        count = len(everything) if query.with_count else -1
        return RangeResult(
            revision=revision, entries=tuple(entries), more=len(passing) > len(entries), count=count
        )

    # ------------------------------------------------------------------------------------------------ commands

    def _carry_out(self, command: Operation) -> CommandResult:
        match command:
            case Put():
                self._need_space(command)
                self._need(command, lease_first=True)
                result: CommandResult = self._put(command)
            case Delete(key=key):
                existed = self._delete(key) is not None
                result = DeleteResult(revision=self._now, existed=existed)
            case Batch():
                self._need_space(command)
                result = self._batch(command)
            case DeleteRange():
                result = self._delete_range(command)
            case Txn():
                self._need_space(command)
                chosen = self._choose(command)
                self._check_path(chosen)
                result = self._run(chosen)
            case Compact() | LeaseGrant() | LeaseRevoke() | LeaseKeepAlive() | LeaseTimeToLive() | Tick():
                return self._special(command)
            case SetNoSpace(on=on):
                self.no_space = on
                return Done(revision=self.revision)
            case _:
                assert_never(command)
        self._close()
        return result

    def _special(
        self, command: Compact | LeaseGrant | LeaseRevoke | LeaseKeepAlive | LeaseTimeToLive | Tick
    ) -> CommandResult:
        match command:
            case Compact(revision=revision):
                self._readable(revision, lowest=self.compacted + 1)
                self.compacted = revision
                return CompactResult(revision=self.revision, compacted=revision)
            case LeaseGrant():
                return self._grant(command)
            case LeaseRevoke(lease_id=lease_id):
                if lease_id not in self.leases:
                    raise _Failed(CommandErrorCode.LEASE_NOT_FOUND)
                deleted = self._end(lease_id)
                return LeaseRevokeResult(revision=self.revision, deleted=deleted)
            case LeaseKeepAlive(lease_ids=lease_ids):
                ttls_s = tuple(self._renew(lease_id) for lease_id in lease_ids)
                return LeaseKeepAliveResult(revision=self.revision, ttls_s=ttls_s)
            case LeaseTimeToLive(lease_id=lease_id, with_keys=with_keys):
                return self._time_to_live(lease_id, with_keys=with_keys)
            case Tick():
                self._end_due()
                return Done(revision=self.revision)
            case _:
                assert_never(command)

    @property
    def _now(self) -> int:
        """The revision as a command sees it: its own as soon as it changed something."""
        return self.revision + bool(self._open)

    def _close(self) -> None:
        if not self._open:
            return
        self.revision += 1
        self.changes[self.revision] = self._open
        for change in self._open:
            self.versions.setdefault(change.key, []).append((self.revision, change.now))
        self._open = []

    def _readable(self, revision: int, *, lowest: int) -> None:
        if revision > self.revision:
            raise _Failed(CommandErrorCode.FUTURE_REVISION)
        if revision < lowest:
            raise _Failed(CommandErrorCode.COMPACTED)

    # ------------------------------------------------------------------------------------------------ changes

    def _need_space(self, command: Put | Batch | Txn) -> None:
        if self.no_space and _may_put(command):
            raise _Failed(CommandErrorCode.NO_SPACE)

    def _need(self, put: Put, *, lease_first: bool) -> None:
        lease_missing = bool(put.lease) and put.lease not in self.leases
        key_missing = (put.ignore_value or put.ignore_lease) and put.key not in self.present
        if lease_missing and (lease_first or not key_missing):
            raise _Failed(CommandErrorCode.LEASE_NOT_FOUND)
        if key_missing:
            raise _Failed(CommandErrorCode.KEY_NOT_FOUND)

    def _put(self, put: Put) -> PutResult:
        before = self.present.get(put.key)
        revision = self.revision + 1
        value, lease = put.value, put.lease
        if before is not None:
            value = before.value if put.ignore_value else value
            lease = before.lease if put.ignore_lease else lease
        now = KeyValue(
            key=put.key,
            value=value,
            create_revision=before.create_revision if before else revision,
            mod_revision=revision,
            version=before.version + 1 if before else 1,
            lease=lease,
        )
        self.present[put.key] = now
        self._open.append(Changed(key=put.key, now=now, before=before))
        return PutResult(revision=revision, prev=before if put.prev_kv else None)

    def _delete(self, key: bytes) -> KeyValue | None:
        before = self.present.pop(key, None)
        if before is not None:
            self._open.append(Changed(key=key, now=None, before=before))
        return before

    def _batch(self, batch: Batch) -> BatchResult:
        existed = tuple(each.key in self.present for each in batch.operations)
        for each in batch.operations:
            if isinstance(each, Put):
                self._put(each)
            else:
                self._delete(each.key)
        return BatchResult(revision=self._now, existed=existed)

    def _delete_range(self, command: DeleteRange) -> DeleteRangeResult:
        gone = sorted(
            (entry for key, entry in self.present.items() if within(key, command.key, command.range_end)),
            key=lambda entry: entry.key,
        )
        for entry in gone:
            self._delete(entry.key)
        return DeleteRangeResult(
            revision=self._now, deleted=len(gone), prev=tuple(gone) if command.prev_kv else ()
        )

    # ------------------------------------------------------------------------------------------------ transactions

    def _choose(self, txn: Txn) -> tuple[bool, list[Any]]:
        """(do the compares hold, operations to run); transactions within likewise. All on the state before."""
        holds = all(self._holds(compare) for compare in txn.compares)
        branch = txn.success if holds else txn.failure
        return holds, [self._choose(each) if isinstance(each, Txn) else each for each in branch]

    def _holds(self, compare: Compare) -> bool:
        relation = _RELATIONS[compare.result]
        found = [entry for key, entry in self.present.items() if within(key, compare.key, compare.range_end)]
        if not found:
            return compare.target != CompareTarget.VALUE and relation(0, compare.operand)
        return all(relation(_FIELDS[compare.target](entry), compare.operand) for entry in found)

    def _check_path(self, chosen: tuple[bool, list[Any]]) -> None:
        leaves = list(_leaves(chosen))
        for each in leaves:
            if isinstance(each, Put):
                self._need(each, lease_first=False)
        for each in leaves:
            if isinstance(each, Range) and each.revision:
                self._readable(each.revision, lowest=self.compacted)

    def _run(self, chosen: tuple[bool, list[Any]]) -> TxnResult:
        holds, operations = chosen
        results: list[TxnOperationResult] = []
        for each in operations:
            match each:
                case Put():
                    results.append(self._put(each))
                case DeleteRange():
                    results.append(self._delete_range(each))
                case Range():
                    results.append(self._range_within(each))
                case _:
                    results.append(self._run(each))
        return TxnResult(revision=self._now, succeeded=holds, results=tuple(results))

    def _range_within(self, query: Range) -> RangeResult:
        # What the transaction changed so far is in `present` already, and has the revision that comes.
        return self.answer_range(query, self._now)

    # ------------------------------------------------------------------------------------------------ leases

    def _grant(self, command: LeaseGrant) -> LeaseGrantResult:
        if self.no_space:
            raise _Failed(CommandErrorCode.NO_SPACE)
        if command.lease_id in self.leases:
            raise _Failed(CommandErrorCode.LEASE_EXISTS)
        ttl_s = max(command.ttl_s, TTL_MIN_S)
        self.leases[command.lease_id] = Lease(ttl_s, self.time_us + ttl_s * SECOND_US)
        return LeaseGrantResult(revision=self.revision, lease_id=command.lease_id, ttl_s=ttl_s)

    def _renew(self, lease_id: int) -> int:
        lease = self.leases.get(lease_id)
        if lease is None:
            return 0
        lease.deadline_us = self.time_us + lease.ttl_s * SECOND_US
        return lease.ttl_s

    def keys_of(self, lease_id: int) -> list[bytes]:
        """The keys that are attached to a lease, ascending."""
        return sorted(key for key, entry in self.present.items() if entry.lease == lease_id)

    def _end(self, lease_id: int) -> int:
        """All keys of a lease vanish at one revision, in key order."""
        keys = self.keys_of(lease_id)
        for key in keys:
            self._delete(key)
        self._close()
        del self.leases[lease_id]
        return len(keys)

    def _end_due(self) -> None:
        due = sorted(
            (lease.deadline_us, lease_id)
            for lease_id, lease in self.leases.items()
            if lease.deadline_us <= self.time_us
        )
        for _, lease_id in due[:ENDED_TOGETHER_MAX]:
            self._end(lease_id)

    def _time_to_live(self, lease_id: int, *, with_keys: bool) -> LeaseTimeToLiveResult:
        lease = self.leases.get(lease_id)
        if lease is None:
            return LeaseTimeToLiveResult(revision=self.revision, remaining_us=-1)
        return LeaseTimeToLiveResult(
            revision=self.revision,
            remaining_us=max(0, lease.deadline_us - self.time_us),
            granted_ttl_s=lease.ttl_s,
            keys=tuple(self.keys_of(lease_id)) if with_keys else (),
        )


def _leaves(chosen: tuple[bool, list[Any]]) -> Iterator[Put | DeleteRange | Range]:
    for each in chosen[1]:
        if isinstance(each, tuple):
            yield from _leaves(each)
        else:
            yield each


def _may_put(command: Operation) -> bool:
    match command:
        case Put():
            return True
        case Batch(operations=operations):
            return any(isinstance(each, Put) for each in operations)
        case Txn(success=success, failure=failure):
            return any(_may_put(each) for each in (*success, *failure) if isinstance(each, Put | Txn))
        case _:
            return False


def _between(number: int, low: int, high: int) -> bool:
    return (not low or number >= low) and (not high or number <= high)


def _without_value(entry: KeyValue) -> KeyValue:
    return KeyValue(
        key=entry.key,
        value=b"",
        create_revision=entry.create_revision,
        mod_revision=entry.mod_revision,
        version=entry.version,
        lease=entry.lease,
    )
