"""Properties of users: the machine itself, and what docs/properties.md and README.md show."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RULE_MARKER, run_state_machine_as_test

from ferrite.core import NodeId
from ferrite.sim import Violation
from ferrite.sim.stateful import ClusterMachine
from tests.sim.mutants import BY_NUMBER

ROOT = Path(__file__).parents[2]
QUIET = settings(deadline=None, database=None, derandomize=True, print_blob=False)
FEW = settings(QUIET, max_examples=20, stateful_step_count=25, phases=[Phase.generate])
SHRINK = settings(QUIET, max_examples=200, stateful_step_count=15, phases=[Phase.generate, Phase.shrink])


def example_in(page: str) -> str:
    found = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert len(found) == 1, f"{page} has one example"
    return str(found[0])


def machine_of(source: str, name: str) -> Any:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(source, "example", "exec"), names)
    return names[name]


def story_of(error: BaseException) -> list[str]:
    lines = "\n".join(getattr(error, "__notes__", [])).splitlines()
    return [line for line in lines if line.startswith("state.")]


def only(*names: str, of: type[ClusterMachine]) -> Any:
    """The machine without its other rules, as docs/properties.md says: what is tried less is found sooner."""
    rules = {name for name, value in vars(ClusterMachine).items() if hasattr(value, RULE_MARKER)}
    assert len(rules) > 15, "the marker is still Hypothesis' own"
    return type(of.__name__, (of,), dict.fromkeys(sorted(rules - set(names))))


def started(network: str = "calm", seed: int = 0) -> ClusterMachine:
    machine = ClusterMachine()
    machine.found(network=network, seed=seed)
    return machine


def test_the_rules_of_the_machine_break_nothing() -> None:
    run_state_machine_as_test(ClusterMachine, settings=FEW)


@pytest.mark.parametrize("page", ["docs/properties.md", "README.md"])
def test_the_examples_hold(page: str) -> None:
    run_state_machine_as_test(machine_of(example_in(page), "Counter"), settings=settings(FEW, max_examples=8))


def test_a_property_that_does_not_hold_comes_back_as_a_short_story() -> None:
    source = example_in("docs/properties.md")
    # It does not wait, and takes the unknown outcome for a refusal.
    hasty = source.replace('client="writer"', 'client="writer", within_ms=0')
    naive = hasty.replace("number >= max(self.count, self.seen)", "number == self.count")
    assert len({source, hasty, naive}) == 3
    with pytest.raises(AssertionError, match="1 after 0 and 0") as caught:
        run_state_machine_as_test(only("link_freezes", of=machine_of(naive, "Counter")), settings=SHRINK)
    story = story_of(caught.value)
    assert story[0] == "state.found(network='calm', seed=0)"
    # The shrinker's last word may keep a step too many, never a fault.
    assert {line.split("(")[0] for line in story[1:]} == {"state.count_up", "state.look", "state.teardown"}
    assert len(story) <= 6, story
    # The story is a program: it happens again.
    machine = machine_of(naive, "Counter")()
    with pytest.raises(AssertionError, match="1 after 0 and 0"):
        exec("\n".join(story), {"state": machine})


def test_the_story_in_the_docs_happens() -> None:
    page = (ROOT / "docs/properties.md").read_text()
    told = re.findall(r"^state\..*$", page, re.MULTILINE)
    naive = example_in("docs/properties.md").replace(">= max(self.count, self.seen)", "== self.count")
    with pytest.raises(AssertionError, match="1 after 0 and 0"):
        exec("\n".join(told), {"state": machine_of(naive, "Counter")()})


def test_a_planted_bug_is_found_and_shrunk_to_the_start() -> None:
    with BY_NUMBER[16].planted(), pytest.raises(Violation) as caught:
        run_state_machine_as_test(ClusterMachine, settings=SHRINK)
    assert caught.value.name == "S11"
    assert len(story_of(caught.value)) == 2


def test_a_stale_leader_that_answers_reads_is_caught_in_a_story() -> None:
    with BY_NUMBER[27].planted():
        machine = started()
        assert machine.put(b"x", b"old", node=1).ok
        machine.node_pauses(node=1)
        machine.node_is_cut_off(node=1, both_ways=True)
        machine.time_passes(duration_ms=2_000)
        assert machine.put(b"x", b"new", node=2).ok
        machine.get(b"x", node=1, within_ms=0)
        machine.node_resumes(node=1)
        with pytest.raises(Violation, match="S18"):
            machine.time_passes(duration_ms=100)


def test_liveness_is_part_of_every_example() -> None:
    machine = started()
    machine.node_crashes(node=1, when="now", power_loss=True)
    machine.cluster.nodes[NodeId(1)].start = lambda: None  # type: ignore[method-assign]  # it never comes back
    with pytest.raises(Violation, match=r"L[123]"):
        machine.teardown()


def test_an_example_that_failed_is_not_judged_a_second_time() -> None:
    machine = started()
    machine.cluster.converge = lambda: pytest.fail("judged again")  # type: ignore[method-assign]  # must not be reached

    def example() -> None:
        try:
            raise ValueError("the rule failed")
        finally:
            machine.teardown()

    with pytest.raises(ValueError, match="the rule failed"):
        example()


def test_the_same_story_gives_the_same_digest() -> None:
    def digest() -> str:
        machine = started("lossy", 7)
        machine.client_puts(key=b"x", node=2, client="ann", within_ms=0)
        machine.node_crashes(node=1, when="Persist", power_loss=True)
        machine.client_retries(client="ann", node=3, within_ms=2_000)
        machine.teardown()
        return machine.cluster.world.trace.digest()

    assert digest() == digest()


def test_a_retried_write_of_unknown_outcome_is_carried_out_once() -> None:
    machine = started()
    machine.link_freezes(link=(1, 2))
    assert machine.put(b"k", b"v", node=2, client="ann").status == "unknown"
    machine.links_heal()
    machine.time_passes(duration_ms=2_000)
    machine.client_retries(client="ann", node=3, within_ms=2_000)
    retried = machine.cluster.history.operations[-1]
    assert (retried.outcome, retried.attempts) == ("ok", 2)
    found = machine.get(b"k", node=1)
    assert (found.value, found.revision) == (b"v", retried.revision)
    machine.teardown()


def test_a_refusal_says_that_it_certainly_did_not_happen() -> None:
    machine = started()
    refused = machine.put(b"k", b"v", node=4)
    assert refused.status == "refused"
    assert refused.detail
    assert machine.get(b"k").value is None
    assert not machine.delete(b"k").existed
    machine.teardown()


def test_a_rule_is_left_out_by_none() -> None:
    machine = only("link_freezes", "look", of=ClusterMachine)()
    assert sorted(each.function.__name__ for each in machine._rules_strategy.rules) == ["link_freezes"]


def test_hypothesis_is_needed_by_this_module_only_and_missing_it_names_the_extra() -> None:
    code = """
import sys
sys.modules["hypothesis"] = None
import ferrite.sim
import ferrite.sim.cli
try:
    import ferrite.sim.stateful
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert "pip install 'ferrite[sim]'" in done.stdout
