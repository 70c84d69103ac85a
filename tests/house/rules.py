"""The rules as functions: text in, broken places out (`line: what is wrong`). Each is tried on a bad sample in test_rules.py."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

# Composed, so that the words do not stand in this file, which is checked like all others.
_UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME")) + r")\b")
_MACHINE = re.compile(
    "|".join(
        (
            "/wo" + r"rk/(main|shared|\.)",
            r"\.\./sha" + "red",
            "/ro" + "ot/",
            "/op" + "t/(wheels|pypi)",
            "py" + r"pi\.org",
            "python" + r"hosted\.org",
            "registry\\.npm" + r"js\.org",
            "deb\\.deb" + r"ian\.org",
        )
    )
)
_TYPE_IGNORE = re.compile(r"#\s*type:\s*ignore(?P<codes>\[[^\]]+\])?(?P<rest>.*)")
_NOQA = re.compile(r"#\s*noqa(?P<codes>:\s*[A-Z]+[0-9]+(?:\s*,\s*[A-Z]+[0-9]+)*)?(?P<rest>.*)", re.IGNORECASE)
_REASON = re.compile(r"[A-Za-z]{2,}.*[A-Za-z]{2,}")
_ADDRESS = re.compile(r"://|^\s*--?(?!hash=)[a-z]|\bfile:|\s@\s")
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)")

FRONT_DOORS = frozenset({"ferrite.core", "ferrite.core.client", "ferrite.core.disk", "ferrite.core.kv"})
_IMPURE_CALLS = {
    "open": "the core does no I/O",
    "print": "the core does no I/O",
    "input": "the core does no I/O",
    "hash": "hash() of text differs between processes (PYTHONHASHSEED)",
    "id": "addresses differ between processes",
    "eval": "the core runs what was written, not what was sent",
    "exec": "the core runs what was written, not what was sent",
}


def unfinished_marks(text: str) -> list[str]:
    """Work that is left belongs into an issue, not into a comment."""
    return _matching_lines(_UNFINISHED, text, "unfinished work marked in the text")


def machine_names(text: str) -> list[str]:
    """The repository makes sense on any machine: no paths of a workplace, no hosts of package registries."""
    return _matching_lines(_MACHINE, text, "names a machine's path or a registry's host")


def ignores_without_code_or_reason(source: str) -> list[str]:
    """A silenced check names what it silences and why: `# noqa: S101 - why`, `# type: ignore[arg-type]  # why`."""
    broken = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        for pattern in (_TYPE_IGNORE, _NOQA):
            found = pattern.search(token.string)
            if found and not found["codes"]:
                broken.append(f"{token.start[0]}: ignore without a code")
            elif found and not _REASON.search(found["rest"]):
                broken.append(f"{token.start[0]}: ignore without a reason")
    return broken


def impure_constructs(source: str) -> list[str]:
    """What ruff's banned names cannot see in ferrite/core: floats, built-in functions that do I/O or differ between runs."""
    return [f"{line}: {what}" for line, what in sorted(_impure(ast.parse(source)))]


def _impure(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float() | complex()):
                yield node.lineno, "a float literal; the core has integers only"
            case ast.Name(id="float" | "complex"):
                yield node.lineno, "float; the core has integers only"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield node.lineno, "true division makes floats; use // and say how it rounds"
            case ast.Call(func=ast.Name(id=name)) if name in _IMPURE_CALLS:
                yield node.lineno, f"{name}(): {_IMPURE_CALLS[name]}"
            case ast.Global():
                yield node.lineno, "global state; one process hosts many replicas"
            case _:
                pass


def exported_names(source: str) -> list[str]:
    """What `__all__` of this module lists."""
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(
                targets=[ast.Name(id="__all__")], value=ast.List(elts=items) | ast.Tuple(elts=items)
            ):
                return [str(ast.literal_eval(item)) for item in items]
            case _:
                pass
    return []


def back_doors(source: str, module: str, hidden_modules: frozenset[str]) -> list[str]:
    """Imports of `module` that enter the core elsewhere than by a front door.

    `hidden_modules` are the dotted names of all modules below ferrite.core that no front door lists in its `__all__`:
    `from ferrite.core import election` is no use of the front door when `election` is a hidden module.
    """
    doors = ", ".join(sorted(FRONT_DOORS))
    return [
        f"{getattr(node, 'lineno', 0)}: imports {name}; enter by {doors}"
        for node in ast.walk(ast.parse(source))
        for name in _imported_modules(node, module, hidden_modules)
        if name.startswith("ferrite.core.") and name not in FRONT_DOORS
    ]


def _imported_modules(node: ast.AST, module: str, hidden_modules: frozenset[str]) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=target, names=names, level=level):
            base = ".".join(module.split(".")[:-level]) if level else ""
            source = ".".join(part for part in (base, target or "") if part)
            inner = [f"{source}.{alias.name}" for alias in names]
            return [source, *(name for name in inner if name in hidden_modules)]
        case _:
            return []


def long_functions(source: str, lines_max: int) -> dict[str, int]:
    """Qualified name -> lines, of functions over `lines_max` lines. A docstring does not count: explaining is free."""
    return {name: lines for name, lines in _functions(ast.parse(source), "") if lines > lines_max}


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{prefix}{child.name}"
            yield name, _line_count(child) - _docstring_line_count(child)
            yield from _functions(child, f"{name}.")
        else:
            yield from _functions(child, prefix)


def _line_count(node: ast.stmt) -> int:
    assert node.end_lineno is not None, "ast.parse gives every statement its end"
    return node.end_lineno - node.lineno + 1


def _docstring_line_count(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return 0 if ast.get_docstring(node) is None else _line_count(node.body[0])


def lock_addresses(lock: str) -> list[str]:
    """Lines that say where to download from: that is the business of the machine, not of the lock."""
    return [
        f"{number}: {line.strip()[:60]}"
        for number, line in enumerate(lock.splitlines(), 1)
        if not line.startswith("#") and _ADDRESS.search(line)
    ]


def lock_pins(lock: str) -> dict[str, str]:
    """Name (normalized) -> exact version."""
    found = (_PIN.match(line) for line in lock.splitlines())
    return {re.sub(r"[-_.]+", "-", pin["name"]).lower(): pin["version"] for pin in found if pin}


def lock_entries_without_hash(lock: str) -> list[str]:
    """Requirements that are not pinned to one version or carry no hash."""
    broken = []
    for entry in re.split(r"\n(?=[^\s#])", lock):
        body = "\n".join(line for line in entry.splitlines() if not line.startswith("#"))
        if body.strip() and not (_PIN.match(body) and "--hash=sha256:" in body):
            broken.append(body.splitlines()[0])
    return broken


def _matching_lines(pattern: re.Pattern[str], text: str, what: str) -> list[str]:
    lines = enumerate(text.splitlines(), 1)
    return [f"{number}: {what}: {line.strip()[:80]}" for number, line in lines if pattern.search(line)]
