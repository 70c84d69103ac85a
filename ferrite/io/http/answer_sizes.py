"""How large an answer may become, known from the request; and how large a result is. Keys and values only, before encoding."""

from __future__ import annotations

from typing import Any

from ferrite.core.kv import DeleteRange, KeyValue, ListKeys, Put, Range, Txn
from ferrite.io.config import LimitsConfig


def largest_answer_bytes(asked: Any, limits: LimitsConfig) -> int:
    """For what a request's answer needs room beforehand; 0: for nothing, as of a query of one key, which are many."""
    match asked:
        case Range(range_end=range_end, count_only=count_only):
            return limits.list_bytes_max if range_end and not count_only else 0
        case ListKeys():
            return limits.list_bytes_max
        case DeleteRange(range_end=range_end, prev_kv=True):
            return limits.list_bytes_max if range_end else limits.value_bytes_max
        case Put(prev_kv=True):
            return limits.value_bytes_max
        case Txn(success=success, failure=failure):
            branches = (
                sum(largest_answer_bytes(one, limits) for one in branch) for branch in (success, failure)
            )
            return min(limits.list_bytes_max, max(branches))
        case _:
            return 0


def result_bytes(result: Any) -> int:
    """Of the keys and values in a result, those of nested ones too."""
    entries: tuple[KeyValue, ...] = getattr(result, "entries", ())
    prev = getattr(result, "prev", None)
    if prev is not None:
        entries = prev if isinstance(prev, tuple) else (prev,)
    own = sum(len(one.key) + len(one.value) for one in entries)
    return own + sum(map(result_bytes, getattr(result, "results", ())))
