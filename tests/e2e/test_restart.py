from tests.e2e.cluster import Cluster, wait_for
from tests.e2e.conftest import MakeCluster
from tests.e2e.load import Load, faults, read_all

COMPACTING = {
    "raft__compaction_threshold": 60,
    "storage__log_retention_count": 20,
    "raft__snapshot_policy__entries_since_last_snapshot": 40,
}


def first_indexes(cluster: Cluster) -> list[int]:
    return [
        metrics["first_log_index"] for node in cluster.running() if (metrics := node.metrics()) is not None
    ]


def wait_cut(cluster: Cluster) -> None:
    before = first_indexes(cluster)

    def cut() -> bool:
        now = first_indexes(cluster)
        return len(now) == len(before) and all(new > old for new, old in zip(now, before, strict=True))

    wait_for("every node cuts its log", cut, 30, cluster.story)


def test_data_membership_and_applied_index_survive_a_restart_after_two_compactions(
    make_cluster: MakeCluster,
) -> None:
    cluster = make_cluster(3, **COMPACTING).start()
    cuts: list[int] = []
    with Load(list(cluster.nodes.values()), clients=4) as load:
        for _ in range(2):
            wait_cut(cluster)
            cuts += first_indexes(cluster)
        ledger = load.stop()
    applied = cluster.wait_level()
    assert min(cuts) > 1
    before = cluster.nodes[1].metrics()
    cluster.restart_all()
    cluster.leader()
    cluster.wait_level()
    for node in cluster.nodes.values():
        metrics = node.metrics()
        assert metrics is not None
        assert before is not None
        assert metrics["last_applied"] >= applied
        assert metrics["membership"] == before["membership"]
        assert faults(ledger, read_all(node, "", linearizable=True)) == []


def test_a_node_that_missed_what_was_cut_gets_a_snapshot(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3, **COMPACTING).start()
    absent = cluster.followers()[0]
    absent.kill()
    with Load(cluster.running(), clients=4) as load:
        wait_for("the log is cut", lambda: min(first_indexes(cluster)) > 100, 30, cluster.story)
        absent.start()
        ledger = load.stop()
    cluster.wait_level()
    assert faults(ledger, read_all(absent, "", linearizable=False)) == []


def test_a_single_node_keeps_its_data_through_a_kill(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(1).start()
    node = cluster.nodes[1]
    revisions = [node.write(f"k{number}", "v") for number in range(20)]
    node.kill()
    node.start()
    cluster.leader()
    assert [node.read(f"k{number}") for number in range(20)] == ["v"] * 20
    assert node.write("k0", "w") == revisions[-1] + 1
