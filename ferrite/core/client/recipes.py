"""Locks and elections, as etcd's recipes have them: a queue of keys under one prefix, each attached to its owner's lease.

The owner of the oldest key (by its create revision) holds the lock, or leads. Everyone else waits until the key just before
its own
is gone, and looks again. The create revision is the fencing token: it grows from holder to holder, and
"my key still has this create revision" is true in a transaction only while it is held.
"""

from __future__ import annotations

from ferrite.core.client.ranges import prefix_end
from ferrite.core.kv import (
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRange,
    KeyValue,
    Put,
    Range,
    RangeResult,
    SortOrder,
    SortTarget,
    Txn,
    TxnResult,
)
from ferrite.core.values import value


@value
class Held:
    """The own key is the oldest: it is ours."""

    token: int


@value
class WaitFor:
    """Watch `key` from `start_revision` on until it is deleted, then look again."""

    key: bytes
    start_revision: int


@value
class Gone:
    """The own key is not there any more: its lease ended."""


class Contender:
    """One owner's place in the queue `name`. `token` is 0 before it stands in it."""

    __slots__ = ("key", "lease_id", "name", "token", "value")

    def __init__(self, name: bytes, lease_id: int, data: bytes = b"") -> None:
        """`data` is what others may read of it."""
        self.name = name
        self.lease_id = lease_id
        self.value = data
        self.key = b"%b%x" % (queue_prefix(name), lease_id)
        self.token = 0

    def enter(self) -> Txn:
        """Stand in the queue; again is harmless."""
        return Txn(
            compares=(self._created_at(0),),
            success=(Put(key=self.key, value=self.value, lease=self.lease_id),),
            failure=(Range(key=self.key),),
        )

    def entered(self, result: TxnResult) -> None:
        """The answer to `enter`."""
        if result.succeeded:
            self.token = result.revision
            return
        (found,) = result.results
        assert isinstance(found, RangeResult) and found.entries, "the key is there, or it would have been put"
        self.token = found.entries[0].create_revision

    def look(self) -> Txn:
        """Is the own key still there, and which is the youngest older one?"""
        older = Range(
            key=queue_prefix(self.name),
            range_end=prefix_end(queue_prefix(self.name)),
            limit=1,
            sort_target=SortTarget.CREATE,
            sort_order=SortOrder.DESCEND,
            max_create_revision=self.token - 1,
            keys_only=True,
        )
        return Txn(compares=(self.fence(),), success=(older,))

    def judge(self, result: TxnResult) -> Held | WaitFor | Gone:
        """The answer to `look`."""
        if not result.succeeded:
            return Gone()
        (older,) = result.results
        assert isinstance(older, RangeResult), "a range answers a range"
        if not older.entries:
            return Held(token=self.token)
        return WaitFor(key=older.entries[0].key, start_revision=result.revision + 1)

    def fence(self) -> Compare:
        """True as long as the place in the queue is ours."""
        return self._created_at(self.token)

    def proclaim(self, data: bytes) -> Txn:
        """Change the value, if the place is still ours."""
        return Txn(compares=(self.fence(),), success=(Put(key=self.key, value=data, ignore_lease=True),))

    def leave(self) -> Txn:
        """Give the place up, if it is still ours."""
        return Txn(compares=(self.fence(),), success=(DeleteRange(key=self.key),))

    def _created_at(self, revision: int) -> Compare:
        return Compare(
            target=CompareTarget.CREATE, result=CompareResult.EQUAL, key=self.key, operand=revision
        )


def queue_prefix(name: bytes) -> bytes:
    """What the keys of a lock or an election begin with."""
    return name + b"/"


def holder_query(name: bytes) -> Range:
    """The oldest key of a queue: who holds the lock, or leads."""
    prefix = queue_prefix(name)
    return Range(
        key=prefix,
        range_end=prefix_end(prefix),
        limit=1,
        sort_target=SortTarget.CREATE,
        sort_order=SortOrder.ASCEND,
    )


def holder_of(result: RangeResult) -> KeyValue | None:
    """The answer to `holder_query`."""
    return result.entries[0] if result.entries else None
