"""backup save, status, restore (also as snapshot)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from ferrite.io.cli.ctl.command import command, group
from ferrite.io.cli.ctl.exit_codes import failed, wrong_input
from ferrite.io.cli.ctl.output import Forms, Pair, Table, refuse_table, show
from ferrite.io.cli.ctl.progress import bytes_progress
from ferrite.io.cli.ctl.session import with_client
from ferrite.io.cli.ctl.settings import Settings, settings_of

if TYPE_CHECKING:
    from ferrite.io.backup import BackupStatus, Restored
    from ferrite.io.client import AsyncClient
    from ferrite.io.request_path import MemberAddress


@group("backup", short_help="Copies of the whole store.")
def backup() -> None:
    """Copies of the whole store. (The same as snapshot.)"""


@command("save", short_help="Save a copy while the cluster serves.")
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE.")
@click.option("--serializable", is_flag=True, help="What one node has, also without a quorum.")
@click.pass_context
def save(context: click.Context, path: str, *, force: bool, serializable: bool) -> None:
    """Save a consistent copy to FILE. It appears when it is whole and verified: until then it is FILE.part."""
    refuse_table(settings_of(context), "backup save")
    if os.path.lexists(path) and not force:
        raise wrong_input(f"{path} exists; another name, or --force to replace it")

    async def work(client: AsyncClient, settings: Settings) -> None:
        from ferrite.io import backup as library

        with _explained(path), bytes_progress("saving") as advance:
            pieces = client.backup(serializable=serializable)
            found = await library.save(pieces, path, replace=force, progress=advance)
        forms = Forms(
            simple=lambda: [f"Backup saved at {path}"],
            fields=lambda: [("File", path), *_status_fields(found)],
            json=lambda: {"file": path, **_status_json(found)},
        )
        show(settings, forms)

    with_client(context, work)


@command("status", short_help="What a file holds.")
@click.argument("path", metavar="FILE")
@click.pass_context
def status(context: click.Context, path: str) -> None:
    """Verify FILE, every byte of it, and say what it holds."""
    from ferrite.io import backup as library

    with _explained(path), bytes_progress("verifying", _size(path)) as advance:
        found = library.status(path, progress=advance)
    forms = Forms(
        simple=lambda: [", ".join(_status_row(found))],
        fields=lambda: _status_fields(found),
        json=lambda: _status_json(found),
        table=lambda: Table(
            columns=("sha256", "revision", "total keys", "total size"), rows=[_status_row(found)]
        ),
    )
    show(settings_of(context), forms)


@command("restore", short_help="Make a data directory of a new cluster from a file.")
@click.argument("path", metavar="FILE")
@click.option("--data-dir", metavar="DIR", required=True, help="What to make: missing or empty.")
@click.option("--node-id", metavar="ID", type=int, required=True, help="Which member it is for.")
@click.option(
    "--member", "members", metavar="ID=HTTP,GRPC", multiple=True, required=True,
    help="A member of the new cluster with the addresses that it will advertise; once for each, the same on all machines.",
)  # fmt: skip
@click.option(
    "--cluster-token", "--initial-cluster-token", "token", metavar="TEXT", default="",
    help="Never used before, the same for all members; needed when there are several.",
)  # fmt: skip
@click.option("--bump-revision", metavar="N", type=int, help="By how much revisions go up (1000000000).")
@click.option(
    "--mark-compacted/--no-mark-compacted", default=None, help="Forget the history before (with a bump)."
)
@click.option("--sha256", metavar="HEX", default="", help="What the file must have: as save and status say.")
@click.pass_context
def restore(context: click.Context, /, path: str, **given: Any) -> None:
    """Make the data directory of one member of a new cluster from FILE, all or nothing. No node need run.

    Run it once for each member, on its machine, with the same FILE, members and token; then start the nodes.
    """
    from ferrite.io import backup as library

    refuse_table(settings_of(context), "backup restore")
    with _explained(path), bytes_progress("restoring", 2 * _size(path)) as advance:
        bump = given["bump_revision"]
        made = library.restore(
            path,
            given["data_dir"],
            node_id=given["node_id"],
            members=[_member(text) for text in given["members"]],
            token=given["token"],
            bump_revision=library.REVISION_BUMP if bump is None else bump,
            mark_compacted=given["mark_compacted"],
            sha256=_digest(given["sha256"]),
            progress=advance,
        )
    forms = Forms(
        simple=lambda: [
            f"Restored at {made.data_dir}: member {made.node_id} of new cluster {made.cluster_id.hex()}"
        ],
        fields=lambda: list(_restored(made).items()),
        json=lambda: _restored(made),
    )
    show(settings_of(context), forms)


for _command in (save, status, restore):
    backup.add_command(_command)


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """The library's errors as one line and an exit code."""
    from ferrite.core.disk import DiskError
    from ferrite.io.backup import BackupInvalid, RestoreRefused, SaveRefused
    from ferrite.io.data_dir import DataDirLocked, DataDirRefused
    from ferrite.io.rocks import StoreError

    try:
        yield
    except (RestoreRefused, SaveRefused, DataDirRefused, DataDirLocked) as error:
        raise wrong_input(str(error)) from None
    except (BackupInvalid, DiskError, StoreError) as error:
        raise failed(str(error)) from None
    except OSError as error:
        raise failed(f"{error.filename or path}: {error.strerror}") from None


def _size(path: str) -> int:
    with _explained(path):
        return os.stat(path).st_size


def _member(text: str) -> MemberAddress:
    from ferrite.io.request_path import MemberAddress

    number, _, addresses = text.partition("=")
    parts = addresses.split(",")
    if not number.isdecimal() or len(parts) not in (2, 3) or parts[2:] not in ([], ["learner"]):
        raise wrong_input(f"--member {text}: expected ID=HTTP,GRPC, such as 1=10.0.0.1:8001,10.0.0.1:9001")
    return MemberAddress(node_id=int(number), http_addr=parts[0], grpc_addr=parts[1], voting=len(parts) == 2)


def _digest(text: str) -> bytes | None:
    if not text:
        return None
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise wrong_input(f"--sha256 {text}: expected 64 hexadecimal digits")
    return digest


def _status_row(found: BackupStatus) -> tuple[str, ...]:
    return (found.sha256.hex(), str(found.revision), str(found.key_count), str(found.size_bytes))


def _status_json(found: BackupStatus) -> dict[str, Any]:
    saved_at = datetime.fromtimestamp(found.saved_unix_ms / 1000, UTC)
    return {
        "sha256": found.sha256.hex(),
        "revision": found.revision,
        "totalKey": found.key_count,
        "totalSize": found.size_bytes,
        "compactRevision": found.compacted_revision,
        "leases": found.lease_count,
        "clusterId": found.cluster_id.hex(),
        "clusterName": found.cluster_name,
        "raftIndex": found.last_index,
        "raftTerm": found.last_term,
        "savedAt": saved_at.isoformat(timespec="milliseconds"),
        "savedBy": found.node_id,
        "version": found.version,
    }


def _status_fields(found: BackupStatus) -> list[Pair]:
    return [(name[0].upper() + name[1:], value) for name, value in _status_json(found).items()]


def _restored(made: Restored) -> dict[str, object]:
    return {
        "dataDir": made.data_dir,
        "member": made.node_id,
        "clusterId": made.cluster_id.hex(),
        "instance": made.instance.hex(),
        "revision": made.revision,
        "compactRevision": made.compacted_revision,
    }
