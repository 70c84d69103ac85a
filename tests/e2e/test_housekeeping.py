"""What a real cluster does by itself: leases end, history goes, a full store says so and recovers."""

from __future__ import annotations

from tests.e2e.cluster import wait_for
from tests.e2e.conftest import MakeCluster


def test_a_lease_ends_with_its_keys_also_when_the_leader_is_lost(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3).start()
    leader = cluster.leader()
    granted = leader.post("/lease/grant", {"ttl_s": 3})
    leader.post("/kv/put", {"key": "session", "value": "here", "lease": granted["lease_id"]})
    leader.kill()
    after = cluster.leader()
    assert after.read("session") == "here"
    wait_for("the lease ends", lambda: after.read("session") is None, 20, cluster.story)
    assert after.post("/lease/time-to-live", {"lease_id": granted["lease_id"]})["found"] is False


def test_history_goes_by_itself_and_a_full_store_takes_deletes_and_has_space_again(
    make_cluster: MakeCluster,
) -> None:
    node = make_cluster(
        1,
        storage__quota_bytes=30_000,
        storage__auto_compaction_mode="revisions",
        storage__auto_compaction_retention=10,
    ).start().leader()  # fmt: skip
    for number in range(4):
        node.write(f"k{number}", "v" * 9_000)

    def full() -> bool:
        return node.ask("POST", "/write", {"Set": {"key": "k", "value": "v"}}).status != 200

    wait_for("puts are refused", full, 10)
    refused = node.ask("POST", "/write", {"Set": {"key": "k", "value": "v"}})
    assert refused.body["code"] == "no_space"
    health = node.try_get("/health")
    assert health is not None
    assert health.status == 200, "the node itself is well"
    assert "quota" in str(health.body)
    assert node.read("k0") == "v" * 9_000
    for number in range(4):
        node.post("/write", {"Delete": {"key": f"k{number}"}})
    revision = node.post("/kv/range", {"key": "k0"})["revision"]
    node.post("/kv/compact", {"revision": revision})
    wait_for("there is space again", lambda: not full(), 20)
    for number in range(30):
        node.write("k", str(number))

    def compacted() -> bool:
        return node.ask("POST", "/kv/range", {"key": "k", "revision": revision + 2}).status == 410

    wait_for("history is forgotten", compacted, 20)
    assert node.read("k") == "29"
