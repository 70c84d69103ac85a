"""Who is at an address, and what first membership or new member follows from the answers.

Every member's instance stands in the membership (docs/contract.md, section 5), so each one is asked before it becomes one:
a node that is someone else, belongs to a cluster already, or does not answer is refused here, by name.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence

from ferrite.core import NO_CLUSTER, Identity, Member, Membership, NodeId, RefusalCode
from ferrite.io.config import Config
from ferrite.io.identify import IdentifyFailed
from ferrite.io.node_identity import NodeIdentity
from ferrite.io.request_path import MemberAddress, RequestRefused

Identify = Callable[[str], Awaitable[NodeIdentity]]
"""Asks an address (HTTP or gRPC) who is there. Raises `IdentifyFailed`."""


class Founding:
    """Collects members: for a new cluster, and one by one later."""

    def __init__(self, *, config: Config, identity: Identity, identify: Identify) -> None:
        """`identity` is this node's."""
        self._config = config
        self._identity = identity
        self._identify = identify

    def own_member(self) -> Member:
        """Return this node as a member, at the addresses that it advertises."""
        node = self._config.node
        return Member(
            node_id=self._identity.node_id,
            instance=self._identity.instance,
            peer_addr=str(node.advertise_grpc_addr),
            http_addr=str(node.advertise_http_addr),
            grpc_addr=str(node.advertise_grpc_addr),
        )

    def new_cluster_id(self) -> bytes:
        """Return 16 random bytes: no two clusters share an id."""
        return os.urandom(16)

    async def membership(self, members: Sequence[MemberAddress] | None) -> Membership:
        """Return the first membership of a cluster: `members`, or the configured peers; this node always among them.

        Raises `RequestRefused`: an id twice, another number of voters than cluster.expected_size, a member that does not
        answer, is another node, or has a cluster; a configured peer that advertises other addresses than its entry has.
        """
        named = self._configured() if members is None else list(members)
        own_id = self._identity.node_id
        if all(member.node_id != own_id for member in named):
            named.append(MemberAddress(node_id=own_id))
        self._check(named)
        others = [member for member in named if member.node_id != own_id]
        found = await asyncio.gather(*(self._fresh(member) for member in others))
        if members is None:
            self._check_as_configured(found)
        by_id = {member.node_id: member for member in (*found, self.own_member())}
        return Membership(
            voters=tuple(sorted(NodeId(member.node_id) for member in named if member.voting)),
            learners=tuple(sorted(NodeId(member.node_id) for member in named if not member.voting)),
            members=dict(sorted(by_id.items())),
        )

    async def newcomer(self, named: MemberAddress, cluster_id: bytes) -> Member:
        """Return the member that `named` is, after asking it; it may already know the cluster. Raises `RequestRefused`."""
        if named.node_id == self._identity.node_id:
            raise _invalid(f"node {named.node_id} is this node: it cannot be added to its own cluster")
        presence = await self._ask(named)
        if presence.cluster_id not in (NO_CLUSTER, cluster_id):
            raise _invalid(
                f"node {named.node_id} at {_address(named)} belongs to another cluster, {presence.cluster_id.hex()}. "
                "Give it an empty data directory and start it again"
            )
        return _member(named, presence)

    def _configured(self) -> list[MemberAddress]:
        return [
            MemberAddress(
                node_id=peer.id,
                peer_addr=str(peer.grpc_addr),
                http_addr=str(peer.http_addr),
                grpc_addr=str(peer.grpc_addr),
                voting=peer.voting,
            )
            for peer in self._config.cluster.peers
        ]

    def _check(self, named: Sequence[MemberAddress]) -> None:
        ids = [member.node_id for member in named]
        doubles = sorted({node_id for node_id in ids if ids.count(node_id) > 1})
        if doubles:
            raise _invalid(f"node {doubles[0]} is named twice. Name each member once")
        voters = sum(member.voting for member in named)
        expected = self._config.cluster.expected_size
        if expected and voters != expected:
            raise _invalid(
                f"{voters} voters, but cluster.expected_size says {expected}. Name {expected} voters, or correct the setting"
            )
        if not any(member.voting for member in named if member.node_id == self._identity.node_id):
            raise _invalid("this node makes the cluster and must vote in it. Send /init to a voting member")

    def _check_as_configured(self, found: Sequence[Member]) -> None:
        """What a peer advertises is what others will use; an entry that says otherwise is a mistake in one of two files."""
        peers = {peer.id: peer for peer in self._config.cluster.peers}
        for member in found:
            peer = peers[member.node_id]
            for face, listed, advertised in (
                ("http", str(peer.http_addr), member.http_addr),
                ("grpc", str(peer.grpc_addr), member.grpc_addr),
            ):
                if listed != advertised:
                    raise _invalid(
                        f"node {peer.id} advertises {advertised}, but cluster.peers.{peer.id}.{face}_addr says {listed}. "
                        f"Correct the entry, or node.advertise_{face}_addr of that node"
                    )

    async def _fresh(self, named: MemberAddress) -> Member:
        presence = await self._ask(named)
        if presence.cluster_id != NO_CLUSTER:
            raise RequestRefused(
                RefusalCode.ALREADY_INITIALIZED.value,
                f"node {named.node_id} at {_address(named)} already belongs to the cluster {presence.cluster_id.hex()}. "
                "Add this node there with /add-learner, or give that one an empty data directory",
            )
        return _member(named, presence)

    async def _ask(self, named: MemberAddress) -> NodeIdentity:
        address = _address(named)
        if not address:
            raise _invalid(
                f"node {named.node_id} has no address. Name one at which it answers (HTTP or gRPC)"
            )
        try:
            presence = await self._identify(address)
        except IdentifyFailed as error:
            raise _invalid(f"node {named.node_id} does not answer: {error}") from error
        if presence.node_id != named.node_id:
            raise _invalid(
                f"{address} is node {presence.node_id}, not node {named.node_id}. Correct the id or the address"
            )
        return presence


def _address(named: MemberAddress) -> str:
    return named.peer_addr or named.grpc_addr or named.http_addr


def _member(named: MemberAddress, presence: NodeIdentity) -> Member:
    """The addresses that the node advertises are the ones that others reach: what the operator named may be another view."""
    return Member(
        node_id=NodeId(named.node_id),
        instance=presence.instance,
        peer_addr=presence.peer_addr,
        http_addr=presence.http_addr,
        grpc_addr=presence.grpc_addr,
    )


def _invalid(detail: str) -> RequestRefused:
    return RequestRefused(RefusalCode.INVALID_CHANGE.value, detail)
