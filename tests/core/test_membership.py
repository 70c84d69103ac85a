"""Quorums against a model that enumerates sets of nodes; the encoded form against golden bytes and garbage."""

from dataclasses import replace
from itertools import chain, combinations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.core import Member, Membership, NodeId, decode_membership, encode_membership
from ferrite.core.membership import enter_joint, leave_joint

NODES = tuple(NodeId(node) for node in range(1, 7))
voter_sets = st.sets(st.sampled_from(NODES), min_size=1).map(lambda nodes: tuple(sorted(nodes)))
node_sets = st.sets(st.sampled_from(NODES))
matches = st.fixed_dictionaries({node: st.integers(0, 6) for node in NODES})
addresses = st.text(max_size=4)
instances = st.binary(min_size=16, max_size=16)
many_instances = st.lists(instances, min_size=5, max_size=5)
many_texts = st.lists(st.tuples(addresses, addresses, addresses), min_size=5, max_size=5)


@st.composite
def memberships(draw: st.DrawFn) -> Membership:
    ids = draw(st.lists(st.integers(1, 2**63 - 1).map(NodeId), min_size=1, max_size=5, unique=True))
    incoming = draw(st.sets(st.sampled_from(ids), min_size=1))
    outgoing = draw(st.sets(st.sampled_from(ids)))
    learners = {node for node in ids if node not in incoming | outgoing}
    retired = draw(st.dictionaries(st.integers(1, 2**63 - 1).map(NodeId), instances, max_size=3))
    return Membership(
        voters=tuple(sorted(incoming)),
        outgoing=tuple(sorted(outgoing)),
        learners=tuple(sorted(learners)),
        members={
            node: Member(
                node_id=node,
                instance=instance,
                peer_addr=texts[0],
                http_addr=texts[1],
                grpc_addr=texts[2],
            )
            for node, instance, texts in zip(
                sorted(ids), draw(many_instances), draw(many_texts), strict=False
            )
        },
        retired={node: kept for node, kept in retired.items() if node not in ids},
    )


def all_subsets(nodes: tuple[NodeId, ...]) -> list[set[NodeId]]:
    return [set(some) for some in chain.from_iterable(combinations(nodes, n) for n in range(len(nodes) + 1))]


def quorums(membership: Membership) -> list[set[NodeId]]:
    """Every set of voters that is more than half of each configuration."""
    halves = [membership.voters] + ([membership.outgoing] if membership.outgoing else [])
    return [
        some
        for some in all_subsets(membership.all_voters())
        if all(len(some & set(half)) * 2 > len(half) for half in halves)
    ]


# -- quorums --------------------------------------------------------------------------------------------------


@given(voter_sets, node_sets, node_sets)
def test_a_quorum_is_what_the_enumeration_says(
    voters: tuple[NodeId, ...], outgoing: set[NodeId], agreeing: set[NodeId]
) -> None:
    membership = Membership(voters=voters, outgoing=tuple(sorted(outgoing)))
    model = any(quorum <= agreeing for quorum in quorums(membership))
    assert membership.has_quorum(agreeing.__contains__) == model


@given(voter_sets, node_sets, node_sets)
def test_a_vote_is_lost_when_every_quorum_holds_somebody_who_refused(
    voters: tuple[NodeId, ...], outgoing: set[NodeId], refusing: set[NodeId]
) -> None:
    membership = Membership(voters=voters, outgoing=tuple(sorted(outgoing)))
    model = all(quorum & refusing for quorum in quorums(membership))
    assert membership.vote_lost(refusing.__contains__) == model


@given(voter_sets, node_sets, matches)
def test_committed_is_the_highest_number_that_some_quorum_has_reached(
    voters: tuple[NodeId, ...], outgoing: set[NodeId], match: dict[NodeId, int]
) -> None:
    membership = Membership(voters=voters, outgoing=tuple(sorted(outgoing)))
    model = max(min(match[node] for node in quorum) for quorum in quorums(membership))
    assert membership.committed(match.__getitem__) == model


def test_without_voters_nothing_is_agreed_and_nothing_is_committed() -> None:
    nobody = Membership()
    assert not nobody.has_quorum(lambda _: True)
    assert nobody.vote_lost(lambda _: False)
    assert nobody.committed(lambda _: 7) == 0


@given(voter_sets, voter_sets)
def test_quorums_of_consecutive_configurations_intersect(
    old: tuple[NodeId, ...], new: tuple[NodeId, ...]
) -> None:
    before = Membership(voters=old, members={node: Member(node_id=node) for node in NODES})
    joint = enter_joint(before, new)
    after = leave_joint(joint)
    for earlier, later in ((before, joint), (joint, after), (joint, joint)):
        assert all(one & other for one in quorums(earlier) for other in quorums(later))


@given(memberships(), st.data())
def test_a_change_of_voters_ends_with_those_voters_and_retires_who_left(
    before: Membership, data: st.DataObject
) -> None:
    before = leave_joint(before)
    new = data.draw(st.sets(st.sampled_from(sorted(before.members)), min_size=1))
    joint = enter_joint(before, tuple(new))
    assert (joint.voters, joint.outgoing) == (tuple(sorted(new)), before.voters)
    assert joint.joint and joint.members == before.members
    assert set(joint.learners) == set(before.learners) - new
    after = leave_joint(joint)
    left = set(before.members) - new - set(before.learners)
    assert not after.joint and after.voters == joint.voters and after.learners == joint.learners
    assert set(after.members) == {*after.voters, *after.learners}
    assert after.retired == {**before.retired, **{node: before.members[node].instance for node in left}}


@given(memberships(), st.sampled_from(NODES))
def test_everybody_but_oneself_is_a_peer(membership: Membership, node: NodeId) -> None:
    assert set(membership.peers_of(node)) == set(membership.members) - {node}
    assert list(membership.peers_of(node)) == sorted(membership.peers_of(node))
    assert list(membership.all_voters()) == sorted({*membership.voters, *membership.outgoing})
    assert all(membership.is_voter(voter) for voter in membership.all_voters())
    assert not any(membership.is_voter(learner) for learner in membership.learners)


# -- the encoded form -----------------------------------------------------------------------------------------

GOLDEN = Membership(
    voters=(NodeId(1), NodeId(2)),
    outgoing=(NodeId(1), NodeId(3)),
    learners=(NodeId(300),),
    members={
        NodeId(1): Member(
            node_id=NodeId(1), instance=b"1" * 16, peer_addr="a:1", http_addr="a:2", grpc_addr="a:3"
        ),
        NodeId(2): Member(node_id=NodeId(2), instance=b"2" * 16, peer_addr="b:1"),
        NodeId(3): Member(node_id=NodeId(3), instance=b"3" * 16, peer_addr="c:1"),
        NodeId(300): Member(node_id=NodeId(300), instance=b"4" * 16, peer_addr="d:1"),
    },
    retired={NodeId(9): b"9" * 16},
)
GOLDEN_BYTES = bytes.fromhex(
    "9601920102920103" "91cd012c" "94"
    "9501c410" + "31" * 16 + "a3613a31a3613a32a3613a33"
    "9502c410" + "32" * 16 + "a3623a31a0a0"
    "9503c410" + "33" * 16 + "a3633a31a0a0"
    "95cd012cc410" + "34" * 16 + "a3643a31a0a0"
    "919209c410" + "39" * 16
)  # fmt: skip


def test_the_format_is_stable() -> None:
    assert encode_membership(GOLDEN) == GOLDEN_BYTES
    assert decode_membership(GOLDEN_BYTES) == GOLDEN


@given(memberships())
def test_what_was_encoded_is_decoded(membership: Membership) -> None:
    assert decode_membership(encode_membership(membership)) == membership


@given(memberships())
def test_the_same_membership_gives_the_same_bytes_whatever_the_order_of_its_maps(
    membership: Membership,
) -> None:
    backwards = replace(
        membership,
        members=dict(reversed(list(membership.members.items()))),
        retired=dict(reversed(list(membership.retired.items()))),
    )
    assert encode_membership(backwards) == encode_membership(membership)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=17),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(anything | st.lists(anything, min_size=5, max_size=5).map(lambda fields: [1, *fields]))
def test_other_structures_raise_value_error_and_nothing_else(structure: object) -> None:
    try:
        decoded = decode_membership(msgpack.packb(structure))
    except ValueError:
        return
    assert decoded == decode_membership(encode_membership(decoded))


@given(st.binary(max_size=80))
def test_garbage_raises_value_error(garbage: bytes) -> None:
    with pytest.raises(ValueError, match="membership"):
        decode_membership(garbage)


@given(st.data())
def test_damage_raises_value_error_or_gives_a_membership(data: st.DataObject) -> None:
    damaged = bytearray(GOLDEN_BYTES)
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=3)):
        damaged[at] ^= data.draw(st.integers(1, 255))
    try:
        decoded = decode_membership(bytes(damaged))
    except ValueError:
        return
    assert set(decoded.voters) <= set(decoded.members)
