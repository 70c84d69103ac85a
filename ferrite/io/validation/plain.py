"""Checks of the plain operations: delete, batch, get, listing; and of sessions and reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ferrite.core.kv import Batch, Delete, Get, ListKeys, Operation, Put, Session
from ferrite.io.config.model import LimitsConfig
from ferrite.io.validation.basics import INT_MAX, Invalid, check_int, check_key, check_size, check_value

CLIENT_ID_BYTES_MAX: Final = 64  # contract, section 7: a uuid as text and some room
STALENESS_MS_MAX: Final = 86_400_000  # a day; who accepts older data sets no bound (0)


def check_delete(key: bytes, limits: LimitsConfig) -> Delete:
    """One key to delete."""
    return Delete(key=check_key(key, limits))


def check_get(key: bytes, limits: LimitsConfig) -> Get:
    """One key to read."""
    return Get(key=check_key(key, limits))


def check_batch(operations: Sequence[Operation], limits: LimitsConfig, field: str = "operations") -> Batch:
    """Several puts and deletes at one revision: each within its limits, a key once, all of them within a request's size."""
    if not 1 <= len(operations) <= limits.batch_operations_max:
        raise Invalid(field, f"{len(operations)} operations", f"1 to {limits.batch_operations_max}")
    checked: list[Put | Delete] = []
    first_seen: dict[bytes, int] = {}
    bytes_total = 0
    for position, operation in enumerate(operations):
        here = f"{field}[{position}]"
        if not isinstance(operation, Put | Delete):
            raise Invalid(here, f"a {type(operation).__name__}", "a set or a delete: batches do not nest")
        check_key(operation.key, limits, f"{here}.key")
        bytes_total += len(operation.key)
        if isinstance(operation, Put):
            bytes_total += len(check_value(operation.value, limits, f"{here}.value"))
        earlier = first_seen.setdefault(operation.key, position)
        if earlier != position:
            raise Invalid(f"{here}.key", f"the key of {field}[{earlier}] again", "each key once in a batch")
        checked.append(operation)
    if bytes_total > limits.request_bytes_max:
        raise Invalid(
            field,
            f"keys and values of {bytes_total} bytes",
            f"at most {limits.request_bytes_max} bytes in one request",
            code="too_large",
        )
    return Batch(operations=tuple(checked))


def check_list(  # fields of the request, one each
    prefix: bytes, limit: int, after: bytes, limits: LimitsConfig, *, keys_only: bool = True
) -> ListKeys:
    """A page of keys. `limit` 0 asks for the server's maximum, `after` is the last key of the page before."""
    return ListKeys(
        prefix=check_size("prefix", prefix, limits.key_bytes_max),
        limit=check_int("limit", limit, 0, limits.list_keys_max),
        after=check_size("after", after, limits.key_bytes_max),
        keys_only=keys_only,
    )


def check_session(client_id: bytes, request_id: int, lowest_unacknowledged: int = 0) -> Session | None:
    """The exactly-once fields of a changing request; None when the client sent none of them."""
    if not client_id:
        if request_id or lowest_unacknowledged:
            raise Invalid(
                "client_id",
                "empty",
                f"1 to {CLIENT_ID_BYTES_MAX} bytes when request_id or lowest_unacknowledged is sent",
            )
        return None
    check_size("client_id", client_id, CLIENT_ID_BYTES_MAX)
    check_int("request_id", request_id, 1, INT_MAX)
    check_int("lowest_unacknowledged", lowest_unacknowledged, 0, request_id)
    return Session(client_id=client_id, request_id=request_id, lowest_unacknowledged=lowest_unacknowledged)


def check_staleness_ms(value: int, field: str = "max_staleness_ms") -> int:
    """How old a serializable read may be; 0 sets no bound."""
    return check_int(field, value, 0, STALENESS_MS_MAX)
