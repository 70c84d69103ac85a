"""What a client may ask, checked once for every door: sizes, ranges and shapes, on plain bytes and integers.

HTTP and gRPC decode their own way and then come here, so that both refuse the same things in the same words.
A refusal is an `Invalid`: nothing was proposed, nothing happened. Limits are the `[limits]` section of the configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from ferrite.core.kv import Batch, Delete, Get, ListKeys, Operation, Put, Session
from ferrite.io.config.address import AddressError, parse_address
from ferrite.io.config.keys import NODE_ID_MAX, PEERS_MAX
from ferrite.io.config.model import LimitsConfig

INT_MAX: Final = 2**63 - 1  # the largest integer that every wire format and msgpack can carry with a sign
CLIENT_ID_BYTES_MAX: Final = 64  # contract, section 7: a uuid as text and some room
STALENESS_MS_MAX: Final = 86_400_000  # a day; who accepts older data sets no bound (0)
MANAGEMENT_TIMEOUT_MS_MAX: Final = (
    600_000  # a learner may need minutes to follow; longer waits are the operator's to repeat
)
_SHOWN_CHARACTERS_MAX: Final = (
    60  # of a value in an error message: enough to recognise, too little to flood a log
)


class Invalid(ValueError):
    """A request that was refused at the door. `field` names what was wrong, in the words of the protocol's request.

    `code` is stable: "invalid", or "too_large" when only the size was wrong.
    """

    def __init__(
        self, field: str, given: str, expected: str, *, code: Literal["invalid", "too_large"] = "invalid"
    ) -> None:
        """Say what was given and what was expected."""
        super().__init__(f"{field}: {given}; expected {expected}")
        self.field = field
        self.given = given
        self.expected = expected
        self.code = code


def shown(value: object) -> str:
    """`value` as an error message may show it: printable ASCII, one line, cut when long."""
    if isinstance(value, int) and value.bit_length() > 4 * _SHOWN_CHARACTERS_MAX:
        return f"an integer of {value.bit_length()} bits"  # str() of a huge one is slow, and an error above 4300 digits
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[: _SHOWN_CHARACTERS_MAX - 3] + "..."


def check_int(field: str, value: object, minimum: int, maximum: int) -> int:
    """Return `value` when it is an integer (true is none) in the closed range."""
    if type(value) is not int or not minimum <= value <= maximum:
        raise Invalid(field, shown(value), f"an integer from {minimum} to {maximum}")
    return value


def check_key(key: bytes, limits: LimitsConfig, field: str = "key") -> bytes:
    """A key: any bytes, but not none."""
    if not key:
        raise Invalid(field, "empty", f"1 to {limits.key_bytes_max} bytes")
    return _check_size(field, key, limits.key_bytes_max)


def check_value(value: bytes, limits: LimitsConfig, field: str = "value") -> bytes:
    """A value: any bytes, also none."""
    return _check_size(field, value, limits.value_bytes_max)


def check_put(key: bytes, value: bytes, limits: LimitsConfig) -> Put:
    """One key to set."""
    return Put(key=check_key(key, limits), value=check_value(value, limits))


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
        if isinstance(operation, Batch):
            raise Invalid(here, "a batch", "a set or a delete: batches do not nest")
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
        prefix=_check_size("prefix", prefix, limits.key_bytes_max),
        limit=check_int("limit", limit, 0, limits.list_keys_max),
        after=_check_size("after", after, limits.key_bytes_max),
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
    _check_size("client_id", client_id, CLIENT_ID_BYTES_MAX)
    check_int("request_id", request_id, 1, INT_MAX)
    check_int("lowest_unacknowledged", lowest_unacknowledged, 0, request_id)
    return Session(client_id=client_id, request_id=request_id, lowest_unacknowledged=lowest_unacknowledged)


def check_staleness_ms(value: int, field: str = "max_staleness_ms") -> int:
    """How old a serializable read may be; 0 sets no bound."""
    return check_int(field, value, 0, STALENESS_MS_MAX)


def check_node_id(value: object, field: str = "node_id") -> int:
    """The id of a node."""
    return check_int(field, value, 1, NODE_ID_MAX)


def check_voters(node_ids: Sequence[object], field: str = "member_ids") -> tuple[int, ...]:
    """The voters of a new membership: at least one, each once."""
    if not 1 <= len(node_ids) <= PEERS_MAX:
        raise Invalid(field, f"{len(node_ids)} ids", f"1 to {PEERS_MAX} node ids")
    checked = tuple(
        check_node_id(node_id, f"{field}[{position}]") for position, node_id in enumerate(node_ids)
    )
    repeated = _first_repeated(checked)
    if repeated is not None:
        raise Invalid(field, f"{repeated} more than once", "each node id once")
    return checked


def check_address(text: str, field: str) -> str:
    """An address to dial, as `host:port`; empty means that the node itself is asked for it."""
    if not text:
        return text
    try:
        address = parse_address(text)
    except AddressError as error:
        raise Invalid(field, shown(text), f"host:port or nothing ({error})") from None
    if address.is_wildcard or address.is_multicast:
        raise Invalid(
            field, shown(text), "an address that others can dial, no wildcard and no multicast address"
        )
    return str(address)


def _check_size(field: str, data: bytes, bytes_max: int) -> bytes:
    if len(data) > bytes_max:
        raise Invalid(field, f"{len(data)} bytes", f"at most {bytes_max} bytes", code="too_large")
    return data


def _first_repeated(numbers: Iterable[int]) -> int | None:
    seen: set[int] = set()
    for number in numbers:
        if number in seen:
            return number
        seen.add(number)
    return None
