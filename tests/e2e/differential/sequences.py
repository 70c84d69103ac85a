"""Random sequences of operations, for Hypothesis. Few keys, many of them prefixes of others: ranges and revisions meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from ferrite.core import kv
from tests.e2e.differential.answers import CHOSEN_LEASE, Operation

KEYS: Final = (b"a", b"b", b"a\x00", b"aa", b"ab", b"a\x00b", b"c", b"\x00", b"\xff", b"\xff\xff")
"""Not more than 12: up to there Go's sort, which etcd uses, keeps equal elements in order, so that ties can be compared."""
_END_KEYS: Final = (*KEYS, b"a\x01", b"ac", b"d", b"\xff\xff\xff")
_VALUES: Final = (b"1", b"2", b"", b"1\x00", b"\xff")
LEASES: Final = (1, 2, 3, CHOSEN_LEASE)
_REVISION_MAX: Final = 34
"""Somewhat more than a sequence can reach."""
TTL_S_MIN: Final = 600
"""No lease may end by itself while a sequence runs, on however slow a machine."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """`operations` in order, then `watches` that look back, all at once."""

    operations: tuple[Operation, ...]
    watches: tuple[kv.WatchSpec, ...] = ()


def _any_of(*weighted: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of several kinds, by weight. (`one_of` weighs alternatives inside a kind, one named twice once.)"""
    kinds = [strategy for weight, strategy in weighted for _ in range(weight)]
    return st.sampled_from(range(len(kinds))).flatmap(kinds.__getitem__)


keys = st.sampled_from(KEYS)
_ends = st.sampled_from(_END_KEYS)
# A single key, from the key on, a range (at times reversed or empty).
range_ends = _any_of((1, st.just(b"")), (1, st.just(kv.FROM_KEY)), (2, _ends))
any_keys = _any_of((39, keys), (1, st.just(b"")))
values = st.sampled_from(_VALUES)
leases = st.sampled_from(LEASES)
maybe_lease = _any_of((2, st.just(0)), (1, leases))
rarely = st.sampled_from((False, False, False, False, True))
# 1 is the revision at the start of the sequence; what lies before was compacted.
revisions = _any_of((5, st.integers(1, 10)), (1, st.integers(1, _REVISION_MAX)))
now_or_revision = _any_of((2, st.just(0)), (1, revisions))
bounds = _any_of((6, st.just(0)), (1, revisions))
limits = st.sampled_from((0, 0, 0, 1, 2, 3, 5, 2**62))

puts = st.builds(
    kv.Put,
    key=any_keys,
    value=values,
    lease=maybe_lease,
    prev_kv=st.booleans(),
    ignore_value=rarely,
    ignore_lease=rarely,
)


@st.composite
def well_formed_puts(draw: st.DrawFn) -> kv.Put:
    """Puts that only the state can make fail."""
    put = draw(puts)
    return kv.Put(
        key=put.key or b"a",
        value=b"" if put.ignore_value else put.value,
        lease=0 if put.ignore_lease else put.lease,
        prev_kv=put.prev_kv,
        ignore_value=put.ignore_value,
        ignore_lease=put.ignore_lease,
    )


plain_puts = st.builds(kv.Put, key=keys, value=values, prev_kv=st.booleans())
some_puts = _any_of((5, plain_puts), (4, well_formed_puts()), (1, puts))
ranges = st.builds(
    kv.Range,
    key=any_keys,
    range_end=range_ends,
    limit=limits,
    revision=now_or_revision,
    sort_target=st.sampled_from(kv.SortTarget),
    sort_order=st.sampled_from(kv.SortOrder),
    keys_only=rarely,
    count_only=rarely,
    with_count=st.just(True),  # etcd always counts
    min_mod_revision=bounds,
    max_mod_revision=bounds,
    min_create_revision=bounds,
    max_create_revision=bounds,
)
deletes = st.builds(kv.DeleteRange, key=any_keys, range_end=range_ends, prev_kv=st.booleans())

_numbers = st.integers(0, 3)
_operands: Final[dict[kv.CompareTarget, st.SearchStrategy[int | bytes]]] = {
    kv.CompareTarget.VERSION: _numbers,
    kv.CompareTarget.CREATE: now_or_revision,
    kv.CompareTarget.MOD: now_or_revision,
    kv.CompareTarget.VALUE: values,
    kv.CompareTarget.LEASE: maybe_lease,
}


@st.composite
def compares(draw: st.DrawFn) -> kv.Compare:
    target = draw(st.sampled_from(kv.CompareTarget))
    return kv.Compare(
        target=target,
        result=draw(st.sampled_from(kv.CompareResult)),
        key=draw(any_keys),
        range_end=draw(_any_of((2, st.just(b"")), (1, range_ends))),
        operand=draw(_operands[target]),
    )


def _txns(parts: st.SearchStrategy[kv.TxnOperation]) -> st.SearchStrategy[kv.Txn]:
    listed = st.lists(parts, max_size=4).map(tuple)
    return st.builds(
        kv.Txn, compares=st.lists(compares(), max_size=2).map(tuple), success=listed, failure=listed
    )


_leaves = _any_of((2, some_puts), (1, ranges), (1, deletes))
txns = _txns(st.recursive(_leaves, _txns, max_leaves=5))

# Ids are the client's, or the store's own (0). TTLs out of bounds are refused; short ones are another test's.
grants = st.builds(
    kv.LeaseGrant,
    lease_id=st.sampled_from((1, 2, 3, 0)),
    ttl_s=st.one_of(st.integers(TTL_S_MIN, 9_000_000_000), st.sampled_from((9_000_000_001, 10**18))),
)
revokes = st.builds(kv.LeaseRevoke, lease_id=leases)
keep_alives = st.builds(kv.LeaseKeepAlive, lease_ids=st.lists(leases, min_size=1, max_size=2).map(tuple))
times_to_live = st.builds(kv.LeaseTimeToLive, lease_id=leases, with_keys=st.booleans())
compactions = st.builds(kv.Compact, revision=revisions)


@st.composite
def watch_specs(draw: st.DrawFn, start_revision: st.SearchStrategy[int]) -> kv.WatchSpec:
    filtered = draw(st.sampled_from(("", "", "no_puts", "no_deletes")))
    return kv.WatchSpec(
        key=draw(keys),
        range_end=draw(range_ends),
        start_revision=draw(start_revision),
        prev_kv=draw(st.booleans()),
        no_puts=filtered == "no_puts",
        no_deletes=filtered == "no_deletes",
    )


operations = _any_of(
    (7, some_puts),
    (5, ranges),
    (2, deletes),
    (5, txns),
    (2, grants),
    (1, revokes),
    (1, keep_alives),
    (1, times_to_live),
    (1, st.just(kv.ListLeases())),
    (1, compactions),
)
live_watches = watch_specs(st.just(0))


@st.composite
def sequences(draw: st.DrawFn) -> Sequence:
    """A few operations or a few dozen; every fourth with watches."""
    steps = draw(
        st.one_of(
            st.lists(operations, min_size=1, max_size=8), st.lists(operations, min_size=16, max_size=30)
        )
    )
    if draw(st.sampled_from((False, False, False, True))):
        for spec in draw(st.lists(live_watches, max_size=2)):
            steps.insert(draw(st.integers(0, len(steps))), spec)
        looking_back = draw(st.lists(watch_specs(now_or_revision), max_size=3))
        return Sequence(tuple(steps), tuple(looking_back))
    return Sequence(tuple(steps))
