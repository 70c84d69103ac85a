"""The `Accept` header. Pure."""

from __future__ import annotations


def accepted(accept: str) -> dict[str, int]:
    """Media types of an `Accept` header with their quality in thousandths; nonsense counts as 1000."""
    found: dict[str, int] = {}
    for item in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = 1000
        for parameter in parameters:
            name, _, text = parameter.partition("=")
            if name.strip() == "q":
                quality = _thousandths(text.strip())
        found[media_type] = quality
    return found


def _thousandths(text: str) -> int:
    whole, _, fraction = text.partition(".")
    if whole not in ("0", "1") or not fraction.isascii() or not (fraction.isdigit() or not fraction):
        return 1000
    return min(1000, int(whole) * 1000 + int((fraction + "000")[:3]))
