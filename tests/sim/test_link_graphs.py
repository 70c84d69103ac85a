"""Link graphs of five nodes: what is demanded holds in every shape, and a core that breaks it is caught."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from ferrite.core import NO_NODE, Index, Term, replica
from ferrite.core.election import campaign
from ferrite.core.raft import NEVER_US, Raft
from ferrite.sim.link_graphs import (
    LINKS,
    NEWS_WITHIN,
    GraphOutcome,
    Link,
    Logs,
    Scenario,
    Start,
    Summary,
    Verdict,
    able_nodes,
    all_graphs,
    both_ways,
    check,
    check_all,
    check_graph,
    drawn_arrows,
    graph,
    quorum_connected,
    relabelled,
    shapes,
)

STAR = frozenset({(1, 2), (2, 3)})
"""Only node 2 reaches a quorum; nodes 4 and 5 reach nobody."""
UNEQUAL = [logs for logs in Logs if logs is not Logs.EQUAL]


def some_names(links: frozenset[Link], place: int) -> frozenset[Link]:
    """The shape with its nodes renamed, so that leader and laggards stand at other places."""
    return relabelled(links, random.Random(place).sample(range(1, 6), 5))


def same_logs(**others: tuple[int, int]) -> dict[int, tuple[Term, Index]]:
    """All logs end at term 2, index 9, but for those of `n1=(term, index)` and so on."""
    ends = {f"n{node}": (2, 9) for node in range(1, 6)} | others
    return {int(name[1:]): (Term(term), Index(index)) for name, (term, index) in ends.items()}


def all_is_well(outcomes: Sequence[GraphOutcome]) -> Summary:
    summary = Summary()
    for outcome in outcomes:
        summary.add(outcome)
    assert not summary.failures, summary.failures
    return summary


# -- graphs ----------------------------------------------------------------------------------------------------


def test_there_are_1024_graphs_of_34_shapes() -> None:
    assert len(set(all_graphs())) == 1024
    assert graph(0) == frozenset()
    assert graph(1023) == frozenset(LINKS)
    assert len(shapes()) == 34


def test_a_node_reaches_a_quorum_with_itself_and_two_neighbours() -> None:
    assert quorum_connected(both_ways(STAR)) == (2,)
    assert quorum_connected(both_ways({(1, 2), (3, 4)})) == ()
    assert sum(bool(quorum_connected(both_ways(links))) for links in all_graphs()) == 998


def test_an_arrow_without_its_way_back_reaches_nobody() -> None:
    assert quorum_connected(both_ways(STAR) - {(3, 2)}) == ()


def test_drawn_arrows_have_links_of_every_kind() -> None:
    drawn = [drawn_arrows(number) for number in range(10)]
    kinds = {((a, b) in arrows, (b, a) in arrows) for arrows in drawn for a, b in LINKS}
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}
    assert drawn == [drawn_arrows(number) for number in range(10)]


@pytest.mark.parametrize(
    "logs, able",
    [
        (same_logs(), (2,)),
        (same_logs(n2=(2, 8)), ()),
        (same_logs(n2=(3, 1)), (2,)),
        (same_logs(n3=(2, 10)), ()),
        (same_logs(n4=(9, 9)), (2,)),
    ],
)
def test_able_is_whom_a_quorum_in_reach_would_vote_for(
    logs: dict[int, tuple[Term, Index]], able: tuple[int, ...]
) -> None:
    assert able_nodes(both_ways(STAR), logs) == able


# -- what is demanded ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", Start)
def test_from_equal_logs_a_leader_is_stable_in_every_shape_where_a_node_reaches_a_quorum(
    start: Start,
) -> None:
    graphs = [some_names(links, place) for place, links in enumerate(shapes())]
    outcomes = list(check_all(graphs, logs=[Logs.EQUAL], starts=[start], watch=NEWS_WITHIN))
    summary = all_is_well(outcomes)
    assert summary.verdicts == {Verdict.STABLE: 31, Verdict.NO_QUORUM: 3}
    assert summary.able == 31
    assert all(len(set(outcome.logs_at_cut.values())) == 1 for outcome in outcomes)


def test_from_unequal_logs_a_leader_is_stable_in_every_shape_where_a_node_is_able() -> None:
    outcomes = []
    for place, links in enumerate(shapes()):
        logs, start = UNEQUAL[place % len(UNEQUAL)], tuple(Start)[place // len(UNEQUAL) % 2]
        outcomes.append(check_graph(some_names(links, place), place, logs, start, watch=NEWS_WITHIN))
    summary = all_is_well(outcomes)
    assert summary.verdicts[Verdict.STABLE] >= summary.able > 20
    assert sum(len(set(outcome.logs_at_cut.values())) > 1 for outcome in outcomes) > 25


def test_where_nobody_able_reaches_a_quorum_the_reason_is_given_and_no_term_grows() -> None:
    # Node 1 led and keeps a tail that node 2 lacks; node 2 alone reaches a quorum, and needs node 1's vote.
    behind = check_graph(STAR, 1, Logs.LEADER_AHEAD, Start.RESTARTED, watch=NEWS_WITHIN)
    assert (behind.verdict, behind.terms_grown, behind.stable_us) == (Verdict.NOT_UP_TO_DATE, 0, -1)
    parted = check_graph(frozenset({(1, 2), (3, 4)}), 1, watch=NEWS_WITHIN)
    assert (parted.verdict, parted.terms_grown, parted.old_leader) == (Verdict.NO_QUORUM, 0, 1)
    assert behind.ok
    assert parted.ok


def test_a_leader_that_still_reaches_a_quorum_stays() -> None:
    outcome = check_graph(frozenset({(1, 2), (1, 3), (3, 4), (4, 5)}), 1)
    assert (outcome.leader, outcome.old_leader, outcome.stable_us, outcome.terms_final_us) == (1, 1, 0, 0)


def test_links_that_work_one_way_only_keep_no_leader_from_being_stable() -> None:
    scenarios = (
        Scenario(arrows=drawn_arrows(number), seed=number, start=start, watch=NEWS_WITHIN)
        for number in range(6)
        for start in Start
    )
    assert all_is_well([check(scenario) for scenario in scenarios]).able > 6


def test_the_same_scenario_has_the_same_outcome() -> None:
    scenario = Scenario(arrows=both_ways(STAR), seed=5, logs=Logs.LEADER_AHEAD, watch=NEWS_WITHIN)
    assert check(scenario) == check(scenario)
    assert check(scenario) != check(replace(scenario, seed=6))


# -- a core that breaks it -------------------------------------------------------------------------------------


def never_us(*_: object) -> int:
    return NEVER_US


def holds_on(raft: Raft) -> bool:
    return raft.leader_heard_us is not None


def campaigns_at_once(raft: Raft) -> None:
    raft.follow(NO_NODE)
    campaign(raft, disrupt=True)  # As if it had been told to: else S25 says so before any term has grown.


@pytest.mark.parametrize(
    "where, name, broken",
    [
        pytest.param(replica, "check_quorum_us", never_us, id="no CheckQuorum"),
        pytest.param(Raft, "sticks_to_leader", holds_on, id="the leader is never given up"),
    ],
)
def test_a_core_whose_voters_hold_on_to_a_cut_off_leader_misses_the_bound(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, broken: Callable[..., object]
) -> None:
    monkeypatch.setattr(where, name, broken)
    outcome = check_graph(STAR, 1, watch=NEWS_WITHIN)
    assert (outcome.verdict, outcome.ok) == (Verdict.MISSED, False)


def test_a_core_without_prevote_is_caught_by_terms_that_grow_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replica, "on_election_timeout", campaigns_at_once)
    outcome = check_graph(STAR, 1, Logs.EQUAL, Start.RESTARTED, watch=NEWS_WITHIN)
    assert not outcome.terms_rest
    assert not outcome.ok
