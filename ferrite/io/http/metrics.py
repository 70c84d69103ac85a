"""Prometheus: counters of the HTTP face, and the node's status under etcd's names. One registry per node."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ferrite.io.request_path import NodeStatus

_SECONDS_BUCKETS: Final = (
    0.0005,
    0.001,
    0.002,
    0.004,
    0.008,
    0.016,
    0.032,
    0.064,
    0.128,
    0.256,
    0.512,
    1.0,
    2.0,
    4.0,
    8.0,
)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")

# Counters of the status that etcd has as well. Others appear as ferrite_raft_NAME_total.
_ETCD_COUNTERS: Final[dict[str, tuple[str, str]]] = {
    "leader_changes": ("ferrite_server_leader_changes_seen", "Leader changes seen."),
    "leader_changes_seen": ("ferrite_server_leader_changes_seen", "Leader changes seen."),
    "proposals_failed": ("ferrite_server_proposals_failed", "Proposals that failed."),
    "heartbeat_send_failures": (
        "ferrite_server_heartbeat_send_failures",
        "Heartbeats that could not be sent.",
    ),
    "slow_apply": ("ferrite_server_slow_apply", "Applies that took too long."),
}


class HttpMetrics(Collector):
    """What the HTTP face counts. Labels are routes, statuses and problem codes: bounded by our own tables.

    Plain numbers, all on the loop's thread: the library's counters take a lock each time, which costs a tenth of a request.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the metrics of one node."""
        self._answered: dict[tuple[str, int], int] = {}
        self._took: dict[str, _Took] = {}
        self._rejected: dict[str, int] = {}
        self.connections = Gauge("ferrite_http_connections", "Open HTTP connections.", registry=registry)
        self.streams = Gauge(
            "ferrite_http_streams", "Watches that are streamed over HTTP.", registry=registry
        )
        registry.register(self)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one answer; `route` is a route's label or one of our own words, never a client's path."""
        kind = (route, status)
        self._answered[kind] = self._answered.get(kind, 0) + 1
        took = self._took.get(route)
        if took is None:
            took = self._took[route] = _Took()
        took.counts[bisect_left(_SECONDS_BUCKETS, seconds)] += 1
        took.sum_s += seconds

    def rejected(self, reason: str) -> None:
        """Count one refusal; `reason` is a code of the problem table."""
        self._rejected[reason] = self._rejected.get(reason, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """What was counted so far."""
        answered = CounterMetricFamily(
            "ferrite_http_requests", "HTTP requests answered.", labels=("route", "status")
        )
        for (route, status), count in self._answered.items():
            answered.add_metric((route, str(status)), count)
        seconds = HistogramMetricFamily(
            "ferrite_http_request_duration_seconds",
            "Time from a whole request to its answer.",
            labels=("route",),
        )
        for route, took in self._took.items():
            bounds = (*(str(bound) for bound in _SECONDS_BUCKETS), "+Inf")
            seconds.add_metric((route,), list(zip(bounds, accumulate(took.counts), strict=True)), took.sum_s)
        rejected = CounterMetricFamily("ferrite_rejected", "Requests refused, by reason.", labels=("reason",))
        for reason, count in self._rejected.items():
            rejected.add_metric((reason,), count)
        yield from (answered, seconds, rejected)

    def describe(self) -> Iterable[Metric]:
        """Nothing at registration: nothing is counted yet."""
        return ()


@dataclass(slots=True, kw_only=True)
class _Took:
    """Answers by the first bucket that holds their time."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(_SECONDS_BUCKETS) + 1))
    sum_s: float = 0.0


class NodeCollector(Collector):
    """The node's status, read when somebody scrapes."""

    def __init__(self, status: Callable[[], NodeStatus]) -> None:
        """`status` never blocks."""
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Everything, under etcd's names where etcd has it."""
        status = self._status()
        yield from _server(status)
        yield from _store(status)
        yield from _raft(status)
        yield from _peers(status)
        yield from _counters(status.counters)

    def describe(self) -> Iterable[Metric]:
        """Nothing at registration: the status may not exist yet."""
        return ()


def node_registry(
    status: Callable[[], NodeStatus], extra: Sequence[Collector] = ()
) -> tuple[CollectorRegistry, HttpMetrics]:
    """Make a node's registry. `extra` brings metrics of other parts, such as the log's fsync histogram."""
    registry = CollectorRegistry()
    http = HttpMetrics(registry)
    registry.register(NodeCollector(status))
    for collector in extra:
        registry.register(collector)
    return registry, http


def _server(status: NodeStatus) -> Iterator[Metric]:
    leads = status.role == "leader"
    yield _gauge("ferrite_server_has_leader", "1 when a leader is known.", int(status.leader_id != 0))
    yield _gauge("ferrite_server_is_leader", "1 when this node leads.", int(leads))
    learner = int(status.node_id in status.learners)
    yield _gauge("ferrite_server_is_learner", "1 when this node follows without a vote.", learner)
    yield _labelled("ferrite_server_id", "The node's id, as a label.", {"server_id": str(status.node_id)})
    names = {"server_name": status.node_name, "cluster_name": status.cluster_name}
    yield _labelled("ferrite_server_name", "The names of node and cluster, as labels.", names)
    yield _labelled("ferrite_server_version", "The version, as a label.", {"server_version": status.version})
    yield _counter("ferrite_server_proposals_committed", "The commit index.", status.commit_index)
    yield _counter("ferrite_server_proposals_applied", "The applied index.", status.applied_index)
    yield _gauge("ferrite_server_proposals_pending", "Requests in progress.", status.pending_requests)
    yield _gauge("ferrite_server_problems", "Problems that /health shows.", len(status.problems))
    yield _gauge("ferrite_server_warnings", "Warnings that /health shows.", len(status.warnings))


def _store(status: NodeStatus) -> Iterator[Metric]:
    yield _gauge("ferrite_debugging_mvcc_current_revision", "The store's revision.", status.revision)
    yield _gauge(
        "ferrite_debugging_mvcc_compact_revision", "The oldest readable one.", status.compacted_revision
    )
    yield _gauge("ferrite_mvcc_db_total_size_in_bytes", "Keys with their history.", status.size_bytes)
    yield _gauge("ferrite_server_no_space", "1 when the space quota is exceeded.", int(status.no_space))
    yield _gauge("ferrite_lease_count", "Leases that have not ended.", status.lease_count)
    yield _gauge("ferrite_debugging_mvcc_watcher_total", "Watches of clients.", status.watchers)


def _raft(status: NodeStatus) -> Iterator[Metric]:
    yield _gauge("ferrite_raft_term", "The current term.", status.term)
    yield _gauge("ferrite_raft_leader_id", "The leader's id, 0 when unknown.", status.leader_id)
    yield _gauge("ferrite_raft_first_log_index", "The log's first entry.", status.first_log_index)
    yield _gauge("ferrite_raft_last_log_index", "The log's last entry.", status.last_log_index)
    yield _gauge("ferrite_raft_persisted_index", "The log is durable up to here.", status.persisted_index)
    yield _gauge("ferrite_raft_commit_index", "The commit index.", status.commit_index)
    yield _gauge("ferrite_raft_applied_index", "The applied index.", status.applied_index)
    yield _gauge("ferrite_raft_flushed_index", "The state is flushed up to here.", status.flushed_index)
    yield _gauge("ferrite_raft_voters", "Voters of the membership.", len(status.voters))
    yield _gauge("ferrite_raft_learners", "Learners of the membership.", len(status.learners))
    if status.leader_last_heard_ms >= 0:
        seconds = status.leader_last_heard_ms / 1000
        yield _gauge("ferrite_raft_leader_last_heard_seconds", "Since the leader was last heard.", seconds)


def _peers(status: NodeStatus) -> Iterator[Metric]:
    """One series per member, known on the leader only."""
    match_index = GaugeMetricFamily("ferrite_raft_peer_match_index", "Entries the peer has.", labels=["peer"])
    lag = GaugeMetricFamily("ferrite_raft_peer_lag_entries", "Entries the peer lacks.", labels=["peer"])
    active = GaugeMetricFamily(
        "ferrite_network_active_peers", "1 when the peer is reachable.", labels=["Local", "Remote"]
    )
    for member in status.members:
        if member.node_id == status.node_id:
            continue
        peer = str(member.node_id)
        active.add_metric([str(status.node_id), peer], int(member.reachable))
        if member.match_index >= 0:
            match_index.add_metric([peer], member.match_index)
        if member.lag >= 0:
            lag.add_metric([peer], member.lag)
    yield from (match_index, lag, active)


def _counters(counters: dict[str, int]) -> Iterator[Metric]:
    taken: set[str] = set()
    for name, count in sorted(counters.items()):
        if not _NAME.fullmatch(name):
            continue  # not a metric's name; the JSON shows it
        base = name.removesuffix("_total")
        metric, text = _ETCD_COUNTERS.get(base, (f"ferrite_raft_{base}", f"Counter {base} of the replica."))
        if metric not in taken:
            taken.add(metric)
            yield _counter(metric, text, count)


def _gauge(name: str, text: str, number: float) -> Metric:
    return GaugeMetricFamily(name, text, value=number)


def _counter(name: str, text: str, count: int) -> Metric:
    return CounterMetricFamily(name, text, value=count)


def _labelled(name: str, text: str, labels: dict[str, str]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    family.add_metric(list(labels.values()), 1)
    return family
