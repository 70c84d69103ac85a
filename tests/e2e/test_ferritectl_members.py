"""The members of a real cluster, changed by ferritectl alone."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.cluster import Cluster, wait_for
from tests.e2e.conftest import MakeCluster
from tests.io.cli.ctl.processes import end, start_ctl


def _ctl(cluster: Cluster, *words: str) -> tuple[int, Any, str]:
    """Exit code, JSON (None: no output), and errors."""
    endpoints = ",".join(node.http_addr for node in cluster.running())
    code, out, err = end(start_ctl(*words, "-w", "json", "--command-timeout=20s", endpoints=endpoints))
    return code, json.loads(out) if out else None, err


def _members(cluster: Cluster) -> dict[int, bool]:
    """Id -> is learner."""
    code, found, err = _ctl(cluster, "member", "list")
    assert code == 0, err
    return {member["ID"]: bool(member.get("isLearner")) for member in found["members"]}


def test_ferritectl_adds_promotes_and_removes_members_and_moves_the_leader(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(3).start()
    cluster.leader().write("k", "before")
    fourth = cluster.new_node().start()

    code, _, err = _ctl(cluster, "member", "add", "4", "--learner", f"--peer-urls={fourth.http_addr}")
    assert code == 0, err
    assert _members(cluster) == {1: False, 2: False, 3: False, 4: True}
    code, _, err = _ctl(cluster, "move-leader", "4")
    assert code == 1, "a learner cannot lead"
    assert "4" in err

    code, _, err = _ctl(cluster, "member", "promote", "4")
    assert code == 0, err
    assert _members(cluster)[4] is False

    old = cluster.leader()
    code, moved, err = _ctl(cluster, "move-leader", "4")
    assert (code, moved and (moved["from"], moved["to"])) == (0, (old.node_id, 4)), err
    wait_for("node 4 leads", lambda: cluster.leader() is fourth, 10, cluster.story)

    code, _, err = _ctl(cluster, "member", "remove", str(old.node_id))
    assert code == 0, err
    assert sorted(_members(cluster)) == sorted({1, 2, 3, 4} - {old.node_id})
    code, _, err = _ctl(cluster, "member", "remove", "9")
    assert code == 1, "no such member"
    assert "unknown_member" in err

    old.kill()
    fourth.write("k", "after")
    cluster.wait_level()
    assert {node.read("k", consistency="serializable") for node in cluster.running()} == {"after"}
    code, _, err = _ctl(cluster, "put", "through", "ferritectl")
    assert code == 0, err
