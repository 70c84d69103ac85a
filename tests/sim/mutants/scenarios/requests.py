"""Stories of reads and of requests that come twice."""

from __future__ import annotations

from functools import partial

from ferrite.core import messages
from ferrite.core.kv import Put, Session
from ferrite.sim import DiskOptions, NetworkOptions
from ferrite.sim.answers import Replied
from tests.sim.helpers import ask, finish, quiet_cluster
from tests.sim.mutants.scenarios.tools import (
    SECOND_US,
    begin_read,
    deliver,
    isolate,
    leader_of,
    next_leader,
    others,
    put,
    slow_disks,
    status_of,
    step_until,
    take_down,
    write_seen,
)


def a_cut_off_leader_is_read() -> None:
    cluster = quiet_cluster()
    old = leader_of(cluster)
    write_seen(cluster, old, b"k", b"old")
    old.pause()
    isolate(cluster, old)
    write_seen(cluster, next_leader(cluster, old), b"k", b"new")
    begin_read(cluster, old, b"k")
    old.resume()
    cluster.run_for(SECOND_US)
    finish(cluster)


def a_new_leader_is_read_before_its_first_commit() -> None:
    """It has the last acknowledged write in its log, and does not know that it was committed."""
    cluster = quiet_cluster()
    old = leader_of(cluster)
    write_seen(cluster, old, b"k", b"old")
    cluster.run_for(SECOND_US)
    heartbeats = [(old.node_id, node.node_id) for node in others(cluster, old)]
    before = status_of(old).commit_index
    answers: list[object] = []
    old.propose(Put(key=b"k", value=b"new"), None, SECOND_US, answers.append)
    step_until(cluster, lambda: status_of(old).commit_index > before)
    cluster.world.network.block(heartbeats)
    step_until(cluster, lambda: bool(answers))
    answer = answers[0]
    assert isinstance(answer, Replied), answer
    cluster.history.acknowledged_revision = answer.result.revision  # type: ignore[attr-defined]  # a PutResult
    take_down(old)
    step_until(cluster, lambda: cluster.leader() not in (None, old))
    new = leader_of(cluster)
    assert status_of(new).commit_index == before
    with slow_disks(cluster, 300_000):
        begin_read(cluster, new, b"k")
        cluster.run_for(200_000)
    cluster.run_for(SECOND_US)
    old.held_down = False
    finish(cluster)


def a_sleeper_hears_late_answers_to_its_heartbeats() -> None:
    cluster = quiet_cluster()
    old = leader_of(cluster)
    follower = others(cluster, old)[0]
    write_seen(cluster, old, b"k", b"old")
    cluster.run_for(SECOND_US)
    then = status_of(old)
    late = messages.HeartbeatResponse(term=then.term, round=1, last_log_index=then.last_log_index)
    old.pause()
    isolate(cluster, old)
    write_seen(cluster, next_leader(cluster, old), b"k", b"new")
    deliver(cluster, follower, old, late)
    begin_read(cluster, old, b"k")
    deliver(cluster, follower, old, late)
    old.resume()
    cluster.run_for(100_000)
    finish(cluster)


def a_request_is_repeated() -> None:
    cluster = quiet_cluster()
    session = Session(client_id=b"me", request_id=1, lowest_unacknowledged=1)
    for node in cluster.nodes.values():
        put(cluster, node, b"k", b"v", session)
    finish(cluster)


def a_forward_arrives_twice() -> None:
    network = NetworkOptions(duplicate_ppm=1_000_000)
    cluster = quiet_cluster(network=network)
    writer = others(cluster, leader_of(cluster))[0]
    revisions = [put(cluster, writer, b"k", b"%d" % turn) for turn in range(8)]
    assert revisions == list(range(revisions[0], revisions[0] + 8)), "each write moved the revision by one"
    finish(cluster)


def a_read_comes_while_writes_are_applied() -> None:
    cluster = quiet_cluster(disk=DiskOptions(apply_mean_us=30_000))
    leader = leader_of(cluster)
    for number in range(10):
        leader.propose(Put(key=b"k", value=b"%d" % number), None, 5 * SECOND_US, lambda _: None)
        cluster.run_for(3_000)
        begin_read(cluster, leader, b"k")
    answered = ask(cluster, partial(leader.propose, Put(key=b"k", value=b"last"), None, 5 * SECOND_US))
    assert isinstance(answered, Replied), answered
    finish(cluster)
