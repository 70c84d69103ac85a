"""What a client may ask, checked once for every door: sizes, ranges and shapes, on plain values and operations (front door).

HTTP and gRPC decode their own way and then come here, so that both refuse the same things in the same words.
A refusal is an `Invalid`: nothing was proposed, nothing happened. Limits are the `[limits]` section of the configuration.
"""

from ferrite.io.validation.basics import (
    INT_MAX,
    Invalid,
    check_int,
    check_key,
    check_size,
    check_value,
    shown,
)
from ferrite.io.validation.cluster import (
    MANAGEMENT_TIMEOUT_MS_MAX,
    check_address,
    check_node_id,
    check_voters,
)
from ferrite.io.validation.leases import (
    LEASE_TTL_S_MAX,
    check_lease_grant,
    check_lease_keep_alive,
    check_lease_revoke,
    check_lease_time_to_live,
    check_list_leases,
)
from ferrite.io.validation.plain import (
    CLIENT_ID_BYTES_MAX,
    STALENESS_MS_MAX,
    check_batch,
    check_delete,
    check_get,
    check_list,
    check_session,
    check_staleness_ms,
)
from ferrite.io.validation.ranges import (
    TXN_DEPTH_MAX,
    TXN_PARTS_MAX,
    TxnParts,
    check_compact,
    check_delete_range,
    check_put,
    check_put_operation,
    check_range,
    check_txn,
    check_watch,
)

__all__ = [
    "CLIENT_ID_BYTES_MAX",
    "INT_MAX",
    "Invalid",
    "LEASE_TTL_S_MAX",
    "MANAGEMENT_TIMEOUT_MS_MAX",
    "STALENESS_MS_MAX",
    "TXN_DEPTH_MAX",
    "TXN_PARTS_MAX",
    "TxnParts",
    "check_address",
    "check_batch",
    "check_compact",
    "check_delete",
    "check_delete_range",
    "check_get",
    "check_int",
    "check_key",
    "check_lease_grant",
    "check_lease_keep_alive",
    "check_lease_revoke",
    "check_lease_time_to_live",
    "check_list",
    "check_list_leases",
    "check_node_id",
    "check_put",
    "check_put_operation",
    "check_range",
    "check_session",
    "check_size",
    "check_staleness_ms",
    "check_txn",
    "check_value",
    "check_voters",
    "check_watch",
    "shown",
]
