"""`AsyncClient`: everything that Ferrite's data model offers, from any event loop. `ferrite.io.client.Client` is its
blocking twin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, Self

from ferrite.core import kv
from ferrite.io.client import management
from ferrite.io.client.answers import (
    CompactAnswer,
    DeleteAnswer,
    EndpointStatus,
    Health,
    KeyValue,
    LeaseAnswer,
    LeaseTimeToLive,
    Member,
    PutAnswer,
    RangeAnswer,
    TxnAnswer,
    delete_answer,
    key_value,
    put_answer,
    range_answer,
)
from ferrite.io.client.engine import Engine
from ferrite.io.client.holding import Lock, Office, hold_lease, hold_lock, hold_office
from ferrite.io.client.increments import Increments
from ferrite.io.client.keeping import Lease, LeaseKeeper
from ferrite.io.client.leaders import leader_of, observe
from ferrite.io.client.request import (
    LINEARIZABLE,
    ConsistencyName,
    RangeOptions,
    SortName,
    WatchSpec,
    range_query,
    read_options,
)
from ferrite.io.client.scanning import scan
from ferrite.io.client.selection import Data, as_bytes, as_key, key_range
from ferrite.io.client.settings import ClientSettings, ProtocolName
from ferrite.io.client.transactions import Transaction
from ferrite.io.client.watching import Watch

TIMEOUT_S: Final = 5.0
"""Long enough for an election on the way, with the default time-outs."""
CONNECT_TIMEOUT_S: Final = 2.0
SCAN_PAGE: Final = 1000


class AsyncClient:
    """A client of a whole cluster: give it any endpoint of it.

        async with AsyncClient("127.0.0.1:8001") as client:
            await client.put("greeting", "hello")

    `endpoints`: one or several of `host:port`, `http://host:port` and `grpc://host:port`; the cluster's other members are found.
    `protocol`: "auto" speaks gRPC where the cluster has it, else HTTP. `timeout_s`: how long a call may take, retries included,
    unless it says otherwise. `connect_timeout_s`: how long one connection may take. `client_id`: 1 to 40 bytes that name
    this client
    in the cluster's sessions, never used before by any other; by default a fresh uuid.

    Nothing is connected before the first call. Calls may run concurrently, and then travel together. A change is carried out
    at most
    once, however often it is sent; when it is not known whether it was, `UnknownOutcome` says so. Methods raise `FerriteError`
    (see `ferrite.io.client.errors`), above all `Unavailable`, `UnknownOutcome` and `InvalidArgument`.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str],
        *,
        protocol: ProtocolName = "auto",
        timeout_s: float = TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        client_id: bytes | None = None,
    ) -> None:
        """Raises `InvalidArgument` for what is no endpoint, protocol or time."""
        self._engine = Engine(
            ClientSettings.checked(endpoints, protocol, timeout_s, connect_timeout_s, client_id)
        )
        self._keeper = LeaseKeeper(self._engine)
        self._increments = Increments(self._engine)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection. Calls under way end with `Unavailable` or `UnknownOutcome`. May be called again."""
        await self._keeper.close()
        await self._engine.close()
        await self._increments.close()

    # -- keys

    async def put(
        self,
        key: Data,
        value: Data = b"",
        *,
        lease: int | Lease = 0,
        prev_kv: bool = False,
        ignore_value: bool = False,
        ignore_lease: bool = False,
        timeout_s: float | None = None,
    ) -> PutAnswer:
        """Set a key, and attach it to a lease (0: to none).

        `prev_kv` also returns what was there before. `ignore_value` and `ignore_lease` keep what the key has. Raises
        `KeyNotFound`
        (with these), `LeaseNotFound`, `NoSpace`, `TooLarge`.
        """
        operation = kv.Put(
            key=as_key(key),
            value=as_bytes(value, "value"),
            lease=lease.lease_id if isinstance(lease, Lease) else lease,
            prev_kv=prev_kv,
            ignore_value=ignore_value,
            ignore_lease=ignore_lease,
        )
        return put_answer(await self._engine.change(operation, kv.PutResult, timeout_s))

    async def get(
        self,
        key: Data,
        *,
        consistency: ConsistencyName = "linearizable",
        max_staleness_s: float = 0,
        timeout_s: float | None = None,
    ) -> KeyValue | None:
        """Read a key; None when it is absent.

        "linearizable" sees every change acknowledged before the call; "serializable" is one node's own state, at most
        `max_staleness_s`
        old (0: no bound). Raises `TooStale`.
        """
        options = read_options(consistency, max_staleness_s)
        result = await self._engine.read(kv.Range(key=as_key(key)), kv.RangeResult, options, timeout_s)
        return key_value(result.entries[0]) if result.entries else None

    async def range(
        self,
        key: Data = b"",
        range_end: Data = b"",
        *,
        prefix: Data | None = None,
        from_key: bool = False,
        limit: int = 0,
        revision: int = 0,
        sort_by: SortName = "key",
        descending: bool = False,
        keys_only: bool = False,
        count_only: bool = False,
        with_count: bool = False,
        min_mod_revision: int = 0,
        max_mod_revision: int = 0,
        min_create_revision: int = 0,
        max_create_revision: int = 0,
        consistency: ConsistencyName = "linearizable",
        max_staleness_s: float = 0,
        timeout_s: float | None = None,
    ) -> RangeAnswer:
        """Read `key`, `[key, range_end)`, a prefix, all `from_key` on, or with none of these all keys; now or at a revision.

        One answer has at most `limit` keys, and what the server allows (`more` tells of further ones): `scan` has all.
        `with_count` also
        counts the whole range, `count_only` does nothing else. Bounds of revisions are inclusive; 0: none.
        Raises `Compacted`, `FutureRevision`, `TooStale`.
        """
        options = RangeOptions(
            limit=limit,
            revision=revision,
            sort_by=sort_by,
            descending=descending,
            keys_only=keys_only,
            count_only=count_only,
            with_count=with_count,
            min_mod_revision=min_mod_revision,
            max_mod_revision=max_mod_revision,
            min_create_revision=min_create_revision,
            max_create_revision=max_create_revision,
        )
        selected = key_range(key, range_end, prefix, from_key=from_key, everything=True)
        query = range_query(selected, options)
        reading = read_options(consistency, max_staleness_s)
        return range_answer(await self._engine.read(query, kv.RangeResult, reading, timeout_s))

    def scan(
        self,
        key: Data = b"",
        range_end: Data = b"",
        *,
        prefix: Data | None = None,
        from_key: bool = False,
        revision: int = 0,
        keys_only: bool = False,
        page: int = SCAN_PAGE,
        timeout_s: float | None = None,
    ) -> AsyncIterator[KeyValue]:
        """Every key of a selection as `range` has it, in key order, all at one revision (0: the present when it begins).

        Keys are fetched `page` at a time, each within `timeout_s`. Raises `Compacted` when history goes while it runs.
        """
        selected = key_range(key, range_end, prefix, from_key=from_key, everything=True)
        return scan(self._engine, selected, revision, page, timeout_s, keys_only=keys_only)

    async def delete(
        self,
        key: Data = b"",
        range_end: Data = b"",
        *,
        prefix: Data | None = None,
        from_key: bool = False,
        prev_kv: bool = False,
        timeout_s: float | None = None,
    ) -> DeleteAnswer:
        """Delete a key, `[key, range_end)`, a prefix (b"": all keys), or all `from_key` on, at one revision."""
        start, end = key_range(key, range_end, prefix, from_key=from_key)
        operation = kv.DeleteRange(key=start, range_end=end, prev_kv=prev_kv)
        return delete_answer(await self._engine.change(operation, kv.DeleteRangeResult, timeout_s))

    def txn(self) -> Transaction[Awaitable[TxnAnswer]]:
        """A transaction to be built and committed: see `ferrite.io.client.transactions`. To be awaited: `commit()`."""
        return Transaction(self.commit)

    async def commit(self, transaction: Transaction[Any], timeout_s: float | None = None) -> TxnAnswer:
        """Carry out a transaction: what `Transaction.commit` calls."""
        return transaction.answer(await self._engine.txn(transaction.operation(), timeout_s))

    async def increment(self, key: Data, by: int = 1, *, timeout_s: float | None = None) -> int:
        """Add to a number and return the sum. The value is decimal text; an absent key counts as 0.

        Counts exactly once however often it is sent. Raises `InvalidArgument` when the value is no number, `UnknownOutcome`.
        """
        return await self._increments.increment(as_key(key), by, timeout_s)

    async def compact(self, revision: int, *, timeout_s: float | None = None) -> CompactAnswer:
        """Forget the history below a revision. Raises `Compacted` (it is already), `FutureRevision`."""
        result = await self._engine.change(kv.Compact(revision=revision), kv.CompactResult, timeout_s)
        return CompactAnswer(revision=result.revision, compacted=result.compacted)

    # -- leases

    async def lease_grant(
        self, ttl_s: int, *, lease_id: int = 0, timeout_s: float | None = None
    ) -> LeaseAnswer:
        """Make a lease of whole seconds; with `lease_id` 0 the server chooses. Raises `LeaseExists`, `NoSpace`."""
        # What is too short is raised to the least, as the server does: no gRPC message carries a negative one.
        operation = kv.LeaseGrant(lease_id=lease_id, ttl_s=max(0, ttl_s))
        result = await self._engine.change(operation, kv.LeaseGrantResult, timeout_s)
        return LeaseAnswer(lease_id=result.lease_id, ttl_s=result.ttl_s)

    async def lease_revoke(self, lease_id: int, *, timeout_s: float | None = None) -> int:
        """End a lease; returns how many keys went with it. Raises `LeaseNotFound`."""
        operation = kv.LeaseRevoke(lease_id=lease_id)
        return (await self._engine.change(operation, kv.LeaseRevokeResult, timeout_s)).deleted

    async def lease_keep_alive(self, *lease_ids: int, timeout_s: float | None = None) -> tuple[int, ...]:
        """Give leases their whole time again, once; returns each one's TTL in seconds, 0 for one that is gone."""
        operation = kv.LeaseKeepAlive(lease_ids=lease_ids)
        return (await self._engine.repeatable(operation, kv.LeaseKeepAliveResult, timeout_s)).ttls_s

    async def lease_time_to_live(
        self, lease_id: int, *, with_keys: bool = False, timeout_s: float | None = None
    ) -> LeaseTimeToLive:
        """How long a lease has left, and the keys attached to it."""
        operation = kv.LeaseTimeToLive(lease_id=lease_id, with_keys=with_keys)
        result = await self._engine.repeatable(operation, kv.LeaseTimeToLiveResult, timeout_s)
        return LeaseTimeToLive(
            lease_id=lease_id,
            remaining_s=result.remaining_us / 1_000_000 if result.remaining_us >= 0 else -1,
            granted_ttl_s=result.granted_ttl_s,
            keys=result.keys,
        )

    async def leases(self, *, timeout_s: float | None = None) -> tuple[int, ...]:
        """The ids of all leases, ascending."""
        found: tuple[int, ...] = ()
        while True:
            query = kv.ListLeases(after=found[-1] if found else 0)
            page = await self._engine.read(query, kv.ListLeasesResult, LINEARIZABLE, timeout_s)
            found += page.lease_ids
            if not page.more:
                return found

    def lease(self, ttl_s: int, *, timeout_s: float | None = None) -> AbstractAsyncContextManager[Lease]:
        """A lease that is kept alive while the block runs, and revoked after it. `lease.lost` is set when it ended before."""
        return hold_lease(self._engine, self._keeper, ttl_s, timeout_s)

    # -- watch, lock, elect

    def watch(
        self,
        key: Data = b"",
        range_end: Data = b"",
        *,
        prefix: Data | None = None,
        from_key: bool = False,
        start_revision: int = 0,
        prev_kv: bool = False,
        puts: bool = True,
        deletes: bool = True,
        progress: bool = False,
    ) -> Watch:
        """Every change of a selection from a revision on (0: from now on), in order, each once, for as long as one asks.

            async with client.watch(prefix="jobs/") as changes:
                async for batch in changes: ...

        Resumes by itself, on another node if need be, and waits for a cluster that is away. `progress`: batches without
        events say now
        and then how far it is. Raises `Compacted` when history that was not delivered yet is gone.
        """
        start, end = key_range(key, range_end, prefix, from_key=from_key, everything=True)
        spec = WatchSpec(
            key=start,
            range_end=end,
            start_revision=start_revision,
            prev_kv=prev_kv,
            puts=puts,
            deletes=deletes,
            progress=progress,
        )
        return Watch(self._engine, spec)

    def lock(
        self, name: Data, *, ttl_s: int = 10, wait_s: float | None = None
    ) -> AbstractAsyncContextManager[Lock]:
        """Hold a lock while the block runs; first come, first served. `wait_s` None: wait for ever, 0: only when it is free now.

        `lock.token` grows from holder to holder: give it to whatever the lock protects, and let that refuse smaller ones;
        within Ferrite
        use `lock.fence()` in a transaction. `lock.lost` is set when the lease ended: somebody else may hold it now.
        Raises `LockTimeout`, `LeaseLost`.
        """
        return hold_lock(self._engine, self._keeper, as_key(name, "name"), ttl_s, wait_s)

    def elect(
        self, name: Data, value: Data = b"", *, ttl_s: int = 10, wait_s: float | None = None
    ) -> AbstractAsyncContextManager[Office]:
        """Campaign, and lead while the block runs. `value` is what `leader_of` and `observe` show of the leader. As `lock`
        otherwise.
        """
        return hold_office(
            self._engine, self._keeper, as_key(name, "name"), as_bytes(value, "value"), ttl_s, wait_s
        )

    async def leader_of(self, name: Data, *, timeout_s: float | None = None) -> KeyValue | None:
        """Who won the election `name`: the leader's key and value, `create_revision` is its token. None: nobody leads."""
        return await leader_of(self._engine, as_key(name, "name"), timeout_s)

    def observe(self, name: Data) -> AsyncIterator[KeyValue]:
        """The leaders of an election: the present one, then each new one and each new value that a leader proclaims, in order.
        One that follows another at once shows too. Only what is compacted before it could be read is left out.
        """
        return observe(self._engine, as_key(name, "name"))

    # -- the cluster

    async def endpoints(self, *, timeout_s: float | None = None) -> tuple[str, ...]:
        """The endpoints that this client uses, those it found included, as `grpc://host:port` or `http://host:port`."""
        return await self._engine.known_endpoints(timeout_s)

    async def status(self, endpoint: str | None = None, *, timeout_s: float | None = None) -> EndpointStatus:
        """What one node says of itself and its cluster; None: any node."""
        return await management.status(self._engine, endpoint, timeout_s)

    async def health(self, endpoint: str, *, timeout_s: float | None = None) -> Health:
        """Whether one node is well. One that does not answer is not, and why stands in `problems`: this raises nothing of
        the sort.
        """
        return await management.health(self._engine, endpoint, timeout_s)

    async def members(self, *, timeout_s: float | None = None) -> tuple[Member, ...]:
        """The members of the cluster by node id, as the leader sees them when there is one."""
        return await management.members(self._engine, timeout_s)

    async def add_learner(self, node_id: int, addr: str, *, timeout_s: float | None = None) -> int:
        """Add a node that follows without a vote; `addr` is any address of it. Returns the log index. Raises `ChangeRefused`."""
        return await management.add_learner(self._engine, node_id, addr, timeout_s)

    async def promote(self, node_id: int, *, timeout_s: float | None = None) -> int:
        """Give a learner a vote. Returns the log index. Raises `ChangeRefused` ("not_caught_up", "unknown_member", ...)."""
        return await management.promote(self._engine, node_id, timeout_s)

    async def remove(self, node_id: int, *, timeout_s: float | None = None) -> int:
        """Take a member out of the cluster, for good. Returns the log index. Raises `ChangeRefused` ("would_lose_quorum",
        ...).
        """
        return await management.remove(self._engine, node_id, timeout_s)

    async def transfer_leader(self, target: int = 0, *, timeout_s: float | None = None) -> int:
        """Hand leadership to a voter (0: the best one). Returns the new leader's id. Raises `ChangeRefused`."""
        return await management.transfer_leader(self._engine, target, timeout_s)

    def backup(self, endpoint: str | None = None, *, serializable: bool = False) -> AsyncIterator[bytes]:
        """A consistent copy of the whole store, in chunks, for `ferritectl backup restore`; verified when the last one has
        come. Everything acknowledged before is in it; with `serializable` what the node has, also without a quorum.
        """
        return management.backup(self._engine, endpoint, serializable=serializable)
