"""Who is a member, who votes, and what a quorum is (thesis, chapter 4). Pure arithmetic: copies, checks, returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Any, Final

import msgpack

from ferrite.core.values import ID_MAX, NO_INSTANCE, NodeId, value


@value
class Member:
    """One member and how to reach it. `instance` is its data directory's uuid, 16 bytes."""

    node_id: NodeId
    instance: bytes = NO_INSTANCE
    peer_addr: str = ""
    http_addr: str = ""
    grpc_addr: str = ""


@value
class Membership:
    """A configuration of the cluster. `voters` are the incoming ones while joint; tuples of ids are sorted.

    Always: every id in `voters`, `outgoing` and `learners` has a `Member`; learners are in neither set of voters.
    """

    voters: tuple[NodeId, ...] = ()
    outgoing: tuple[NodeId, ...] = ()
    learners: tuple[NodeId, ...] = ()
    members: Mapping[NodeId, Member] = field(default_factory=dict)
    retired: Mapping[NodeId, bytes] = field(default_factory=dict)

    @property
    def joint(self) -> bool:
        """True between C_old,new and C_new (thesis 4.3)."""
        return bool(self.outgoing)

    def is_voter(self, node: NodeId) -> bool:
        """Does this node's vote count in either configuration?"""
        return node in self.voters or node in self.outgoing

    def all_voters(self) -> tuple[NodeId, ...]:
        """Return the voters of both configurations, each once, sorted."""
        return tuple(sorted({*self.voters, *self.outgoing})) if self.outgoing else self.voters

    def peers_of(self, node: NodeId) -> tuple[NodeId, ...]:
        """Return everybody else: who gets the leader's log."""
        return tuple(sorted(other for other in self.members if other != node))

    def has_quorum(self, agrees: Callable[[NodeId], bool]) -> bool:
        """Is there a majority of `voters`, and of `outgoing` when joint, that agrees? Never true without voters."""
        return _majority(self.voters, agrees) and (not self.outgoing or _majority(self.outgoing, agrees))

    def vote_lost(self, refused: Callable[[NodeId], bool]) -> bool:
        """Have so many refused that no quorum can be had any more?"""
        return not self.has_quorum(lambda node: not refused(node))

    def committed(self, match: Callable[[NodeId], int]) -> int:
        """Return the highest number that a quorum has reached (an index, or a round)."""
        highest = _median(self.voters, match)
        return min(highest, _median(self.outgoing, match)) if self.outgoing else highest


def _majority(voters: tuple[NodeId, ...], agrees: Callable[[NodeId], bool]) -> bool:
    return 2 * sum(1 for voter in voters if agrees(voter)) > len(voters)


def _median(voters: tuple[NodeId, ...], match: Callable[[NodeId], int]) -> int:
    if not voters:
        return 0
    reached = sorted([match(voter) for voter in voters])
    return reached[(len(reached) - 1) // 2]


@value
class AddLearner:
    """A new member that gets the log and does not vote."""

    member: Member


@value
class ChangeVoters:
    """Make exactly these the voters. Members that are neither named nor learners before leave the cluster."""

    voters: tuple[NodeId, ...]


@value
class UpdateAddress:
    """The member moved; its instance stays what it is."""

    member: Member


@value
class RemoveLearner:
    """Take a learner out of the cluster."""

    node_id: NodeId


Change = AddLearner | ChangeVoters | UpdateAddress | RemoveLearner


def enter_joint(current: Membership, voters: tuple[NodeId, ...]) -> Membership:
    """Return C_old,new for a new set of voters (thesis 4.3); leaving voters stay members until `leave_joint`."""
    incoming = tuple(sorted(set(voters)))
    learners = tuple(node for node in current.learners if node not in incoming)
    return replace(current, voters=incoming, outgoing=current.voters, learners=learners)


def leave_joint(current: Membership) -> Membership:
    """Return C_new: members that no longer vote and are no learners are retired."""
    staying = {*current.voters, *current.learners}
    leaving = {node: member.instance for node, member in current.members.items() if node not in staying}
    members = {node: member for node, member in current.members.items() if node in staying}
    return replace(current, outgoing=(), members=members, retired={**current.retired, **leaving})


def encode_membership(membership: Membership) -> bytes:
    """Return the msgpack form; the same membership gives the same bytes."""
    return _pack(
        [
            1,
            list(membership.voters),
            list(membership.outgoing),
            list(membership.learners),
            [
                [m.node_id, m.instance, m.peer_addr, m.http_addr, m.grpc_addr]
                for _, m in sorted(membership.members.items())
            ],
            [[node, instance] for node, instance in sorted(membership.retired.items())],
        ]
    )


MEMBERSHIP_FORMAT: Final = 1
MEMBERSHIP_FIELDS: Final = 6
_INSTANCE_BYTES: Final = 16


def decode_membership(data: bytes) -> Membership:
    """Return the membership that `encode_membership` made. Raises ValueError on anything else."""
    try:
        fields = msgpack.unpackb(data, raw=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise ValueError("not a membership: not msgpack") from error
    if not isinstance(fields, list) or len(fields) != MEMBERSHIP_FIELDS or type(fields[0]) is not int:
        raise ValueError("not a membership: its fields are missing")
    if fields[0] != MEMBERSHIP_FORMAT:
        raise ValueError(
            f"not a membership: format {fields[0]}, and this version of Ferrite reads {MEMBERSHIP_FORMAT}"
        )
    _, voters, outgoing, learners, members, retired = fields
    membership = Membership(
        voters=_ids(voters),
        outgoing=_ids(outgoing),
        learners=_ids(learners),
        members={member.node_id: member for member in map(_member, _list(members))},
        retired=dict(map(_retired, _list(retired))),
    )
    _check(membership)
    return membership


def _check(membership: Membership) -> None:
    """Hold what `Membership` says is always so; a leader never makes anything else."""
    ids = {*membership.all_voters(), *membership.learners}
    if not membership.voters:
        raise ValueError("not a membership: nobody votes")
    if ids != set(membership.members) or ids & set(membership.retired):
        raise ValueError("not a membership: its members are not its voters and learners")
    if set(membership.learners) & set(membership.all_voters()):
        raise ValueError("not a membership: a learner is also a voter")


def _list(items: Any) -> list[Any]:
    if not isinstance(items, list):
        raise ValueError("not a membership: a list was expected")  # noqa: TRY004 - damaged data, not a wrong call
    return items


def _id(number: Any) -> NodeId:
    if type(number) is not int or not 0 < number <= ID_MAX:
        raise ValueError("not a membership: an id from 1 to 2^63 - 1 was expected")
    return NodeId(number)


def _ids(items: Any) -> tuple[NodeId, ...]:
    ids = tuple(_id(number) for number in _list(items))
    if list(ids) != sorted(set(ids)):
        raise ValueError("not a membership: ids stand ascending, each once")
    return ids


def _instance(data: Any) -> bytes:
    if type(data) is not bytes or len(data) != _INSTANCE_BYTES:
        raise ValueError("not a membership: an instance of 16 bytes was expected")
    return data


def _retired(fields: Any) -> tuple[NodeId, bytes]:
    if len(_list(fields)) != 2:
        raise ValueError("not a membership: an id and an instance were expected")
    return _id(fields[0]), _instance(fields[1])


def _member(fields: Any) -> Member:
    if len(_list(fields)) != 5 or not all(type(text) is str for text in fields[2:]):
        raise ValueError("not a membership: id, instance and three addresses were expected")
    node_id, instance, peer_addr, http_addr, grpc_addr = fields
    return Member(
        node_id=_id(node_id),
        instance=_instance(instance),
        peer_addr=peer_addr,
        http_addr=http_addr,
        grpc_addr=grpc_addr,
    )


def _pack(fields: list[Any]) -> bytes:
    packed: bytes = msgpack.packb(fields)
    return packed
