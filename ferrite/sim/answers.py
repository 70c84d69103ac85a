"""How a node answers a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ferrite.core import NodeId, RefusalCode


@dataclass(slots=True, kw_only=True)
class Replied:
    """The request was carried out."""

    result: object


@dataclass(slots=True, kw_only=True)
class Refused:
    """Certainly not carried out."""

    code: RefusalCode
    detail: str
    leader: NodeId


@dataclass(slots=True, kw_only=True)
class Abandoned:
    """Unknown."""

    detail: str


Answer = Replied | Refused | Abandoned
Callback = Callable[[Answer], None]
