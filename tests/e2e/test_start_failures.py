from ferrite.io.exit_codes import ExitCode
from tests.e2e.cluster import Node
from tests.e2e.conftest import MakeCluster


def ends_with(node: Node, code: ExitCode, words: str) -> None:
    """It ends with this code and one line that says why, without a traceback."""
    node.spawn()
    assert node.wait_ended() == code, node.log_tail()
    [line] = [line for line in node.log_file.read_text().splitlines() if line.startswith("ferrite-server: ")]
    assert words in line
    assert "Traceback" not in node.log_file.read_text()


def test_the_data_of_another_node_are_refused_with_13(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(2)
    first, second = cluster.nodes[1].start(), cluster.nodes[2]
    assert first.terminate() == 0
    second.directory.mkdir()
    first.data_dir.rename(second.data_dir)
    ends_with(second, ExitCode.WRONG_IDENTITY, "belongs to node 1")


def test_a_corrupt_log_is_refused_with_12(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(1).start()
    node = cluster.nodes[1]
    for number in range(10):
        node.write(f"k{number}", "v" * 200)
    assert node.terminate() == 0
    segment = min((node.data_dir / "log").glob("*.seg"))
    raw = bytearray(segment.read_bytes())
    raw[raw.index(b"k2")] ^= 1
    segment.write_bytes(raw)
    ends_with(node, ExitCode.CORRUPTION, "complete but not what was written")


def test_a_data_directory_that_others_may_read_is_refused_with_3(make_cluster: MakeCluster) -> None:
    node = make_cluster(1).nodes[1]
    node.data_dir.mkdir(parents=True)
    node.data_dir.chmod(0o755)
    ends_with(node, ExitCode.BAD_CONFIGURATION, "chmod 0700")


def test_a_second_process_on_one_data_directory_is_refused_with_4(make_cluster: MakeCluster) -> None:
    cluster = make_cluster(2)
    first, second = cluster.nodes[1].start(), cluster.nodes[2]
    second.directory.mkdir()
    second.data_dir.symlink_to(first.data_dir)
    ends_with(second, ExitCode.ADDRESS_IN_USE, "in use by process")
    assert first.running
