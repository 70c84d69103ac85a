"""What a seed draws, and the faults of several parts."""

from dataclasses import replace

import pytest

from ferrite.core import NO_NODE, NodeId, ReplicaConfig
from ferrite.sim import ClientOptions, Cluster, FaultOptions, NetworkOptions, Options, swarm
from ferrite.sim.bounds import NODES_MAX
from ferrite.sim.profiles import PROFILES
from ferrite.sim.swarm import profile_of
from ferrite.sim.tape import Tape

STORIES = (
    "lonely_leader",
    "sleeper",
    "short_reigns",
    "forgetful_voter",
    "lost_repair",
    "rolling_restart",
    "interrupted_change",
)


def of_profile(name: str) -> int:
    return next(seed for seed in range(1_000) if profile_of(seed) == name)


def eventful(kind: str) -> Options:
    quick = ReplicaConfig(
        heartbeat_interval_us=10_000, election_timeout_min_us=100_000, election_timeout_max_us=200_000
    )
    return Options(
        seconds=4,
        replica=quick,
        network=NetworkOptions(replay_ppm=1_000),
        faults=replace(FaultOptions(), **{f"{kind}_every_us": 500_000}),  # type: ignore[arg-type]  # a field by its name
        clients=ClientOptions(timeout_us=50_000),
    )


def test_some_seeds_follow_each_profile_and_some_none() -> None:
    assert {profile_of(seed) for seed in range(200)} == {"", *PROFILES}


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_profile_keeps_to_the_nodes_that_are_asked_for(name: str) -> None:
    seed = of_profile(name)
    assert swarm(seed, nodes=5, seconds=3).nodes == 5
    assert swarm(seed, nodes=NODES_MAX).spares == 0
    assert swarm(seed, seconds=3).seconds == 3


@pytest.mark.parametrize("kind", STORIES)
def test_a_story_strikes_and_honest_code_withstands(kind: str) -> None:
    result = Cluster(3, eventful(kind)).run()
    assert result.violation is None
    assert result.marks[f"fault_{kind}"] > 0


@pytest.mark.parametrize("kind", STORIES)
def test_a_story_plays_from_a_tape_as_it_was_drawn(kind: str) -> None:
    drawn = Cluster(3, eventful(kind), keep_draws=True)
    digest = drawn.run().digest
    tape = Tape(
        seed=3,
        options=eventful(kind),
        faults=list(drawn.world.plan.struck),
        draws=drawn.world.dice.drawn,
    )
    assert Cluster(3, eventful(kind), tape=tape).run().digest == digest


def test_a_lonely_leader_and_the_majority_both_lead() -> None:
    assert Cluster(3, eventful("lonely_leader")).run().marks["two_leaders"] > 0


def test_a_lost_repair_brings_a_node_back_without_its_tail() -> None:
    assert Cluster(3, eventful("lost_repair")).run().marks["lost_tail"] > 0


def test_a_rolling_restart_hands_leadership_over_and_restarts_every_follower() -> None:
    cluster = Cluster(3, eventful("rolling_restart"))
    cluster.run()
    struck = [fault for fault in cluster.world.plan.struck if fault.kind == "rolling_restart"]
    assert any(fault.data["hands_over"] for fault in struck)
    assert max(cluster.world.invariants.ghost.leaders) > 2
    assert sum(node.boot > 1 for node in cluster.nodes.values()) >= len(cluster.nodes) - 1


def test_a_client_that_is_bound_to_a_node_asks_it_only() -> None:
    cluster = Cluster(1, Options(clients=ClientOptions(clients=1)))
    cluster.start()
    cluster.start_clients()
    asked: list[NodeId] = []
    for node in cluster.nodes.values():
        node.propose = lambda *_, at=node.node_id: asked.append(at)  # type: ignore[method-assign]  # a spy in its place
        node.read = lambda *_, at=node.node_id, **__: asked.append(at)  # type: ignore[method-assign]  # a spy in its place
    cluster.clients[0].ask_only(NodeId(2))
    cluster.run_for(10_000_000)
    assert set(asked) == {NodeId(2)}
    cluster.clients[0].ask_only(NO_NODE)
    cluster.run_for(60_000_000)
    assert set(asked) == {NodeId(1), NodeId(2), NodeId(3)}
