"""What watchers are told, with lies made by hand: each is caught by its name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from ferrite.core import ChangeVoters, NodeId
from ferrite.core.kv import (
    Compact,
    Delete,
    Delivery,
    KeyValue,
    Put,
    WatchEnd,
    WatchEnded,
    WatchEvent,
    WatchHub,
)
from ferrite.sim import Cluster, Violation
from ferrite.sim.answers import Replied
from ferrite.sim.checks import liveness
from ferrite.sim.checks.replay import replay
from ferrite.sim.checks.watches import check_watchers
from ferrite.sim.options import KvOptions, Options
from ferrite.sim.profiles import PROFILES
from ferrite.sim.swarm import profile_of, swarm
from ferrite.sim.watchers import Began, Ended, Got, Watcher
from tests.sim.helpers import QUIET, SECOND_US, ask, leader_of, others, quiet_cluster
from tests.sim.helpers import put as write
from tests.sim.mutants.scenarios.watches import watching
from tests.sim.test_kv_model import log_of

MODEL = replay(
    log_of(
        Put(key=b"k", value=b"1"),  # entry 1, revision 2
        Put(key=b"other", value=b"x"),  # revision 3
        Put(key=b"k", value=b"2"),  # revision 4
        Delete(key=b"k"),  # entry 4, revision 5
        Compact(revision=4),  # entry 5
        Put(key=b"k", value=b"3"),  # entry 6, revision 6
    )
)


def entry(value: bytes, revision: int, *, version: int = 1, created: int = 0) -> KeyValue:
    return KeyValue(
        key=b"k", value=value, create_revision=created or revision, mod_revision=revision, version=version, lease=0
    )  # fmt: skip


ONE, TWO, THREE = entry(b"1", 2), entry(b"2", 4, version=2, created=2), entry(b"3", 6)
GONE = KeyValue(key=b"k", value=b"", create_revision=0, mod_revision=5, version=0, lease=0)
BEGAN = Began(asked=2, revision=1, applied_index=4, resumed=False)
GOT_ONE = Got(revision=2, events=(WatchEvent(deleted=False, entry=ONE),), applied_index=4)
GOT_TWO = Got(revision=4, events=(WatchEvent(deleted=False, entry=TWO, prev=ONE),), applied_index=4)
GOT_GONE = Got(revision=5, events=(WatchEvent(deleted=True, entry=GONE, prev=TWO),), applied_index=4)
GOT_THREE = Got(revision=6, events=(WatchEvent(deleted=False, entry=THREE),), applied_index=6)
COMPACTED = Ended(reason=WatchEnd.COMPACTED, revision=3, next_revision=2, applied_index=5)
CUT = Ended(reason=WatchEnd.SLOW, revision=3, next_revision=3, applied_index=4)
LATE = Began(asked=2, revision=1, applied_index=5, resumed=False)
AT_MARK = Began(asked=4, revision=3, applied_index=5, resumed=True)


def progress(revision: int, applied_index: int = 4) -> Got:
    return Got(revision=revision, events=(), applied_index=applied_index)


def check(*told: Began | Got | Ended, prev_kv: bool = True, without: str = "") -> None:
    watcher: Any = SimpleNamespace(
        key=b"k", range_end=b"", prev_kv=prev_kv, no_puts=without == "puts", no_deletes=without == "deletes", told=told
    )  # fmt: skip
    check_watchers([watcher], MODEL)


TRUE = {
    "everything": (BEGAN, GOT_ONE, GOT_TWO, GOT_GONE, GOT_THREE),
    "progress after all": (BEGAN, GOT_ONE, progress(3), GOT_TWO, GOT_GONE, progress(5)),
    "from now on": (replace(BEGAN, asked=0, revision=5), GOT_THREE),
    "from the future on": (replace(BEGAN, asked=6, revision=5, applied_index=2), GOT_THREE),
    "compacted, and on from the mark": (
        LATE,
        COMPACTED,
        AT_MARK,
        replace(GOT_TWO, applied_index=5, events=(replace(GOT_TWO.events[0], prev=None),)),
        replace(GOT_GONE, applied_index=5),
        GOT_THREE,
    ),
    "cut, and on elsewhere": (BEGAN, GOT_ONE, CUT, replace(BEGAN, asked=4, revision=3, resumed=True), GOT_TWO),
    "another one begins anew": (BEGAN, GOT_ONE, GOT_TWO, BEGAN, GOT_ONE),
}  # fmt: skip


@pytest.mark.parametrize("what", TRUE)
def test_what_is_true_passes(what: str) -> None:
    check(*TRUE[what])


def test_what_a_filter_leaves_out_is_not_missed() -> None:
    check(BEGAN, GOT_ONE, GOT_TWO, GOT_THREE, without="deletes")
    check(BEGAN, GOT_GONE, progress(6, 6), without="puts")
    with pytest.raises(Violation, match="W2"):
        check(BEGAN, GOT_ONE, GOT_TWO, GOT_GONE, without="deletes")


LIES: dict[str, tuple[str, tuple[Began | Got | Ended, ...]]] = {
    "an event is lost": ("W2", (BEGAN, GOT_ONE, GOT_GONE)),
    "the first one is lost": ("W2", (BEGAN, GOT_TWO)),
    "an event comes twice": ("W2", (BEGAN, GOT_ONE, GOT_TWO, GOT_TWO)),
    "an event comes again at the next node": (
        "W2", (BEGAN, GOT_ONE, replace(BEGAN, asked=3, revision=2, resumed=True), GOT_ONE)),
    "a put is a deletion": (
        "W2", (BEGAN, replace(GOT_ONE, events=(WatchEvent(deleted=True, entry=replace(GONE, mod_revision=2)),)))),
    "another value": ("W2", (BEGAN, replace(GOT_ONE, events=(WatchEvent(deleted=False, entry=entry(b"9", 2)),)))),
    "what the node does not have yet": ("W2", (replace(BEGAN, applied_index=1), replace(GOT_ONE, applied_index=0))),
    "it begins at another revision": ("W3", (replace(BEGAN, revision=2),)),
    "its present is another": ("W3", (replace(BEGAN, asked=0, revision=4),)),
    "nobody compacted that": ("W4", (LATE, replace(COMPACTED, revision=2))),
    "nobody compacted that yet": ("W4", (BEGAN, replace(COMPACTED, applied_index=4))),
    "what it wants next is there": ("W4", (AT_MARK, replace(COMPACTED, next_revision=4))),
    "it begins below the mark and goes on": ("W4", (LATE, replace(GOT_ONE, applied_index=5))),
    "progress before an event": ("W5", (BEGAN, progress(3))),
    "progress between two events": ("W5", (BEGAN, GOT_ONE, progress(4))),
    "progress before the node is there": ("W5", (BEGAN, GOT_ONE, GOT_TWO, GOT_GONE, progress(6))),
    "nothing was there before": ("W6", (BEGAN, GOT_ONE, replace(GOT_TWO, events=(replace(GOT_TWO.events[0], prev=None),)))),
    "something else was there before": (
        "W6", (BEGAN, GOT_ONE, replace(GOT_TWO, events=(replace(GOT_TWO.events[0], prev=TWO),)))),
    "above the mark nothing is excused": (
        "W6", (LATE, COMPACTED, AT_MARK, replace(GOT_TWO, applied_index=5),
               replace(GOT_GONE, applied_index=6, events=(replace(GOT_GONE.events[0], prev=None),)))),
    "a cut leaves a gap": ("W8", (BEGAN, GOT_ONE, replace(CUT, revision=4))),
    "a cut where a compaction is due": ("W8", (LATE, replace(CUT, revision=1))),
}  # fmt: skip


@pytest.mark.parametrize("what", LIES)
def test_a_lie_is_caught(what: str) -> None:
    name, told = LIES[what]
    with pytest.raises(Violation) as caught:
        check(*told)
    assert caught.value.name == name


def test_what_was_before_is_told_only_to_who_asked() -> None:
    with pytest.raises(Violation, match="W6"):
        check(BEGAN, GOT_ONE, GOT_TWO, prev_kv=False)


# ------------------------------------------------------------------------------------------------ at a hub that lies


def watched(monkeypatch: pytest.MonkeyPatch, *items: Delivery | WatchEnded) -> Watcher:
    """A watcher whose hub gives these."""
    cluster = quiet_cluster(kv=KvOptions(watch_queue_bytes=250))
    watcher = watching(cluster, leader_of(cluster), 2)
    given = list(items)

    def take(_hub: WatchHub, _number: int) -> list[Delivery | WatchEnded]:
        taken, given[:] = list(given), []
        return taken

    monkeypatch.setattr(WatchHub, "take", take)
    cluster.run_for(1_000_000)
    return watcher


def of(revision: int, *events: WatchEvent) -> Delivery:
    return Delivery(revision=revision, events=events)


AN_EVENT, NEXT_EVENT = GOT_ONE.events[0], GOT_TWO.events[0]


@pytest.mark.parametrize(
    "items",
    [
        (of(2, AN_EVENT), of(2, AN_EVENT)),
        (of(4, NEXT_EVENT), of(2, AN_EVENT)),
        (of(4, AN_EVENT, NEXT_EVENT),),
        (of(3, AN_EVENT),),
    ],
    ids=["twice", "backwards", "two revisions at once", "another revision"],
)
def test_a_delivery_that_breaks_the_order_is_caught(
    items: tuple[Delivery, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Violation) as caught:
        watched(monkeypatch, *items)
    assert caught.value.name == "W1"


def test_a_queue_beyond_its_bound_is_caught_and_one_revision_is_always_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert watched(monkeypatch, of(4, NEXT_EVENT, NEXT_EVENT, NEXT_EVENT)).has(4)
    with pytest.raises(Violation) as caught:
        watched(monkeypatch, of(4, NEXT_EVENT), of(5, GOT_GONE.events[0]))
    assert caught.value.name == "W7"


@pytest.mark.parametrize("method", ["add", "take", "on_applied", "on_history", "next_read"])
def test_whatever_a_hub_raises_is_a_finding(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_given: object, **_more: object) -> None:
        raise KeyError("a bug of the hub")

    monkeypatch.setattr(WatchHub, method, raises)
    options = replace(QUIET, seconds=3, clients=Options().clients, kv=KvOptions(watchers=2))
    violation = Cluster(3, options).run().violation
    assert violation is not None
    assert (violation.name, violation.kind) == ("CRASH", "crash")


def test_a_watch_that_never_catches_up_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WatchHub, "next_read", lambda _hub: None)
    cluster = quiet_cluster()
    write(cluster, leader_of(cluster), b"k", b"v")
    watching(cluster, leader_of(cluster), 2)
    with pytest.raises(Violation) as caught:
        cluster.converge()
    assert (caught.value.name, caught.value.kind) == ("L11", "liveness")


def test_a_watch_moves_on_when_its_node_is_removed_after_the_healing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Found as seed 209 of an earlier sweep: a request of an operator, sent before, took a member out later.
    cluster = quiet_cluster()
    leader = leader_of(cluster)
    gone = others(cluster, leader)[0]
    watcher = watching(cluster, gone, 2)
    cluster.run_for(SECOND_US)

    def removed(cluster: Cluster, core: Collection[NodeId]) -> None:
        rest = tuple(sorted(node for node in cluster.nodes if node != gone.node_id))
        change = ChangeVoters(voters=rest)
        answer = ask(cluster, lambda callback: leader.change_membership(change, SECOND_US, callback))
        assert isinstance(answer, Replied), answer
        cluster.run_for(SECOND_US)
        write(cluster, leader, b"k", b"v")

    monkeypatch.setattr(liveness, "_leases_end", removed)
    cluster.converge()
    machine = leader.state and leader.state.machine
    assert machine
    assert watcher.has(machine.revision)


def test_every_seed_has_watches_whatever_its_profile() -> None:
    assert {profile_of(seed) for seed in range(100)} == {"", *PROFILES}
    assert all(swarm(seed).kv.watchers for seed in range(100))
