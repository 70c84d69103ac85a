"""etcd's data model, said as simply as possible: the whole state of every revision is kept. Slow, and written without a look at
the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from ferrite.core.kv import (
    Batch,
    BatchResult,
    CommandErrorCode,
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
    TxnOperation,
    TxnOperationResult,
    TxnResult,
)

State = dict[bytes, KeyValue]


class Failed(Exception):
    """Refused with one of these codes; which one of several mistakes is named first is nobody's business."""

    def __init__(self, *codes: CommandErrorCode) -> None:
        super().__init__(*codes)
        self.codes = set(codes)


@dataclass
class LeaseState:
    ttl_s: int
    deadline_us: int


def inside(key: bytes, first: bytes, range_end: bytes) -> bool:
    if not range_end:
        return key == first
    return first <= key if range_end == b"\x00" else first <= key < range_end


def paths(operations: tuple[TxnOperation, ...]) -> Iterator[list[Put | DeleteRange | Range]]:
    """Every sequence of single operations that may run."""
    if not operations:
        yield []
        return
    first, *rest = operations
    for tail in paths(tuple(rest)):
        if isinstance(first, Txn):
            for branch in (first.success, first.failure):
                for head in paths(branch):
                    yield head + tail
        else:
            yield [first, *tail]


def everything(txn: Txn) -> Iterator[Compare | Put | DeleteRange | Range]:
    yield from txn.compares
    for operation in (*txn.success, *txn.failure):
        if isinstance(operation, Txn):
            yield from everything(operation)
        else:
            yield operation


@dataclass
class EtcdModel:
    states: list[State] = field(default_factory=lambda: [{}, {}])
    """By revision."""
    events: dict[int, list[tuple[bytes, KeyValue | None]]] = field(default_factory=dict)
    """By revision: what became of which key, in order."""
    leases: dict[int, LeaseState] = field(default_factory=dict)
    compacted: int = 0
    no_space: bool = False
    time_us: int = 0

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    @property
    def now(self) -> State:
        return self.states[-1]

    # -- commands

    def apply(self, operation: Operation, time_us: int) -> CommandResult:
        """Raises Failed."""
        self.time_us = max(self.time_us, time_us)
        match operation:
            case Put(lease=lease):
                self.check_shape(Txn(success=(operation,)))
                if lease and lease not in self.leases and not self.no_space:
                    raise Failed(CommandErrorCode.LEASE_NOT_FOUND)
                result = self.txn(Txn(success=(operation,))).results[0]
                assert isinstance(result, PutResult)
                return result
            case Delete(key=key):
                result = self.txn(Txn(success=(DeleteRange(key=key),))).results[0]
                assert isinstance(result, DeleteRangeResult)
                return DeleteResult(revision=result.revision, existed=bool(result.deleted))
            case DeleteRange():
                result = self.txn(Txn(success=(operation,))).results[0]
                assert isinstance(result, DeleteRangeResult)
                return result
            case Batch(operations=singles):
                return self.batch(singles)
            case Txn():
                return self.txn(operation)
            case Compact(revision=revision):
                return self.compact(revision)
            case Tick():
                due = sorted((each.deadline_us, lease_id) for lease_id, each in self.leases.items())
                for deadline_us, lease_id in due[:64]:
                    if deadline_us <= self.time_us:
                        self.end(lease_id)
                return Done(revision=self.revision)
            case SetNoSpace(on=on):
                self.no_space = on
                return Done(revision=self.revision)
            case _:
                return self.lease_command(operation)

    def batch(self, singles: tuple[Put | Delete, ...]) -> BatchResult:
        keys = [single.key for single in singles]
        if b"" in keys or len(set(keys)) < len(keys):
            raise Failed(CommandErrorCode.INVALID)
        existed = tuple(key in self.now for key in keys)
        self.txn(
            Txn(success=tuple(one if isinstance(one, Put) else DeleteRange(key=one.key) for one in singles))
        )
        return BatchResult(revision=self.revision, existed=existed)

    def compact(self, revision: int) -> CompactResult:
        if revision <= self.compacted:
            raise Failed(CommandErrorCode.COMPACTED)
        if revision > self.revision:
            raise Failed(CommandErrorCode.FUTURE_REVISION)
        self.compacted = revision
        return CompactResult(revision=self.revision, compacted=revision)

    # -- leases

    def lease_command(
        self, operation: LeaseGrant | LeaseRevoke | LeaseKeepAlive | LeaseTimeToLive
    ) -> CommandResult:
        match operation:
            case LeaseGrant(lease_id=lease_id, ttl_s=ttl_s):
                if not lease_id or ttl_s > 9_000_000_000:
                    raise Failed(CommandErrorCode.INVALID, *[CommandErrorCode.NO_SPACE] * self.no_space)
                if self.no_space:
                    raise Failed(CommandErrorCode.NO_SPACE)
                if lease_id in self.leases:
                    raise Failed(CommandErrorCode.LEASE_EXISTS)
                ttl_s = max(2, ttl_s)
                self.leases[lease_id] = LeaseState(ttl_s, self.time_us + ttl_s * 1_000_000)
                return LeaseGrantResult(revision=self.revision, lease_id=lease_id, ttl_s=ttl_s)
            case LeaseRevoke(lease_id=lease_id):
                if lease_id not in self.leases:
                    raise Failed(CommandErrorCode.LEASE_NOT_FOUND)
                deleted = self.end(lease_id)
                return LeaseRevokeResult(revision=self.revision, deleted=deleted)
            case LeaseKeepAlive(lease_ids=lease_ids):
                for lease_id in lease_ids:
                    if lease_id in self.leases:
                        lease = self.leases[lease_id]
                        lease.deadline_us = self.time_us + lease.ttl_s * 1_000_000
                ttls_s = tuple(self.leases[each].ttl_s if each in self.leases else 0 for each in lease_ids)
                return LeaseKeepAliveResult(revision=self.revision, ttls_s=ttls_s)
            case LeaseTimeToLive(lease_id=lease_id, with_keys=with_keys):
                if lease_id not in self.leases:
                    return LeaseTimeToLiveResult(revision=self.revision, remaining_us=-1)
                lease = self.leases[lease_id]
                return LeaseTimeToLiveResult(
                    revision=self.revision,
                    remaining_us=max(0, lease.deadline_us - self.time_us),
                    granted_ttl_s=lease.ttl_s,
                    keys=tuple(self.attached(lease_id)) if with_keys else (),
                )

    def attached(self, lease_id: int) -> list[bytes]:
        return sorted(key for key, entry in self.now.items() if entry.lease == lease_id)

    def end(self, lease_id: int) -> int:
        keys = self.attached(lease_id)
        del self.leases[lease_id]
        self.commit(_Work(self, dict(self.now), [(key, None) for key in keys]))
        return len(keys)

    # -- transactions

    def commit(self, work: _Work) -> None:
        if work.events:
            for key, entry in work.events:
                if entry is None:
                    work.state.pop(key, None)
            self.states.append(work.state)
            self.events[self.revision] = work.events

    def txn(self, txn: Txn) -> TxnResult:
        self.check_shape(txn)
        puts = any(isinstance(each, Put) for each in everything(txn))
        if puts and self.no_space:
            raise Failed(CommandErrorCode.NO_SPACE)
        work = _Work(self, dict(self.now), [])
        path = list(self.path(txn))
        for operation in path:
            if isinstance(operation, Put):
                if (operation.ignore_value or operation.ignore_lease) and operation.key not in self.now:
                    raise Failed(CommandErrorCode.KEY_NOT_FOUND)
                if operation.lease and operation.lease not in self.leases:
                    raise Failed(CommandErrorCode.LEASE_NOT_FOUND)
        for operation in path:
            if isinstance(operation, Range):
                self.check_revision(operation.revision)
        result = work.run(txn)
        self.commit(work)
        return result

    def check_shape(self, txn: Txn) -> None:
        wrong: set[CommandErrorCode] = set()
        for each in everything(txn):
            if not each.key:
                wrong.add(CommandErrorCode.INVALID)
            if isinstance(each, Put) and (
                (each.ignore_value and each.value) or (each.ignore_lease and each.lease)
            ):
                wrong.add(CommandErrorCode.INVALID)
        for path in paths((txn,)):
            put_keys = [each.key for each in path if isinstance(each, Put)]
            deletes = [each for each in path if isinstance(each, DeleteRange)]
            covered = any(inside(key, each.key, each.range_end) for key in put_keys for each in deletes)
            if len(set(put_keys)) < len(put_keys) or covered:
                wrong.add(CommandErrorCode.DUPLICATE_KEY)
        if wrong:
            raise Failed(*wrong)

    def chosen(self, txn: Txn) -> tuple[bool, tuple[TxnOperation, ...]]:
        succeeded = all(self.holds(compare) for compare in txn.compares)
        return succeeded, txn.success if succeeded else txn.failure

    def path(self, txn: Txn) -> Iterator[Put | DeleteRange | Range]:
        for operation in self.chosen(txn)[1]:
            if isinstance(operation, Txn):
                yield from self.path(operation)
            else:
                yield operation

    def holds(self, compare: Compare) -> bool:
        entries = [each for key, each in self.now.items() if inside(key, compare.key, compare.range_end)]
        if not entries and compare.target == CompareTarget.VALUE:
            return False
        absent = KeyValue(key=b"", value=b"", create_revision=0, mod_revision=0, version=0)
        return all(self.relates(compare, entry) for entry in entries or [absent])

    def relates(self, compare: Compare, entry: KeyValue) -> bool:
        names = {
            CompareTarget.VERSION: "version",
            CompareTarget.CREATE: "create_revision",
            CompareTarget.MOD: "mod_revision",
            CompareTarget.VALUE: "value",
            CompareTarget.LEASE: "lease",
        }
        found, asked = getattr(entry, names[compare.target]), compare.operand
        related: dict[CompareResult, bool] = {
            CompareResult.EQUAL: found == asked,
            CompareResult.NOT_EQUAL: found != asked,
            CompareResult.GREATER: found > asked,
            CompareResult.LESS: found < asked,
        }
        return related[compare.result]

    # -- reads

    def check_revision(self, revision: int) -> None:
        if revision > self.revision:
            raise Failed(CommandErrorCode.FUTURE_REVISION)
        if revision and revision < self.compacted:
            raise Failed(CommandErrorCode.COMPACTED)

    def read(self, query: Range) -> RangeResult:
        if not query.key:
            raise Failed(CommandErrorCode.INVALID)
        self.check_revision(query.revision)
        return ranged(self.states[query.revision or self.revision], self.revision, query)

    def read_txn(self, txn: Txn) -> TxnResult:
        revision = self.revision
        result = self.txn(txn)
        assert self.revision == revision, "it only reads"
        return result


def ranged(state: State, revision: int, query: Range) -> RangeResult:
    entries = sorted(
        (each for key, each in state.items() if inside(key, query.key, query.range_end)),
        key=lambda entry: entry.key,
    )
    count = len(entries) if query.with_count or query.count_only else -1
    if query.count_only:
        return RangeResult(revision=revision, entries=(), more=False, count=count)
    high = 2**63
    entries = [
        each
        for each in entries
        if query.min_mod_revision <= each.mod_revision <= (query.max_mod_revision or high)
        and query.min_create_revision <= each.create_revision <= (query.max_create_revision or high)
    ]
    by: dict[SortTarget, Callable[[KeyValue], bytes | int]] = {
        SortTarget.KEY: lambda entry: entry.key,
        SortTarget.VERSION: lambda entry: entry.version,
        SortTarget.CREATE: lambda entry: entry.create_revision,
        SortTarget.MOD: lambda entry: entry.mod_revision,
        SortTarget.VALUE: lambda entry: entry.value,
    }
    entries.sort(key=by[query.sort_target], reverse=query.sort_order == SortOrder.DESCEND)
    shown = entries[: query.limit] if query.limit else entries
    if query.keys_only:
        shown = [replace(each, value=b"") for each in shown]
    return RangeResult(revision=revision, entries=tuple(shown), more=len(shown) < len(entries), count=count)


@dataclass
class _Work:
    """A transaction at work: the state that it makes."""

    model: EtcdModel
    state: State
    events: list[tuple[bytes, KeyValue | None]]

    @property
    def revision(self) -> int:
        return self.model.revision + bool(self.events)

    def run(self, txn: Txn) -> TxnResult:
        succeeded, operations = self.model.chosen(txn)
        results: list[TxnOperationResult] = []
        for operation in operations:
            match operation:
                case Put():
                    results.append(self.put(operation))
                case DeleteRange():
                    results.append(self.delete(operation))
                case Range(revision=revision):
                    state = self.model.states[revision] if revision else self.state
                    results.append(ranged(state, self.revision, operation))
                case Txn():
                    results.append(self.run(operation))
        return TxnResult(revision=self.revision, succeeded=succeeded, results=tuple(results))

    def put(self, put: Put) -> PutResult:
        revision, before = self.model.revision + 1, self.state.get(put.key)
        entry = KeyValue(
            key=put.key,
            value=before.value if before and put.ignore_value else put.value,
            create_revision=before.create_revision if before else revision,
            mod_revision=revision,
            version=before.version + 1 if before else 1,
            lease=before.lease if before and put.ignore_lease else put.lease,
        )
        self.state[put.key] = entry
        self.events.append((put.key, entry))
        return PutResult(revision=revision, prev=before if put.prev_kv else None)

    def delete(self, delete: DeleteRange) -> DeleteRangeResult:
        keys = sorted(key for key in self.state if inside(key, delete.key, delete.range_end))
        gone = tuple(self.state.pop(key) for key in keys)
        self.events += [(key, None) for key in keys]
        return DeleteRangeResult(
            revision=self.revision, deleted=len(gone), prev=gone if delete.prev_kv else ()
        )
