"""`ctl(*words)` runs ferritectl in this process; against a fake client, or a real cluster that all tests of the session share."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from ferrite.io.cli.ctl import endpoint, main, session
from tests.e2e.cluster import Cluster
from tests.io.cli.ctl.fake_client import FakeClient

QUICK: dict[str, object] = {
    "raft.heartbeat_interval": 60,
    "raft.election_timeout_min": 500,
    "raft.election_timeout_max": 1000,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One run of ferritectl."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()


Ctl = Callable[..., Ran]


@pytest.fixture
def run_ctl(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Ctl:
    """`run_ctl(*words, stdin=b"")`."""

    def run(*words: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        code = main(words)
        captured = capsysbinary.readouterr()
        return Ran(code=code, out=captured.out, err=captured.err.decode())

    return run


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """The client that every command of this test gets."""
    client = FakeClient()
    for module in (session, endpoint):
        monkeypatch.setattr(module, "make_client", client.made)
    return client


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three real nodes."""
    with Cluster(tmp_path_factory.mktemp("ctl"), 3, settings=QUICK) as found:
        found.start()
        found.leader()
        yield found


@pytest.fixture
def ctl(run_ctl: Ctl, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Ctl:
    """ferritectl with the real cluster's endpoints."""
    addresses = ",".join(node.http_addr for node in cluster.nodes.values())
    monkeypatch.setenv("FERRITECTL_ENDPOINTS", addresses)
    monkeypatch.setenv("FERRITECTL_COMMAND_TIMEOUT", "20s")
    return run_ctl
