"""Whatever is sent, a parser takes it or refuses it by name; and what it takes fits the documented schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrite.io.http.json_body import parse_json
from ferrite.io.validation import Invalid
from tests.io.http.schema import mismatches
from tests.io.http.test_openapi import DOCUMENT, TRIED

SCHEMAS = DOCUMENT["components"]["schemas"]
EXAMPLES: dict[str, list[Any]] = {name: [] for name, _, _ in TRIED}
for _method in (method for path in DOCUMENT["paths"].values() for method in path.values()):
    if "requestBody" in _method:
        _content = _method["requestBody"]["content"]["application/json"]
        EXAMPLES[_content["schema"]["$ref"].rpartition("/")[2]].append(_content.get("example", {}))
NAMES = sorted({name for schema in SCHEMAS.values() for name in schema.get("properties", {})})
SCALARS = st.sampled_from(
    [None, True, False, 0, 1, -1, 7, 2**53, 2**63 - 1, 2**63, 1.0, 1e300, "", "0", "7", "07", "k", "a/", "aw==", "/w==",
     "base64", "utf-8", "hex", "key", "mod", "value", "lease", "version", "equal", "descend", "serializable", "\u0000", "\udc80",
     "é", "k" * 5000],
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)


def changed(example: Any, path: list[int], name: str, content: Any) -> Any:
    """The example with one place replaced, or one member more."""
    if not path or not isinstance(example, dict | list) or not example:
        return {**example, name: content} if isinstance(example, dict) else content
    if isinstance(example, list):
        place = path[0] % len(example)
        return [changed(one, path[1:], name, content) if n == place else one for n, one in enumerate(example)]
    chosen = sorted(example)[path[0] % len(example)]
    return {
        key: changed(one, path[1:], name, content) if key == chosen else one for key, one in example.items()
    }


@pytest.mark.parametrize("name, parse", [(name, parse) for name, parse, _ in TRIED])
def test_nothing_breaks_a_parser_and_nothing_undocumented_passes(
    name: str, parse: Callable[[Any], object]
) -> None:
    @settings(max_examples=25, deadline=None)
    @given(
        st.sampled_from(
            [content for one, _, contents in TRIED if one == name for content in (*contents, *EXAMPLES[name])]
        ),
        st.lists(
            st.tuples(st.lists(st.integers(0, 5), max_size=5), st.sampled_from(NAMES), VALUES), max_size=3
        ),
    )
    def tried(content: Any, changes: list[tuple[list[int], str, Any]]) -> None:
        for change in changes:
            content = changed(content, *change)
        refused = None
        try:
            parse(parse_json(json.dumps(content).encode()))
        except Invalid as error:
            refused = error
        if refused is None:
            assert mismatches(content, SCHEMAS[name], DOCUMENT) == []
        else:
            assert refused.field
            assert refused.expected

    tried()
