"""The query of a URL as the object that a body would have been, so that one parser serves GET and POST. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ferrite.io.validation import Invalid, shown

_INTEGER: Final = re.compile(r"-?[0-9]{1,20}")
_BOOLEANS: Final = {"": True, "true": True, "1": True, "false": False, "0": False}


def query_object(
    query: Mapping[str, tuple[str, ...]], *, integers: tuple[str, ...] = (), booleans: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Each parameter once, as an integer, a boolean (`?progress` is true) or text. Raises `Invalid`."""
    found: dict[str, Any] = {}
    for name, given in query.items():
        if len(given) != 1:
            raise Invalid(name, f"given {len(given)} times", "once")
        text = given[0]
        if name in integers:
            if not _INTEGER.fullmatch(text):
                raise Invalid(name, shown(text), "an integer")
            found[name] = int(text)
        elif name in booleans:
            if text not in _BOOLEANS:
                raise Invalid(name, shown(text), "true or false")
            found[name] = _BOOLEANS[text]
        else:
            found[name] = text
    return found
