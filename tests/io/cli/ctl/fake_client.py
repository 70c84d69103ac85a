"""A client that notes what it was asked, and answers what the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from ferrite.client import EndpointStatus, KeyValue, Member, RangeAnswer
from ferrite.io.cli.ctl.settings import Settings

KV = KeyValue(key=b"k", value=b"v", create_revision=2, mod_revision=3, version=2)
MEMBERS = (
    Member(
        node_id=1, http_addr="127.0.0.1:8001", grpc_addr="127.0.0.1:9001", peer_addr="127.0.0.1:9001",
        instance="ab" * 16, voter=True, leader=True, lag=-1,
    ),
    Member(
        node_id=2, http_addr="127.0.0.1:8002", grpc_addr="127.0.0.1:9002", peer_addr="", instance="cd" * 16, voter=False,
        lag=7, reachable=False,
    ),
)  # fmt: skip
STATUS = EndpointStatus(
    endpoint="grpc://127.0.0.1:9001", node_id=1, node_name="one", cluster_name="c", cluster_id="00000000000000ff" + "11" * 8,
    version="0.1.0", role="leader", term=4, leader_id=1, initialized=True, last_log_index=30, commit_index=29,
    applied_index=28, revision=3, compacted_revision=1, size_bytes=20_480, members=MEMBERS,
)  # fmt: skip


class FakeClient:
    """`answers`: by method's name, what it returns (or raises, or a function of the arguments); `calls`: in order."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "status": STATUS,
            "members": MEMBERS,
            "range": RangeAnswer(revision=3, kvs=(KV,), count=1),
        }
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.settings: Settings | None = None
        self.endpoints: list[Sequence[str]] = []

    def made(self, settings: Settings, endpoints: Sequence[str] | None = None) -> Self:
        self.settings = settings
        self.endpoints.append(endpoints or settings.endpoints)
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def asked(self, method: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of the only call of a method."""
        ((args, kwargs),) = [(args, kwargs) for name, args, kwargs in self.calls if name == method]
        return args, kwargs

    def __getattr__(self, method: str) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((method, args, kwargs))
            answer = self.answers[method]
            if isinstance(answer, BaseException):
                raise answer
            return answer(*args, **kwargs) if callable(answer) else answer

        return call

    def scan(self, **kwargs: Any) -> AsyncIterator[KeyValue]:
        self.calls.append(("scan", (), kwargs))
        return _each(self.answers["scan"])

    @asynccontextmanager
    async def watch(self, **kwargs: Any) -> AsyncIterator[AsyncIterator[Any]]:
        self.calls.append(("watch", (), kwargs))
        yield _each(self.answers["watch"])


async def _each(items: Sequence[Any]) -> AsyncIterator[Any]:
    for item in items:
        if isinstance(item, BaseException):
            raise item
        yield item
