"""Backups through the client: the same file over either protocol, and nothing else is taken for one."""

import pytest

from ferrite import AsyncClient
from ferrite.client import FerriteError, Unavailable
from ferrite.core import Consistency
from ferrite.core.kv import write_snapshot
from ferrite.io.request_path import RequestRefused
from tests.core.test_snapshot_file import HEADER, PAIRS
from tests.io.backup.fakes import FakeBackup
from tests.io.client.served import Served, serving

PIECES = list(write_snapshot(HEADER, PAIRS, block_bytes=30))
FACES = pytest.mark.parametrize("face", ["grpc", "http"])


def endpoint(served: Served, face: str) -> str:
    (address,) = served.endpoints(face)
    return f"{face}://{address}"


@FACES
async def test_the_bytes_are_the_file(face: str) -> None:
    async with serving() as served, AsyncClient(endpoint(served, face)) as client:
        at = endpoint(served, face)
        node = served.doors[0].node
        node.next_backup = FakeBackup(list(PIECES))
        assert b"".join([data async for data in client.backup(at)]) == b"".join(PIECES)
        node.next_backup = FakeBackup(list(PIECES))
        assert b"".join([data async for data in client.backup(at, serializable=True)]) == b"".join(PIECES)
        assert node.backups == [Consistency.LINEARIZABLE, Consistency.SERIALIZABLE]


@FACES
async def test_a_backup_that_breaks_off_is_an_error_at_its_end(face: str) -> None:
    async with serving() as served, AsyncClient(endpoint(served, face)) as client:
        at = endpoint(served, face)
        going = RequestRefused("shutting_down", "going")
        served.doors[0].node.next_backup = FakeBackup(PIECES[:2], then=going)
        with pytest.raises(FerriteError):
            async for _ in client.backup(at):
                pass


async def test_a_file_whose_footer_does_not_fit_is_an_error_at_its_end() -> None:
    async with serving() as served, AsyncClient(endpoint(served, "http")) as client:
        at = endpoint(served, "http")
        for pieces in (PIECES[:-1], [b"x", *PIECES], [*PIECES, b"x"], [PIECES[-1]], []):
            served.doors[0].node.next_backup = FakeBackup(list(pieces))
            with pytest.raises(Unavailable, match="not whole"):
                async for _ in client.backup(at):
                    pass


@FACES
async def test_a_refusal_keeps_its_code(face: str) -> None:
    async with serving() as served, AsyncClient(endpoint(served, face)) as client:
        at = endpoint(served, face)
        served.doors[0].node.backup_error = RequestRefused("overloaded", "two are running")
        with pytest.raises(FerriteError, match="two are running") as refused:
            async for _ in client.backup(at):
                pass
        assert refused.value.code == "overloaded"
