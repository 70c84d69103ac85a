"""Liveness, with numbers: after faults end the cluster elects, answers and converges within bounds of simulated time.

First a core alone, when the options say so: the nodes outside it stay down, cut off, or half connected for good, for faults
that heal by themselves hide livelocks. Then everybody.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from ferrite.core import NO_NODE, NodeId, Role
from ferrite.core.kv import CommandErrorCode
from ferrite.sim.checks.core import can_work, choose_core, usable_nodes
from ferrite.sim.cluster import Cluster
from ferrite.sim.dice import PPM
from ferrite.sim.history import OK
from ferrite.sim.housekeeping import PROPOSAL_TIMEOUT_US, RETRY_US
from ferrite.sim.network import links_between
from ferrite.sim.node import Node
from ferrite.sim.violation import Violation
from ferrite.sim.watchers import Watcher
from ferrite.sim.workload import LONGER_TTL_S

ELECTION_TIMEOUTS_MAX: Final = 10
"""L1: a leader within so many maximum election timeouts."""
STABLE_TIMEOUTS: Final = 4
"""L8: the leader stays for so many maximum election timeouts of quiet."""
REQUESTS_END_US: Final = 1_000_000
"""How long after its deadline a request may still have an effect, but for a node that was broken."""
FRESH_TIMEOUT_US: Final = 10_000_000
"""A healthy cluster answers far sooner, also on the slowest disk and network that a swarm draws."""
_SESSION_EXPIRED: Final = CommandErrorCode.SESSION_EXPIRED.name.lower()
HOUSEKEEPING_US: Final = PROPOSAL_TIMEOUT_US + RETRY_US + 2_000_000
"""How late a lease may end: a proposal of before the healing is given up, tried again, and the leader looks each second."""
WATCHES_US: Final = 5_000_000
"""L11: by then a watch has read the history of a whole run, a revision at a time."""
OUTSIDE: Final = ("down", "cut off", "deaf", "mute")


def converge(cluster: Cluster) -> None:
    """Heal and insist on L1, L2, L3, L5, L8, L10, L11, F3 and F4. Raises Violation."""
    cluster.end_faults()
    options = cluster.world.options
    if options.core_only and options.faults.membership_every_us:
        # What operators asked for before must be done or refused: nobody takes a voter in that stays broken for good.
        cluster.run_for(options.faults.request_timeout_us + REQUESTS_END_US)
    everybody = usable_nodes(cluster)
    core = choose_core(cluster)
    if len(core) < len(everybody) and can_work(cluster, core):
        _outside(cluster, [node for node in everybody if node not in core])
        cluster.world.counters["core_only"] += 1
        _work(cluster, core)
        for node in cluster.nodes.values():
            node.held_down = False
        core = everybody
    cluster.heal()
    if can_work(cluster, usable_nodes(cluster)):
        _work(cluster, usable_nodes(cluster))
    else:
        cluster.world.counters["unrecoverable"] += 1
    for node in cluster.nodes.values():
        node.check_state_hash()  # F3: at the same applied index all hold the same state, sessions and membership included.
        node.deep_check()  # F4: every disk passes the offline check.


def _outside(cluster: Cluster, nodes: Collection[NodeId]) -> None:
    """These nodes stay broken, each in a way of its own."""
    dice = cluster.world.dice.stream("outside")
    every = sorted(cluster.nodes)
    cluster.heal([node for node in every if node not in nodes])
    for node_id in nodes:
        node = cluster.nodes[node_id]
        how = dice.pick(OUTSIDE)
        cluster.world.note(node_id, "outside", how)
        if how == "down":
            node.held_down = True
            if node.running:
                node.crash(power_loss=True)
            continue
        links = links_between([node_id], every, both_ways=False)
        if how in ("cut off", "mute"):
            cluster.world.network.block(links)
        if how in ("cut off", "deaf"):
            cluster.world.network.block([(b, a) for a, b in links])


def _work(cluster: Cluster, core: Collection[NodeId]) -> None:
    """These nodes are healthy and connected: they elect, answer everything, converge, and stay calm."""
    options = cluster.world.options
    within_us = ELECTION_TIMEOUTS_MAX * options.replica.election_timeout_max_us
    # L1: there is a leader, heard by all members, within ten maximum election timeouts.
    if not cluster.run_until(lambda: followed_leader(cluster, core) is not None, within_us):
        _fail(cluster, "L1", "After healing there is a leader within ten maximum election timeouts.")
    settle_us = options.settle_seconds * 1_000_000
    # L5: a change of members ends, though on slow disks a backlog of writes may have to be committed before it.
    if not cluster.run_until(lambda: stable_leader(cluster, core) is not None, settle_us):
        _fail(cluster, "L5", "After healing a leader's membership is committed, and no joint one.")
    members = {node.node_id: node for node in _members(cluster, core)}
    for client in cluster.clients:
        client.use(members, FRESH_TIMEOUT_US)
    for watcher in cluster.watchers:
        watcher.use(members)
    # L2: every request in hand is answered.
    if not cluster.run_until(lambda: all(client.operation is None for client in cluster.clients), settle_us):
        hanging = [client.operation for client in cluster.clients if client.operation is not None]
        _fail(cluster, "L2", "After healing every request is answered.", f"still waiting: {hanging}; ")
    # L3, the first half: what clients gave up stands in the log before whatever they ask next.
    if not cluster.run_until(lambda: _nothing_waits(cluster, core), settle_us):
        _fail(cluster, "L3", "After healing the leader commits what its log holds.")
    _fresh_writes(cluster, settle_us)
    # L3: all members converge to one log, all of it committed and applied, and (L5) leave a joint configuration.
    if not cluster.run_until(lambda: converged(cluster, core), settle_us):
        _fail(cluster, "L3", "After healing all members converge to the same committed and applied log.")
    _leases_end(cluster, core)
    _watches_catch_up(cluster, core)
    _calm(cluster, core)


def _nothing_waits(cluster: Cluster, core: Collection[NodeId]) -> bool:
    leader = _leader(cluster, core)
    status = leader.status() if leader else None
    return status is not None and status.commit_index == status.last_log_index


def _leases_end(cluster: Cluster, core: Collection[NodeId]) -> None:
    """L10: leases that nobody keeps alive end, soon after their time. Clients have come to rest before."""
    kv = cluster.world.options.kv
    leader = _leader(cluster, core)
    if not kv.housekeeping or leader is None:
        return
    ttl_us = (kv.lease_ttl_s + LONGER_TTL_S) * 1_000_000
    within_us = (ttl_us + HOUSEKEEPING_US) * PPM // cluster.world.options.clock_rate_ppm

    def none_left() -> bool:
        leader = _leader(cluster, core)
        return leader is not None and leader.state is not None and not leader.state.machine.lease_count

    if not cluster.run_until(none_left, within_us):
        _fail(cluster, "L10", "A lease that is not kept alive ends soon after its time.")


def _watches_catch_up(cluster: Cluster, core: Collection[NodeId]) -> None:
    """L11: every watch is told all that there is.

    At a member of now: an operator's request from before the healing may have removed one since, which hears no more.
    """
    members = {node.node_id: node for node in _members(cluster, core)}
    for watcher in cluster.watchers:
        watcher.use(members)

    def behind() -> list[Watcher]:
        states = [node.state for node in members.values() if node.state is not None]
        last = max(state.machine.revision for state in states)
        return [watcher for watcher in cluster.watchers if not watcher.has(last)]

    if not cluster.run_until(lambda: not behind(), WATCHES_US):
        told = [f"{watcher.key!r} up to {watcher.cursor.next_revision - 1}" for watcher in behind()]
        _fail(cluster, "L11", "After healing every watch is soon told of the last revision.", f"{told}; ")


def _fresh_writes(cluster: Cluster, within_us: int) -> None:
    """L2: a healthy cluster carries out new requests, from every member.

    Where sessions end within tenths of a second, one may end under a call that a slow node kept waiting: that is an answer, too.
    """
    expiring = bool(cluster.world.options.kv.session_ttl_s)
    done = [client.write_once() for client in cluster.clients]
    if not cluster.run_until(lambda: all(client.operation is None for client in cluster.clients), within_us):
        _fail(cluster, "L2", "A healthy cluster answers new requests.")
    failed = [
        operation
        for operation in done
        if operation.outcome != OK and not (expiring and operation.detail == _SESSION_EXPIRED)
    ]
    if failed:
        _fail(cluster, "L2", "A healthy cluster carries out new requests.", f"{failed}; ")


def _calm(cluster: Cluster, core: Collection[NodeId]) -> None:
    """L8: in a quiet network nobody takes the leadership away, whatever broken nodes do.

    It is quiet once the frames have come that were slow before the healing: one may order its receiver to campaign.
    """
    late_us = cluster.world.network.late_until_us - cluster.world.timeline.now_us
    if late_us > 0:
        cluster.run_for(late_us)
    settle_us = cluster.world.options.settle_seconds * 1_000_000
    if not cluster.run_until(lambda: stable_leader(cluster, core) is not None, settle_us):
        _fail(cluster, "L8", "A network that has come to rest has a leader.")
    before = stable_leader(cluster, core)
    cluster.run_for(STABLE_TIMEOUTS * cluster.world.options.replica.election_timeout_max_us)
    after = stable_leader(cluster, core)
    if before != after:
        _fail(cluster, "L8", "In a quiet network the leader stays.", f"{before}, then {after}; ")


def _members(cluster: Cluster, core: Collection[NodeId]) -> list[Node]:
    """The members in the core, according to the leader; all of the core when there is none."""
    leader = _leader(cluster, core)
    status = leader.status() if leader else None
    if status is None:
        return [cluster.nodes[node] for node in sorted(core)]
    return [cluster.nodes[node] for node in sorted(status.membership.members) if node in core]


def _leader(cluster: Cluster, core: Collection[NodeId]) -> Node | None:
    return next((node for node in cluster.leaders() if node.node_id in core), None)


def followed_leader(cluster: Cluster, core: Collection[NodeId]) -> tuple[NodeId, int] | None:
    """(id, term) of the leader that every member of the core follows."""
    leader = _leader(cluster, core)
    status = leader.status() if leader else None
    if leader is None or status is None:
        return None
    for node in _members(cluster, core):
        other = node.status()
        if other is None or other.term != status.term or other.leader != leader.node_id:
            return None
    return leader.node_id, status.term


def stable_leader(cluster: Cluster, core: Collection[NodeId] = ()) -> tuple[NodeId, int] | None:
    """The same of one that has committed its membership. Without a core all nodes are asked."""
    core = core or sorted(cluster.nodes)
    leader = _leader(cluster, core)
    status = leader.status() if leader else None
    if status is None or not status.membership_committed or status.membership.joint:
        return None
    return followed_leader(cluster, core)


def converged(cluster: Cluster, core: Collection[NodeId] = ()) -> bool:
    """Have all members in the core (all nodes without one) the same log, committed and applied to its end, and no joint
    configuration?
    """
    core = core or sorted(cluster.nodes)
    found = set()
    for node in _members(cluster, core):
        status = node.status()
        if status is None or status.applied_index != status.last_log_index or status.membership.joint:
            return False
        if status.transfer_target != NO_NODE:
            return False  # Somebody asked for another leader before all was healed.
        found.add(
            (status.term, status.last_log_index, status.last_log_term, status.commit_index, status.leader)
        )
    return len(found) == 1


def _fail(cluster: Cluster, name: str, sentence: str, facts: str = "") -> None:
    lines = []
    for node in cluster.nodes.values():
        status = node.status()
        if status is None:
            lines.append(f"node {node.node_id}: down, stop code {node.stop_code!r}")
        else:
            lines.append(
                f"node {node.node_id}: {status.role.value} term {status.term} "
                f"leader {status.leader} applied {status.applied_index} "
                f"commit {status.commit_index} persisted {status.persisted_index} last {status.last_log_index} "
                f"voters {status.membership.voters}/{status.membership.outgoing} "
                f"learners {status.membership.learners} waiting {node.waiting_count}"
                + (f" peers {dict(status.peers)}" if status.role is Role.LEADER else "")
            )
    raise Violation(
        name,
        sentence,
        facts + "; ".join(lines),
        time_us=cluster.now_us,
        event_number=cluster.world.timeline.events_done,
        kind="liveness",
    )
