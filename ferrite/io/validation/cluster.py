"""Checks of what operators ask: nodes, voters, addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ferrite.io.config.address import AddressError, parse_address
from ferrite.io.config.keys import NODE_ID_MAX, PEERS_MAX
from ferrite.io.validation.basics import Invalid, check_int, shown

MANAGEMENT_TIMEOUT_MS_MAX: Final = (
    600_000  # a learner may need minutes to follow; longer waits are the operator's to repeat
)


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


def _first_repeated(numbers: Iterable[int]) -> int | None:
    seen: set[int] = set()
    for number in numbers:
        if number in seen:
            return number
        seen.add(number)
    return None
