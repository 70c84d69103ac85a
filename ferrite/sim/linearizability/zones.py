"""Registers whose written values are unique: zones, in O(n log n).

Gibbons and Korach 1997, "Testing shared memories", section 4: when every value is written once, a write and the reads of its
value form a cluster, which stands in one piece in every linearization. Its zone reaches from the first return in it to the
last invocation in it. When that is forward in time, the value certainly held from the one to the other; else the whole
cluster can stand at one point of the interval. The history is linearizable exactly when

1. every read returns a value whose write began before the read returned,
2. no two forward zones overlap,
3. no backward zone lies within a forward one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from typing import Final

from ferrite.sim.linearizability import actions as act
from ferrite.sim.linearizability.history import NEVER
from ferrite.sim.linearizability.models import Call, Part

_BEFORE: Final = -1
"""Where the initial value was written: before everything."""


@dataclass(slots=True)
class Cluster:
    """A value's write (None: the initial one), its reads' extremes, and its zone."""

    write: Call | None
    first_return: int
    last_invoke: int
    first_returned: Call | None = None
    last_invoked: Call | None = None

    def extremes(self) -> list[Call]:
        """The calls that make the zone: at most three."""
        calls = (self.write, self.first_returned, self.last_invoked)
        return list({call.invoke: call for call in calls if call is not None}.values())


@dataclass(slots=True, kw_only=True)
class Clash:
    """Why there is no linearization; `calls` are enough to see it."""

    sentence: str
    calls: list[Call]


def applicable(part: Part) -> bool:
    """Whether there are reads and blind writes only and every value, the initial one included, is written once."""
    written = {part.initial}
    for call in part.calls:
        code = call.action[0]
        if code == act.WRITE:
            if call.action[1] in written:
                return False
            written.add(call.action[1])
        elif code != act.READ:
            return False
    return True


def find_clash(part: Part) -> Clash | None:
    """Return why an `applicable` part is not linearizable; None when it is."""
    clusters: dict[Hashable, Cluster] = {part.initial: Cluster(None, _BEFORE, _BEFORE)}
    for call in part.calls:
        if call.action[0] == act.WRITE:
            clusters[call.action[1]] = Cluster(call, call.ret, call.invoke, call, call)
    for call in part.calls:
        if call.action[0] == act.READ:
            cluster = clusters.get(call.action[1])
            if cluster is None:
                return Clash(sentence="a read returned a value that nobody wrote", calls=[call])
            if cluster.write is not None and cluster.write.invoke > call.ret:
                return Clash(
                    sentence="a read returned a value before its write began", calls=[call, cluster.write]
                )
            if call.ret < cluster.first_return:
                cluster.first_return, cluster.first_returned = call.ret, call
            if call.invoke > cluster.last_invoke:
                cluster.last_invoke, cluster.last_invoked = call.invoke, call
    return _clash_of_zones(list(clusters.values()))


def _clash_of_zones(clusters: list[Cluster]) -> Clash | None:
    forward = sorted(
        (cluster for cluster in clusters if cluster.first_return < cluster.last_invoke),
        key=attrgetter("first_return"),
    )
    for one, next_one in pairwise(forward):
        if next_one.first_return < one.last_invoke:
            return Clash(
                sentence="two values would each have to hold while the other does",
                calls=one.extremes() + next_one.extremes(),
            )
    starts = [cluster.first_return for cluster in forward]
    for cluster in clusters:
        # An unknown write that nobody read has no return: its zone reaches to the end of time and lies within none.
        if cluster.first_return < cluster.last_invoke or cluster.first_return == NEVER:
            continue
        place = bisect_right(starts, cluster.last_invoke) - 1
        if place >= 0 and cluster.first_return < forward[place].last_invoke:
            return Clash(
                sentence="a value would have to be written, and gone, while another one certainly holds",
                calls=forward[place].extremes() + cluster.extremes(),
            )
    return None
