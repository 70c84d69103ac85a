"""The data directory: whose it is, who may use it, and what a damaged one says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ferrite.core.disk import DiskError, NewerFormat, WrongIdentity
from ferrite.io.data_dir import DataDir, DataDirLocked, DataDirRefused, IdentityDamaged


def start(path: Path, node_id: int = 3) -> tuple[bytes, int]:
    directory = DataDir.open(str(path), node_id)
    directory.close()
    return directory.identity.instance, directory.identity.boot


def test_a_new_directory_is_private_and_has_its_parts(tmp_path: Path) -> None:
    path = tmp_path / "a" / "node"
    directory = DataDir.open(str(path), 3)
    assert path.stat().st_mode & 0o777 == 0o700
    for part, at in (
        ("log", directory.log_path),
        ("state", directory.state_path),
        ("snapshots", directory.snapshots_path),
    ):
        assert at == str(path / part)
        assert os.stat(at).st_mode & 0o777 == 0o700
    assert (path / "identity").stat().st_mode & 0o777 == 0o600
    assert directory.warnings == ()
    directory.close()
    directory.close()


def test_the_instance_stays_and_the_boot_grows(tmp_path: Path) -> None:
    path = tmp_path / "node"
    instance, boot = start(path)
    assert (len(instance), boot) == (16, 1)
    assert [start(path) for _ in range(3)] == [(instance, boot) for boot in (2, 3, 4)]
    assert start(tmp_path / "other")[0] != instance


def test_a_second_process_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "node"
    first = DataDir.open(str(path), 3)
    script = (
        "import sys; from ferrite.io.data_dir import DataDir, DataDirLocked\n"
        "try: DataDir.open(sys.argv[1], 3)\nexcept DataDirLocked as error: print(error)"
    )
    second = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path.cwd(),
    )
    assert f"in use by process {os.getpid()}" in second.stdout
    with pytest.raises(DataDirLocked):
        DataDir.open(str(path), 3)
    first.close()
    assert start(path)[1] == 2, "a refused start counts no boot"


def test_a_directory_that_others_can_read_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "node"
    for wider, mode in ((path, 0o750), (path / "log", 0o701)):
        start(path)
        wider.chmod(mode)
        with pytest.raises(DataDirRefused, match=f"chmod 0700 {wider}"):
            DataDir.open(str(path), 3)
        wider.chmod(0o700)


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "node"
    start(path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(DataDirRefused, match="chown"):
        DataDir.open(str(path), 3)


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataDirRefused, match="no directory"):
        DataDir.open(str(tmp_path / "file"), 3)
    with pytest.raises(DataDirRefused, match="a part of the path is a file"):
        DataDir.open(str(tmp_path / "file" / "below"), 3)


def test_the_directory_of_another_node_is_refused(tmp_path: Path) -> None:
    start(tmp_path / "node")
    with pytest.raises(WrongIdentity, match="belongs to node 3, the configuration says node 4"):
        DataDir.open(str(tmp_path / "node"), 4)


def test_any_damage_to_the_identity_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "node"
    start(path)
    whole = (path / "identity").read_bytes()
    damaged = [whole[:length] for length in range(len(whole))]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for data in [*damaged, whole + b"x", b"\xff" * 5000, whole * 2]:
        (path / "identity").write_bytes(data)
        with pytest.raises((IdentityDamaged, NewerFormat)):
            DataDir.open(str(path), 3)
    (path / "identity").write_bytes(whole)
    assert start(path)[1] == 2


def test_a_newer_identity_is_named(tmp_path: Path) -> None:
    path = tmp_path / "node"
    start(path)
    (path / "identity").write_text("ferrite-identity 9\nwhatever 1\n")
    with pytest.raises(NewerFormat, match="format 9"):
        DataDir.open(str(path), 3)


def test_a_lost_identity_beside_data_is_no_new_directory(tmp_path: Path) -> None:
    path = tmp_path / "node"
    start(path)
    (path / "log" / "mark").write_bytes(b"x")
    (path / "identity").unlink()
    with pytest.raises(IdentityDamaged, match="data in log"):
        DataDir.open(str(path), 3)


def test_a_start_that_was_interrupted_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "node"
    start(path)
    (path / "identity.tmp").write_bytes(b"half")
    assert start(path)[1] == 2
    assert not (path / "identity.tmp").exists()


def test_foreign_files_are_left_alone_and_named(tmp_path: Path) -> None:
    path = tmp_path / "node"
    start(path)
    for number in range(12):
        (path / f"x{number:02}\x1b").write_text("mine")
    directory = DataDir.open(str(path), 3)
    assert len(directory.warnings) == 1
    assert "'x00\\x1b'" in directory.warnings[0]
    assert "and 2 more" in directory.warnings[0]
    directory.close()
    assert len(list(path.iterdir())) == 12 + 5


def test_a_disk_error_counts_no_boot_and_gives_the_lock_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "node"
    start(path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskError) as caught:
            DataDir.open(str(path), 3)
    assert caught.value.disk_full
    assert start(path)[1] == 2


def test_node_id_0_is_nobody(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="node ids begin at 1"):
        DataDir.open(str(tmp_path / "node"), 0)
    assert not (tmp_path / "node").exists()


def test_a_log_directory_that_was_emptied_is_no_new_log(tmp_path: Path) -> None:
    """Else a member would come back without its promises (removed files, a disk that is not mounted)."""
    path = tmp_path / "data"
    DataDir.open(str(path), 3).close()
    (path / "log" / "instance").unlink()
    (path / "log" / "lost+found").mkdir()  # a fresh disk
    with pytest.raises(IdentityDamaged, match=r"log is empty, it was not .*mount its disk"):
        DataDir.open(str(path), 3)


def test_the_log_directory_of_another_instance_is_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        DataDir.open(str(tmp_path / name), 3).close()
    (tmp_path / "one" / "log" / "instance").replace(tmp_path / "other" / "log" / "instance")
    with pytest.raises(WrongIdentity, match="put this node's own log directory back"):
        DataDir.open(str(tmp_path / "other"), 3)


def test_a_crash_before_the_first_identity_leaves_a_directory_that_opens(tmp_path: Path) -> None:
    path = tmp_path / "data"
    for part in ("", "log"):
        (path / part).mkdir(mode=0o700)
    (path / "log" / "instance").write_bytes(b"0" * 32 + b"\n")
    (path / "log" / "instance.tmp").write_bytes(b"0")
    DataDir.open(str(path), 3).close()
    DataDir.open(str(path), 3).close()
