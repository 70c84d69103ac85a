"""Real files: what is on the disk, who may read it, and what errors are called."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ferrite.core import Identity, Index, NodeId
from ferrite.core.actions import Persist
from ferrite.core.disk import DiskError, LogOptions, LogStore
from ferrite.io import files as files_module
from ferrite.io.files import OPEN_FILES_MAX, DirectoryFiles
from tests.core.disk.model import begin, entry, put


@pytest.fixture
def files(tmp_path: Path) -> Iterator[DirectoryFiles]:
    opened = DirectoryFiles(str(tmp_path))
    yield opened
    opened.close()


def failing(code: int) -> object:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_a_created_file_is_private_and_its_zeros_are_really_there(
    files: DirectoryFiles, tmp_path: Path
) -> None:
    files.create("a", 3 << 20)
    status = (tmp_path / "a").stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_size == 3 << 20
    assert status.st_blocks * 512 >= 3 << 20, "no hole"
    assert files.read("a", 0, 1 << 30) == bytes(3 << 20)


def test_writes_reads_renames_and_removals(files: DirectoryFiles, tmp_path: Path) -> None:
    files.create("a", 4)
    files.write("a", 2, b"1234")
    files.sync("a")
    assert (files.size("a"), files.read("a", 1, 100), files.read("a", 50, 1)) == (6, b"\x001234", b"")
    files.rename("a", "b")
    files.write("b", 0, b"x")
    assert (tmp_path / "b").read_bytes() == b"x\x001234"
    assert files.list() == ("b",)
    files.remove("b")
    assert files.list() == ()


def test_names_are_never_taken_over(files: DirectoryFiles) -> None:
    files.create("a", 0)
    files.create("b", 0)
    with pytest.raises(DiskError, match="exists"):
        files.create("a", 0)
    with pytest.raises(DiskError, match="taken"):
        files.rename("a", "b")


def test_a_missing_file_a_directory_a_pipe_and_a_link_are_refused(
    files: DirectoryFiles, tmp_path: Path
) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to("target")
    for name in ("missing", "directory", "pipe", "link"):
        with pytest.raises(DiskError, match=name):
            files.size(name)


@pytest.mark.parametrize("code, full", [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False)])
def test_a_full_disk_is_told_from_a_broken_one(
    files: DirectoryFiles, monkeypatch: pytest.MonkeyPatch, code: int, full: bool
) -> None:
    files.create("a", 10)
    monkeypatch.setattr(os, "pwrite", failing(code))
    with pytest.raises(DiskError, match=r"write .*a: ") as caught:
        files.write("a", 0, b"x")
    assert caught.value.disk_full is full
    monkeypatch.setattr(files_module, "_fdatasync", failing(code))
    with pytest.raises(DiskError, match=r"fdatasync .*a: ") as caught:
        files.sync("a")
    assert caught.value.disk_full is full


def test_a_file_that_did_not_fit_leaves_its_room(
    files: DirectoryFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "pwrite", failing(errno.ENOSPC))
    with pytest.raises(DiskError):
        files.create("a", 10)
    assert list(tmp_path.iterdir()) == []


def test_short_writes_are_finished(files: DirectoryFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    files.create("a", 0)
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: whole(fd, bytes(data)[:3], offset))
    files.write("a", 1, b"0123456789")
    assert files.read("a", 0, 99) == b"\x000123456789"


def test_descriptors_are_bounded_and_files_to_sync_stay_open(files: DirectoryFiles) -> None:
    files.create("unsynced", 0)
    files.write("unsynced", 0, b"x")
    for number in range(OPEN_FILES_MAX + 10):
        files.create(str(number), 1)
    assert len(files._open) == OPEN_FILES_MAX
    assert "unsynced" in files._open
    assert files.read("3", 0, 1) == b"\0"


def test_a_log_on_real_files_is_found_again(tmp_path: Path) -> None:
    options = LogOptions(segment_bytes=4096)
    node = Identity(node_id=NodeId(3), instance=b"instance-16bytes", boot=1)
    files = DirectoryFiles(str(tmp_path))
    store, _ = LogStore.open(files, node, options=options)
    store.append([begin()])
    for number in range(1, 41):
        store.append([put(number + 1, number, entry(1, bytes([number]) * 300))])
        store.sync()
        store.prepare_spare()
    store.update_mark(40)
    store.discard(20)
    files.close()
    files = DirectoryFiles(str(tmp_path))
    store, log = LogStore.open(files, node, options=options)
    assert (log.last_index, log.last_write_seq) == (40, 41)
    assert store.load(30, 41, 1 << 20)[10] == entry(1, bytes([40]) * 300)
    store.append([Persist(write_seq=42, first_index=Index(41), entries=(entry(1),))])
    files.close()
