"""A whole range, however large: a server limits one answer, and etcdctl's users expect all of it."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ferrite.io.client import AsyncClient, RangeAnswer

_ATTRIBUTES: Final = {
    "key": "key",
    "value": "value",
    "version": "version",
    "create": "create_revision",
    "mod": "mod_revision",
}


async def read_range(
    client: AsyncClient, selected: dict[str, Any], limit: int, options: dict[str, Any]
) -> RangeAnswer:
    """All keys of the selection, or the first `limit` in the order asked for, at one revision."""
    answer = await client.range(**selected, **options, limit=limit, with_count=True)
    if not answer.more or (limit and len(answer.kvs) >= limit):
        return answer
    # What did not fit is read page by page in key order, as of the first answer's revision, and sorted here.
    by_value = options["sort_by"] == "value"
    kvs = [
        kv
        async for kv in client.scan(
            **selected,
            revision=options["revision"] or answer.revision,
            keys_only=options["keys_only"] and not by_value,
        )
    ]
    kvs.sort(key=attrgetter(_ATTRIBUTES[options["sort_by"]]), reverse=options["descending"])
    kept = kvs[:limit] if limit else kvs
    if by_value and options["keys_only"]:
        kept = [replace(kv, value=b"") for kv in kept]
    return replace(answer, kvs=tuple(kept), more=len(kept) < len(kvs))
