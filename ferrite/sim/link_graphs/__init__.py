"""All 1,024 link graphs of five nodes: each of the ten links works both ways, or not at all, for ever (front door).

Partial connectivity is where leader election fails in the field: nodes depose each other's leaders in turn, or keep each other
from campaigning, while every single node is healthy (the outage of Cloudflare's etcd on 2020-11-02; Howard and Abraham, "Raft
does not guarantee liveness in the face of network faults"). A run boots a quiet cluster, prepares its logs, cuts it to the
graph at a drawn moment, and watches. What is demanded:

* *Able* is a node that reaches a quorum directly (itself and two neighbours), among them a quorum whose logs are no more
  up to date than its own (Raft 5.4.1). It then holds every committed entry: each quorum has a holder, which would refuse.
* *Stable* is a leader that a quorum follows in its term and whose log is committed to its end, an entry of its term, from a
  moment on until the end of the watch.
* Where a node is able, a leader is stable within `STABLE_WITHIN` maximum election timeouts after the cut.
* The highest term anywhere never grows once the leader is stable, and `NEWS_WITHIN` later no node's term changes any more: a
  node that does not hear the leader learns its term when it next asks a neighbour. Without a leader the same holds from the
  end of the bound on: who cannot win must not campaign.

Arrows that work one way only count for nobody's quorum; they may not keep a leader from being stable either.
"""

from ferrite.sim.link_graphs.check import (
    NEWS_WITHIN,
    STABLE_WITHIN,
    TIMING,
    WATCH,
    GraphOutcome,
    Scenario,
    Start,
    Verdict,
    check,
    check_all,
    check_graph,
)
from ferrite.sim.link_graphs.graphs import (
    LINKS,
    Link,
    Log,
    able_nodes,
    all_graphs,
    both_ways,
    drawn_arrows,
    graph,
    quorum_connected,
    relabelled,
    shapes,
)
from ferrite.sim.link_graphs.logs import Logs
from ferrite.sim.link_graphs.summary import Summary

__all__ = [
    "LINKS",
    "NEWS_WITHIN",
    "STABLE_WITHIN",
    "TIMING",
    "WATCH",
    "GraphOutcome",
    "Link",
    "Log",
    "Logs",
    "Scenario",
    "Start",
    "Summary",
    "Verdict",
    "able_nodes",
    "all_graphs",
    "both_ways",
    "check",
    "check_all",
    "check_graph",
    "drawn_arrows",
    "graph",
    "quorum_connected",
    "relabelled",
    "shapes",
]
