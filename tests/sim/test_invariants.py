"""Each check on statuses and orders made by hand, without a replica."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest

from ferrite.core import (
    PAYLOAD_HEADER_BYTES,
    Entry,
    EntryKind,
    HardState,
    Identity,
    Index,
    Member,
    Membership,
    NodeId,
    PeerStatus,
    Recovered,
    ReplicaConfig,
    ReplicaStatus,
    Role,
    SnapshotMeta,
    Term,
    actions,
    decode_membership,
    encode_membership,
    encode_payload,
    messages,
    payload_kind,
)
from ferrite.sim import Violation
from ferrite.sim.checks.invariants import Invariants

NODES = (NodeId(1), NodeId(2), NodeId(3))
MEMBERSHIP = Membership(voters=NODES, members={node: Member(node_id=node) for node in NODES})
FIRST = Entry(Term(1), encode_payload(EntryKind.MEMBERSHIP, 0, encode_membership(MEMBERSHIP)))
NO_PEERS: Mapping[NodeId, PeerStatus] = MappingProxyType({})


def status(node: NodeId, **fields: object) -> ReplicaStatus:
    base = ReplicaStatus(
        node_id=node, cluster_id=bytes(16), role=Role.FOLLOWER, term=Term(1), voted_for=NodeId(0), leader=NodeId(0),
        commit_index=Index(0), applied_index=Index(0), persisted_index=Index(0), flushed_index=Index(0), last_log_index=Index(0),
        last_log_term=Term(0), first_log_index=Index(1), membership=Membership(), membership_index=Index(0),
        membership_committed=True, memberships=(), peers=NO_PEERS, leader_last_heard_us=0, pending_proposals=0, pending_reads=0,
        pending_bytes=0, log_bytes=0, lost_tail=False, shutting_down=False, stopped=False, transfer_target=NodeId(0),
        counters=MappingProxyType({}),
    )  # fmt: skip
    return replace(base, **fields)  # type: ignore[arg-type]  # fields of ReplicaStatus


def noop(term: int, mark: int = 0) -> Entry:
    return Entry(Term(term), encode_payload(EntryKind.NOOP, mark))


def persist(write_seq: int, first_index: int, *entries: Entry, **fields: object) -> actions.Persist:
    base = actions.Persist(write_seq=write_seq, first_index=Index(first_index), entries=entries)
    return replace(base, **fields)  # type: ignore[arg-type]  # fields of Persist


class Told:
    """Three nodes whose log holds the membership, durably, voted for node 1 in term 1, and whose leader is node 1."""

    def __init__(self) -> None:
        self.checks = Invariants(ReplicaConfig(), lambda: (5, 6))
        self.memberships: dict[int, list[tuple[Index, Membership]]] = {}
        """What an honest replica would hold, by node: nothing is ever cut or forgotten in these stories."""
        for node in NODES:
            identity = Identity(node_id=node, instance=bytes(16), boot=1)
            self.checks.booted(node, Recovered(identity=identity))
            self.step(node, persist(1, 1, FIRST, hard_state=HardState(term=Term(1), voted_for=NodeId(1))))
            self.checks.performed(node, 1)
            self.checks.persisted(node, 1)
        self.lead(1)

    def step(self, node: int, *ordered: actions.Action, **fields: object) -> None:
        for action in ordered:
            if isinstance(action, actions.Persist):
                self._hold(node, action)
        commit = fields.get("commit_index", 0)
        assert isinstance(commit, int), "an index"
        held = self._held(node)
        committed = [index for index, _ in held if index <= commit]
        given = {"membership": MEMBERSHIP, "memberships": held[len(committed) - 1 :], **fields}
        self.checks.stepped(NodeId(node), status(NodeId(node), **given), ordered)

    def _hold(self, node: int, order: actions.Persist) -> None:
        for at, entry in enumerate(order.entries):
            if payload_kind(entry.payload) == EntryKind.MEMBERSHIP:
                found = decode_membership(entry.payload[PAYLOAD_HEADER_BYTES:])
                self.memberships[node] = [*self._held(node), (Index(order.first_index + at), found)]

    def _held(self, node: int) -> list[tuple[Index, Membership]]:
        return self.memberships.setdefault(node, [(Index(0), Membership())])

    def lead(self, node: int, *ordered: actions.Action, **fields: object) -> None:
        self.step(node, *ordered, role=Role.LEADER, **fields)


def peers(match: int, following: int, inflight: int = 0) -> Mapping[NodeId, PeerStatus]:
    peer = PeerStatus(
        match_index=Index(match),
        next_index=Index(following),
        state="probe",
        inflight_messages=inflight,
        inflight_bytes=0,
        last_heard_us=0,
    )
    return MappingProxyType({NodeId(2): peer})


def grant(told: Told) -> None:
    told.checks.sending(NodeId(2), NodeId(3), messages.RequestVoteResponse(term=Term(1), vote_granted=True))


def acknowledge(told: Told) -> None:
    told.step(2, persist(2, 2, noop(1)))
    told.checks.sending(
        NodeId(2), NodeId(1), messages.AppendEntriesResponse(term=Term(1), success=True, match_index=Index(2))
    )


def campaign(told: Told, *, pre_votes: bool, disrupt: bool = False) -> None:
    """Node 2 asks for votes."""
    if pre_votes:
        promise = messages.PreVoteResponse(term=Term(1), proposed_term=Term(2), vote_granted=True)
        told.checks.sending(NodeId(3), NodeId(2), promise)
    own = HardState(term=Term(2), voted_for=NodeId(2))
    told.step(2, persist(2, 2, hard_state=own), role=Role.CANDIDATE, term=Term(2))
    told.checks.performed(NodeId(2), 2)
    told.checks.persisted(NodeId(2), 2)
    request = messages.RequestVote(
        term=Term(2), last_log_index=Index(1), last_log_term=Term(1), disrupt=disrupt
    )
    told.checks.sending(NodeId(2), NodeId(3), request)


def append_differently(told: Told) -> None:
    told.lead(1, persist(2, 2, noop(1, mark=1)))
    told.step(2, persist(2, 2, noop(1, mark=2)))


def commit_without_quorum(told: Told) -> None:
    told.lead(1, persist(2, 2, noop(1)))
    told.lead(1, commit_index=Index(2))


def commit_and_truncate(told: Told) -> None:
    told.lead(1, commit_index=Index(1))
    told.step(2, persist(2, 1, truncate=True))


def leader_truncates(told: Told) -> None:
    told.lead(1, persist(2, 2, noop(1)))
    told.lead(1, persist(3, 2, truncate=True))


def apply_uncommitted(told: Told) -> None:
    told.lead(1, actions.Apply(first_index=Index(1), entries=(FIRST,)))


def apply_another(told: Told) -> None:
    told.lead(1, commit_index=Index(1))
    told.step(2, actions.Apply(first_index=Index(1), entries=(noop(1),)), commit_index=Index(1))


def commit_going_back(told: Told) -> None:
    told.lead(1, commit_index=Index(1))
    told.lead(1, commit_index=Index(0))


@pytest.mark.parametrize(
    "bad, name",
    [
        (lambda told: told.lead(2), "S1"),
        (leader_truncates, "S2"),
        (append_differently, "S3"),
        (commit_and_truncate, "S4"),
        (apply_another, "S5"),
        (lambda told: told.step(2, persist(2, 2, hard_state=HardState(term=Term(0)))), "S6"),
        (lambda told: told.step(2, term=Term(0)), "S6"),
        (
            lambda told: told.step(2, persist(2, 2, hard_state=HardState(term=Term(1), voted_for=NodeId(3)))),
            "S7",
        ),
        (lambda told: told.checks.started(NodeId(2), status(NodeId(2), voted_for=NodeId(0))), "S7"),
        (lambda told: told.checks.started(NodeId(2), status(NodeId(2), term=Term(2))), "S7"),
        (commit_going_back, "S8"),
        (apply_uncommitted, "S8"),
        (lambda told: told.step(2, commit_index=Index(1)), "S9"),
        (commit_without_quorum, "S10"),
        (grant, "S11"),
        (acknowledge, "S11"),
        (lambda told: (told.lead(1, persist(2, 2, noop(1))), told.lead(1, peers=peers(2, 3))), "S12"),
        (lambda told: told.lead(1, peers=peers(1, 1)), "S13"),
        (lambda told: (told.lead(1, peers=peers(1, 2)), told.lead(1, peers=peers(0, 2))), "S13"),
        (lambda told: told.step(2, membership=replace(MEMBERSHIP, voters=NODES[:1])), "S14"),
        (lambda told: told.lead(3, term=Term(2)), "S14"),
        (lambda told: told.step(2, persist(2, 5, base=(Index(4), Term(1)))), "S15"),
        (
            lambda told: told.checks.snapshot_saved(
                NodeId(1),
                SnapshotMeta(snapshot_id=bytes(16), last_index=Index(7), last_term=Term(1), size_bytes=1),
            ),
            "S15",
        ),
        (
            lambda told: (
                told.checks.state_hash(NodeId(1), 1, b"a"),
                told.checks.state_hash(NodeId(2), 1, b"b"),
            ),
            "S16",
        ),
        (
            lambda told: (
                told.checks.fingerprint(NodeId(1), 1, 10),
                told.checks.fingerprint(NodeId(2), 1, 11),
            ),
            "S16",
        ),
        (lambda told: told.lead(1, term=Term(2)), "S14|S23"),
        (lambda told: told.lead(1, peers=peers(1, 2, inflight=65)), "S24"),
        (lambda told: campaign(told, pre_votes=False), "S25"),
        (lambda told: told.step(2, persist(3, 2)), "PERSIST"),
        (lambda told: told.step(2, persist(2, 4, noop(1))), "PERSIST"),
        (
            lambda told: told.step(
                2, actions.LoadEntries(first_index=Index(1), end_index=Index(3), bytes_max=1)
            ),
            "LOAD",
        ),
        (lambda told: told.step(2, actions.DiscardLog(first_index=Index(2))), "DISCARD"),
    ],
)
def test_a_broken_invariant_is_named(bad: Callable[[Told], object], name: str) -> None:
    told = Told()
    with pytest.raises(Violation, match=f"^({name}): ") as found:
        bad(told)
    assert (found.value.time_us, found.value.event_number) == (5, 6)


@pytest.mark.parametrize("disrupt", [False, True])
def test_a_candidate_campaigns_with_a_quorum_of_pre_votes_or_when_told_to(disrupt: bool) -> None:
    campaign(Told(), pre_votes=not disrupt, disrupt=disrupt)


def test_a_recovered_log_that_lost_what_was_durable_is_caught() -> None:
    told = Told()
    with pytest.raises(Violation, match=r"^F5: .*durable was 1"):
        told.checks.booted(
            NodeId(2), Recovered(identity=Identity(node_id=NodeId(2), instance=bytes(16), boot=2))
        )


def test_the_story_so_far_breaks_nothing() -> None:
    told = Told()
    told.lead(1, commit_index=Index(1))
    told.lead(1, actions.Apply(first_index=Index(1), entries=(FIRST,)), commit_index=Index(1))
    assert told.checks.ghost.commit_index == 1


def test_a_snapshot_that_a_node_has_not_been_told_of_yet_brings_no_membership() -> None:
    told, node = Told(), NodeId(4)
    told.lead(1, commit_index=Index(1))
    told.checks.booted(node, Recovered(identity=Identity(node_id=node, instance=bytes(16), boot=1)))
    told.checks.snapshot_installed(node, 1)
    told.step(node, membership=Membership())
    with pytest.raises(Violation, match=r"^S14: "):
        told.step(node, membership=Membership(), commit_index=Index(1), applied_index=Index(1))


def with_learner(*learners: NodeId) -> Membership:
    return replace(MEMBERSHIP, learners=learners, members={n: Member(node_id=n) for n in (*NODES, *learners)})


def test_a_learner_that_leaves_and_comes_back_within_a_step_begins_anew() -> None:
    told, learner = Told(), NodeId(4)
    told.checks.booted(learner, Recovered(identity=Identity(node_id=learner, instance=bytes(16), boot=1)))
    told.step(learner, persist(1, 1, FIRST, hard_state=HardState(term=Term(1))))
    told.checks.persisted(learner, 1)
    told.lead(1, commit_index=Index(1))
    known, fresh = (MappingProxyType({learner: peers(match, 2)[NodeId(2)]}) for match in (1, 0))
    for index, members in ((2, with_learner(learner)), (3, MEMBERSHIP), (4, with_learner(learner))):
        entry = Entry(Term(1), encode_payload(EntryKind.MEMBERSHIP, 0, encode_membership(members)))
        # It is followed until its removal is committed; then all of it begins anew.
        shown = fresh if index == 4 else known
        commit = Index(index - 1)
        told.lead(1, persist(index, index, entry), commit_index=commit, membership=members, peers=shown)
        told.step(2, persist(index, index, entry), membership=members)
        for node in NODES[:2]:
            told.checks.persisted(node, index)
    told.lead(1, membership=with_learner(learner), peers=known, commit_index=Index(3))
    with pytest.raises(Violation, match=r"^S13: "):
        told.lead(1, membership=with_learner(learner), peers=fresh, commit_index=Index(3))
