"""The refusal, and the checks of single values."""

from __future__ import annotations

from typing import Final, Literal

from ferrite.io.config.model import LimitsConfig

INT_MAX: Final = 2**63 - 1  # the largest integer that every wire format and msgpack can carry with a sign
_SHOWN_CHARACTERS_MAX: Final = (
    60  # of a value in an error message: enough to recognise, too little to flood a log
)


class Invalid(ValueError):
    """A request that was refused at the door. `field` names what was wrong, in the words of the protocol's request.

    `code` is stable: "invalid", or "too_large" when only the size was wrong.
    """

    def __init__(
        self, field: str, given: str, expected: str, *, code: Literal["invalid", "too_large"] = "invalid"
    ) -> None:
        """Say what was given and what was expected."""
        super().__init__(f"{field}: {given}; expected {expected}")
        self.field = field
        self.given = given
        self.expected = expected
        self.code = code


def shown(value: object) -> str:
    """`value` as an error message may show it: printable ASCII, one line, cut when long."""
    if isinstance(value, int) and value.bit_length() > 4 * _SHOWN_CHARACTERS_MAX:
        return f"an integer of {value.bit_length()} bits"  # str() of a huge one is slow, and an error above 4300 digits
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[: _SHOWN_CHARACTERS_MAX - 3] + "..."


def check_int(field: str, value: object, minimum: int, maximum: int) -> int:
    """Return `value` when it is an integer (true is none) in the closed range."""
    if type(value) is not int or not minimum <= value <= maximum:
        raise Invalid(field, shown(value), f"an integer from {minimum} to {maximum}")
    return value


def check_key(key: bytes, limits: LimitsConfig, field: str = "key") -> bytes:
    """A key: any bytes, but not none."""
    if not key:
        raise Invalid(field, "empty", f"1 to {limits.key_bytes_max} bytes")
    return check_size(field, key, limits.key_bytes_max)


def check_value(value: bytes, limits: LimitsConfig, field: str = "value") -> bytes:
    """A value: any bytes, also none."""
    return check_size(field, value, limits.value_bytes_max)


def check_size(field: str, data: bytes, bytes_max: int) -> bytes:
    """Bytes, perhaps none, of at most so many."""
    if len(data) > bytes_max:
        raise Invalid(field, f"{len(data)} bytes", f"at most {bytes_max} bytes", code="too_large")
    return data
