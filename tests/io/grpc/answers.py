"""One result of every operation and query that the store of the fake request path does not carry out itself."""

from typing import Any

from ferrite.core.kv import (
    Compact,
    CompactResult,
    DeleteRange,
    DeleteRangeResult,
    KeyValue,
    LeaseGrant,
    LeaseGrantResult,
    LeaseKeepAlive,
    LeaseKeepAliveResult,
    LeaseRevoke,
    LeaseRevokeResult,
    LeaseTimeToLive,
    LeaseTimeToLiveResult,
    ListLeases,
    ListLeasesResult,
    PutResult,
    Range,
    RangeResult,
    Txn,
    TxnResult,
)

ENTRY = KeyValue(key=b"k", value=b"\xff\x00", create_revision=3, mod_revision=7, version=2, lease=11)


def prepared() -> dict[type, Any]:
    """Type of what is asked -> its result."""
    return {
        Range: RangeResult(revision=9, entries=(ENTRY,), more=True, count=40),
        DeleteRange: DeleteRangeResult(revision=10, deleted=2, prev=(ENTRY,)),
        Txn: TxnResult(
            revision=12,
            succeeded=True,
            results=(
                PutResult(revision=12, prev=ENTRY),
                RangeResult(revision=12, entries=(ENTRY,), more=False),
                DeleteRangeResult(revision=12, deleted=1),
                TxnResult(revision=12, succeeded=False, results=(PutResult(revision=12),)),
            ),
        ),
        Compact: CompactResult(revision=13, compacted=8),
        LeaseGrant: LeaseGrantResult(revision=13, lease_id=77, ttl_s=5),
        LeaseRevoke: LeaseRevokeResult(revision=14, deleted=3),
        LeaseKeepAlive: LeaseKeepAliveResult(revision=14, ttls_s=(5, 0)),
        LeaseTimeToLive: LeaseTimeToLiveResult(
            revision=14, remaining_us=4_321_999, granted_ttl_s=5, keys=(b"a", b"b")
        ),
        ListLeases: ListLeasesResult(revision=14, lease_ids=(77, 78), more=True),
    }
