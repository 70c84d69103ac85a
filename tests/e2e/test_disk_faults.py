import shutil
import subprocess

import pytest

from ferrite.io.exit_codes import ExitCode
from tests.e2e.conftest import MakeCluster

FAILING_FROM = 60


def strace_reason() -> str:
    """Why strace cannot inject here; empty when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    probe = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO:when=1+", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=20)
    return "" if done.returncode == 0 else f"strace cannot trace here: {done.stderr.strip()[:200]}"


@pytest.fixture
def failing_syncs() -> list[str]:
    """The words before a command that make its fdatasync fail, from the 60th on."""
    if reason := strace_reason():
        pytest.skip(reason)
    inject = f"inject=fdatasync:error=EIO:when={FAILING_FROM}+"
    # -D: the node itself is our child, so that its exit code is what we see.
    return ["strace", "-D", "-f", "-qq", "-o", "strace.txt", "-e", "trace=fdatasync", "-e", inject]


def test_after_a_failed_fsync_a_leader_acknowledges_nothing_ends_with_11_and_the_cluster_goes_on(
    make_cluster: MakeCluster, failing_syncs: list[str]
) -> None:
    cluster = make_cluster(3)
    failing = cluster.nodes[1].start(wrapper=failing_syncs)
    for node_id in (2, 3):
        cluster.nodes[node_id].start()
    cluster.initialize()
    if cluster.leader() is not failing:
        cluster.leader().post("/transfer-leader", {"node_id": 1})
    outcomes: list[bool] = []
    for number in range(4 * FAILING_FROM):
        try:
            answer = failing.ask("POST", "/write", {"Set": {"key": f"k{number}", "value": "v"}})
        except OSError:
            outcomes.append(False)
        else:
            outcomes.append(answer.status == 200)
        if not failing.running:
            break
    assert failing.wait_ended() == ExitCode.DISK_ERROR, failing.log_tail()
    assert "(INJECTED)" in (failing.directory / "strace.txt").read_text()
    assert outcomes[0], "it acknowledged while its disk was well"
    assert True not in outcomes[outcomes.index(False) :], "it acknowledged after the failure"
    leader = cluster.leader()
    leader.write("after", "v")
    acknowledged = [f"k{number}" for number, good in enumerate(outcomes) if good]
    failing.start()
    cluster.wait_level()
    for key in (*acknowledged, "after"):
        assert failing.read(key, consistency="serializable") == "v"


def test_a_single_node_whose_fsync_fails_keeps_exactly_its_word(
    make_cluster: MakeCluster, failing_syncs: list[str]
) -> None:
    cluster = make_cluster(1)
    node = cluster.nodes[1].start(wrapper=failing_syncs)
    cluster.initialize()
    acknowledged: list[str] = []
    for number in range(4 * FAILING_FROM):
        try:
            answer = node.ask("POST", "/write", {"Set": {"key": f"k{number}", "value": "v"}})
        except OSError:
            break
        if answer.status != 200:
            assert answer.body["code"] in ("unknown_outcome", "storage_failed"), answer
            break
        acknowledged.append(f"k{number}")
    assert 0 < len(acknowledged) < FAILING_FROM
    assert node.wait_ended() == ExitCode.DISK_ERROR, node.log_tail()
    node.start()
    cluster.leader()
    for key in acknowledged:
        assert node.read(key) == "v"
