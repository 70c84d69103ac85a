"""etcdctl's header of an answer: cluster, member, revision, term. Asked for only where it is shown (json and fields)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ferrite.io.cli.ctl.output import Pair
from ferrite.io.cli.ctl.settings import Settings

if TYPE_CHECKING:
    from ferrite.io.client import AsyncClient, EndpointStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """`cluster_id`: the first 8 of its 16 bytes, a number as etcd's. `member_id`: who told us. All 0: not asked for, as
    inside a transaction.
    """

    cluster_id: int = 0
    member_id: int = 0
    raft_term: int = 0

    def fields(self, revision: int) -> list[Pair]:
        """The four lines."""
        return [
            ("ClusterID", self.cluster_id),
            ("MemberID", self.member_id),
            ("Revision", revision),
            ("RaftTerm", self.raft_term),
        ]

    def json(self, revision: int) -> dict[str, int]:
        """As etcd's JSON: what is 0 is left out."""
        every = {
            "cluster_id": self.cluster_id,
            "member_id": self.member_id,
            "revision": revision,
            "raft_term": self.raft_term,
        }
        return {name: number for name, number in every.items() if number}


async def ask_header(client: AsyncClient, settings: Settings) -> Header:
    """The header for what comes next: asked before it, so that a failure here has changed nothing."""
    if settings.write_out not in ("json", "fields"):
        return Header()
    return header_of(await client.status())


def header_of(status: EndpointStatus) -> Header:
    """A node's own."""
    digits = status.cluster_id[:16]
    return Header(
        cluster_id=int(digits, 16) if digits else 0,
        member_id=status.node_id,
        raft_term=status.term,
    )


async def present_revision(client: AsyncClient) -> int:
    """The store's revision."""
    return (await client.range(b"\x00", count_only=True)).revision
