"""backup save: the file appears whole or not at all."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ferrite.client import Unavailable
from tests.io.cli.ctl.conftest import Ctl
from tests.io.cli.ctl.fake_client import FakeClient


def sends(fake: FakeClient, *chunks: bytes, error: Exception | None = None) -> None:
    async def backup() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        if error is not None:
            raise error

    fake.backup = backup  # type: ignore[attr-defined]  # a method of the real client


@pytest.mark.parametrize("group", ["backup", "snapshot"])
def test_a_backup_is_saved_for_its_owner_alone(
    run_ctl: Ctl, fake: FakeClient, tmp_path: Path, group: str
) -> None:
    path = tmp_path / "db"
    sends(fake, b"one", b"two")
    ran = run_ctl(group, "save", str(path))
    assert (ran.code, ran.text) == (0, f"Backup saved at {path}\n")
    assert path.read_bytes() == b"onetwo"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_backup_that_breaks_off_leaves_nothing(run_ctl: Ctl, fake: FakeClient, tmp_path: Path) -> None:
    sends(fake, b"one", error=Unavailable("broke off", code="unreachable"))
    assert run_ctl("backup", "save", str(tmp_path / "db")).code == 2
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_backup_is_replaced_only_when_asked(
    run_ctl: Ctl, fake: FakeClient, tmp_path: Path
) -> None:
    path = tmp_path / "db"
    path.write_bytes(b"old")
    sends(fake, b"new")
    ran = run_ctl("backup", "save", str(path))
    assert (ran.code, path.read_bytes()) == (3, b"old")
    assert "--force" in ran.err
    assert run_ctl("backup", "save", str(path), "--force").code == 0
    assert path.read_bytes() == b"new"


def test_a_place_that_cannot_be_written_is_named(run_ctl: Ctl, fake: FakeClient, tmp_path: Path) -> None:
    ran = run_ctl("backup", "save", str(tmp_path / "nowhere" / "db"))
    assert ran.code == 1
    assert "nowhere/db.part cannot be written: No such file or directory" in ran.err


@pytest.mark.parametrize("name", ["status", "restore"])
def test_what_is_not_supported_yet_says_so(run_ctl: Ctl, fake: FakeClient, name: str) -> None:
    ran = run_ctl("backup", name, "db")
    assert ran.code == 1
    assert "not supported yet" in ran.err
