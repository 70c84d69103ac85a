import errno

import pytest

from ferrite.core.disk import DiskError, LogCorrupt, NewerFormat, WrongIdentity
from ferrite.core.kv import StateCorrupt
from ferrite.io.data_dir import DataDirLocked, DataDirRefused
from ferrite.io.exit_codes import ExitCode
from ferrite.io.http import AddressInUse, CannotListen
from ferrite.io.rocks import StoreCorrupt, StoreFailed, StoreForeign, StoreFull
from ferrite.io.start_errors import StartFailed, start_failed
from ferrite.io.storage_errors import storage_failed


@pytest.mark.parametrize(
    "error, code",
    [
        (AddressInUse(errno.EADDRINUSE, "in use"), ExitCode.ADDRESS_IN_USE),
        (DataDirLocked("in use"), ExitCode.ADDRESS_IN_USE),
        (CannotListen(errno.EADDRNOTAVAIL, "not here"), ExitCode.BAD_CONFIGURATION),
        (DataDirRefused("mode 0755"), ExitCode.BAD_CONFIGURATION),
        (WrongIdentity("node 2's"), ExitCode.WRONG_IDENTITY),
        (StoreForeign("node 2's"), ExitCode.WRONG_IDENTITY),
        (LogCorrupt("crc"), ExitCode.CORRUPTION),
        (NewerFormat("format 9"), ExitCode.CORRUPTION),
        (StateCorrupt("pointer"), ExitCode.CORRUPTION),
        (StoreCorrupt("block"), ExitCode.CORRUPTION),
        (DiskError("write", disk_full=True), ExitCode.DISK_FULL),
        (StoreFull("no space"), ExitCode.DISK_FULL),
        (OSError(errno.ENOSPC, "No space left on device"), ExitCode.DISK_FULL),
        (DiskError("fdatasync"), ExitCode.DISK_ERROR),
        (StoreFailed("IO error"), ExitCode.DISK_ERROR),
        (PermissionError(errno.EACCES, "Permission denied"), ExitCode.DISK_ERROR),
    ],
)
def test_every_foreseen_error_has_its_documented_code_and_keeps_its_text(
    error: Exception, code: ExitCode
) -> None:
    failed = start_failed(error)
    assert isinstance(failed, StartFailed)
    assert failed.code == code
    assert str(failed) == str(error)


def test_an_unforeseen_error_stays_what_it_is() -> None:
    error = KeyError("a bug")
    assert start_failed(error) is error


@pytest.mark.parametrize(
    "error, corrupt, disk_full",
    [
        (DiskError("fdatasync"), False, False),
        (DiskError("write", disk_full=True), False, True),
        (LogCorrupt("crc"), True, False),
        (StoreCorrupt("Corruption: block checksum mismatch"), True, False),
        (StoreFull("No space left on device"), False, True),
        (OSError(errno.EIO, "Input/output error"), False, False),
    ],
)
def test_a_storage_failure_says_whether_it_is_corruption_or_want_of_space(
    error: Exception, corrupt: bool, disk_full: bool
) -> None:
    failed = storage_failed("apply", error)
    assert (failed.corrupt, failed.disk_full) == (corrupt, disk_full)
    assert failed.detail == f"apply: {error}"
