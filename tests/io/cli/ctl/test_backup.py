"""backup save, status and restore: whole or not at all, and what they say."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ferrite.client import Unavailable
from ferrite.io.storage import open_storage
from tests.io.backup.helpers import saved_file
from tests.io.cli.ctl.conftest import Ctl
from tests.io.cli.ctl.fake_client import FakeClient
from tests.io.test_requests import config_of

ONE = ("--node-id", "1", "--member", "1=127.0.0.1:8001,127.0.0.1:9001")


def sends(fake: FakeClient, *chunks: bytes, error: Exception | None = None) -> list[bool]:
    asked: list[bool] = []

    async def backup(*, serializable: bool) -> AsyncIterator[bytes]:
        asked.append(serializable)
        for chunk in chunks:
            yield chunk
        if error is not None:
            raise error

    fake.backup = backup  # type: ignore[attr-defined]  # a method of the real client
    return asked


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return saved_file(tmp_path / "source")[0]


@pytest.mark.parametrize("group", ["backup", "snapshot"])
def test_a_backup_is_saved_for_its_owner_alone(
    run_ctl: Ctl, fake: FakeClient, tmp_path: Path, group: str, source: Path
) -> None:
    path, data = tmp_path / "db", source.read_bytes()
    asked = sends(fake, data[:9], data[9:])
    ran = run_ctl(group, "save", str(path))
    assert (ran.code, ran.text) == (0, f"Backup saved at {path}\n")
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "db.part").exists()
    found = json.loads(run_ctl(group, "save", str(path), "--force", "--serializable", "-w", "json").text)
    assert (found["file"], found["revision"], found["totalKey"]) == (str(path), 6, 5)
    assert asked == [False, True]


@pytest.mark.parametrize("error", [Unavailable("broke off", code="unreachable"), None])
def test_a_backup_that_is_not_whole_leaves_nothing(
    run_ctl: Ctl, fake: FakeClient, tmp_path: Path, error: Exception | None
) -> None:
    sends(fake, b"one", error=error)
    assert run_ctl("backup", "save", str(tmp_path / "db")).code == (2 if error else 1)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_backup_is_replaced_only_when_asked(
    run_ctl: Ctl, fake: FakeClient, tmp_path: Path, source: Path
) -> None:
    path = tmp_path / "db"
    path.write_bytes(b"old")
    sends(fake, source.read_bytes())
    ran = run_ctl("backup", "save", str(path))
    assert (ran.code, path.read_bytes()) == (3, b"old")
    assert "--force" in ran.err
    assert run_ctl("backup", "save", str(path), "--force").code == 0
    assert path.read_bytes() == source.read_bytes()


def test_a_place_that_cannot_be_written_is_named(run_ctl: Ctl, fake: FakeClient, tmp_path: Path) -> None:
    sends(fake, b"one")
    ran = run_ctl("backup", "save", str(tmp_path / "nowhere" / "db"))
    assert ran.code == 1
    assert "nowhere/db.part: No such file or directory" in ran.err


def test_status_says_what_a_file_holds(run_ctl: Ctl, source: Path) -> None:
    found = json.loads(run_ctl("backup", "status", str(source), "-w", "json").text)
    assert (found["revision"], found["totalKey"], found["totalSize"]) == (6, 5, source.stat().st_size)
    assert (found["raftIndex"], found["raftTerm"], found["savedBy"], found["clusterId"]) == (
        5,
        1,
        1,
        "63" * 16,
    )
    assert run_ctl("backup", "status", str(source)).text == (
        f"{found['sha256']}, 6, 5, {source.stat().st_size}\n"
    )
    assert "TOTAL KEYS" in run_ctl("backup", "status", str(source), "-w", "table").text
    assert '"Revision" : 6\n' in run_ctl("backup", "status", str(source), "-w", "fields").text


def test_a_damaged_or_missing_file_is_refused(run_ctl: Ctl, source: Path, tmp_path: Path) -> None:
    data = bytearray(source.read_bytes())
    data[100] ^= 1
    source.write_bytes(data)
    for words in (("status",), ("restore", "--data-dir", str(tmp_path / "data"), *ONE)):
        ran = run_ctl("backup", words[0], str(source), *words[1:])
        assert (ran.code, "not a whole backup" in ran.err) == (1, True)
    ran = run_ctl("backup", "status", str(tmp_path / "none"))
    assert (ran.code, "No such file" in ran.err) == (1, True)
    assert not (tmp_path / "data").exists()


def test_restore_makes_a_directory_that_opens(run_ctl: Ctl, source: Path, tmp_path: Path) -> None:
    digest = json.loads(run_ctl("backup", "status", str(source), "-w", "json").text)["sha256"]
    words = ("restore", str(source), "--data-dir", str(tmp_path / "data"), *ONE, "--sha256", digest)
    made = json.loads(run_ctl("backup", *words, "-w", "json").text)
    assert (made["revision"], made["compactRevision"], made["member"]) == (1_000_000_006, 1_000_000_006, 1)
    storage = open_storage(config_of(tmp_path / "data"))
    assert storage.recovered.log.hard_state.cluster_id.hex() == made["clusterId"]
    storage.close()
    again = run_ctl("backup", *words)
    assert (again.code, "not empty" in again.err) == (3, True)


def test_a_history_that_is_kept_is_asked_for(run_ctl: Ctl, source: Path, tmp_path: Path) -> None:
    words = ("--bump-revision", "0", "--no-mark-compacted", "-w", "json")
    ran = run_ctl("snapshot", "restore", str(source), "--data-dir", str(tmp_path / "d"), *ONE, *words)
    assert json.loads(ran.text)["revision"] == 6
    assert json.loads(ran.text)["compactRevision"] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--member", "2"),
        ("--member", "x=a:1,b:2"),
        ("--member", "2=a:1,b:2,voter"),
        ("--member", "2=a:1,b:2"),
        ("--sha256", "12"),
        ("--bump-revision", "-1"),
    ],
)
def test_wrong_input_is_refused_and_makes_nothing(
    run_ctl: Ctl, source: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    ran = run_ctl("backup", "restore", str(source), "--data-dir", str(tmp_path / "data"), *ONE, *words)
    assert ran.code == 3
    assert not (tmp_path / "data").exists()
