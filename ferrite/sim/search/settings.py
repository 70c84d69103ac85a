"""`key=value` for any option of a run, and what a command line said about a run: enough to make its options again elsewhere."""

from __future__ import annotations

import difflib
import hashlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from ferrite.sim.options import Options
from ferrite.sim.swarm import SECONDS, swarm

Setting = tuple[str, str]
"""A key such as `network.loss_ppm`, and the text of its value."""


class SettingInvalid(ValueError):
    """A setting is refused: says which, what was expected."""


@dataclass(slots=True, kw_only=True, frozen=True)
class RunChoice:
    """What a command line says about a run beside its seed. Small and picklable: it travels to workers."""

    nodes: int = 0
    """Voters at the start; 0: the seed draws them."""
    seconds: int = SECONDS
    settings: tuple[Setting, ...] = ()

    def options(self, seed: int) -> Options:
        """The options of a seed: what it draws, then the settings. Raises SettingInvalid."""
        try:
            drawn = swarm(seed, nodes=self.nodes, seconds=self.seconds)
        except ValueError as error:
            raise SettingInvalid(str(error)) from error
        return apply_settings(drawn, self.settings)

    def arguments(self) -> str:
        """The same choice as words of a command line, with a space before each."""
        nodes = f" --nodes {self.nodes}" if self.nodes else ""
        words = "".join(f" --set {shlex.quote(f'{key}={text}')}" for key, text in self.settings)
        return f"{nodes} --seconds {self.seconds}{words}"

    def replay_command(self, seed: int) -> str:
        """The one command that does the same run again."""
        return f"ferrite-sim run --seed {seed}{self.arguments()}"


def parse_setting(text: str) -> Setting:
    """`key=value` as a pair. Raises SettingInvalid."""
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise SettingInvalid(f"expected KEY=VALUE, such as network.loss_ppm=100000, not {text!r}")
    return key.strip(), value.strip()


def flatten(options: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every option of a run as (dotted key, value), in the order of declaration."""
    for part in fields(options):
        value = getattr(options, part.name)
        if is_dataclass(value):
            yield from flatten(value, f"{prefix}{part.name}.")
        else:
            yield prefix + part.name, value


def options_hash(options: Options) -> str:
    """12 hex digits: two runs with the same have equal options."""
    text = json.dumps([[key, repr(value)] for key, value in flatten(options)])
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def apply_settings(options: Options, settings: tuple[Setting, ...]) -> Options:
    """Return the options with the settings in place, the last word on a key wins. Raises SettingInvalid."""
    known = dict(flatten(options))
    changes: dict[str, Any] = {}
    for key, text in settings:
        if key not in known:
            raise SettingInvalid(f"unknown option {key!r}{_did_you_mean(key, known)}")
        changes[key] = _value_like(known[key], key, text)
    try:
        return _replaced(options, changes) if changes else options
    except ValueError as error:
        raise SettingInvalid(str(error)) from error


def _replaced(part: Any, changes: dict[str, Any]) -> Any:
    """Make each part anew once, so that its own checks see all changes together."""
    own = {key: value for key, value in changes.items() if "." not in key}
    for name in dict.fromkeys(key.partition(".")[0] for key in changes if "." in key):
        inner = {key.partition(".")[2]: value for key, value in changes.items() if key.startswith(f"{name}.")}
        own[name] = _replaced(getattr(part, name), inner)
    return replace(part, **own)


def _value_like(now: Any, key: str, text: str) -> Any:
    """The text as a value of the type that stands there now."""
    if isinstance(now, bool):
        if text not in ("true", "false"):
            raise SettingInvalid(f"{key} is {text!r}; expected true or false")
        return text == "true"
    if isinstance(now, int):
        try:
            return int(text)
        except ValueError:
            raise SettingInvalid(f"{key} is {text!r}; expected a whole number such as {now}") from None
    if isinstance(now, str):
        return text
    raise SettingInvalid(f"{key} cannot be set on the command line: it is a {type(now).__name__}")


def _did_you_mean(key: str, known: dict[str, Any]) -> str:
    last = key.rpartition(".")[2]
    same_name = [name for name in known if name.rpartition(".")[2] == last]
    close = same_name or difflib.get_close_matches(key, known, n=3)
    if not close:
        return "; `ferrite-sim options --seed 1` lists them"
    return f"; did you mean {' or '.join(close)}?"
