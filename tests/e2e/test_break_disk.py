"""A real node killed in the middle of its system calls, a disk that is full, a log that lost its end, files that run out."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferrite.io.exit_codes import ExitCode
from tests.e2e.cluster import Node, wait_for
from tests.e2e.conftest import MakeCluster
from tests.e2e.test_disk_faults import strace_reason

COMPACTING = {
    "raft__compaction_threshold": 60,
    "storage__log_retention_count": 20,
    "raft__snapshot_policy__entries_since_last_snapshot": 40,
}
CALLS = "fdatasync,fsync,pwrite64,rename,unlink,unlinkat,ftruncate"
KILL_AT = 40
"""Among the calls of ordinary writes; a sweep over all of them is what found nothing, and takes too long here."""
SECTOR = 512


def write_until_it_ends(node: Node, acknowledged: dict[str, str], first: int, count: int) -> None:
    """Write unique keys until one is not acknowledged."""
    for number in range(first, first + count):
        try:
            answer = node.ask("POST", "/write", {"Set": {"key": f"k{number}", "value": f"{number}" * 50}})
        except OSError:
            return
        if answer.status != 200:
            return
        acknowledged[f"k{number}"] = f"{number}" * 50


def missing(node: Node, acknowledged: dict[str, str]) -> list[str]:
    return [key for key, value in acknowledged.items() if node.read(key) != value]


def test_a_node_killed_at_any_system_call_of_its_disk_opens_by_itself_with_every_acknowledged_write(
    make_cluster: MakeCluster,
) -> None:
    """FM-P1. strace counts each thread's calls apart, so the kills fall into the start, the log, a flush, a compaction."""
    if reason := strace_reason():
        pytest.skip(reason)
    cluster = make_cluster(1, **COMPACTING).start()
    node = cluster.leader()
    acknowledged: dict[str, str] = {}
    write_until_it_ends(node, acknowledged, 0, 80)
    node.kill()
    inject = ["-e", f"trace={CALLS}", "-e", f"inject={CALLS}:signal=KILL:when={KILL_AT}"]
    node.spawn(wrapper=["strace", "-D", "-f", "-qq", "-o", "/dev/null", *inject])
    wait_for("it serves, or is dead", lambda: not node.running or node.try_get("/livez"), 20, node.log_tail)
    for attempt in range(50):
        if not node.running:
            break
        write_until_it_ends(node, acknowledged, 100_000 + attempt * 1000, 200)
    node.kill()
    node.start()
    cluster.leader()
    assert missing(node, acknowledged) == []
    assert len(acknowledged) > 100


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False, timeout=10)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"file systems cannot be mounted here: {done.stderr.strip()[:200]}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True, timeout=10)


def test_a_full_disk_ends_a_node_with_10_and_it_starts_again_by_itself_once_there_is_room(
    make_cluster: MakeCluster, small_disk: Path
) -> None:
    """FM-K2."""
    cluster = make_cluster(1)
    node = cluster.nodes[1]
    node.directory.mkdir(parents=True)
    node.data_dir.symlink_to(small_disk / "data")
    (small_disk / "data").mkdir(mode=0o700)
    node.start()
    cluster.initialize()
    cluster.leader()
    acknowledged: dict[str, str] = {}
    write_until_it_ends(node, acknowledged, 0, 30)
    free = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(bytes(free.f_bavail * free.f_frsize))
    write_until_it_ends(node, acknowledged, 30, 5000)
    assert node.wait_ended() == ExitCode.DISK_FULL, node.log_tail()
    said = node.log_file.read_text()
    [line] = [line for line in said.splitlines() if line.startswith("ferrite-server: ")]
    assert "make space" in line
    assert "Traceback" not in said
    (small_disk / "ballast").unlink()
    node.start()
    cluster.leader()
    assert missing(node, acknowledged) == []
    node.write("after", "v")
    node.kill()


def test_a_node_whose_log_lost_its_end_does_not_vote_until_a_later_leader_refilled_it(
    make_cluster: MakeCluster,
) -> None:
    """FM-K11, rule DR5: the disk loses sectors that it said were durable, and the state goes back with them."""
    cluster = make_cluster(3).start()
    robbed = cluster.followers()[0]
    cluster.wait_level()
    assert robbed.terminate() == 0
    segment = max((robbed.data_dir / "log").glob("*.seg"))
    kept = -(-len(segment.read_bytes().rstrip(b"\0")) // SECTOR) * SECTOR
    shutil.copytree(robbed.data_dir / "state", robbed.directory / "old state")
    robbed.start()
    for number in range(10):
        cluster.leader().write(f"k{number}", "v")
    cluster.wait_level()
    assert robbed.terminate() == 0  # writes the durable mark
    raw = segment.read_bytes()
    segment.write_bytes(raw[:kept].ljust(len(raw), b"\0"))
    shutil.rmtree(robbed.data_dir / "state")
    (robbed.directory / "old state").rename(robbed.data_dir / "state")
    robbed.start()
    assert (found := robbed.metrics()) is not None
    assert "lost its end" in " ".join(found["problems"])
    leader = cluster.leader()
    assert leader is not robbed
    leader.kill()
    [third] = [node for node in cluster.running() if node is not robbed]
    until = time.monotonic() + 2  # two elections' worth: had it voted, there would be a leader
    while time.monotonic() < until:
        assert (third.metrics() or {"state": ""})["state"] != "leader"
        assert (robbed.metrics() or {"state": ""})["state"] == "follower"
        time.sleep(0.2)
    leader.start()
    cluster.leader().write("after", "v")
    cluster.wait_level()
    wait_for("it is well again", lambda: (robbed.metrics() or {}).get("problems") == [], 10, cluster.story)
    assert [robbed.read(f"k{n}", consistency="serializable") for n in range(10)] == ["v"] * 10


def test_connections_at_the_grpc_port_never_take_the_files_of_the_log(make_cluster: MakeCluster) -> None:
    """FM-P6: enough connections for every file that the process may open, while the log needs new segments."""
    if shutil.which("prlimit") is None:
        pytest.skip("prlimit is not installed")
    cluster = make_cluster(1)
    node = cluster.nodes[1].start(wrapper=["prlimit", "--nofile=300:300"])
    cluster.initialize()
    cluster.leader()
    open_connections = []
    for _ in range(400):
        connection = socket.create_connection(("127.0.0.1", node.grpc_port), timeout=5)
        open_connections.append(connection)
    for number in range(150):
        node.write(f"k{number % 10}", "v" * 60_000)
    assert len(list((node.data_dir / "log").glob("*.seg"))) > 1
    for connection in open_connections:
        connection.close()
