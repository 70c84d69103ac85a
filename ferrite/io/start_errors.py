"""Why a node did not start: one sentence and the documented exit code for each kind of error."""

from __future__ import annotations

import errno

from ferrite.core.disk import DiskError, LogCorrupt, NewerFormat, WrongIdentity
from ferrite.io.data_dir import DataDirLocked, DataDirRefused
from ferrite.io.exit_codes import ExitCode
from ferrite.io.grpc.listen import CannotListen as GrpcCannotListen
from ferrite.io.http import CannotListen as HttpCannotListen
from ferrite.io.rocks import StoreError, StoreForeign
from ferrite.io.storage_errors import is_corrupt, is_disk_full


class StartFailed(Exception):
    """The node cannot start; the text says what was wrong and what to do."""

    def __init__(self, code: ExitCode, reason: str) -> None:
        """`code` is what the process exits with."""
        super().__init__(reason)
        self.code = code


def start_failed(error: Exception) -> Exception:
    """Return `StartFailed` for an error with a documented code; any other one as it is: that is a bug, with its traceback."""
    code = _code_of(error)
    return error if code is None else StartFailed(code, str(error) or repr(error))


def _code_of(error: Exception) -> ExitCode | None:
    if isinstance(error, StartFailed):
        return error.code
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return ExitCode.ADDRESS_IN_USE
    if isinstance(error, GrpcCannotListen | HttpCannotListen):
        return ExitCode.BAD_CONFIGURATION
    if isinstance(error, DataDirLocked):  # as with an address: another process of ours runs there
        return ExitCode.ADDRESS_IN_USE
    if isinstance(error, DataDirRefused):
        return ExitCode.BAD_CONFIGURATION
    if isinstance(error, WrongIdentity | StoreForeign):
        return ExitCode.WRONG_IDENTITY
    if isinstance(error, LogCorrupt | NewerFormat) or is_corrupt(error):
        return ExitCode.CORRUPTION
    if is_disk_full(error):
        return ExitCode.DISK_FULL
    if isinstance(error, DiskError | StoreError | OSError):
        return ExitCode.DISK_ERROR
    return None
