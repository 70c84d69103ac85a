"""Ferrite against a real etcd: the same operations, the same answers. scripts/etcd_diff.py is the long run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from ferrite.core import kv
from ferrite.io.client.settings import ProtocolName
from tests.e2e.differential.answers import Failed, Operation
from tests.e2e.differential.divergences import DIVERGENCES, Divergence
from tests.e2e.differential.etcd import EtcdProcess
from tests.e2e.differential.run import Unexplained, compare
from tests.e2e.differential.sequences import Sequence, sequences
from tests.e2e.differential.session import Session, both_stores

SHORT_RUN = {"grpc": 120, "http": 30}
"""Sequences of the run that every change gets: some 20 seconds."""


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    if EtcdProcess.version() is None:
        pytest.skip("no etcd on the PATH (Debian: etcd-server): nothing to compare with")
    with both_stores() as stores:
        yield stores
        print(stores.tally)


@pytest.mark.timeout(600)  # shrinking a difference takes a while
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_random_operations_are_answered_as_by_etcd(session: Session, protocol: ProtocolName) -> None:
    before = session.tally.operations

    @settings(max_examples=SHORT_RUN[protocol], database=None)
    @given(sequences())
    def each(sequence: Sequence) -> None:
        session.compare(sequence, protocol)

    each()
    assert session.tally.operations > before + SHORT_RUN[protocol], "each sequence has some operations"


_PUT = kv.Put(key=b"k", value=b"v")


def _nested(levels: int) -> kv.Txn:
    txn = kv.Txn(success=(_PUT,))
    for _ in range(levels - 1):
        txn = kv.Txn(success=(txn,))
    return txn


_MANY = tuple(kv.Put(key=b"%d" % number) for number in range(129))
BAD_INPUT: dict[str, Operation] = {
    "put of no key": kv.Put(key=b""),
    "range of no key": kv.Range(key=b"", with_count=True),
    "delete of no key": kv.DeleteRange(key=b""),
    "transaction of no key": kv.Txn(success=(kv.Put(key=b""),)),
    "compare of no key": kv.Txn(
        compares=(
            kv.Compare(target=kv.CompareTarget.VERSION, result=kv.CompareResult.EQUAL, key=b"", operand=0),
        )
    ),
    "reversed range": kv.Range(key=b"z", range_end=b"a", with_count=True),
    "delete of a reversed range": kv.DeleteRange(key=b"z", range_end=b"a", prev_kv=True),
    "watch of a reversed range": kv.WatchSpec(key=b"z", range_end=b"a"),
    "huge limit": kv.Range(key=b"a", range_end=kv.FROM_KEY, limit=2**63 - 1, with_count=True),
    "TTL 0": kv.LeaseGrant(lease_id=1, ttl_s=0),
    "TTL -1": kv.LeaseGrant(lease_id=1, ttl_s=-1),
    "TTL 10^18": kv.LeaseGrant(lease_id=1, ttl_s=10**18),
    "128 operations": kv.Txn(success=_MANY[:128]),
    "129 operations": kv.Txn(success=_MANY),
    "129 operations of the branch that does not run": kv.Txn(failure=_MANY),
    "nesting of 8": _nested(8),
    "nesting of 40": _nested(40),  # protobuf itself stops at 100 messages, two for each level
    "a key put twice": kv.Txn(success=(_PUT, _PUT)),
    "a key put twice in the branch that does not run": kv.Txn(failure=(_PUT, _PUT)),
    "a key put and deleted": kv.Txn(success=(_PUT, kv.DeleteRange(key=b"k"))),
    "a key deleted twice": kv.Txn(success=(kv.DeleteRange(key=b"k"), kv.DeleteRange(key=b"k"))),
    "a range at a compacted revision": kv.Range(key=b"k", revision=1, with_count=True),
    "a range at a future revision": kv.Range(key=b"k", revision=99, with_count=True),
    "compaction at 0": kv.Compact(revision=0),
    "compaction of what is compacted": kv.Compact(revision=1),
    "compaction of the future": kv.Compact(revision=99),
    "a lease that is not there": kv.Put(key=b"k", lease=77),
    "revoking a lease that is not there": kv.LeaseRevoke(lease_id=77),
    "keeping a value that is not there": kv.Put(key=b"absent", ignore_value=True),
    "keeping a value and giving one": kv.Put(key=b"k", value=b"v", ignore_value=True),
    "keeping a lease and giving one": kv.Put(key=b"k", lease=1, ignore_lease=True),
}


@pytest.mark.parametrize("operation", BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_answered_as_by_etcd(session: Session, operation: Operation) -> None:
    after = kv.Range(key=b"\x00", range_end=kv.FROM_KEY, with_count=True)
    session.compare(Sequence((_PUT, kv.Compact(revision=2), operation, after)))


# etcd reads one key more than the limit before it sorts: it takes three for the first by value to be missed.
_UNSORTED = tuple(kv.Put(key=key, value=value) for key, value in ((b"a", b"3"), (b"b", b"2"), (b"c", b"1")))
_FIRST_BY_VALUE = kv.Range(
    key=b"a", range_end=kv.FROM_KEY, limit=1, sort_target=kv.SortTarget.VALUE, with_count=True
)
KNOWN: dict[str, tuple[Operation, ...]] = {
    "limit before sort": (*_UNSORTED, _FIRST_BY_VALUE),
    "double change unnoticed": (kv.Txn(success=(_PUT, kv.DeleteRange(key=b"a", range_end=kv.FROM_KEY))),),
    "nested too deep": (_nested(9),),
    "compaction at none": (kv.Compact(revision=0),),
    "deletion compacted": (
        _PUT,
        kv.DeleteRange(key=b"k"),
        kv.Compact(revision=3),
        kv.WatchSpec(key=b"k", start_revision=3),
    ),
}


@pytest.mark.parametrize("known", DIVERGENCES, ids=lambda known: known.name)
def test_every_known_difference_is_there(session: Session, known: Divergence) -> None:
    before = session.tally.explained[known.name]
    session.compare(Sequence(KNOWN[known.name]))
    assert session.tally.explained[known.name] == before + 1


def test_a_difference_is_noticed(session: Session) -> None:
    class Forgetful:
        """A Ferrite that loses values."""

        async def call(self, operation: Operation) -> object:
            answer = await session.ferrite["grpc"].call(operation)
            return kv.PutResult(revision=answer.revision) if isinstance(answer, kv.PutResult) else answer

        async def watch(self, spec: kv.WatchSpec) -> Failed:
            return Failed("invalid")

    sequence = Sequence((_PUT, kv.Put(key=b"k", prev_kv=True)))
    with pytest.raises(Unexplained, match="operation 1"):
        session.wait(compare(sequence, session.etcd, Forgetful(), session.tally))  # type: ignore[arg-type]  # it is enough
