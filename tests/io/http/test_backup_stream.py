"""GET /backup: the file as it comes; what breaks off is not taken for whole."""

import hashlib

import aiohttp
import pytest

from ferrite.core import Consistency
from ferrite.io.request_path import RequestRefused
from tests.io.backup.fakes import FakeBackup
from tests.io.http.helpers import FakeRequestPath, internal_errors, serving, until


async def test_the_bytes_are_the_file_and_it_has_a_name() -> None:
    path = FakeRequestPath(next_backup=FakeBackup([b"a" * 300_000, b"b"]))
    async with (
        serving(path) as site,
        aiohttp.ClientSession(f"http://127.0.0.1:{site.port}") as client,
        client.get("/backup") as response,
    ):
        data = await response.read()
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.headers["Content-Disposition"] == 'attachment; filename="test-1.backup"'
    assert data == b"a" * 300_000 + b"b"
    assert path.next_backup is not None and path.next_backup.closed
    assert path.next_backup.sha256 == hashlib.sha256(data).digest()
    assert path.calls[-1] == ("backup", Consistency.LINEARIZABLE, None)


async def test_consistency_and_time_limit_are_asked_for_in_the_url() -> None:
    async with serving(FakeRequestPath()) as site:
        assert (await site.get("/backup?consistency=serializable&timeout_ms=70")).status == 200
        assert site.path.calls[-1] == ("backup", Consistency.SERIALIZABLE, 70)
        for query in ("consistency=strict", "timeout_ms=x", "sha=1"):
            assert (await site.get(f"/backup?{query}")).status == 400


async def test_a_backup_that_breaks_off_is_an_answer_that_is_not_complete() -> None:
    broken = FakeBackup([b"a" * 100_000], then=RequestRefused("storage_failed", "block"))
    async with (
        serving(FakeRequestPath(next_backup=broken)) as site,
        aiohttp.ClientSession(f"http://127.0.0.1:{site.port}") as client,
    ):
        with pytest.raises(aiohttp.ClientError):
            async with client.get("/backup") as response:
                await response.read()
        await until(lambda: broken.closed)
        assert internal_errors(site.server) == 0


async def test_a_backup_whose_reader_goes_ends() -> None:
    hanging = FakeBackup(hangs=True)
    async with (
        serving(FakeRequestPath(next_backup=hanging)) as site,
        aiohttp.ClientSession(f"http://127.0.0.1:{site.port}") as client,
    ):
        async with client.get("/backup") as response:
            await response.content.readexactly(5)
        await until(lambda: hanging.closed)


async def test_one_too_many_is_told_to_come_back() -> None:
    failure = RequestRefused("overloaded", "two are running", retry_after_ms=10_000)
    async with serving(FakeRequestPath(failure=failure)) as site:
        reply = await site.get("/backup")
    assert reply.status == 429


async def test_head_begins_nothing_that_stays() -> None:
    backup = FakeBackup()
    async with serving(FakeRequestPath(next_backup=backup)) as site:
        assert (await site.ask("HEAD", "/backup")).status == 200
    assert backup.closed
