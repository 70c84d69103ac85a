"""Each planted bug fails a story told by hand, which honest code passes: a survivor of the search is the search's fault."""

from collections.abc import Callable

import pytest

from tests.sim.mutants import BY_NUMBER, MUTANTS
from tests.sim.mutants.scenarios import (
    clients,
    disks,
    elections,
    logs,
    membership,
    requests,
    snapshots,
    store,
    watches,
)

Story = Callable[[], None]

STORY = "story"
"""Where no check of the simulator can see the bug, and the story says itself what went wrong."""

# Mutant: the story, and the checks that may be the first to see it.
CAUGHT: dict[int, tuple[Story, str]] = {
    1: (elections.a_few_writes, "S11"),
    2: (elections.the_term_rises_while_a_snapshot_is_installed, "S6"),
    3: (elections.a_longer_log_of_an_earlier_term_does_not_win, "S4"),
    4: (elections.votes_of_the_last_campaign_arrive, "S14"),
    5: (membership.the_new_voters_alone_are_no_majority, "S14 S25"),
    6: (elections.two_candidates_ask_one_voter, "S7"),
    7: (logs.figure_8, "S9"),
    8: (logs.a_follower_catches_up_entry_by_entry, "S8"),
    9: (elections.a_cut_off_leader_returns_with_a_tail, "S8"),
    10: (elections.a_cut_off_leader_returns_with_a_tail, "S12"),
    11: (elections.a_cut_off_leader_meets_the_one_after_the_next, "S3"),
    12: (logs.everything_arrives_twice_and_in_any_order, "S4"),
    13: (elections.a_cut_off_leader_returns_with_a_tail, "S3 S5"),
    14: (logs.many_writes_on_slow_disks, "S11"),
    15: (logs.everything_arrives_twice_and_in_any_order, "S13"),
    16: (elections.a_few_writes, "S11"),
    17: (disks.a_node_alone_writes, "S10"),
    18: (disks.a_follower_cannot_sync, "S11"),
    19: (disks.the_middle_of_a_log_is_damaged, "F5"),
    20: (membership.a_leader_and_learners_are_no_majority, "S10"),
    21: (membership.the_new_voters_alone_are_no_majority, "S10"),
    22: (membership.all_voters_are_replaced, "S14"),
    24: (membership.the_new_voters_alone_are_no_majority, "S14"),
    25: (snapshots.a_long_tail_meets_a_snapshot_that_ends_within_it, "S11"),
    26: (snapshots.a_follower_gets_sessions_by_snapshot, "S16"),
    27: (requests.a_cut_off_leader_is_read, "S18"),
    28: (requests.a_new_leader_is_read_before_its_first_commit, "S18"),
    29: (requests.a_sleeper_hears_late_answers_to_its_heartbeats, "S18"),
    31: (elections.a_voter_restarts_between_two_candidates, "S7"),
    32: (requests.a_request_is_repeated, "S17"),
    33: (logs.a_truncation_is_lost_with_the_tail_of_the_log, "S5"),
    34: (membership.a_change_waits_for_a_predecessors_joint_state, "CRASH"),
    35: (snapshots.every_chunk_and_every_answer_comes_twice, "S24"),
    36: (logs.a_restarted_follower_only_tells_its_term, "S13"),
    37: (disks.entries_are_loaded_while_more_are_appended, "LOAD"),
    38: (membership.a_leader_sleeps_over_its_quorum_and_its_change, "ANSWER"),
    39: (disks.power_is_lost_within_the_first_write, "STOP"),
    40: (disks.a_voter_lost_the_tail_that_made_a_majority, "S4"),
    41: (requests.a_forward_arrives_twice, "FORWARD"),
    42: (requests.a_read_comes_while_writes_are_applied, "S18"),
    43: (logs.many_writes_on_slow_disks, "DR3"),
    44: (disks.a_flush_takes_long, "DISCARD"),
    45: (logs.an_append_ends_below_a_conflict, "S5"),
    46: (membership.the_old_voters_alone_are_no_majority, "S10"),
    47: (snapshots.a_snapshot_arrives_damaged, "S24"),
    50: (disks.entries_are_overwritten_on_their_way_to_a_slow_disk, "DR3 S5"),
    60: (store.a_lease_ends_by_a_tick, "S26"),
    61: (store.a_nested_transaction_compares_what_the_outer_one_writes, "S26"),
    62: (store.the_compacted_revision_is_read, "S26"),
    63: (store.a_leader_falls_while_a_lease_runs_out, "S26"),
    64: (store.a_full_store_is_cleared, "S26"),
    65: (watches.a_watch_begins_in_the_past_while_its_range_is_written, "W2 W5"),
    66: (watches.a_watch_asks_for_its_progress_before_it_has_caught_up, "W1 W5"),
    67: (watches.a_watch_goes_on_at_a_node_that_lags_behind, "W1"),
    68: (watches.a_snapshot_is_installed_under_a_watch, "W2 W5"),
    80: (clients.programs_count_while_leaders_fall, "S17"),
    81: (clients.programs_count_while_leaders_fall, "S22"),
    82: (clients.programs_count_while_leaders_fall, "S17"),
}
STORIES = sorted({story for story, _ in CAUGHT.values()}, key=repr)


def name_of(story: Story) -> str:
    return str(getattr(story, "__name__", story))


@pytest.mark.parametrize("story", STORIES, ids=name_of)
def test_honest_code_passes(story: Story) -> None:
    story()


@pytest.mark.parametrize("number", sorted(CAUGHT), ids=lambda number: BY_NUMBER[number].name)
def test_a_planted_bug_is_caught(number: int) -> None:
    story, expected = CAUGHT[number]
    with BY_NUMBER[number].planted(), pytest.raises(AssertionError) as caught:
        story()
    assert getattr(caught.value, "name", STORY) in expected.split(), caught.value


def test_every_mutant_that_can_do_harm_has_a_story() -> None:
    harmful = {mutant.number for mutant in MUTANTS if mutant.plant is not None and not mutant.harmless}
    assert harmful == set(CAUGHT)
