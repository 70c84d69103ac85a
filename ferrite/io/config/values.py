"""One value at a time: is it what its key asks for?"""

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from ferrite.io.config.address import AddressError, parse_address
from ferrite.io.config.keys import Key, Kind, Value
from ferrite.io.config.problem import has_unprintable

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_PATH_CHARACTERS_MAX = 4096  # Linux PATH_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a value is refused."""

    expected: str
    advice: str


def check_value(key: Key, value: object, working_dir: Path) -> Value | Fault:
    """`value` in the type that its key has, or the fault. A path stays text; it is resolved when all is well."""
    if key.unsupported:
        return _check_unsupported(key, value)
    match key.kind:
        case Kind.BOOL:
            return value if isinstance(value, bool) else _fault(key, "write true or false, without quotes")
        case Kind.INT:
            return _check_int(key, value)
        case Kind.CHOICE:
            return _check_choice(key, value)
        case Kind.TEXT | Kind.NAME | Kind.ADDRESS | Kind.DIRECTORY | Kind.FILE:
            return _check_text(key, value, working_dir)


def resolve_path(text: str, working_dir: Path) -> Path:
    """The absolute path, without `.` and `..`, that `text` means in `working_dir`."""
    return Path(os.path.normpath(working_dir / text))


def _fault(key: Key, advice: str) -> Fault:
    return Fault(expected=key.meaning_of_range, advice=advice)


def _check_unsupported(key: Key, value: object) -> Value | Fault:
    if key.off is not None and type(value) is type(key.off) and value == key.off:
        return key.off
    if key.off is False:
        advice = "remove the key or set it to false"
    elif key.off:
        advice = f'remove the key or set it to "{key.off}"'
    else:
        advice = "remove the key"
    return Fault(expected="nothing: not supported yet", advice=f"{advice}; {key.unsupported}")


def _check_int(key: Key, value: object) -> Value | Fault:
    default = "" if key.required else f"; the default is {key.default}"
    if isinstance(value, bool):
        return _fault(key, f"write a number: true and false are none{default}")
    if isinstance(value, float):
        return _fault(key, f"write digits only, without a point or an exponent{default}")
    if isinstance(value, str):
        return _fault(key, f"write the number without quotes and without a unit{default}")
    if not isinstance(value, int):
        return _fault(key, f"write one number{default}")
    if not key.minimum <= value <= key.maximum:
        return _fault(key, f"choose a number in that range{default}")
    return value


def _check_choice(key: Key, value: object) -> Value | Fault:
    if isinstance(value, str) and value in key.choices:
        return value
    if isinstance(value, str) and value in key.refused_choices:
        return _fault(key, f"{key.refused_choices[value]}; the default is {key.default}")
    return _fault(key, f"choose one of these, in lower case; the default is {key.default}")


def _check_text(key: Key, value: object, working_dir: Path) -> Value | Fault:
    if not isinstance(value, str):
        return _fault(key, "write text in quotes")
    if has_unprintable(value):
        return _fault(key, "remove control characters, line ends, NUL and marks that reorder text")
    match key.kind:
        case Kind.ADDRESS:
            return _check_address(value)
        case Kind.DIRECTORY:
            return _check_directory(key, value, working_dir)
        case Kind.FILE:
            return _check_file(key, value, working_dir)
        case Kind.NAME if not _NAME.fullmatch(value):
            return _fault(key, "use only these characters")
        case _:
            too_long = len(value) > key.characters_max
            return _fault(key, f"shorten it: it has {len(value)} characters") if too_long else value


def _check_address(text: str) -> Value | Fault:
    try:
        return parse_address(text)
    except AddressError as error:
        return Fault(expected="host:port", advice=str(error))


def _check_directory(key: Key, text: str, working_dir: Path) -> Value | Fault:
    fault = _path_fault(key, text)
    if fault is not None:
        return fault
    path = resolve_path(text, working_dir)
    if os.path.realpath(path) == "/":
        return _fault(key, "name a directory of Ferrite's own: / belongs to the system")
    mode = _mode_of(path)
    if isinstance(mode, str):
        return _fault(key, f"{path}: {mode}")
    if mode is not None and not stat.S_ISDIR(mode):
        return _fault(key, f"{path} exists and is no directory: name another, or move it away")
    return text


def _check_file(key: Key, text: str, working_dir: Path) -> Value | Fault:
    if not text:
        return text
    fault = _path_fault(key, text)
    if fault is not None:
        return fault
    path = resolve_path(text, working_dir)
    mode = _mode_of(path)
    if isinstance(mode, str):
        return _fault(key, f"{path}: {mode}")
    if text.endswith("/") or (mode is not None and stat.S_ISDIR(mode)):
        return _fault(key, f"{path} is a directory: name a file in it")
    if _mode_of(path.parent) is None:
        return _fault(key, f"make the directory {path.parent} first")
    return text


def _path_fault(key: Key, text: str) -> Fault | None:
    if not text:
        return _fault(key, "write a path")
    if len(os.fsencode(text)) > _PATH_CHARACTERS_MAX:
        return _fault(key, f"shorten the path: the system allows {_PATH_CHARACTERS_MAX} bytes")
    if text.startswith("~"):
        return _fault(key, "write the whole path: ~ is not expanded here")
    return None


def _mode_of(path: Path) -> int | str | None:
    """The mode of what is at `path`; None when nothing is; the text of the error when that cannot be known."""
    try:
        return path.stat().st_mode
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        return error.strerror or str(error)
