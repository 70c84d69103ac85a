from collections.abc import Sequence
from typing import Any

from tests.e2e.cluster import Cluster, Node, wait_for
from tests.e2e.conftest import MakeCluster
from tests.e2e.load import Load, faults, read_all


def at_leader(cluster: Cluster, path: str, body: object) -> Any:
    """Ask the leader, again when it was another by then. Only what is certainly not applied is repeated."""

    def attempt() -> Any:
        answer = cluster.leader().ask("POST", path, body, timeout_s=15)
        if answer.status == 200:
            return answer.body
        assert answer.body["code"] in ("not_leader", "change_in_progress", "not_caught_up"), answer
        return None

    return wait_for(f"{path} {body}", attempt, 20, cluster.story)


def grow(cluster: Cluster, count: int, load: Load) -> None:
    for _ in range(count):
        node = cluster.new_node().start()
        # The original's form: the HTTP address for both.
        body = {"node_id": node.node_id, "rpc_addr": node.http_addr, "api_addr": node.http_addr}
        at_leader(cluster, "/add-learner", body)
        load.nodes.append(node)


def change(cluster: Cluster, voters: Sequence[int]) -> None:
    at_leader(cluster, "/change-membership", list(voters))
    metrics = cluster.leader().metrics()
    assert metrics is not None
    assert metrics["membership"]["voters"] == list(voters)
    assert metrics["membership"]["outgoing"] == []


def leave(cluster: Cluster, load: Load, leaving: list[Node]) -> None:
    for node in leaving:
        load.nodes.remove(node)
        node.terminate()


def test_a_cluster_grows_from_1_to_3_to_5_and_shrinks_to_3_without_its_leader_under_load(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(1).start()
    with Load(list(cluster.nodes.values()), clients=4, pause_s=0.02) as load:
        grow(cluster, 2, load)
        change(cluster, [1, 2, 3])
        grow(cluster, 2, load)
        change(cluster, [1, 2, 3, 4, 5])
        leader = cluster.leader()
        other = next(node for node in cluster.nodes.values() if node is not leader)
        staying = sorted(
            node_id for node_id in cluster.nodes if node_id not in (leader.node_id, other.node_id)
        )
        at_leader(cluster, "/change-membership", staying)
        wait_for("another leader", lambda: cluster.leader() is not leader, 10, cluster.story)
        leave(cluster, load, [leader, other])
        ledger = load.stop()
    cluster.wait_level()
    for node_id in staying:
        held = read_all(cluster.nodes[node_id], "", linearizable=True)
        assert faults(ledger, held) == []
    assert len(ledger.acknowledged) > 50
    assert not ledger.unknown


def test_a_node_with_a_wiped_disk_is_refused_under_its_old_id(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3).start()
    wiped = cluster.followers()[0]
    wiped.kill()
    wiped.data_dir.rename(wiped.directory / "lost")
    wiped.start()
    before = cluster.leader().metrics()
    for number in range(20):
        cluster.leader().write(f"k{number}", "v")
    metrics = wiped.metrics()
    assert before is not None
    assert metrics is not None
    assert metrics["initialized"] is False
    assert (metrics["commit_index"], metrics["last_log_index"]) == (0, 0)
    # Nor may it come back by the door: its id belongs to the data directory that is gone.
    body = {"node_id": wiped.node_id, "rpc_addr": wiped.grpc_addr}
    answer = cluster.leader().ask("POST", "/add-learner", body)
    assert 400 <= answer.status < 500, answer
    # With its own disk it is welcome again.
    wiped.kill()
    wiped.data_dir.rename(wiped.directory / "wiped")
    (wiped.directory / "lost").rename(wiped.data_dir)
    wiped.start()
    cluster.wait_level()
    assert wiped.read("k19", consistency="serializable") == "v"


def test_a_node_of_another_cluster_is_refused(make_cluster: MakeCluster) -> None:
    ours = make_cluster(1).start()
    theirs = make_cluster(2)
    stranger = theirs.nodes[2].start()
    theirs.initialize([2])
    theirs.leader()
    answer = ours.leader().ask("POST", "/add-learner", {"node_id": 2, "rpc_addr": stranger.grpc_addr})
    assert answer.status == 409, answer
    assert "another cluster" in answer.body["detail"]
    refused = ours.nodes[1].ask("POST", "/init")
    assert (refused.status, refused.body["code"]) == (409, "already_initialized")
    metrics = ours.leader().metrics()
    assert metrics is not None
    assert metrics["membership"]["learners"] == []


def test_init_refuses_a_member_that_has_a_cluster_or_another_id(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3)
    for node in cluster.nodes.values():
        node.start()
    cluster.initialize([3])
    members = [
        {"node_id": 1, "rpc_addr": cluster.nodes[1].grpc_addr},
        {"node_id": 3, "rpc_addr": cluster.nodes[3].grpc_addr},
    ]
    answer = cluster.nodes[1].ask("POST", "/init", members)
    assert (answer.status, answer.body["code"]) == (409, "already_initialized")
    assert "node 3" in answer.body["detail"]
    wrong = [{"node_id": 1}, {"node_id": 9, "rpc_addr": cluster.nodes[2].http_addr}]
    answer = cluster.nodes[1].ask("POST", "/init", wrong)
    assert (answer.status, answer.body["code"]) == (409, "invalid_change")
    assert "is node 2, not node 9" in answer.body["detail"]
