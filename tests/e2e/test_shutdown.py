import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.cluster import LEADER_TIMEOUT_S, wait_for
from tests.e2e.conftest import MakeCluster
from tests.e2e.load import Load, faults, read_all


def test_a_terminated_leader_hands_over_and_exits_0_and_no_acknowledged_write_is_lost(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(3).start()
    with Load(list(cluster.nodes.values()), clients=6, pause_s=0.01) as load:
        for _ in range(2):
            leader = cluster.leader()
            assert leader.terminate() == 0, leader.log_tail()
            successor = cluster.leader()
            assert successor is not leader
            leader.start()
        ledger = load.stop()
    cluster.wait_level()
    for node in cluster.nodes.values():
        assert faults(ledger, read_all(node, "", linearizable=False)) == []
    assert len(ledger.acknowledged) > 50


def test_a_terminated_node_without_a_quorum_exits_0_all_the_same(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3).start()
    cluster.nodes[1].write("k", "v")
    for node_id in (2, 3):
        cluster.nodes[node_id].kill()
    assert cluster.nodes[1].terminate() == 0
    cluster.restart_all()
    cluster.leader(LEADER_TIMEOUT_S)
    assert cluster.nodes[1].read("k") == "v"


def test_a_node_without_a_cluster_answers_waits_and_exits_0(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(1)
    node = cluster.nodes[1].start()
    assert (found := node.metrics()) is not None
    assert found["initialized"] is False
    answer = node.ask("POST", "/write", {"Set": {"key": "k", "value": "v"}})
    assert (answer.status, answer.body["code"]) == (503, "not_initialized")
    assert node.terminate() == 0


def test_an_address_in_use_ends_the_start_with_code_4_and_one_line(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(2)
    first, second = cluster.nodes[1].start(), cluster.nodes[2]
    second.http_port = first.http_port
    second.spawn()
    assert second.wait_ended() == 4
    said = second.log_file.read_text()
    assert first.http_addr in said
    assert "Traceback" not in said


def test_readiness_ends_at_the_first_signal_and_the_process_at_the_second(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3).start()
    leader = cluster.leader()
    for follower in cluster.followers():
        follower.kill()
    body = {"Set": {"key": "k", "value": "v"}, "timeout_ms": 60_000}
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = pool.submit(leader.ask, "POST", "/write", body)
        wait_for(
            "a pending write", lambda: (leader.metrics() or {}).get("pending_requests"), 3, cluster.story
        )
        leader.signal(signal.SIGTERM)
        wait_for(
            "not ready", lambda: getattr(leader.try_get("/readyz"), "status", 0) == 503, 5, cluster.story
        )
        leader.signal(signal.SIGTERM)
        assert leader.wait_ended() == 128 + signal.SIGTERM
        with pytest.raises(OSError):
            pending.result()
