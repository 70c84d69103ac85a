"""New data directories from a backup: whole or not at all, agreed upon without a word, ready to be started."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ferrite.core import HardState, Term
from ferrite.core.disk import LogStore
from ferrite.core.kv import Get, GetResult
from ferrite.io.backup import (
    REVISION_BUMP,
    BackupInvalid,
    Restored,
    RestoreRefused,
    restore,
    restoring,
)
from ferrite.io.data_dir import DataDirRefused, IdentityDamaged
from ferrite.io.request_path import MemberAddress
from ferrite.io.storage import open_storage
from tests.io.backup.helpers import saved_file
from tests.io.test_requests import config_of

ONE = (MemberAddress(node_id=1, http_addr="127.0.0.1:8001", grpc_addr="127.0.0.1:9001"),)
THREE = tuple(
    MemberAddress(node_id=number, http_addr=f"127.0.0.1:800{number}", grpc_addr=f"127.0.0.1:900{number}")
    for number in (1, 2, 3)
)


def restored(tmp_path: Path, name: str = "data", **wishes: Any) -> Restored:
    path = tmp_path / "b.backup"
    if not path.exists():
        saved_file(tmp_path)
    options: dict[str, Any] = {"node_id": 1, "members": ONE, **wishes}
    return restore(str(path), str(tmp_path / name), **options)


def test_a_restored_directory_opens_as_a_node_that_knows_its_cluster(tmp_path: Path) -> None:
    made = restored(tmp_path)
    storage = open_storage(config_of(tmp_path / "data"))
    recovered = storage.recovered
    assert (recovered.identity.node_id, recovered.identity.instance) == (1, made.instance)
    assert recovered.log.hard_state == HardState(cluster_id=made.cluster_id, term=Term(1))
    assert (recovered.log.base_index, recovered.log.base_term, recovered.log.last_index) == (5, 1, 5)
    assert recovered.log.lost_tail is None
    assert (recovered.state.applied_index, recovered.state.installed_index) == (5, 5)
    member = recovered.state.membership.members[recovered.identity.node_id]
    assert (recovered.state.membership.voters, member.instance) == ((1,), made.instance)
    assert (member.http_addr, member.peer_addr) == ("127.0.0.1:8001", "127.0.0.1:9001")
    found = storage.state.read(Get(key=b"k00003"))
    assert isinstance(found, GetResult) and found.entry is not None
    assert (found.entry.value, found.entry.mod_revision) == (b"v" * 100, 5)
    assert storage.state.revision == made.revision == 6 + REVISION_BUMP
    assert storage.state.facts.compacted_revision == made.compacted_revision == made.revision
    storage.close()


def test_the_files_are_nobody_elses(tmp_path: Path) -> None:
    restored(tmp_path)
    for directory, _, files in os.walk(tmp_path / "data"):
        assert os.stat(directory).st_mode & 0o077 == 0, directory
        for name in files:
            assert os.stat(os.path.join(directory, name)).st_mode & 0o077 == 0, name


def test_members_agree_without_talking_to_each_other(tmp_path: Path) -> None:
    made = [
        restored(tmp_path, f"data{number}", node_id=number, members=members, token="once")
        for number, members in ((1, THREE), (2, THREE[::-1]), (3, THREE))
    ]
    assert len({each.cluster_id for each in made}) == 1
    assert len({each.instance for each in made}) == 3
    states = []
    for number in (1, 2, 3):
        storage = open_storage(config_of(tmp_path / f"data{number}", node__id=str(number)))
        states.append((storage.state.state_hash(), storage.recovered.state.membership))
        storage.close()
    assert states[0] == states[1] == states[2]
    assert [states[0][1].members[each.node_id].instance for each in made] == [each.instance for each in made]  # type: ignore[index]  # a plain number


def test_whatever_is_different_makes_another_cluster(tmp_path: Path) -> None:
    moved = (*THREE[:2], replace(THREE[2], http_addr="127.0.0.1:8004"))
    wishes: list[dict[str, Any]] = [
        {"members": THREE, "token": "once"},
        {"members": THREE, "token": "twice"},
        {"members": moved, "token": "once"},
        {"members": (*THREE[:2], replace(THREE[2], voting=False)), "token": "once"},
        {"members": THREE, "token": "once", "bump_revision": 5},
        {"members": THREE, "token": "once", "mark_compacted": False},
    ]
    made = [restored(tmp_path, f"data-{at}", **wish) for at, wish in enumerate(wishes)]
    assert len({each.cluster_id for each in made}) == len(wishes)


def test_a_single_member_is_a_new_cluster_each_time(tmp_path: Path) -> None:
    assert restored(tmp_path, "one").cluster_id != restored(tmp_path, "two").cluster_id


def test_several_members_need_a_token(tmp_path: Path) -> None:
    with pytest.raises(RestoreRefused, match="token"):
        restored(tmp_path, members=THREE)


@pytest.mark.parametrize(
    "wishes, reason",
    [
        ({"node_id": 2}, "not among"),
        ({"members": ()}, "not among"),
        ({"members": (ONE[0], ONE[0])}, "named twice"),
        ({"members": (replace(ONE[0], node_id=0),)}, "begin at 1"),
        ({"members": (replace(ONE[0], http_addr=""),)}, "HTTP address"),
        ({"members": (replace(ONE[0], grpc_addr="0.0.0.0:9001"),)}, "able to dial"),
        ({"members": (replace(ONE[0], peer_addr="nonsense"),)}, "peer address"),
        ({"members": (replace(ONE[0], voting=False),)}, "nobody votes"),
        ({"bump_revision": -1}, "bump"),
        ({"bump_revision": 1 << 61}, "bump"),
        ({"token": "t" * 1025}, "token"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused_and_makes_nothing(
    tmp_path: Path, wishes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RestoreRefused, match=reason):
        restored(tmp_path, **wishes)
    assert not (tmp_path / "data").exists()


def test_a_directory_with_something_in_it_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "precious").write_text("x")
    with pytest.raises(DataDirRefused, match="not empty"):
        restored(tmp_path)
    assert os.listdir(tmp_path / "data") == ["precious"]


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    restored(tmp_path)
    open_storage(config_of(tmp_path / "data")).close()


def test_another_hash_than_the_one_that_was_noted_is_refused(tmp_path: Path) -> None:
    _, found = saved_file(tmp_path)
    with pytest.raises(BackupInvalid, match="another backup"):
        restored(tmp_path, sha256=bytes(32))
    assert restored(tmp_path, sha256=found.sha256).backup == found


def test_a_damaged_backup_touches_nothing(tmp_path: Path) -> None:
    path, _ = saved_file(tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BackupInvalid):
        restored(tmp_path)
    assert not (tmp_path / "data").exists()


def test_a_file_that_changes_between_the_looks_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, found = saved_file(tmp_path)
    (tmp_path / "other").mkdir()
    other, _ = saved_file(tmp_path / "other")
    monkeypatch.setattr(restoring, "status", lambda *_, **__: found)
    os.replace(other, path)
    with pytest.raises(BackupInvalid, match="changed while it was read"):
        restored(tmp_path)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("there_before", [False, True])
def test_a_restore_that_fails_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there_before: bool
) -> None:
    if there_before:
        (tmp_path / "data").mkdir(mode=0o700)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LogStore, "sync", full)
    with pytest.raises(OSError, match="No space left"):
        restored(tmp_path)
    assert (tmp_path / "data").exists() == there_before
    assert not there_before or os.listdir(tmp_path / "data") == []


def test_a_directory_of_a_restore_that_was_killed_is_refused_at_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(restoring, "_fill_log", killed)
    monkeypatch.setattr(restoring, "_remove", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        restored(tmp_path)
    with pytest.raises(IdentityDamaged):
        open_storage(config_of(tmp_path / "data"))


def test_the_file_is_read_twice_and_the_progress_says_so(tmp_path: Path) -> None:
    path, _ = saved_file(tmp_path)
    told: list[int] = []
    restored(tmp_path, progress=told.append)
    assert sum(told) == 2 * path.stat().st_size


def test_a_log_that_is_lost_after_a_restore_is_missed(tmp_path: Path) -> None:
    restored(tmp_path)
    for name in os.listdir(tmp_path / "data" / "log"):
        os.unlink(tmp_path / "data" / "log" / name)
    with pytest.raises(IdentityDamaged):
        open_storage(config_of(tmp_path / "data"))
