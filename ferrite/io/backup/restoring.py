"""Makes a data directory for one member of a new cluster from a backup, without a running node.

The members are restored one by one, on their own machines, and never talk about it: cluster id and instances follow from the
backup, the member list, the token and the options. So members that were restored from different things are different clusters,
which refuse each other. The token makes each restore a cluster of its own: with one that was used before, a directory could be
made again for a member that runs already, and would come back without its promises.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgpack

from ferrite.core import HardState, Identity, Index, Member, Membership, NodeId, Term, actions
from ferrite.core.disk import LogStore
from ferrite.core.kv import REVISION_BUMP_MAX, RestorePlan, SnapshotContents, restored
from ferrite.io.backup.reading import BackupFile, BackupInvalid, BackupStatus, Progress, status
from ferrite.io.config import NODE_ID_MAX
from ferrite.io.config.address import AddressError, parse_address
from ferrite.io.data_dir import DataDir
from ferrite.io.files import DirectoryFiles
from ferrite.io.request_path import MemberAddress
from ferrite.io.state_store import StateStore

REVISION_BUMP: Final = 1_000_000_000
"""More revisions than a cluster makes between a backup and its end: a week at 1,600 writes a second."""
TOKEN_BYTES_MAX: Final = 1024
_DERIVATION: Final = b"ferrite restore 1"


class RestoreRefused(Exception):
    """The wish cannot be granted; the text says why and what to do. Nothing was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A data directory that is ready to be started. `revision` is the new cluster's."""

    data_dir: str
    node_id: int
    cluster_id: bytes
    instance: bytes
    revision: int
    compacted_revision: int
    backup: BackupStatus


def restore(
    path: str,
    data_dir: str,
    *,
    node_id: int,
    members: Sequence[MemberAddress],
    token: str = "",
    bump_revision: int = REVISION_BUMP,
    mark_compacted: bool | None = None,
    sha256: bytes | None = None,
    progress: Progress | None = None,
) -> Restored:
    """Make `data_dir` (missing or empty) the directory of member `node_id` of a new cluster. All or nothing. Blocks.

    `members` are all members with the addresses that they will advertise; `token` is needed when there are several, the same for
    all of them. `mark_compacted` None: when there is a bump. `sha256`: what the file must have. `progress` is told of bytes read;
    the file is read twice. Raises `RestoreRefused`, `BackupInvalid`, what `DataDir.create` raises, StoreError and OSError.
    """
    membership_fields = _checked_members(members, node_id)
    _check_options(token, bump_revision, len(members))
    found = status(path, progress=progress)
    if sha256 is not None and found.sha256 != sha256:
        raise BackupInvalid(
            f"{path} has the SHA-256 {found.sha256.hex()}, not {sha256.hex()}: it is another backup"
        )
    compacts = bump_revision > 0 if mark_compacted is None else mark_compacted
    secret = token.encode() or os.urandom(16)
    cluster_id = _derive([found.sha256, secret, membership_fields, bump_revision, compacts])
    plan = RestorePlan(
        cluster_id=cluster_id,
        membership=_membership(members, cluster_id),
        revision_bump=bump_revision,
        mark_compacted=compacts,
    )
    instance = plan.membership.members[NodeId(node_id)].instance
    identity = Identity(node_id=NodeId(node_id), instance=instance, boot=1)
    with _new_directory(data_dir, identity) as directory:
        with BackupFile(path, progress) as file:
            _fill_state(directory, restored(file.contents(), plan))
        if file.sha256 != found.sha256:
            raise BackupInvalid(f"{path} was changed while it was read")
        _fill_log(directory, cluster_id, Index(found.last_index), Term(found.last_term))
        directory.seal()
    revision = found.revision + bump_revision
    return Restored(
        data_dir=os.path.abspath(data_dir),
        node_id=node_id,
        cluster_id=cluster_id,
        instance=instance,
        revision=revision,
        compacted_revision=revision if compacts else found.compacted_revision,
        backup=found,
    )


def _checked_members(members: Sequence[MemberAddress], node_id: int) -> list[list[object]]:
    """Return the members as they enter the derivation. Raises `RestoreRefused`."""
    ids = [member.node_id for member in members]
    for member in members:
        if not 0 < member.node_id <= NODE_ID_MAX:
            raise RestoreRefused(f"node id {member.node_id}: ids begin at 1")
        if ids.count(member.node_id) > 1:
            raise RestoreRefused(f"node {member.node_id} is named twice: name each member once")
        for name, address in (("HTTP", member.http_addr), ("gRPC", member.grpc_addr)):
            _check_address(member.node_id, name, address)
        if member.peer_addr:
            _check_address(member.node_id, "peer", member.peer_addr)
    if node_id not in ids:
        raise RestoreRefused(f"node {node_id} is not among the members {ids}: name all of them, this one too")
    if not any(member.voting for member in members):
        raise RestoreRefused("nobody votes: a cluster needs a voting member")
    return [
        [member.node_id, member.http_addr, member.grpc_addr, _peer_addr(member), member.voting]
        for member in sorted(members, key=lambda member: member.node_id)
    ]


def _check_address(node_id: int, name: str, text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError as error:
        raise RestoreRefused(f"node {node_id}, {name} address {text!r}: {error}") from None
    if address.is_wildcard or address.is_multicast:
        raise RestoreRefused(f"node {node_id}, {name} address {text!r}: others must be able to dial it")


def _peer_addr(member: MemberAddress) -> str:
    return member.peer_addr or member.grpc_addr


def _check_options(token: str, bump_revision: int, member_count: int) -> None:
    if not 0 <= bump_revision <= REVISION_BUMP_MAX:
        raise RestoreRefused(f"a bump of {bump_revision} revisions: expected 0 to {REVISION_BUMP_MAX}")
    if len(token.encode()) > TOKEN_BYTES_MAX:
        raise RestoreRefused(f"a token of more than {TOKEN_BYTES_MAX} bytes")
    if member_count > 1 and not token:
        raise RestoreRefused(
            "several members need a token: a text that was never used before (the output of `uuidgen`), the same for all of them"
        )


def _derive(fields: list[object]) -> bytes:
    """16 bytes that follow from the fields."""
    return hashlib.sha256(msgpack.packb([_DERIVATION, *fields])).digest()[:16]


def _membership(members: Sequence[MemberAddress], cluster_id: bytes) -> Membership:
    by_id = {
        member.node_id: Member(
            node_id=NodeId(member.node_id),
            instance=_derive([cluster_id, member.node_id]),
            peer_addr=_peer_addr(member),
            http_addr=member.http_addr,
            grpc_addr=member.grpc_addr,
        )
        for member in members
    }
    return Membership(
        voters=tuple(sorted(NodeId(member.node_id) for member in members if member.voting)),
        learners=tuple(sorted(NodeId(member.node_id) for member in members if not member.voting)),
        members={NodeId(node_id): by_id[node_id] for node_id in sorted(by_id)},
    )


@contextlib.contextmanager
def _new_directory(path: str, identity: Identity) -> Iterator[DataDir]:
    """The directory to fill, sealed by the block; when the block fails, what it made is removed again."""
    was_there = os.path.isdir(path)
    umask = os.umask(0o077)  # RocksDB makes its files as wide as it may
    try:
        directory = DataDir.create(path, identity)
        try:
            yield directory
        except BaseException:
            _remove(directory.path, itself=not was_there)
            raise
        finally:
            directory.close()
    finally:
        os.umask(umask)


def _remove(path: str, *, itself: bool) -> None:
    # What cannot be removed has no identity, so that no node starts from it.
    for name in os.listdir(path):
        inside = os.path.join(path, name)
        if os.path.isdir(inside):
            shutil.rmtree(inside, ignore_errors=True)
        else:
            os.unlink(inside)
    if itself:
        os.rmdir(path)


def _fill_state(directory: DataDir, contents: SnapshotContents) -> None:
    """As a node that installs a snapshot: the state is durable and verified when this returns."""
    state = StateStore.open(directory.state_path, identity=directory.identity)
    try:
        state.install(contents)
    except BaseException:
        state.close()
        raise
    failure = state.close()
    if failure is not None:
        raise failure


def _fill_log(directory: DataDir, cluster_id: bytes, last_index: Index, last_term: Term) -> None:
    """A log without entries, which goes on behind the state."""
    files = DirectoryFiles(directory.log_path)
    try:
        log, _ = LogStore.open(files, directory.identity)
        hard_state = HardState(cluster_id=cluster_id, term=last_term)
        first_index = Index(last_index + 1)
        log.append(
            [
                actions.Persist(
                    write_seq=1, first_index=first_index, base=(last_index, last_term), hard_state=hard_state
                )
            ]
        )
        log.sync()
        log.update_mark(last_index)
    finally:
        files.close()
