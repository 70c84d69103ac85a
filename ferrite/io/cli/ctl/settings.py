"""The options that every command has, before or after its name, and as FERRITECTL_* in the environment."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

FORMATS: Final = ("simple", "json", "table", "fields")
ENDPOINT_DEFAULT: Final = "127.0.0.1:8001"
DIAL_TIMEOUT_DEFAULT: Final = "2s"
COMMAND_TIMEOUT_DEFAULT: Final = "5s"
TIMEOUT_S_MAX: Final = 600.0
"""The servers' own limit for one request."""
_META: Final = "ferrite.ctl."
_UNITS_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)")
_Command = TypeVar("_Command", bound=Callable[..., object])


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What all commands are told. `hex`: keys and values in the simple form are printed as hexadecimal escapes."""

    endpoints: tuple[str, ...] = (ENDPOINT_DEFAULT,)
    dial_timeout_s: float = 2.0
    command_timeout_s: float = 5.0
    write_out: str = "simple"
    hex: bool = False
    protocol: str = "auto"


def parse_duration_s(text: str) -> float:
    """Seconds of `5s`, `1m30s`, `500ms`, or of a plain number. Raises ValueError."""
    try:
        seconds = float(text)
    except ValueError:
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ValueError(f"{text!r} is no duration; expected one such as 5s, 1m30s or 500ms") from None
        seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if not 0 < seconds <= TIMEOUT_S_MAX:
        raise ValueError(f"{text!r} is not allowed; expected more than 0 and at most {TIMEOUT_S_MAX:g}s")
    return seconds


def global_options(*, root: bool) -> Callable[[_Command], _Command]:
    """Add the options to the group (`root`: with the environment, shown in its help) or to a command (hidden there)."""

    def add(command: _Command) -> _Command:
        for names, environment, attributes in reversed(_OPTIONS):
            command = click.option(
                *names,
                envvar=environment if root else None,
                show_envvar=root,
                hidden=not root,
                expose_value=False,
                callback=_remember,
                **attributes,
            )(command)
        return command

    return add


def settings_of(context: click.Context) -> Settings:
    """What was said before the command's name, after it, or in the environment; the innermost wins."""
    given = {key.removeprefix(_META): value for key, value in context.meta.items() if key.startswith(_META)}
    return Settings(**given)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    assert parameter.name is not None, "an option has a name"
    if value is None or context.get_parameter_source(parameter.name) is ParameterSource.DEFAULT:
        return
    try:
        checked = _CHECKS[parameter.name](value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=context, param=parameter) from None
    context.meta[_META + parameter.name] = checked


def _endpoints(text: str) -> tuple[str, ...]:
    endpoints = tuple(part.strip() for part in text.split(",") if part.strip())
    if not endpoints:
        raise ValueError("no endpoint; expected host:port, several with commas")
    return endpoints


_CHECKS: Final[dict[str, Callable[[Any], object]]] = {
    "endpoints": _endpoints,
    "dial_timeout_s": parse_duration_s,
    "command_timeout_s": parse_duration_s,
    "write_out": str,
    "hex": bool,
    "protocol": str,
}
_OPTIONS: Final[tuple[tuple[tuple[str, ...], str, dict[str, Any]], ...]] = (
    (
        ("--endpoints",),
        "FERRITECTL_ENDPOINTS",
        {
            "metavar": "HOST:PORT,...",
            "help": f"Nodes to talk to, HTTP or gRPC ports; any of a cluster will do.  [default: {ENDPOINT_DEFAULT}]",
        },
    ),
    (
        ("--dial-timeout", "dial_timeout_s"),
        "FERRITECTL_DIAL_TIMEOUT",
        {"metavar": "DURATION", "help": f"For one connection.  [default: {DIAL_TIMEOUT_DEFAULT}]"},
    ),
    (
        ("--command-timeout", "command_timeout_s"),
        "FERRITECTL_COMMAND_TIMEOUT",
        {
            "metavar": "DURATION",
            "help": f"For one request, retries included.  [default: {COMMAND_TIMEOUT_DEFAULT}]",
        },
    ),
    (
        ("-w", "--write-out"),
        "FERRITECTL_WRITE_OUT",
        {"type": click.Choice(FORMATS), "help": "Form of the output.  [default: simple]"},
    ),
    (
        ("--hex",),
        "FERRITECTL_HEX",
        {"is_flag": True, "help": "Print keys and values as hexadecimal escapes (simple form only)."},
    ),
    (
        ("--protocol",),
        "FERRITECTL_PROTOCOL",
        {
            "type": click.Choice(("auto", "grpc", "http")),
            "help": "What to speak; auto: gRPC where the cluster has it.  [default: auto]",
        },
    ),
)
