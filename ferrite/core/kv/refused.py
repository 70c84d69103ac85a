"""Why a command or a query is refused, on its way to the answer."""

from __future__ import annotations

from ferrite.core.kv.results import CommandErrorCode, CommandFailed


class Refused(Exception):
    """The command changed nothing, or the query has no answer."""

    def __init__(self, code: CommandErrorCode, detail: str, revision: int | None = None) -> None:
        """`revision` only where it is not the store's."""
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.revision = revision

    def answer(self, revision: int) -> CommandFailed:
        """Return what the client gets; `revision` is the store's."""
        return CommandFailed(
            code=self.code, detail=self.detail, revision=revision if self.revision is None else self.revision
        )
