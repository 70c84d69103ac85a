"""What the options mean: the sentences that stand below the fields in their source, so that there is one place for each."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields, is_dataclass
from typing import Any, Final, get_type_hints

_UNITS: Final = {
    "_ppm": "parts per million",
    "_us": "microseconds",
    "_bytes": "bytes",
    "_seconds": "seconds",
}


def meanings(options_class: type[Any], prefix: str = "") -> dict[str, str]:
    """Dotted key -> sentence: the field's own, else its name in words with its unit."""
    sentences = field_docstrings(options_class)
    types = get_type_hints(options_class)
    found: dict[str, str] = {}
    for part in fields(options_class):
        if is_dataclass(types[part.name]):
            found.update(meanings(types[part.name], f"{prefix}{part.name}."))
        else:
            found[prefix + part.name] = sentences.get(part.name) or in_words(part.name)
    return found


def field_docstrings(cls: type[Any]) -> dict[str, str]:
    """The strings that stand right below the fields of a class, on one line each."""
    body = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(body, ast.ClassDef), "the source of a class is a class"
    found = {}
    for above, below in zip(body.body, body.body[1:], strict=False):
        match above, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
            case _:
                pass
    return found


def in_words(name: str) -> str:
    """`loss_ppm` is `loss, in parts per million`."""
    for ending, unit in _UNITS.items():
        if name.endswith(ending):
            return f"{name.removesuffix(ending).replace('_', ' ')}, in {unit}"
    return name.replace("_", " ")
