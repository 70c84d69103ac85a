"""Every difference from etcd that is known and wanted, each as narrow as can be said. docs/divergence.md explains them to users.

A difference that no row explains fails the test. What cannot be compared at all (times, fields that etcd lacks) is `_comparable`
in `run.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ferrite.core import kv
from ferrite.io.validation import TXN_DEPTH_MAX
from tests.e2e.differential.answers import Answer, Failed, Operation, Watched


@dataclass(frozen=True, slots=True)
class Divergence:
    """`forks`: the stores hold different things from here on, so that the rest of the sequence is not compared."""

    name: str
    reason: str
    explains: Callable[[Operation, Answer, Answer], bool]
    forks: bool = False


def _limit_before_sort(operation: Operation, etcd: Answer, ferrite: Answer) -> bool:
    if not (
        isinstance(operation, kv.Range)
        and operation.limit
        and operation.sort_order is kv.SortOrder.NONE
        and operation.sort_target is not kv.SortTarget.KEY
        and isinstance(etcd, kv.RangeResult)
        and isinstance(ferrite, kv.RangeResult)
    ):
        return False
    same_but_entries = replace(etcd, entries=()) == replace(ferrite, entries=())
    return same_but_entries and len(etcd.entries) == len(ferrite.entries)


def _unnoticed_double_change(operation: Operation, etcd: Answer, ferrite: Answer) -> bool:
    return (
        isinstance(operation, kv.Txn)
        and ferrite == Failed("duplicate_key")
        and etcd != ferrite
        and (_deletes_from_key(operation) or _puts_before_nested_delete(operation))
    )


def _parts(txn: kv.Txn) -> Iterator[kv.TxnOperation]:
    for part in (*txn.success, *txn.failure):
        yield part
        if isinstance(part, kv.Txn):
            yield from _parts(part)


def _deletes_from_key(txn: kv.Txn) -> bool:
    return any(isinstance(part, kv.DeleteRange) and part.range_end == kv.FROM_KEY for part in _parts(txn))


def _puts_before_nested_delete(txn: kv.Txn) -> bool:
    """Are there nested transactions at all, and in them or beside them both kinds of changes?"""
    parts = list(_parts(txn))
    return all(any(isinstance(part, kind) for part in parts) for kind in (kv.Txn, kv.Put, kv.DeleteRange))


def _depth(txn: kv.Txn) -> int:
    inner = (part for part in (*txn.success, *txn.failure) if isinstance(part, kv.Txn))
    return 1 + max(map(_depth, inner), default=0)


def _nested_too_deep(operation: Operation, etcd: Answer, ferrite: Answer) -> bool:
    return (
        isinstance(operation, kv.Txn)
        and _depth(operation) > TXN_DEPTH_MAX
        and ferrite == Failed("invalid")
        and etcd != ferrite
    )


def _compaction_at_none(operation: Operation, etcd: Answer, ferrite: Answer) -> bool:
    return (operation, etcd, ferrite) == (kv.Compact(revision=0), Failed("compacted"), Failed("invalid"))


def _deletion_compacted(operation: Operation, etcd: Answer, ferrite: Answer) -> bool:
    if not (
        isinstance(operation, kv.WatchSpec) and isinstance(etcd, Watched) and isinstance(ferrite, Watched)
    ):
        return False
    first = operation.start_revision
    later = tuple(each for each in ferrite.events if not (each.deleted and each.entry.mod_revision == first))
    return etcd == replace(ferrite, events=later)


DIVERGENCES: Final = (
    Divergence(
        "limit before sort",
        "etcd cuts at the limit, then sorts what is left, when a sort target has no order; documented is the order alone",
        _limit_before_sort,
    ),
    Divergence(
        "double change unnoticed",
        "etcd misses a put and a delete of one key in one transaction when the delete is `from key`, or they stand in different "
        "transactions of one nest; its documentation forbids both",
        _unnoticed_double_change,
        forks=True,
    ),
    Divergence(
        "nested too deep",
        "Ferrite bounds the depth of transactions: every level multiplies what one request can ask for",
        _nested_too_deep,
        forks=True,
    ),
    Divergence(
        "compaction at none",
        "0 is no revision; etcd accepts it on a store that was never compacted",
        _compaction_at_none,
    ),
    Divergence(
        "deletion compacted",
        "a watch from the revision that was compacted may begin there, but etcd has thrown away the deletion made at it "
        "(etcd #19179)",
        _deletion_compacted,
    ),
)


def explain(operation: Operation, etcd: Answer, ferrite: Answer) -> Divergence | None:
    """Return the first row that knows this difference."""
    return next((each for each in DIVERGENCES if each.explains(operation, etcd, ferrite)), None)
