"""A watch that resumes by itself."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ferrite.io.client.answers import WatchBatch


class Watch:
    """An async iterator of `WatchBatch`, and a context manager: inside the block the watch is known to the server.

    `revision`: everything up to it was delivered; to go on later, watch from `revision + 1`.
    """

    revision: int

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchBatch:
        raise NotImplementedError

    async def close(self) -> None:
        """End the watch. May be called again."""
        raise NotImplementedError
