"""One run: boot, prepare the logs, cut to the graph, watch, judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from ferrite.core import NodeId, ReplicaConfig, ReplicaStatus, Role, Term
from ferrite.sim.checks.liveness import converged, stable_leader
from ferrite.sim.cluster import Cluster
from ferrite.sim.dice import Dice
from ferrite.sim.link_graphs.graphs import (
    NODES,
    QUORUM,
    Link,
    Log,
    able_nodes,
    all_graphs,
    both_ways,
    quorum_connected,
)
from ferrite.sim.link_graphs.logs import PREPARE, Logs, all_committed, leave_only, statuses_of, wait
from ferrite.sim.options import ClientOptions, Options

STABLE_WITHIN: Final = 5
WATCH: Final = 20
"""How long is watched once a leader is stable, or the bound is over."""
NEWS_WITHIN: Final = 3
"""At most two nodes do not follow a leader, and each asks within one timeout; one more for what is under way.
These three are in maximum election timeouts."""
SEED_BITS: Final = 62
TIMING: Final = ReplicaConfig(
    heartbeat_interval_us=50_000, election_timeout_min_us=300_000, election_timeout_max_us=600_000
)
"""The quickest elections in use: the likeliest to split a vote, as the network's delays stay what they are."""


class Start(Enum):
    """What the nodes know at the cut."""

    LED = "the leader of before is still heard or has just been cut off"
    RESTARTED = "every process was restarted within the graph"


class Verdict(Enum):
    """What became of it; only `MISSED` is a failure."""

    STABLE = "a leader is stable within the bound"
    NO_QUORUM = "no node reaches a quorum"
    NOT_UP_TO_DATE = "no quorum-connected node has an up-to-date log"
    MISSED = "a node is able to lead, but no leader is stable within the bound"


@dataclass(slots=True, kw_only=True, frozen=True)
class Scenario:
    """One run: links as directed arrows (a link that works has both), and everything else that is drawn or chosen."""

    arrows: frozenset[Link]
    seed: int
    logs: Logs = Logs.EQUAL
    start: Start = Start.LED
    timing: ReplicaConfig = field(default_factory=lambda: TIMING)
    watch: int = WATCH
    """At least `NEWS_WITHIN`, in maximum election timeouts."""


@dataclass(slots=True, kw_only=True)
class GraphOutcome:
    """What one run showed. Times since the cut; -1: never."""

    scenario: Scenario
    verdict: Verdict
    quorum_connected: tuple[int, ...]
    able_at_cut: tuple[int, ...]
    able_at_end: tuple[int, ...]
    """The same unless an old leader or a new one still copied its log."""
    logs_at_cut: dict[int, Log]
    old_leader: int
    """0: nobody led, or every node was restarted."""
    leader: int
    stable_us: int
    terms_final_us: int
    """No node's term changes any more after this."""
    highest_grew_us: int
    """The highest term of all does not grow any more after this."""
    terms_grown: int
    """By how much the highest term grew since the cut."""
    terms_rest: bool
    """Terms stopped growing as demanded."""

    @property
    def ok(self) -> bool:
        """Does the run show what is demanded?"""
        return self.verdict is not Verdict.MISSED and self.terms_rest


def check_graph(
    links: frozenset[Link],
    seed: int,
    logs: Logs = Logs.EQUAL,
    start: Start = Start.LED,
    *,
    watch: int = WATCH,
) -> GraphOutcome:
    """Run one graph of two-way links. Raises Violation when an invariant breaks on the way."""
    return check(Scenario(arrows=both_ways(links), seed=seed, logs=logs, start=start, watch=watch))


def check_all(
    graphs: Iterable[frozenset[Link]] | None = None,
    *,
    seeds: Sequence[int] = (0,),
    logs: Sequence[Logs] = tuple(Logs),
    starts: Sequence[Start] = tuple(Start),
    watch: int = WATCH,
) -> Iterator[GraphOutcome]:
    """Run every combination, one outcome after the other as they are known; all graphs when none are given."""
    for links in all_graphs() if graphs is None else graphs:
        for seed in seeds:
            for how in logs:
                for start in starts:
                    yield check_graph(links, seed, how, start, watch=watch)


def check(scenario: Scenario) -> GraphOutcome:
    """Run one scenario. Raises Violation when an invariant breaks on the way."""
    cluster = _booted(scenario)
    dice = cluster.world.dice.stream("link-graph")
    PREPARE[scenario.logs](cluster, dice)
    old_leader = cluster.leader()
    if scenario.start is Start.RESTARTED:
        for node in cluster.nodes.values():
            node.crash(power_loss=False)
        leave_only(cluster, scenario.arrows)
        for node in cluster.nodes.values():
            node.start()
        old_leader = None
    else:
        cluster.run_for(dice.between(0, scenario.timing.heartbeat_interval_us - 1) if old_leader else 0)
        leave_only(cluster, scenario.arrows)
    return _watched(scenario, cluster, old_leader.node_id if old_leader else 0)


def _booted(scenario: Scenario) -> Cluster:
    options = Options(
        nodes=NODES,
        state_hash_every=0,
        replica=scenario.timing,
        clients=ClientOptions(clients=0),
    )
    # Graphs with one seed do not share their timeouts: all of them make many samples, not one.
    arrows = [node for arrow in sorted(scenario.arrows) for node in arrow]
    cluster = Cluster(Dice(scenario.seed).stream("link-graph", *arrows).bits(SEED_BITS), options)
    cluster.start()
    wait(cluster, lambda: stable_leader(cluster) is not None and converged(cluster), "a quiet cluster boots")
    return cluster


@dataclass(slots=True)
class _Seen:
    """What the watch has found up to now. Times since the cut."""

    bound_us: int
    leader: tuple[NodeId, Term] | None = None
    leader_since_us: int = 0
    terms_final_us: int = 0
    highest_grew_us: int = 0

    @property
    def settled_us(self) -> int:
        """When a leader was stable, or the bound was over."""
        return min(self.leader_since_us, self.bound_us) if self.leader else self.bound_us

    def look(self, now_us: int, before: Sequence[ReplicaStatus], now: Sequence[ReplicaStatus]) -> None:
        """Take note of what changed."""
        if [s.term for s in before] != [s.term for s in now]:
            self.terms_final_us = now_us
        if _highest_term(now) > _highest_term(before):
            self.highest_grew_us = now_us
        leader = _followed(now)
        if leader != self.leader:
            self.leader, self.leader_since_us = leader, now_us


def _watched(scenario: Scenario, cluster: Cluster, old_leader: int) -> GraphOutcome:
    timing = scenario.timing
    timeout_us = timing.election_timeout_max_us
    seen = _Seen(bound_us=STABLE_WITHIN * timeout_us)
    cut_us, first = cluster.now_us, statuses_of(cluster)
    now_us, last = 0, first
    seen.look(0, first, first)
    while now_us < seen.settled_us + scenario.watch * timeout_us:
        cluster.run_for(timing.heartbeat_interval_us)
        now_us, before, last = cluster.now_us - cut_us, last, statuses_of(cluster)
        seen.look(now_us, before, last)
    able_at_cut, able_at_end = (able_nodes(scenario.arrows, _logs(statuses)) for statuses in (first, last))
    return GraphOutcome(
        scenario=scenario,
        verdict=_verdict(scenario, seen, able_at_end),
        quorum_connected=quorum_connected(scenario.arrows),
        able_at_cut=able_at_cut,
        able_at_end=able_at_end,
        logs_at_cut=_logs(first),
        old_leader=old_leader,
        leader=seen.leader[0] if seen.leader else 0,
        stable_us=seen.leader_since_us if seen.leader else -1,
        terms_final_us=seen.terms_final_us,
        highest_grew_us=seen.highest_grew_us,
        terms_grown=_highest_term(last) - _highest_term(first),
        terms_rest=seen.highest_grew_us <= seen.settled_us
        and seen.terms_final_us <= seen.settled_us + NEWS_WITHIN * timeout_us,
    )


def _highest_term(statuses: Sequence[ReplicaStatus]) -> Term:
    return max(status.term for status in statuses)


def _followed(statuses: Sequence[ReplicaStatus]) -> tuple[NodeId, Term] | None:
    """Return the leader that a quorum follows, and its term, when its log is committed to an entry of its own."""
    for leader in statuses:
        if leader.role is Role.LEADER and all_committed(leader):
            followers = [s for s in statuses if (s.term, s.leader) == (leader.term, leader.node_id)]
            if len(followers) >= QUORUM:
                return leader.node_id, leader.term
    return None


def _logs(statuses: Sequence[ReplicaStatus]) -> dict[int, Log]:
    return {status.node_id: (status.last_log_term, status.last_log_index) for status in statuses}


def _verdict(scenario: Scenario, seen: _Seen, able_at_end: Sequence[int]) -> Verdict:
    if seen.leader and seen.leader_since_us <= seen.bound_us:
        return Verdict.STABLE
    # By the logs at the end: an old leader without a quorum may have copied its tail to a voter after the cut, rightly.
    if able_at_end:
        return Verdict.MISSED
    return Verdict.NOT_UP_TO_DATE if quorum_connected(scenario.arrows) else Verdict.NO_QUORUM
