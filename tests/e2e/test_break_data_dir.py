"""Data directories that somebody or something tampered with: one clear line, the documented code, nothing guessed."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ferrite.io.exit_codes import ExitCode
from tests.e2e.cluster import Cluster, Node, wait_for
from tests.e2e.conftest import QUICK, MakeCluster

KEYS = 20


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of a single node that was stopped in order, with `KEYS` acknowledged writes."""
    with Cluster(tmp_path_factory.mktemp("stopped"), 1, settings=QUICK).start() as cluster:
        node = cluster.leader()
        for number in range(KEYS):
            node.write(f"k{number}", "v" * 100)
        assert node.terminate() == 0
        yield node.data_dir


def copied(make_cluster: MakeCluster, data: Path) -> Node:
    node = make_cluster(1).nodes[1]
    node.directory.mkdir(parents=True)
    shutil.copytree(data, node.data_dir)
    return node


def segment(data: Path) -> Path:
    return max((data / "log").glob("*.seg"))


def flip(file: Path, offset: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[offset] ^= 0x10
    file.write_bytes(raw)


def empty(*directories: Path) -> None:
    for directory in directories:
        shutil.rmtree(directory)
        directory.mkdir(mode=0o700)


def table(data: Path) -> Path:
    return min((data / "state" / "000001").glob("*.sst"))


DAMAGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("log emptied", lambda data: empty(data / "log"), "is empty, it was not"),
    ("log and state emptied", lambda data: empty(data / "log", data / "state"), "is empty, it was not"),
    ("segment gone", lambda data: segment(data).unlink(), "every segment of the log is missing"),
    ("mark gone", lambda data: (data / "log" / "mark").unlink(), "put it back"),
    ("table flipped", lambda data: flip(table(data), 50), "checksum mismatch"),
]


@pytest.mark.parametrize(
    "damage, words", [(damage, words) for _, damage, words in DAMAGES], ids=[name for name, _, _ in DAMAGES]
)
def test_damaged_data_are_refused_with_12_and_one_line_that_says_what(
    make_cluster: MakeCluster, stopped: Path, damage: Callable[[Path], object], words: str
) -> None:
    node = copied(make_cluster, stopped)
    damage(node.data_dir)
    node.spawn()
    assert node.wait_ended() == ExitCode.CORRUPTION, node.log_tail()
    said = node.log_file.read_text()
    [line] = [line for line in said.splitlines() if line.startswith("ferrite-server: ")]
    assert words in line
    assert "Traceback" not in said


HARMLESS: list[tuple[str, Callable[[Path], object]]] = [
    ("state lost while the log is whole", lambda data: shutil.rmtree(data / "state")),
    ("one slot of the mark", lambda data: flip(data / "log" / "mark", 70)),
    ("an unwritten sector", lambda data: flip(segment(data), 4_000_000)),
]


@pytest.mark.parametrize(
    "damage", [damage for _, damage in HARMLESS], ids=[name for name, _ in HARMLESS]
)  # fmt: skip
def test_what_can_be_made_good_without_guessing_is(
    make_cluster: MakeCluster, stopped: Path, damage: Callable[[Path], object]
) -> None:
    node = copied(make_cluster, stopped)
    damage(node.data_dir)
    node.start()
    wait_for("it leads", lambda: (node.metrics() or {}).get("state") == "leader", 15, node.log_tail)
    assert [node.read(f"k{number}") for number in range(KEYS)] == ["v" * 100] * KEYS
