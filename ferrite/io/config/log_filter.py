"""The environment variable FERRITE_LOG: levels by module, as in `ferrite.core=debug,ferrite.io=info`."""

import re
from typing import get_args

from ferrite.io.config.model import LogLevel
from ferrite.io.config.problem import ProblemList, Source, show_value
from ferrite.io.config.sources import LOG_FILTER_VARIABLE

ENTRIES_MAX = 100
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_LEVELS: dict[str, LogLevel] = {level: level for level in get_args(LogLevel)}


def parse_log_filter(text: str, problems: ProblemList) -> tuple[tuple[str, LogLevel], ...]:
    """Pairs of module and level. A level alone is for all of Ferrite. Empty entries are skipped."""
    found: list[tuple[str, LogLevel]] = []
    for entry in text.split(",")[:ENTRIES_MAX]:
        module, _, level = entry.strip().rpartition("=")
        module = module.strip() or "ferrite"
        if not entry.strip():
            continue
        known = _LEVELS.get(level.strip().lower())
        if known is None or not _MODULE.fullmatch(module):
            problems.report(
                source=Source(kind="environment", name=LOG_FILTER_VARIABLE), key="", given=show_value(entry),
                expected=f"module=level or level, where level is one of {', '.join(_LEVELS)}",
                advice="write it as in ferrite.core=debug,ferrite.io=info",
            )  # fmt: skip
        else:
            found.append((module, known))
    return tuple(found)
