"""What a leader proposes by itself, and when it looks again."""

from __future__ import annotations

import pytest

from ferrite.core.kv import (
    AutoCompaction,
    Compact,
    Housekeeper,
    HousekeepingCommand,
    HousekeepingConfig,
    MachineFacts,
    SetNoSpace,
    Tick,
)
from ferrite.core.kv.housekeeping import LOOK_US, SWEEP_PAUSE_US

SECOND_US = 1_000_000
NOW_US = 100 * SECOND_US


def facts(**changes: int | bool) -> MachineFacts:
    idle = {
        "time_us": NOW_US, "revision": 500, "compacted_revision": 0, "compaction_pending": False, "lease_count": 0,
        "next_deadline_us": 0, "size_bytes": 0, "no_space": False,
    }  # fmt: skip
    return MachineFacts(**(idle | changes))  # type: ignore[arg-type]  # a table of fields


def by_revisions(kept: int) -> HousekeepingConfig:
    return HousekeepingConfig(auto_compaction=AutoCompaction.REVISIONS, retention=kept)


BUSY = facts(lease_count=3, next_deadline_us=NOW_US - 1, size_bytes=2000, compaction_pending=True)


def test_a_follower_proposes_nothing_and_looks_again() -> None:
    keeper = Housekeeper(HousekeepingConfig(quota_bytes=1000))
    assert keeper.consider(None, BUSY) == (None, LOOK_US)


def test_an_idle_leader_without_leases_proposes_nothing() -> None:
    keeper = Housekeeper(HousekeepingConfig())
    assert keeper.consider(NOW_US + 50 * SECOND_US, facts(size_bytes=10**15)) == (None, LOOK_US)


# ------------------------------------------------------------------------------------------------ leases


def test_a_due_lease_is_ended_before_anything_else() -> None:
    keeper = Housekeeper(HousekeepingConfig(quota_bytes=1000))
    assert keeper.consider(NOW_US, BUSY) == (Tick(), 0)


@pytest.mark.parametrize("early_us", [1, 400_000])
def test_a_lease_is_not_ended_early_and_looked_after_in_time(early_us: int) -> None:
    keeper = Housekeeper(HousekeepingConfig())
    state = facts(lease_count=1, next_deadline_us=NOW_US + early_us)
    assert keeper.consider(NOW_US, state) == (None, early_us)


def test_while_leases_exist_there_is_an_entry_every_second() -> None:
    keeper = Housekeeper(HousekeepingConfig())
    state = facts(lease_count=1, next_deadline_us=NOW_US + 60 * SECOND_US)
    assert keeper.consider(NOW_US + 300_000, state) == (None, 700_000)
    assert keeper.consider(NOW_US + SECOND_US, state) == (Tick(), 0)


def test_entries_of_clients_do_as_well() -> None:
    keeper = Housekeeper(HousekeepingConfig())
    state = facts(lease_count=1, next_deadline_us=NOW_US + 60 * SECOND_US, time_us=NOW_US + 999_000)
    assert keeper.consider(NOW_US + SECOND_US, state) == (None, 999_000)


# ------------------------------------------------------------------------------------------------ space


@pytest.mark.parametrize(
    ("quota", "size", "no_space", "proposed"),
    [
        (1000, 1000, False, None),
        (1000, 1001, False, SetNoSpace(on=True)),
        (1000, 1001, True, None),
        (1000, 900, True, None),
        (1000, 899, True, SetNoSpace(on=False)),
        (1000, 899, False, None),
        (0, 10**18, False, None),
        (0, 10**18, True, SetNoSpace(on=False)),
    ],
)
def test_the_quota_has_a_distance_between_full_and_free(
    quota: int, size: int, no_space: bool, proposed: HousekeepingCommand | None
) -> None:
    keeper = Housekeeper(HousekeepingConfig(quota_bytes=quota))
    assert keeper.consider(NOW_US, facts(size_bytes=size, no_space=no_space))[0] == proposed


# ------------------------------------------------------------------------------------------------ compaction


@pytest.mark.parametrize(
    ("revision", "compacted", "proposed"),
    [
        (109, 0, None),
        (110, 0, Compact(revision=10)),
        (119, 10, None),
        (120, 10, Compact(revision=20)),
        (50, 0, None),
    ],
)
def test_a_number_of_revisions_is_kept_and_a_tenth_more(
    revision: int, compacted: int, proposed: Compact | None
) -> None:
    keeper = Housekeeper(by_revisions(100))
    assert keeper.consider(NOW_US, facts(revision=revision, compacted_revision=compacted))[0] == proposed


def test_one_revision_can_be_kept() -> None:
    assert Housekeeper(by_revisions(1)).consider(NOW_US, facts(revision=3))[0] == Compact(revision=2)


def test_a_compaction_is_finished_before_the_next_one_begins() -> None:
    keeper = Housekeeper(by_revisions(10))
    pending = facts(compacted_revision=20, compaction_pending=True)
    assert keeper.consider(NOW_US, pending) == (Tick(), 0)
    assert keeper.consider(NOW_US + 1, pending) == (None, SWEEP_PAUSE_US - 1), "clients have their turn"
    assert keeper.consider(NOW_US + SWEEP_PAUSE_US, pending) == (Tick(), 0)
    assert keeper.consider(NOW_US, facts(compacted_revision=20))[0] == Compact(revision=490)


def test_history_is_kept_for_its_age_and_hardly_longer() -> None:
    retention_us = 60 * SECOND_US
    keeper = Housekeeper(HousekeepingConfig(auto_compaction=AutoCompaction.AGE, retention=retention_us))
    compacted, asked = 0, 0
    for second in range(300):
        time_us = NOW_US + second * SECOND_US
        # Revision 1000 + n is made in second n.
        command, _ = keeper.consider(
            time_us, facts(time_us=time_us, revision=1000 + second, compacted_revision=compacted)
        )
        assert len(keeper._samples) <= 13
        if isinstance(command, Compact):
            compacted, asked = command.revision, asked + 1
            assert compacted <= 1000 + second - 60, "what is younger stays"
        if second >= 70:
            assert compacted >= 1000 + second - 67, "what is older goes"
    assert 20 < asked < 60, "not for each revision one"


def test_a_follower_knows_the_ages_when_it_becomes_leader() -> None:
    keeper = Housekeeper(HousekeepingConfig(auto_compaction=AutoCompaction.AGE, retention=10 * SECOND_US))
    for second in range(20):
        assert (
            keeper.consider(None, facts(time_us=NOW_US + second * SECOND_US, revision=100 + second))[0]
            is None
        )
    now_us = NOW_US + 20 * SECOND_US
    assert keeper.consider(now_us, facts(time_us=now_us, revision=120))[0] == Compact(revision=110)


def test_without_a_policy_nothing_is_forgotten() -> None:
    keeper = Housekeeper(HousekeepingConfig(retention=1))
    assert keeper.consider(NOW_US, facts(revision=10**9))[0] is None
