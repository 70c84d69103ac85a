"""The file: it appears when it is whole, and one that is not what was saved is never taken for a backup."""

import hashlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ferrite.io.backup import BackupInvalid, SaveRefused, save, status
from tests.io.backup.helpers import CLUSTER, saved, saved_file


async def stream(*pieces: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if then is not None:
        raise then


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name != "state-to-save")


def test_a_saved_file_is_private_and_says_what_it_holds(tmp_path: Path) -> None:
    path, found = saved_file(tmp_path)
    data = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["b.backup"]
    assert (found.cluster_id, found.node_id, found.last_index, found.last_term) == (CLUSTER, 1, 5, 1)
    assert (found.revision, found.compacted_revision, found.key_count) == (6, 0, 5)
    assert (found.size_bytes, found.sha256) == (len(data), hashlib.sha256(data).digest())
    told: list[int] = []
    assert status(str(path), progress=told.append) == found
    assert sum(told) == len(data)


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path, _ = saved_file(tmp_path, keys=1)
    data = path.read_bytes()
    bad = tmp_path / "bad"
    bad.write_bytes(data)
    descriptor = os.open(bad, os.O_WRONLY)
    for position, byte in enumerate(data):
        for bit in range(8):
            os.pwrite(descriptor, bytes([byte ^ 1 << bit]), position)
            with pytest.raises(BackupInvalid, match="not a whole backup"):
                status(str(bad))
        os.pwrite(descriptor, bytes([byte]), position)
    os.close(descriptor)
    assert status(str(bad)).key_count == 1


def test_every_cut_is_noticed_and_so_is_what_follows(tmp_path: Path) -> None:
    path, _ = saved_file(tmp_path, keys=1)
    data = path.read_bytes()
    bad = tmp_path / "bad"
    for length in range(len(data)):
        bad.write_bytes(data[:length])
        with pytest.raises(BackupInvalid, match="not a whole backup"):
            status(str(bad))
    bad.write_bytes(data + b"\x00")
    with pytest.raises(BackupInvalid, match="goes on"):
        status(str(bad))


async def test_a_stream_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        await save(stream(b"FERRSNAP", then=ConnectionError("gone")), str(tmp_path / "b"))
    assert names(tmp_path) == []


async def test_a_stream_that_is_no_backup_never_gets_the_files_name(tmp_path: Path) -> None:
    old = tmp_path / "b"
    old.write_bytes(b"the one before")
    with pytest.raises(BackupInvalid):
        await save(stream(b"something else"), str(old), replace=True)
    assert old.read_bytes() == b"the one before"
    assert names(tmp_path) == ["b"]


async def test_a_file_that_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path, found = await saved(tmp_path)
    data = path.read_bytes()
    with pytest.raises(SaveRefused, match="exists"):
        await save(stream(data), str(path))
    assert await save(stream(data), str(path), replace=True) == found


async def test_what_a_killed_save_left_is_replaced_with_its_permissions(tmp_path: Path) -> None:
    path, found = await saved(tmp_path)
    (tmp_path / "c.part").write_bytes(b"half")
    (tmp_path / "c.part").chmod(0o644)
    assert await save(stream(path.read_bytes()), str(tmp_path / "c")) == found
    assert stat.S_IMODE((tmp_path / "c").stat().st_mode) == 0o600


def test_a_directory_or_a_pipe_is_no_backup(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("", "pipe"):
        with pytest.raises(BackupInvalid, match="no file"):
            status(str(tmp_path / name))
