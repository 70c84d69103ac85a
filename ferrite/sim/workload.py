"""What a simulated client asks for, and what it remembers to ask the next thing: counters it saw, pages it turns, leases it has.

Plain operations (put, get, delete, batch, list) keep to keys of their own: of those a history goes outside, to a check that knows
nothing of transactions and leases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ferrite.core.client import KeepAlives, Renew, prefix_end
from ferrite.core.kv import (
    EMPTY_REVISION,
    Batch,
    BatchResult,
    Compact,
    CompactResult,
    Compare,
    CompareResult,
    CompareTarget,
    Delete,
    DeleteRange,
    DeleteRangeResult,
    DeleteResult,
    LeaseGrant,
    LeaseGrantResult,
    LeaseKeepAlive,
    LeaseKeepAliveResult,
    LeaseRevoke,
    LeaseRevokeResult,
    LeaseTimeToLive,
    LeaseTimeToLiveResult,
    Put,
    PutResult,
    Query,
    Range,
    RangeResult,
    SortOrder,
    SortTarget,
    Txn,
    TxnOperation,
    TxnResult,
)
from ferrite.core.kv import Operation as Command
from ferrite.sim.dice import Stream
from ferrite.sim.history import COUNTER, OK, PLAIN, Operation
from ferrite.sim.options import ClientOptions, KvOptions

BATCH_MAX: Final = 3
COUNTERS: Final = 2
TXN_KEYS: Final = 8
"""Keys of transactions. A transaction puts among the first half and deletes a range among the second: no key twice."""
TXN_PREFIX: Final = b"txn/"
LEASE_PREFIX: Final = b"lease/"
LEASE_KEYS: Final = 3
"""Keys that clients put under leases; few, so that they take them from each other."""
LONGER_TTL_S: Final = 1
"""Leases are so much longer than the least, or not: they end in another order than they began."""
LEASES_MAX: Final = 3
"""That one client has at a time."""
OLD_REVISIONS: Final = 40
"""How far back reads at a revision and compactions go."""

ANSWERS: Final[dict[str, type]] = {
    "put": PutResult,
    "attach": PutResult,
    "delete": DeleteResult,
    "batch": BatchResult,
    "delete_range": DeleteRangeResult,
    "txn": TxnResult,
    COUNTER: TxnResult,
    "compact": CompactResult,
    "grant": LeaseGrantResult,
    "revoke": LeaseRevokeResult,
    "renew": LeaseKeepAliveResult,
    "remaining": LeaseTimeToLiveResult,
    "range": RangeResult,
}
"""Kind of operation -> its answer, where it is not refused. Of the rest the client knows."""


@dataclass(slots=True, kw_only=True, frozen=True)
class Asked:
    """One operation to be done. `command` is set for writes, `query` for a range."""

    kind: str
    key: bytes = b""
    command: Command | None = None
    query: Query | None = None
    linearizable: bool = True


class Workload:
    """One client's. `choose` draws from one stream only, so that a tape can leave an operation out."""

    def __init__(self, number: int, clients: ClientOptions, kv: KvOptions, dice: Stream) -> None:
        self._number = number
        self._clients = clients
        self._kv = kv
        self._dice = dice
        self._made = 0
        """Leases and values, for names that are used once."""
        self.keep_alives = KeepAlives()
        self._renewing: Renew | None = None
        self._leases: list[int] = []
        self._keeps = False
        """Is the lease that was asked for last to be kept alive?"""
        self._counters: dict[bytes, tuple[int, int]] = {}
        """key -> (value, mod_revision) as last seen."""
        self._page: Range | None = None
        self._revision = EMPTY_REVISION

    def new_life(self) -> None:
        """The client crashed: the next one knows nothing of its leases."""
        self.keep_alives = KeepAlives()
        self._renewing = None
        self._leases.clear()
        self._counters.clear()
        self._page = None

    # ------------------------------------------------------------------------------------------------ choosing

    def choose(self, name: bytes, clock_us: int) -> Asked:
        """What to do next. `name` makes values unique; `clock_us` is the client's own clock."""
        self.keep_alives.lost(clock_us)
        self._renewing = self.keep_alives.due(clock_us)
        if self._renewing is not None:
            return Asked(kind="renew", command=LeaseKeepAlive(lease_ids=self._renewing.lease_ids))
        options, kv, dice = self._clients, self._kv, self._dice
        if dice.chance(options.get_ppm):
            return self._range() if dice.chance(kv.range_ppm) else self._plain_read()
        for ppm, make in (
            (kv.counter_ppm, self._increment),
            (kv.txn_ppm, self._transaction),
            (kv.delete_range_ppm, self._delete_range),
            (kv.lease_ppm, self._lease),
            (kv.compact_ppm, self._compact),
        ):
            if dice.chance(ppm):
                return make(name)
        return self._plain_write(name)

    def _plain_read(self) -> Asked:
        options, dice = self._clients, self._dice
        key = self._key()
        linearizable = not dice.chance(options.serializable_ppm)
        if dice.chance(options.list_ppm):
            return Asked(kind="list", key=PLAIN, linearizable=linearizable)
        return Asked(kind="get", key=key, linearizable=linearizable)

    def _plain_write(self, name: bytes) -> Asked:
        key = self._key()
        if self._dice.chance(self._clients.batch_ppm):
            keys = sorted({self._key() for _ in range(self._dice.between(1, BATCH_MAX))})
            changes = tuple(self._change(each, name, place) for place, each in enumerate(keys))
            return Asked(kind="batch", command=Batch(operations=changes))
        change = self._change(key, name, 0)
        return Asked(kind="put" if isinstance(change, Put) else "delete", key=key, command=change)

    def _key(self) -> bytes:
        options, dice = self._clients, self._dice
        return PLAIN + b"%d" % (0 if dice.chance(options.hot_key_ppm) else dice.between(0, options.keys - 1))

    def _change(self, key: bytes, name: bytes, place: int) -> Put | Delete:
        return (
            Delete(key=key)
            if self._dice.chance(self._clients.delete_ppm)
            else Put(key=key, value=self.value(name, place))
        )

    def value(self, name: bytes, place: int) -> bytes:
        """A value that nobody else writes, but for the seeds in which values are equal."""
        if self._dice.chance(self._clients.equal_value_ppm):
            return b"same"
        return (b"%s.%d." % (name, place)).ljust(self._clients.value_bytes, b"x")

    # ------------------------------------------------------------------------------------------------ transactions

    def _increment(self, _name: bytes) -> Asked:
        key = b"counter/%d" % self._dice.between(0, COUNTERS - 1)
        value, mod_revision = self._counters.get(key, (0, 0))
        unchanged = Compare(
            target=CompareTarget.MOD, result=CompareResult.EQUAL, key=key, operand=mod_revision
        )
        command = Txn(
            compares=(unchanged,),
            success=(Put(key=key, value=b"%d" % (value + 1)),),
            failure=(Range(key=key),),
        )
        return Asked(kind=COUNTER, key=key, command=command)

    def _transaction(self, name: bytes) -> Asked:
        dice = self._dice
        success = self._branch(name, 0)
        failure = self._branch(name, 10) if dice.chance(500_000) else ()
        compares = tuple(self._compare() for _ in range(dice.between(0, 2)))
        return Asked(kind="txn", command=Txn(compares=compares, success=success, failure=failure))

    def _branch(self, name: bytes, place: int) -> tuple[TxnOperation, ...]:
        dice = self._dice
        puts = dice.subset(range(TXN_KEYS // 2), dice.between(1, 3))
        branch: list[TxnOperation] = []
        for number in puts:
            put = Put(
                key=TXN_PREFIX + b"%d" % number,
                value=self.value(name, place + number),
                prev_kv=dice.chance(300_000),
            )
            branch.append(Txn(compares=(self._compare(),), success=(put,)) if dice.chance(150_000) else put)
        if dice.chance(250_000):
            low = dice.between(TXN_KEYS // 2, TXN_KEYS - 1)
            branch.append(DeleteRange(key=TXN_PREFIX + b"%d" % low, range_end=prefix_end(TXN_PREFIX)))
        if dice.chance(500_000):
            branch.append(Range(key=TXN_PREFIX, range_end=prefix_end(TXN_PREFIX), limit=dice.between(0, 3)))
        return tuple(dice.shuffled(branch))

    def _compare(self) -> Compare:
        dice = self._dice
        target = dice.pick(tuple(CompareTarget))
        number = dice.between(0, TXN_KEYS - 1)
        operand: int | bytes = dice.pick((0, 1, 2))
        if target is CompareTarget.VALUE:
            operand = b"same"
        elif target in (CompareTarget.MOD, CompareTarget.CREATE):
            operand = dice.pick((0, self._revision, max(0, self._revision - 5)))
        return Compare(
            target=target,
            result=dice.pick(tuple(CompareResult)),
            key=TXN_PREFIX + b"%d" % number,
            operand=operand,
            range_end=prefix_end(TXN_PREFIX) if dice.chance(200_000) else b"",
        )

    def _delete_range(self, name: bytes) -> Asked:
        dice = self._dice
        if dice.chance(500_000):
            # Something to delete comes from here, too: transactions put into the first half only.
            key = TXN_PREFIX + b"%d" % dice.between(TXN_KEYS // 2, TXN_KEYS - 1)
            return Asked(kind="attach", key=key, command=Put(key=key, value=self.value(name, 0)))
        low = TXN_PREFIX + b"%d" % dice.between(0, TXN_KEYS - 1)
        end = b"" if dice.chance(300_000) else prefix_end(TXN_PREFIX)
        command = DeleteRange(key=low, range_end=end, prev_kv=dice.chance(500_000))
        return Asked(kind="delete_range", command=command)

    # ------------------------------------------------------------------------------------------------ ranges, history

    def _range(self) -> Asked:
        dice = self._dice
        linearizable = not dice.chance(self._clients.serializable_ppm)
        if self._page is not None:
            query, self._page = self._page, None
            return Asked(kind="range", query=query, linearizable=linearizable)
        prefix = dice.pick((TXN_PREFIX, PLAIN, LEASE_PREFIX, b"\x00"))
        query = Range(
            key=prefix,
            range_end=b"\x00" if prefix == b"\x00" else prefix_end(prefix),
            limit=dice.pick((0, 1, 2, 5)),
            revision=self._old_revision() if dice.chance(500_000) else 0,
            sort_target=dice.pick((SortTarget.KEY, SortTarget.KEY, *SortTarget)),
            sort_order=dice.pick(tuple(SortOrder)),
            keys_only=dice.chance(200_000),
            count_only=dice.chance(100_000),
            with_count=dice.chance(200_000),
            min_mod_revision=self._old_revision() if dice.chance(100_000) else 0,
            max_create_revision=self._old_revision() if dice.chance(100_000) else 0,
        )
        return Asked(kind="range", query=query, linearizable=linearizable)

    def _old_revision(self) -> int:
        return max(1, self._revision + 2 - self._dice.between(0, OLD_REVISIONS))

    def _compact(self, _name: bytes) -> Asked:
        return Asked(kind="compact", command=Compact(revision=self._old_revision()))

    # ------------------------------------------------------------------------------------------------ leases

    def _lease(self, name: bytes) -> Asked:
        dice = self._dice
        if not self._leases or (len(self._leases) < LEASES_MAX and dice.chance(300_000)):
            self._made += 1
            self._keeps = dice.chance(self._kv.kept_ppm)
            lease_id = (self._number + 1) * 1_000_000 + self._made
            ttl_s = self._kv.lease_ttl_s + dice.between(0, LONGER_TTL_S)
            return Asked(kind="grant", command=LeaseGrant(lease_id=lease_id, ttl_s=ttl_s))
        lease_id = dice.pick(self._leases)
        if dice.chance(600_000):
            key = LEASE_PREFIX + b"%d" % dice.between(0, LEASE_KEYS - 1)
            return Asked(
                kind="attach", key=key, command=Put(key=key, value=self.value(name, 0), lease=lease_id)
            )
        if dice.chance(250_000):
            return Asked(kind="revoke", command=LeaseRevoke(lease_id=lease_id))
        if dice.chance(300_000):
            self.keep_alives.drop(lease_id)  # It is left to expire.
        return Asked(kind="remaining", command=LeaseTimeToLive(lease_id=lease_id, with_keys=True))

    # ------------------------------------------------------------------------------------------------ learning

    def learn(self, operation: Operation, sent_us: int, now_us: int) -> None:
        """An operation ended. Times are the client's own clock's."""
        result = operation.result
        self._revision = max(self._revision, operation.revision)
        if operation.kind == "renew" and self._renewing is not None:
            renew, self._renewing = self._renewing, None
            if isinstance(result, LeaseKeepAliveResult):
                self._gone(self.keep_alives.renewed(renew.lease_ids, result.ttls_s, sent_us))
            else:
                self.keep_alives.failed(renew.lease_ids, now_us)
            return
        match result:
            case LeaseGrantResult(lease_id=lease_id, ttl_s=ttl_s):
                self._leases.append(lease_id)
                if self._keeps:
                    self.keep_alives.keep(lease_id, ttl_s, sent_us)
            case LeaseTimeToLiveResult(remaining_us=-1):
                assert isinstance(operation.command, LeaseTimeToLive), "that is what it answers"
                self._gone((operation.command.lease_id,))
            case RangeResult() if operation.outcome == OK and result.entries:
                self._turn_page(operation, result)
            case TxnResult() if operation.kind == COUNTER:
                self._learn_counter(operation.key, result)
            case _:
                pass
        if isinstance(operation.command, LeaseRevoke):
            self._gone((operation.command.lease_id,))

    def _gone(self, lease_ids: tuple[int, ...]) -> None:
        for lease_id in lease_ids:
            self.keep_alives.drop(lease_id)
            if lease_id in self._leases:
                self._leases.remove(lease_id)

    def _turn_page(self, operation: Operation, result: RangeResult) -> None:
        """Go on after the last key of a page, at the revision that the page was read at."""
        query = operation.query
        assert isinstance(query, Range), "a range was asked for"
        by_key = query.sort_target is SortTarget.KEY and query.sort_order is not SortOrder.DESCEND
        if result.more and by_key:
            self._page = Range(
                key=result.entries[-1].key + b"\x00",
                range_end=query.range_end,
                limit=query.limit,
                revision=query.revision or result.revision,
            )

    def _learn_counter(self, key: bytes, result: TxnResult) -> None:
        if result.succeeded:
            self._counters[key] = self._counters.get(key, (0, 0))[0] + 1, result.revision
            return
        (found,) = result.results
        assert isinstance(found, RangeResult), "a range answers a range"
        entry = found.entries[0] if found.entries else None
        self._counters[key] = (int(entry.value), entry.mod_revision) if entry else (0, 0)
