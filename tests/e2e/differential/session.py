"""Both stores, running, and a way to send Hypothesis' sequences through them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from ferrite.io.client.settings import ProtocolName
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import QUICK
from tests.e2e.differential.etcd import EtcdProcess, EtcdStore
from tests.e2e.differential.ferrite_store import FerriteStore
from tests.e2e.differential.run import Tally, compare
from tests.e2e.differential.sequences import Sequence

# Nothing here is about power failures, so neither store waits for a disk where there is memory to write to.
_MEMORY: Final = Path("/dev/shm")
_SETTINGS: Final[dict[str, object]] = {**QUICK, "storage.sync_writes": False}

_T = TypeVar("_T")


@dataclass(slots=True)
class Session:
    """Two stores and what was compared on them so far."""

    runner: asyncio.Runner
    etcd: EtcdStore
    ferrite: dict[ProtocolName, FerriteStore]
    tally: Tally = field(default_factory=Tally)

    def wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run in the session's event loop."""
        return self.runner.run(work)

    def compare(self, sequence: Sequence, protocol: ProtocolName = "grpc") -> None:
        """Raises `Unexplained`."""
        self.wait(compare(sequence, self.etcd, self.ferrite[protocol], self.tally))


@contextmanager
def both_stores() -> Iterator[Session]:
    """Start an etcd and a Ferrite of one node, each fresh; end them and remove what they wrote."""
    directory = Path(tempfile.mkdtemp(prefix="ferrite-etcd-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        with (
            EtcdProcess(directory / "etcd") as etcd,
            Cluster(directory / "ferrite", 1, settings=_SETTINGS) as cluster,
            asyncio.Runner() as runner,
        ):
            node = cluster.start().leader()
            session = runner.run(_connect(runner, etcd, {"grpc": node.grpc_addr, "http": node.http_addr}))
            try:
                yield session
            finally:
                runner.run(_disconnect(session))
    finally:
        shutil.rmtree(directory)


async def _connect(runner: asyncio.Runner, etcd: EtcdProcess, addresses: dict[ProtocolName, str]) -> Session:
    return Session(
        runner,
        EtcdStore(etcd.port),
        {protocol: FerriteStore(address, protocol) for protocol, address in addresses.items()},
    )


async def _disconnect(session: Session) -> None:
    await session.etcd.close()
    for store in session.ferrite.values():
        await store.close()
