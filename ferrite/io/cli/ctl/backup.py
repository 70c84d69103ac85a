"""backup save, status, restore (also as snapshot)."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import click

from ferrite.io.cli.ctl.command import command, group
from ferrite.io.cli.ctl.exit_codes import failed, wrong_input
from ferrite.io.cli.ctl.output import Forms, refuse_table, show
from ferrite.io.cli.ctl.progress import bytes_progress
from ferrite.io.cli.ctl.session import with_client
from ferrite.io.cli.ctl.settings import Settings, settings_of

if TYPE_CHECKING:
    from ferrite.io.client import AsyncClient


@group("backup", short_help="Copies of the whole store.")
def backup() -> None:
    """Copies of the whole store. (The same as snapshot.)"""


@command("save", short_help="Save a copy while the cluster serves.")
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE.")
@click.pass_context
def save(context: click.Context, path: str, *, force: bool) -> None:
    """Save a consistent copy to FILE. It appears when it is whole: until then it is FILE.part."""
    refuse_table(settings_of(context), "backup save")
    if os.path.lexists(path) and not force:
        raise wrong_input(f"{path} exists; another name, or --force to replace it")

    async def work(client: AsyncClient, settings: Settings) -> None:
        size = await _write(client, path)
        forms = Forms(
            simple=lambda: [f"Backup saved at {path}"],
            fields=lambda: [("File", path), ("Size", size)],
            json=lambda: {"file": path, "size": size},
        )
        show(settings, forms)

    with_client(context, work)


@command("status", short_help="What a file holds.")
@click.argument("path", metavar="FILE")
def status(path: str) -> None:  # noqa: ARG001 - checked, until there is something to do with it
    """Not supported yet."""
    raise _not_yet("backup status")


@command("restore", short_help="Make data directories from a file.")
@click.argument("path", metavar="FILE")
@click.option("--data-dir", metavar="DIR", help="Where to make the data directory.")
def restore(path: str, data_dir: str | None) -> None:  # noqa: ARG001 - the same
    """Not supported yet."""
    raise _not_yet("backup restore")


for _command in (save, status, restore):
    backup.add_command(_command)


def _not_yet(name: str) -> click.ClickException:
    return failed(f"{name}: not supported yet by this version of Ferrite; nothing was done")


async def _write(client: AsyncClient, path: str) -> int:
    """The file's size. Raises ClickException, with nothing left behind."""
    part = f"{path}.part"
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise failed(f"{part} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file, bytes_progress("saving") as advance:
            async for chunk in client.backup():
                file.write(chunk)
                advance(len(chunk))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        os.replace(part, path)
        _sync_directory(os.path.dirname(path) or ".")
    except OSError as error:
        raise failed(f"{part} cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):  # renamed already
            os.unlink(part)
    return size


def _sync_directory(path: str) -> None:
    """So that the new name survives a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
