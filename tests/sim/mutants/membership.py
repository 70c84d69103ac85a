"""Bugs of membership: quorums, joint consensus, one change at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from ferrite.core import Index, Membership, NodeId
from ferrite.core.changes import expire_change
from ferrite.core.raft import Raft
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.planting import Plant, during, no_lie, office_of, pretending, replaced, together


def _quorum_of(view: Callable[[Membership], Membership]) -> Plant:
    """Votes and commits are counted in another membership than the one in force."""

    def make(honest: Any) -> Any:
        return lambda membership, each: honest(view(membership), each)

    return replaced(
        make, "ferrite.core.membership:Membership.has_quorum", "ferrite.core.membership:Membership.committed"
    )


def _with_learners(membership: Membership) -> Membership:
    return replace(membership, voters=tuple(sorted((*membership.voters, *membership.learners))))


def _old_only(membership: Membership) -> Membership:
    return replace(membership, voters=membership.outgoing or membership.voters, outgoing=())


def _union(_honest: Any) -> Any:
    def has_quorum(membership: Membership, agrees: Callable[[NodeId], bool]) -> bool:
        voters = membership.all_voters()
        return 2 * sum(1 for voter in voters if agrees(voter)) > len(voters)

    return has_quorum


def _appended_is_committed(raft: Raft) -> AbstractContextManager[None]:
    office = office_of(raft)
    if office is None or raft.commit_index < office.term_start_index:
        return no_lie()
    return pretending(raft, "commit_index", max(raft.commit_index, raft.membership_index))


def _term_has_begun(raft: Raft) -> AbstractContextManager[None]:
    office = office_of(raft)
    return no_lie() if office is None else pretending(office, "term_start_index", Index(0))


def _memberships_stay(honest: Callable[[Raft, Index], None]) -> Any:
    def truncate(raft: Raft, first_index: Index) -> None:
        kept = raft.memberships
        honest(raft, first_index)
        raft.set_memberships(kept)

    return truncate


def _judged_once(honest: Any) -> Any:
    return lambda raft, office, change: None if office.change else honest(raft, office, change)


def _expires_out_of_office(honest: Callable[[Raft], None]) -> Any:
    def fire(raft: Raft) -> None:
        office = office_of(raft)
        honest(raft)
        if office and office_of(raft) is not office:
            expire_change(raft, office)

    return fire


MEMBERSHIP = (
    Mutant(
        number=5,
        name="votes-of-the-union",
        sentence="While joint, a majority of all voters elects, whatever their configuration.",
        provenance="CCF, 48 hours of exhaustive search on 128 cores",
        needs="an election in a joint configuration, with a majority of the union that is none of one side",
        plant=replaced(_union, "ferrite.core.membership:Membership.has_quorum"),
    ),
    Mutant(
        number=20,
        name="learners-count",
        sentence="Learners count in the quorums of commits and elections.",
        provenance="etcd, learner rules",
        needs="a leader cut off from other voters together with learners",
        plant=_quorum_of(_with_learners),
    ),
    Mutant(
        number=21,
        name="joint-new-only",
        sentence="A joint configuration asks the incoming voters only.",
        provenance="thesis 4.3",
        needs="a joint configuration while a majority of the outgoing voters is away",
        plant=_quorum_of(lambda membership: replace(membership, outgoing=())),
    ),
    Mutant(
        number=22,
        name="change-on-change",
        sentence="A membership is taken for committed when it is appended, and the next one follows.",
        provenance="thesis 4.1",
        needs="a change of voters",
        plant=during("ferrite.core.replica:advance_changes", _appended_is_committed),
    ),
    Mutant(
        number=23,
        name="change-before-own-commit",
        sentence="A leader begins a change before it has committed in its term.",
        provenance="Ongaro, raft-dev, July 2015",
        needs="a change asked of a leader that has just been elected",
        plant=during("ferrite.core.replica:advance_changes", _term_has_begun),
        harmless=(
            "The bug of 2015 needs two changes by a single server, made from the same configuration C by leaders that do not "
            "know of each other, whose quorums need not meet. Here a change of voters is a joint configuration, and its quorum "
            "holds a majority of C. One that is committed stands in a majority of C, so nobody whose log has only the other one "
            "wins C's votes, of which its own joint configuration needs a majority too (Election Restriction). And C is always "
            "a committed one, for the guard on uncommitted memberships stays: a new leader has every committed entry, so its "
            "last membership is either above its commit index, and it waits, or it is the last committed one. The rule is kept "
            "as a second line (and for changes of learners, which alter no quorum)."
        ),
    ),
    Mutant(
        number=24,
        name="membership-not-rolled-back",
        sentence="A membership stays in force when its entry is truncated.",
        provenance="openraft, effective membership; etcd-raft specification, issue 456",
        needs="a leader that loses leadership with an uncommitted change",
        plant=replaced(_memberships_stay, "ferrite.core.raft:Raft.truncate"),
    ),
    Mutant(
        number=34,
        name="change-judged-once",
        sentence="A change that waited for a predecessor's joint state is not judged again when it begins.",
        provenance="Ferrite, a review",
        needs="a change asked of a new leader in its predecessor's joint state, naming a voter that leaves with it",
        plant=replaced(_judged_once, "ferrite.core.changes:_refusal"),
    ),
    Mutant(
        number=38,
        name="deposed-change-expires",
        sentence="A leader that steps down at the same moment as its change expires answers the change twice.",
        provenance="Ferrite, found by the simulator",
        needs="a leader that is paused with a change under way, beyond its quorum's and the change's time",
        plant=replaced(_expires_out_of_office, "ferrite.core.replica:_fire_timers"),
    ),
    Mutant(
        number=46,
        name="joint-old-only",
        sentence="A joint configuration asks the outgoing voters only.",
        provenance="thesis 4.3",
        needs="a joint configuration while a majority of the incoming voters is away",
        plant=together(_quorum_of(_old_only)),
    ),
)
