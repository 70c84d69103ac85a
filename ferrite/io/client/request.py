"""What a call asks for, in the machine's words, ready for either transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from ferrite.core import Consistency, kv
from ferrite.io.client.errors import InvalidArgument

ConsistencyName = Literal["linearizable", "serializable"]
SortName = Literal["key", "version", "create", "mod", "value"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What a read promises. `max_staleness_ms` 0: no bound."""

    consistency: Consistency = Consistency.LINEARIZABLE
    max_staleness_ms: int = 0


LINEARIZABLE: Final = ReadOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class AddLearner:
    """`addr`: any address of the new node."""

    node_id: int
    addr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeVoters:
    """Exactly these."""

    voters: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveMember:
    """A voter or a learner."""

    node_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLeader:
    """`target` 0: the best voter."""

    target: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskStatus:
    """What a node says of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskHealth:
    """Whether it is well."""


ClusterOperation = AddLearner | ChangeVoters | RemoveMember | TransferLeader | AskStatus | AskHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call. `reading` matters to queries only."""

    operation: kv.Operation | kv.Query | ClusterOperation
    reading: ReadOptions = LINEARIZABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSpec:
    """One watch as a server gets it."""

    key: bytes
    range_end: bytes = b""
    start_revision: int = 0
    prev_kv: bool = False
    puts: bool = True
    deletes: bool = True
    progress: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeOptions:
    """The options of `range` as the caller gave them."""

    limit: int = 0
    revision: int = 0
    sort_by: SortName = "key"
    descending: bool = False
    keys_only: bool = False
    count_only: bool = False
    with_count: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0


def range_query(selected: tuple[bytes, bytes], options: RangeOptions) -> kv.Range:
    """Raises `InvalidArgument`."""
    if options.sort_by not in get_args(SortName):
        raise InvalidArgument(
            f"sort_by: {options.sort_by!r}; expected key, version, create, mod or value", code="invalid"
        )
    return kv.Range(
        key=selected[0],
        range_end=selected[1],
        limit=options.limit,
        revision=options.revision,
        sort_target=kv.SortTarget[options.sort_by.upper()],
        sort_order=kv.SortOrder.DESCEND if options.descending else kv.SortOrder.ASCEND,
        keys_only=options.keys_only,
        count_only=options.count_only,
        with_count=options.with_count,
        min_mod_revision=options.min_mod_revision,
        max_mod_revision=options.max_mod_revision,
        min_create_revision=options.min_create_revision,
        max_create_revision=options.max_create_revision,
    )


def read_options(consistency: str, max_staleness_s: float) -> ReadOptions:
    """Raises `InvalidArgument`."""
    if consistency not in get_args(ConsistencyName):
        raise InvalidArgument(
            f"consistency: {consistency!r}; expected linearizable or serializable", code="invalid"
        )
    if max_staleness_s and consistency != "serializable":
        raise InvalidArgument("max_staleness_s: a linearizable read is never stale", code="invalid")
    if not 0 <= max_staleness_s < float("inf"):
        raise InvalidArgument(
            f"max_staleness_s: {max_staleness_s!r}; expected seconds from 0 on", code="invalid"
        )
    milliseconds = max(1, round(max_staleness_s * 1000)) if max_staleness_s else 0
    return ReadOptions(consistency=Consistency(consistency), max_staleness_ms=milliseconds)
