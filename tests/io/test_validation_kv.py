"""The checks of etcd's operations that both doors share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ferrite.core.kv import (
    FROM_KEY,
    Compact,
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRange,
    LeaseGrant,
    LeaseKeepAlive,
    LeaseRevoke,
    LeaseTimeToLive,
    ListLeases,
    Put,
    Range,
    Txn,
    WatchSpec,
)
from ferrite.io import validation as v
from ferrite.io.validation import Invalid
from tests.io.grpc.fakes import make_config

LIMITS = make_config().limits
LONG = b"k" * 4096


def nested(levels: int) -> Txn:
    txn = Txn()
    for _ in range(levels - 1):
        txn = Txn(success=(txn,))
    return txn


def compare(operand: int | bytes, target: CompareTarget = CompareTarget.MOD, key: bytes = b"k") -> Compare:
    return Compare(target=target, result=CompareResult.EQUAL, key=key, operand=operand)


def test_what_is_within_the_limits_passes_unchanged() -> None:
    assert v.check_put(b"k", b"v", LIMITS, lease=2**63 - 1, prev_kv=True) == Put(
        key=b"k", value=b"v", lease=2**63 - 1, prev_kv=True
    )
    assert v.check_put(b"k", b"", LIMITS, ignore_value=True, ignore_lease=True).ignore_lease
    query = Range(key=b"z", range_end=b"a", limit=2**63 - 1, revision=2**63 - 1)
    assert v.check_range(query, LIMITS) is query, "a reversed range is empty, a huge limit is the server's"
    assert v.check_delete_range(LONG, LONG + b"\x00", LIMITS, prev_kv=True) == DeleteRange(
        key=LONG, range_end=LONG + b"\x00", prev_kv=True
    )
    txn = Txn(compares=(compare(7),) * 128, success=(Put(key=b"k", value=b"v"), query), failure=(nested(7),))
    assert v.check_txn(txn, LIMITS) is txn
    assert v.check_compact(1) == Compact(revision=1)
    spec = WatchSpec(key=b"\x00", range_end=FROM_KEY, start_revision=2**63 - 1, no_puts=True)
    assert v.check_watch(spec, LIMITS) is spec


def test_the_keys_of_a_transaction_may_repeat_as_far_as_the_door_is_concerned() -> None:
    txn = Txn(success=(Put(key=b"k"), Put(key=b"k")))
    assert v.check_txn(txn, LIMITS) is txn


@pytest.mark.parametrize(
    ("asked", "granted"), [(0, 1), (-1, 1), (-(2**63), 1), (5, 5), (9 * 10**9, 9 * 10**9)]
)
def test_a_short_or_negative_ttl_is_raised_as_in_etcd(asked: int, granted: int) -> None:
    assert v.check_lease_grant(asked, 3) == LeaseGrant(lease_id=3, ttl_s=granted)


def test_leases_are_asked_for_by_their_ids() -> None:
    assert v.check_lease_grant(5) == LeaseGrant(lease_id=0, ttl_s=5), "0: the node chooses"
    assert v.check_lease_revoke(1) == LeaseRevoke(lease_id=1)
    assert v.check_lease_keep_alive([1, 1], LIMITS) == LeaseKeepAlive(lease_ids=(1, 1))
    assert v.check_lease_time_to_live(1, with_keys=True) == LeaseTimeToLive(lease_id=1, with_keys=True)
    assert v.check_list_leases() == ListLeases(after=0)


@pytest.mark.parametrize(
    ("check", "field", "code"),
    [
        (lambda: v.check_put(b"", b"", LIMITS), "key", "invalid"),
        (lambda: v.check_put(LONG + b"k", b"", LIMITS), "key", "too_large"),
        (lambda: v.check_put(b"k", b"v", LIMITS, ignore_value=True), "value", "invalid"),
        (lambda: v.check_put(b"k", b"v", LIMITS, lease=1, ignore_lease=True), "lease", "invalid"),
        (lambda: v.check_put(b"k", b"v", LIMITS, lease=2**63), "lease", "invalid"),
        (lambda: v.check_put(b"k", b"v", LIMITS, lease=-1), "lease", "invalid"),
        (lambda: v.check_range(Range(key=b"", range_end=b"z"), LIMITS), "key", "invalid"),
        (lambda: v.check_range(Range(key=b"k", range_end=LONG + b"kk"), LIMITS), "range_end", "too_large"),
        (lambda: v.check_range(Range(key=b"k", limit=-1), LIMITS), "limit", "invalid"),
        (lambda: v.check_range(Range(key=b"k", limit=2**63), LIMITS), "limit", "invalid"),
        (lambda: v.check_range(Range(key=b"k", revision=-1), LIMITS), "revision", "invalid"),
        (lambda: v.check_range(Range(key=b"k", max_mod_revision=-1), LIMITS), "max_mod_revision", "invalid"),
        (lambda: v.check_delete_range(b"", FROM_KEY, LIMITS), "key", "invalid"),
        (lambda: v.check_txn(Txn(compares=(compare(1),) * 129), LIMITS), "compares", "invalid"),
        (lambda: v.check_txn(Txn(success=(Range(key=b"k"),) * 129), LIMITS), "success", "invalid"),
        (lambda: v.check_txn(Txn(failure=(Txn(),) * 129), LIMITS), "failure", "invalid"),
        (lambda: v.check_txn(Txn(compares=(compare(1, key=b""),)), LIMITS), "compares[0].key", "invalid"),
        (lambda: v.check_txn(Txn(compares=(compare(-1),)), LIMITS), "compares[0].mod", "invalid"),
        (
            lambda: v.check_txn(Txn(compares=(compare(bytes(2**20 + 1), CompareTarget.VALUE),)), LIMITS),
            "compares[0].value",
            "too_large",
        ),
        (
            lambda: v.check_txn(Txn(failure=(Range(key=b"k"), Put(key=b""))), LIMITS),
            "failure[1].put.key",
            "invalid",
        ),
        (
            lambda: v.check_txn(Txn(success=(DeleteRange(key=b""),)), LIMITS),
            "success[0].delete_range.key",
            "invalid",
        ),
        (
            lambda: v.check_txn(Txn(success=(Txn(failure=(Range(key=b"", limit=1),)),)), LIMITS),
            "success[0].txn.failure[0].range.key",
            "invalid",
        ),
        (lambda: v.check_txn(nested(9), LIMITS), ".".join(["success[0].txn"] * 8), "invalid"),
        (lambda: v.check_txn(nested(64), LIMITS), ".".join(["success[0].txn"] * 8), "invalid"),
        (
            lambda: v.check_txn(Txn(success=(Put(key=b"k", value=bytes(2**20)),) * 2), LIMITS),
            "txn",
            "too_large",
        ),
        (lambda: v.check_compact(0), "revision", "invalid"),
        (lambda: v.check_compact(-1), "revision", "invalid"),
        (lambda: v.check_watch(WatchSpec(key=b""), LIMITS), "key", "invalid"),
        (lambda: v.check_watch(WatchSpec(key=b"k", start_revision=-1), LIMITS), "start_revision", "invalid"),
        (lambda: v.check_watch(WatchSpec(key=b"k", range_end=b"a"), LIMITS), "range_end", "invalid"),
        (lambda: v.check_watch(WatchSpec(key=b"k", range_end=b"k"), LIMITS), "range_end", "invalid"),
        (
            lambda: v.check_watch(WatchSpec(key=b"k", no_puts=True, no_deletes=True), LIMITS),
            "no_deletes",
            "invalid",
        ),
        (lambda: v.check_lease_grant(9 * 10**9 + 1), "ttl_s", "invalid"),
        (lambda: v.check_lease_grant(10**18), "ttl_s", "invalid"),
        (lambda: v.check_lease_grant(5, -1), "lease_id", "invalid"),
        (lambda: v.check_lease_grant(5, 2**63), "lease_id", "invalid"),
        (lambda: v.check_lease_revoke(0), "lease_id", "invalid"),
        (lambda: v.check_lease_keep_alive([], LIMITS), "lease_ids", "invalid"),
        (lambda: v.check_lease_keep_alive([1] * 129, LIMITS), "lease_ids", "invalid"),
        (lambda: v.check_lease_keep_alive([1, 0], LIMITS), "lease_ids[1]", "invalid"),
        (lambda: v.check_lease_time_to_live(0), "lease_id", "invalid"),
        (lambda: v.check_list_leases(-1), "after", "invalid"),
    ],
)
def test_what_is_not_is_refused_by_name(check: Callable[[], object], field: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        check()
    assert (refused.value.field, refused.value.code) == (field, code)
