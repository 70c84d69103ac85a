"""GET /backup: the file as it is made. Its own last bytes say whether it is whole (docs/backup.md)."""

from __future__ import annotations

from typing import Final

from ferrite.core import Consistency
from ferrite.io.http.exchange import Call, HttpStream, WriteNow
from ferrite.io.http.fields import JsonObject
from ferrite.io.http.options import parse_timeout
from ferrite.io.http.query import query_object
from ferrite.io.request_path import Backup, RequestError, RequestPath

BACKUP_QUERY: Final = ("consistency", "timeout_ms")
OCTET_STREAM: Final = "application/octet-stream"


async def begin_backup(request_path: RequestPath, call: Call) -> HttpStream:
    """Begin the copy. Raises `Invalid` and `RequestError`."""
    given = JsonObject(query_object(call.query, integers=("timeout_ms",)), "", BACKUP_QUERY)
    names = tuple(one.value for one in Consistency)
    consistency = Consistency(given.choice("consistency", names, Consistency.LINEARIZABLE.value))
    backup = await request_path.backup(consistency=consistency, timeout_ms=parse_timeout(given))
    disposition = f'attachment; filename="{backup.name}"'
    return HttpStream(
        content_type=OCTET_STREAM,
        source=BackupSource(backup),
        headers=(("Content-Disposition", disposition),),
    )


class BackupSource:
    """The pieces of one backup. What breaks off ends the connection, so that nobody takes it for whole."""

    def __init__(self, backup: Backup) -> None:
        """Nothing is read yet."""
        self._backup = backup
        self._shutting_down = False

    async def next_piece(self, _: WriteNow) -> bytes:
        """Wait for the next piece; nothing at the end. Raises ConnectionAbortedError when there will be no whole."""
        if self._shutting_down:
            raise ConnectionAbortedError("the node shuts down")
        try:
            return await self._backup.next_piece()
        except RequestError as error:
            raise ConnectionAbortedError(error.detail) from error

    def shut_down(self) -> None:
        """The node goes: a copy that is cut is none."""
        self._shutting_down = True

    def close(self) -> None:
        """Nobody reads any more."""
        self._backup.close()
