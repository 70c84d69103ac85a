"""A node's data directory: whose it is, that nobody else uses it, and where the parts stand."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from uuid import uuid4
from zlib import crc32

from ferrite.core import NO_NODE, Identity, NodeId
from ferrite.core.disk import INSTANCE, DiskError, LogCorrupt, NewerFormat, WrongIdentity

IDENTITY_FORMAT: Final = 1
IDENTITY_BYTES_MAX: Final = 4096
"""A whole identity has some 120 bytes; more is not read."""
_LOCK: Final = "LOCK"
_IDENTITY: Final = "identity"
_TMP_SUFFIX: Final = ".tmp"
_INSTANCE_TMP: Final = INSTANCE + _TMP_SUFFIX
_PARTS: Final = ("log", "state", "snapshots")
_OURS: Final = frozenset({_LOCK, _IDENTITY, *_PARTS})
_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class DataDirRefused(Exception):
    """The directory's owner, permissions or kind are not what they must be; the text says how to mend it."""


class DataDirLocked(Exception):
    """Another process uses the directory."""


class IdentityDamaged(LogCorrupt):
    """The identity file is not what was written, or is gone while data are there. The text says what to do."""

    advice = ""


class DataDir:
    """An open, locked data directory. One process has it at a time; `close` gives it back."""

    def __init__(
        self, path: str, directory: int, lock: int, identity: Identity, warnings: tuple[str, ...]
    ) -> None:
        """Only `open` calls this."""
        self.path = path
        self.identity = identity
        self.warnings = warnings
        """What an operator should know, one sentence each."""
        self.log_path, self.state_path, self.snapshots_path = (os.path.join(path, part) for part in _PARTS)
        self._directory = directory
        self._lock = lock

    @classmethod
    def open(cls, path: str, node_id: int) -> DataDir:
        """Make the directory if it is missing, lock it, check whose it is and count this start in `identity.boot`.

        Raises `DataDirRefused` (owner, permissions), `DataDirLocked`, `WrongIdentity` (another node's), `IdentityDamaged`,
        `NewerFormat`, `DiskError`.
        """
        if node_id == NO_NODE:
            raise ValueError("node id 0 means nobody; node ids begin at 1")
        path = os.path.abspath(path)
        with _locked(path) as (directory, lock):
            _make_parts(path)
            warnings = _tidy(path, directory)
            identity = _next_boot(path, directory, node_id)
            return cls(path, directory, lock, identity, warnings)

    @classmethod
    def create(cls, path: str, identity: Identity) -> DataDir:
        """Make a directory of this identity to be filled; it must be missing or empty. It is a node's only after `seal`.

        Until then a start refuses it, because its identity is missing. Raises `DataDirRefused`, `DataDirLocked`, `DiskError`.
        """
        path = os.path.abspath(path)
        # Looked at before anything is made, so that a directory that is refused stays as it was.
        if os.path.isdir(path) and os.listdir(path):
            raise DataDirRefused(
                f"data directory {path} is not empty: name one that is missing or empty, or move its content away"
            )
        with _locked(path) as (directory, lock):
            if os.listdir(directory) != [_LOCK]:
                raise DataDirRefused(f"data directory {path} is being used by somebody else: choose another")
            _make_parts(path)
            _anchor_log(os.path.join(path, "log"), replace(identity, boot=0))
            return cls(path, directory, lock, identity, ())

    def seal(self) -> None:
        """Write the identity of a directory that `create` made, durably. What is in it must be durable before."""
        _write_identity(self._directory, self.identity)

    def close(self) -> None:
        """Release the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            os.close(self._directory)
            self._lock = self._directory = -1


@contextlib.contextmanager
def _locked(path: str) -> Iterator[tuple[int, int]]:
    """The directory, made if it is missing, and its lock; both are closed again when the block fails."""
    descriptors: list[int] = []
    try:
        directory = _open_directory(path)
        descriptors.append(directory)
        lock = _lock(path, directory)
        descriptors.append(lock)
        yield directory, lock
    except BaseException as error:
        for descriptor in reversed(descriptors):
            os.close(descriptor)
        if isinstance(error, OSError):
            raise DiskError(f"data directory {path}: {error}", disk_full=error.errno in _DISK_FULL) from error
        raise


def _make_parts(path: str) -> None:
    for part in _PARTS:
        os.close(_open_directory(os.path.join(path, part)))


def _open_directory(path: str) -> int:
    """Make or check one directory of ours; return its descriptor."""
    try:
        os.makedirs(path, mode=0o700)
    except FileExistsError:
        pass
    except NotADirectoryError as error:
        raise DataDirRefused(
            f"{path} cannot be a directory, a part of the path is a file: choose another path"
        ) from error
    except PermissionError as error:
        raise DataDirRefused(
            f"{path} cannot be made by user {os.geteuid()}: make it and give it to that user"
        ) from error
    else:
        _sync_path(os.path.dirname(path))
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError as error:
        raise DataDirRefused(
            f"{path} is no directory: move it away, or choose another data directory"
        ) from error
    except PermissionError as error:
        raise DataDirRefused(
            f"{path} cannot be opened by user {os.geteuid()}: run `chown -R {os.geteuid()} {path}`"
        ) from error
    try:
        _must_be_private(path, os.fstat(directory))
    except DataDirRefused:
        os.close(directory)
        raise
    return directory


def _must_be_private(path: str, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise DataDirRefused(
            f"{path} belongs to user {status.st_uid}, this process is user {os.geteuid()}: "
            f"run `chown -R {os.geteuid()} {path}`, or start as its owner"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise DataDirRefused(
            f"{path} has mode {stat.S_IMODE(status.st_mode):04o}, others could read or change it; expected 0700: "
            f"run `chmod 0700 {path}`"
        )


def _lock(path: str, directory: int) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        lock = os.open(_LOCK, flags, 0o600, dir_fd=directory)
    except PermissionError as error:
        raise DataDirRefused(
            f"{path} cannot be written by user {os.geteuid()}: run `chown -R {os.geteuid()} {path}`"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    except BlockingIOError as error:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise DataDirLocked(
            f"data directory {path} is in use by process {holder}: stop that one first, or give this node its own directory"
        ) from error
    except OSError:
        os.close(lock)
        raise
    return lock


def _tidy(path: str, directory: int) -> tuple[str, ...]:
    """Remove what an interrupted start left; name what is not ours."""
    foreign = []
    for name in sorted(os.listdir(directory)):
        if name == _IDENTITY + _TMP_SUFFIX:
            os.unlink(name, dir_fd=directory)
        elif name not in _OURS:
            foreign.append(name)
    if not foreign:
        return ()
    shown = ", ".join(repr(name) for name in foreign[:10]) + (
        f" and {len(foreign) - 10} more" if len(foreign) > 10 else ""
    )
    return (f"data directory {path} contains what is not Ferrite's, left alone: {shown}",)


def _next_boot(path: str, directory: int, node_id: int) -> Identity:
    file = os.path.join(path, _IDENTITY)
    before = _read_identity(file, directory)
    if before is None:
        held = [
            part for part in _PARTS if set(os.listdir(os.path.join(path, part))) - {INSTANCE, _INSTANCE_TMP}
        ]
        if held:
            raise IdentityDamaged(
                f"{file} is missing, but there are data in {', '.join(held)}: bring the file back; if it is lost, replace "
                f"the node (remove it from the cluster, add it again under a new id with an empty data directory)"
            )
        before = Identity(node_id=NodeId(node_id), instance=uuid4().bytes, boot=0)
    if before.node_id != node_id:
        raise WrongIdentity(
            f"data directory {path} belongs to node {before.node_id}, the configuration says node {node_id}: correct the node "
            f"id, or give node {node_id} its own data directory"
        )
    _anchor_log(os.path.join(path, "log"), before)
    identity = Identity(node_id=before.node_id, instance=before.instance, boot=before.boot + 1)
    _write_identity(directory, identity)
    return identity


def _anchor_log(log_path: str, identity: Identity) -> None:
    """See that the log directory is the one that was made with this identity.

    Without this, a node whose log and state are gone (removed, or a disk that is not mounted) while its identity is there would
    come back as the member it was, without its promises and entries: acknowledged writes would be lost at the next failure.
    """
    line = identity.instance.hex().encode() + b"\n"
    log = os.open(log_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        names = os.listdir(log)
        if INSTANCE in names and identity.boot:
            found = _read_short(INSTANCE, log)
            if found != line:
                raise WrongIdentity(
                    f"{log_path} was made for data directory {found[:40]!r}, not {identity.instance.hex()}: put this node's own "
                    f"log directory back"
                )
            return
        if identity.boot and not any(name.endswith(".seg") for name in names):
            raise IdentityDamaged(
                f"{log_path} is empty, it was not when this node last ran: put it back, or mount its disk. If it is lost, "
                f"replace the node (remove it from the cluster, add it again under a new id with an empty data directory)"
            )
        _replace(log, INSTANCE, line)
    finally:
        os.close(log)


def _read_identity(file: str, directory: int) -> Identity | None:
    try:
        data = _read_short(_IDENTITY, directory)
    except FileNotFoundError:
        return None
    return decode_identity(data, file)


def _read_short(name: str, directory: int) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory)
    try:
        return os.read(descriptor, IDENTITY_BYTES_MAX + 1)
    finally:
        os.close(descriptor)


def _write_identity(directory: int, identity: Identity) -> None:
    _replace(directory, _IDENTITY, encode_identity(identity))


def _replace(directory: int, name: str, data: bytes) -> None:
    """Write a temporary file, sync, rename, sync the directory: the file is the old one or the new one, whole."""
    temporary = name + _TMP_SUFFIX
    with contextlib.suppress(FileNotFoundError):  # an interrupted start left it
        os.unlink(temporary, dir_fd=directory)
    descriptor = os.open(
        temporary,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
        0o600,
        dir_fd=directory,
    )
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def encode_identity(identity: Identity) -> bytes:
    """Return the identity as lines of text that a person can read, the CRC-32 of the lines before last."""
    lines = (
        f"ferrite-identity {IDENTITY_FORMAT}\nnode_id {identity.node_id}\n"
        f"instance {identity.instance.hex()}\nboot {identity.boot}\n"
    ).encode()
    return lines + b"crc32 %08x\n" % crc32(lines)


def decode_identity(data: bytes, file: str) -> Identity:
    """Return what `encode_identity` wrote. Raises `NewerFormat`, or `IdentityDamaged` for anything else."""
    damaged = IdentityDamaged(
        f"{file} is damaged: it is not what was written. Bring it back from a copy of this very directory, or replace the node "
        f"(remove it from the cluster, add it again under a new id with an empty data directory)"
    )
    try:
        text = data.decode("ascii")
        fields = {name: number for name, _, number in (line.partition(" ") for line in text.splitlines())}
        version = int(fields["ferrite-identity"])
        if version > IDENTITY_FORMAT:
            raise NewerFormat(
                f"{file} has format {version}, this version of Ferrite reads {IDENTITY_FORMAT}: start the version that wrote it"
            )
        identity = Identity(
            node_id=NodeId(int(fields["node_id"])),
            instance=bytes.fromhex(fields["instance"]),
            boot=int(fields["boot"]),
        )
    except (ValueError, KeyError) as error:
        raise damaged from error
    if encode_identity(identity) != data or len(identity.instance) != 16:
        raise damaged
    return identity


def _sync_path(path: str) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
