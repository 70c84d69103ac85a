"""When to renew leases, and when to take them for lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ferrite.core.values import value

_NEVER_US: Final = 1 << 62


class _Kept:
    """A lease: renewed a third of its TTL after the last renewal was sent, lost a tenth before its end."""

    __slots__ = ("asking", "lost_us", "next_us", "ttl_us")

    def __init__(self, ttl_us: int, sent_us: int) -> None:
        self.asking = False
        self.renewed(ttl_us, sent_us)

    def renewed(self, ttl_us: int, sent_us: int) -> None:
        """The server gave it the whole TTL, at `sent_us` at the earliest."""
        self.ttl_us = ttl_us
        self.next_us = sent_us + ttl_us // 3
        self.lost_us = sent_us + ttl_us - ttl_us // 10


@value
class Renew:
    """Ask for these leases' whole time again, in one request; report `renewed` or `failed`."""

    lease_ids: tuple[int, ...]
    deadline_us: int
    """An answer after it is of no use to the first of them."""


class KeepAlives:
    """The leases that a client keeps alive. A lease's end is reckoned from when its renewal was *sent*: never too late."""

    __slots__ = ("_kept", "_retry_us")

    def __init__(self, *, retry_us: int = 500_000) -> None:
        """`retry_us`: pause after a request that failed."""
        self._kept: dict[int, _Kept] = {}
        self._retry_us = retry_us

    def keep(self, lease_id: int, ttl_s: int, sent_us: int) -> None:
        """A lease was granted; the request for it was sent at `sent_us`."""
        self._kept[lease_id] = _Kept(ttl_s * 1_000_000, sent_us)

    def drop(self, lease_id: int) -> None:
        """It is given back, or not wanted any more."""
        self._kept.pop(lease_id, None)

    @property
    def deadline_us(self) -> int:
        """At the latest then call `due` and `lost`."""
        times = (
            min(kept.lost_us, _NEVER_US if kept.asking else kept.next_us) for kept in self._kept.values()
        )
        return min(times, default=_NEVER_US)

    def due(self, now_us: int) -> Renew | None:
        """What to renew now: all that are due within the next sixth of their TTL go along with the first."""
        if not any(kept.next_us <= now_us and not kept.asking for kept in self._kept.values()):
            return None
        going = [
            (lease_id, kept)
            for lease_id, kept in self._kept.items()
            if not kept.asking and kept.next_us - kept.ttl_us // 6 <= now_us
        ]
        for _, kept in going:
            kept.asking = True
        return Renew(
            lease_ids=tuple(lease_id for lease_id, _ in going),
            deadline_us=min(kept.lost_us for _, kept in going),
        )

    def renewed(self, lease_ids: Sequence[int], ttls_s: Sequence[int], sent_us: int) -> tuple[int, ...]:
        """The answer to `Renew`, in its order. Returns the leases that are gone."""
        gone = []
        for lease_id, ttl_s in zip(lease_ids, ttls_s, strict=True):
            kept = self._kept.get(lease_id)
            if kept is None:
                continue
            kept.asking = False
            if ttl_s:
                kept.renewed(ttl_s * 1_000_000, sent_us)
            else:
                gone.append(lease_id)
                self.drop(lease_id)
        return tuple(gone)

    def failed(self, lease_ids: Sequence[int], now_us: int) -> None:
        """`Renew` had no answer: they are due again soon."""
        for lease_id in lease_ids:
            kept = self._kept.get(lease_id)
            if kept is not None:
                kept.asking = False
                kept.next_us = now_us + min(self._retry_us, kept.ttl_us // 10)

    def lost(self, now_us: int) -> tuple[int, ...]:
        """Leases without a renewal for too long: they may have ended. They are not kept any more."""
        over = tuple(lease_id for lease_id, kept in self._kept.items() if kept.lost_us <= now_us)
        for lease_id in over:
            self.drop(lease_id)
        return over
