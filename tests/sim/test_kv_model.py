"""The plain data model beside the machine: every kind of lie of the machine is caught by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

import ferrite.sim.checks.replay
from ferrite.core import Entry, EntryKind, NodeId, RequestId, Term, encode_payload
from ferrite.core.kv import (
    Batch,
    CommandErrorCode,
    CommandFailed,
    Compact,
    Compare,
    CompareResult,
    CompareTarget,
    Delete,
    DeleteRange,
    LeaseGrant,
    LeaseKeepAlive,
    LeaseRevoke,
    LeaseTimeToLive,
    Operation,
    Put,
    Range,
    SetNoSpace,
    StateMachine,
    Tick,
    Txn,
    encode_command,
)
from ferrite.sim import Violation
from ferrite.sim.checks.ghost import Ghost, next_chain
from ferrite.sim.checks.model import KvModel
from ferrite.sim.checks.replay import Model, replay

SECOND_US = 1_000_000


def log_of(*operations: Operation) -> Ghost:
    """A committed log of these commands, a second of cluster time apart."""
    ghost = Ghost()
    for number, operation in enumerate(operations, 1):
        command = encode_command(operation, origin=(NodeId(1), 1, RequestId(number)), session=None)
        entry = Entry(Term(1), encode_payload(EntryKind.COMMAND, number * SECOND_US, command))
        chain = next_chain(ghost.committed[-1], entry)
        ghost.committed.append(chain)
        ghost.committed_terms.append(1)
        ghost.entry_of[chain] = entry
    return ghost


def replayed(
    monkeypatch: pytest.MonkeyPatch, lie: Callable[[Any], None], operations: list[Operation]
) -> Model:
    """Replay on a machine that lies about its last entry. `lie` changes what an apply says."""

    class Liar(StateMachine):
        __slots__ = ()

        def apply(self, first_index: Any, entries: Any) -> Any:
            honest = super().apply(first_index, entries)
            said = SimpleNamespace(
                applied_index=honest.applied_index,
                batch=honest.batch,
                meta=honest.meta,
                outcomes=honest.outcomes,
                changes=honest.changes,
            )
            if first_index == len(operations):
                lie(said)
            return said

    monkeypatch.setattr(ferrite.sim.checks.replay, "StateMachine", Liar)
    return replay(log_of(*operations))


def answering(**fields: object) -> Callable[[Any], None]:
    """The last answer says something else."""

    def lie(said: Any) -> None:
        ((request, result),) = said.outcomes
        assert any(getattr(result, name) != value for name, value in fields.items()), "that is no lie"
        said.outcomes = ((request, replace(result, **fields)),)

    return lie


K = Put(key=b"k", value=b"1")
GRANT = LeaseGrant(lease_id=7, ttl_s=5)
HELD = Put(key=b"held", value=b"v", lease=7)
EQUAL = Compare(target=CompareTarget.VALUE, result=CompareResult.EQUAL, key=b"k", operand=b"1")
FAILED = CommandFailed(code=CommandErrorCode.NO_SPACE, detail="", revision=2)

ANSWERS: dict[str, tuple[list[Operation], dict[str, object]]] = {
    "a put's revision": ([K], {"revision": 7}),
    "what a put replaced": ([K, replace(K, prev_kv=True)], {"prev": None}),
    "whether a delete found something": ([K, Delete(key=b"k")], {"existed": False}),
    "what a batch found": ([K, Batch(operations=(K, Delete(key=b"other")))], {"existed": (True, True)}),
    "how many a range deletion took": ([K, DeleteRange(key=b"\x00", range_end=b"\x00")], {"deleted": 2}),
    "whether the compares hold": ([K, Txn(compares=(EQUAL,), success=(K,))], {"succeeded": False}),
    "what a transaction read": ([K, Txn(success=(Range(key=b"k"),))], {"results": ()}),
    "to where it is compacted": ([K, K, Compact(revision=2)], {"compacted": 3}),
    "the time that a lease was given": ([GRANT], {"ttl_s": 4}),
    "how many keys a lease took along": ([GRANT, HELD, LeaseRevoke(lease_id=7)], {"deleted": 0}),
    "the time that a lease was given again": ([GRANT, LeaseKeepAlive(lease_ids=(7, 8))], {"ttls_s": (5, 5)}),
    "how long a lease has left": ([GRANT, LeaseTimeToLive(lease_id=7)], {"remaining_us": 5 * SECOND_US}),
    "which keys a lease has": ([GRANT, HELD, LeaseTimeToLive(lease_id=7, with_keys=True)], {"keys": ()}),
    "why it failed": ([LeaseRevoke(lease_id=9)], {"code": CommandErrorCode.NO_SPACE}),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_a_lie_in_an_answer_is_caught(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    operations, fields = ANSWERS[what]
    assert replay(log_of(*operations)).revision >= 1
    with pytest.raises(Violation) as caught:
        replayed(monkeypatch, answering(**fields), operations)
    assert caught.value.name == "S26"


@pytest.mark.parametrize("command", [K, Batch(operations=(K,)), Txn(success=(K,)), Delete(key=b"k"), Tick()])
def test_a_failure_that_the_model_does_not_know_is_caught(
    command: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(said: Any) -> None:
        said.outcomes = ((said.outcomes[0][0], FAILED),)

    with pytest.raises(Violation) as caught:
        replayed(monkeypatch, fails, [K, command])
    assert caught.value.name == "S26"


def test_a_success_where_the_model_fails_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    succeeded: list[Any] = []
    replayed(monkeypatch, lambda said: succeeded.append(said.outcomes[0][1]), [K])

    def succeeds(said: Any) -> None:
        said.outcomes = ((said.outcomes[0][0], succeeded[0]),)

    with pytest.raises(Violation) as caught:
        replayed(monkeypatch, succeeds, [SetNoSpace(on=True), K])
    assert caught.value.name == "S26"


CHANGES: dict[str, Callable[[Any], Any]] = {
    "another value": lambda change: replace(change, value=b"another"),
    "another key": lambda change: replace(change, key=b"another"),
    "another lease": lambda change: replace(change, lease=7),
    "another version": lambda change: replace(change, version=9),
    "another creation": lambda change: replace(change, create_revision=9),
    "another predecessor": lambda change: replace(change, prev_revision=9),
    "a deletion": lambda change: replace(change, deleted=True),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_lie_about_a_change_is_caught(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def lies(said: Any) -> None:
        (group,) = said.changes
        said.changes = (replace(group, changes=tuple(CHANGES[what](each) for each in group.changes)),)

    with pytest.raises(Violation) as caught:
        replayed(monkeypatch, lies, [K, K])
    assert caught.value.name == "S26"


@pytest.mark.parametrize(
    "change", [lambda changes: changes[:1], lambda changes: changes[::-1], lambda changes: changes * 2]
)
def test_changes_that_are_left_out_or_out_of_order_are_caught(
    change: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lies(said: Any) -> None:
        (group,) = said.changes
        said.changes = (replace(group, changes=change(group.changes)),)

    with pytest.raises(Violation) as caught:
        replayed(monkeypatch, lies, [Batch(operations=(K, replace(K, key=b"l")))])
    assert caught.value.name == "S26"


def test_a_revision_that_does_not_move_with_a_change_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Violation) as caught:
        replayed(monkeypatch, lambda said: setattr(said, "changes", ()), [K])
    assert caught.value.name == "S20"


def test_a_revision_that_moves_without_a_change_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def lies(said: Any) -> None:
        said.meta = SimpleNamespace(revision=said.meta.revision + 1)

    with pytest.raises(Violation) as caught:
        replayed(monkeypatch, lies, [K, Tick()])
    assert caught.value.name == "S20"


@pytest.mark.parametrize("below", [False, True], ids=["what is left", "what is compacted"])
def test_history_that_is_read_otherwise_than_it_was_is_caught(
    below: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations: list[Operation] = [K, K, K, Compact(revision=3)]
    read = StateMachine.read

    def lies(machine: StateMachine, query: Any) -> Any:
        answer: Any = read(machine, query)
        if below:
            return read(machine, replace(query, revision=0)) if query.revision < 3 else answer
        return replace(answer, entries=()) if query.revision == 3 else answer

    monkeypatch.setattr(StateMachine, "read", lies)
    with pytest.raises(Violation) as caught:
        replay(log_of(*operations))
    assert caught.value.name == "S27"


def test_the_model_ends_a_lease_with_the_first_tick_at_its_time_and_not_before() -> None:
    model = KvModel()
    model.execute(GRANT)
    model.execute(HELD)
    model.time_us = 5 * SECOND_US - 1
    model.execute(Tick())
    assert set(model.leases) == {7} and model.revision == 2
    model.time_us += 1
    model.execute(K)
    assert set(model.leases) == {7}, "only a Tick ends leases"
    model.execute(Tick())
    assert not model.leases and set(model.present) == {b"k"} and model.revision == 4
