"""Runs calls: the pure `Requests` decides, connections carry, futures wait."""

from __future__ import annotations

from typing import TypeVar

from ferrite.core import kv
from ferrite.io.client.request import ClusterOperation, ReadOptions
from ferrite.io.client.settings import ClientSettings

_Result = TypeVar("_Result")


class Engine:
    """One client's calls."""

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings

    def timeout_s(self, given: float | None) -> float:
        """The call's own time, or the client's."""
        return self.settings.timeout_s if given is None else given

    async def change(
        self, operation: kv.Operation, expected: type[_Result], timeout_s: float | None
    ) -> _Result:
        """Carry out a change, exactly once."""
        raise NotImplementedError

    async def read(
        self, query: kv.Query, expected: type[_Result], reading: ReadOptions, timeout_s: float | None
    ) -> _Result:
        """Answer a query."""
        raise NotImplementedError

    async def repeatable(
        self, operation: kv.Operation, expected: type[_Result], timeout_s: float | None
    ) -> _Result:
        """Carry out a command that may as well happen twice."""
        raise NotImplementedError

    async def manage(
        self,
        operation: ClusterOperation,
        expected: type[_Result],
        endpoint: str | None,
        timeout_s: float | None,
    ) -> _Result:
        """Carry out an operator's request, at this endpoint or at the leader."""
        raise NotImplementedError

    async def known_endpoints(self, timeout_s: float | None) -> tuple[str, ...]:
        """As `scheme://host:port`."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close every connection."""
        raise NotImplementedError
