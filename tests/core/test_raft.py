"""What a replica keeps beside its state, so as not to work it out in every step, is always what the state says."""

from collections.abc import Sequence
from random import Random

import pytest

from ferrite.core import NO_CLUSTER, Replica, actions, events
from ferrite.core.raft import Raft
from ferrite.core.replication import check_quorum_us
from ferrite.core.roles import Leader
from ferrite.core.status_of import status_of
from tests.core.test_fuzz_step import STARTS, STEPS, run

SEEDS = 8


def check_derived(raft: Raft) -> None:
    assert raft.term == raft.hard_state.term
    assert raft.initialized == (raft.hard_state.cluster_id != NO_CLUSTER)
    assert raft.office is (raft.role if isinstance(raft.role, Leader) else None)
    assert (raft.membership_index, raft.membership) == raft.memberships[-1]
    settled = not raft.membership.joint and raft.membership.is_voter(raft.node_id)
    assert raft.membership_unsettled == (not settled)
    asked_us = [asked_us for asked_us, _ in raft.pending.contexts.values()]
    assert asked_us == sorted(asked_us), "the oldest context comes first"
    if raft.office:
        earliest_us = raft.office.quorum_due_us
        assert earliest_us <= check_quorum_us(raft, raft.office), "never later than the truth"


class Checked(Replica):
    """A replica that is looked into after every step."""

    checks = leading = 0

    def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
        before = self.status()
        ordered = super().step(given, now_us)
        check_derived(self._raft)
        assert self.status() == status_of(self._raft), "the status is of this step"
        assert before is not self.status()
        Checked.checks += 1
        Checked.leading += self._raft.office is not None
        return ordered


def test_what_is_kept_beside_the_state_never_goes_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.core.one_replica.Replica", Checked)
    for start in STARTS:
        for seed in range(SEEDS):
            run(start, Random(f"derived/{start}/{seed}"), STEPS)
    assert Checked.leading > 500
    assert Checked.checks > 1500
