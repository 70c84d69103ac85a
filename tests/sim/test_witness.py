"""The witness check on histories made by hand: each lie is caught by its name."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from ferrite.core import Entry, EntryKind, NodeId, RequestId, Term, encode_payload
from ferrite.core.kv import Batch, Delete, KeyValue, Put, Session, encode_command
from ferrite.sim import Violation
from ferrite.sim.checks.ghost import Ghost, next_chain
from ferrite.sim.checks.witness import check_history
from ferrite.sim.history import FAIL, INFO, OK, History, Operation, to_json_lines


def committed(*operations: Put | Delete) -> Ghost:
    """A committed log of these operations, each the next request of the session `c`."""
    ghost = Ghost()
    for number, operation in enumerate(operations, 1):
        session = Session(client_id=b"c", request_id=number, lowest_unacknowledged=number)
        command = encode_command(operation, origin=(NodeId(1), 1, RequestId(number)), session=session)
        entry = Entry(Term(1), encode_payload(EntryKind.COMMAND, number, command))
        chain = next_chain(ghost.committed[-1], entry)
        ghost.committed.append(chain)
        ghost.committed_terms.append(1)
        ghost.entry_of[chain] = entry
    return ghost


GHOST = (Put(key=b"k", value=b"1"), Put(key=b"k", value=b"2"), Delete(key=b"k"))


def operation(kind: str, request_id: int, **fields: object) -> Operation:
    made = Operation(
        number=0,
        client="c",
        kind=kind,
        key=b"k",
        command=None,
        request_id=request_id,
        invoke_us=0,
        floor_revision=0,
        outcome=OK,
    )
    return replace(made, **fields)  # type: ignore[arg-type]  # fields of Operation


def put(request_id: int, value: bytes, **fields: object) -> Operation:
    return operation("put", request_id, command=Put(key=b"k", value=value), **fields)


def delete(request_id: int, *, existed: bool, **fields: object) -> Operation:
    return operation("delete", request_id, command=Delete(key=b"k"), existed=(existed,), **fields)


def get(value: bytes | None, revision: int, mod_revision: int = 0, **fields: object) -> Operation:
    seen = KeyValue(key=b"k", value=value or b"", create_revision=2, mod_revision=mod_revision, version=1)
    return operation("get", 0, entries=() if value is None else (seen,), revision=revision, **fields)


def history_of(*operations: Operation) -> History:
    history = History()
    history.operations.extend(operations)
    return history


TRUE = (
    put(1, b"1", revision=2),
    get(b"1", 2, 2),
    put(2, b"2", outcome=INFO),
    get(b"2", 3, 3, floor_revision=3),
    delete(3, existed=True, revision=4),
    get(None, 4),
    delete(9, existed=False, revision=4),
    put(10, b"never", outcome=FAIL),
    get(b"1", 2, 2, floor_revision=4, linearizable=False),
)


def test_a_true_history_passes() -> None:
    model = check_history(history_of(*TRUE), committed(*GHOST))
    assert model.revision == 4
    assert model.value_at(b"k", 3) == (3, b"2")


@pytest.mark.parametrize(
    "lie, name",
    [
        (lambda: put(1, b"1", revision=3), "F2"),
        (lambda: put(11, b"lost", revision=5), "F2"),
        (lambda: get(b"1", 3, 2), "S22"),
        (lambda: get(b"phantom", 4, 4), "S22"),
        (lambda: get(b"1", 2, 2, floor_revision=3), "S18"),
        (lambda: put(2, b"2", revision=3, floor_revision=3), "S18"),
        (lambda: put(2, b"2", outcome=FAIL), "S22"),
        (lambda: delete(3, existed=False, revision=4), "S22"),
        (lambda: delete(12, existed=False, revision=3), "S22"),
    ],
)
def test_a_lie_is_caught(lie: Callable[[], Operation], name: str) -> None:
    with pytest.raises(Violation, match=f"^{name}: "):
        check_history(history_of(*TRUE, lie()), committed(*GHOST))


def test_another_state_than_the_replay_is_caught() -> None:
    ghost = committed(*GHOST)
    ghost.state_hashes[2] = bytes(32)
    with pytest.raises(Violation, match=r"^S16: "):
        check_history(History(), ghost)


def test_another_fingerprint_than_that_of_the_replay_is_caught() -> None:
    ghost = committed(*GHOST)
    ghost.fingerprints[2] = 1
    with pytest.raises(Violation, match=r"^S16: "):
        check_history(History(), ghost)


def test_a_history_is_written_as_json_lines_in_real_time_order() -> None:
    first = replace(put(1, b"1", revision=2), invoke_us=10, complete_us=30)
    both = Batch(operations=(Put(key=b"a", value=b"x"), Delete(key=b"k")))
    second = replace(
        operation("batch", 2, command=both, revision=3, existed=(False, True)), invoke_us=20, complete_us=40
    )
    third = replace(operation("list", 0, revision=3), number=7, invoke_us=50, complete_us=60)
    rows = [json.loads(line) for line in to_json_lines([first, second, third]).splitlines()]
    assert [(row["type"], row["f"], row["key"]) for row in rows] == [
        ("invoke", "put", "k"),
        ("invoke", "put", "a"),
        ("invoke", "delete", "k"),
        ("ok", "put", "k"),
        ("ok", "put", "a"),
        ("ok", "delete", "k"),
        ("invoke", "get", "a"),
        ("invoke", "get", "k"),
        ("ok", "get", "a"),
        ("ok", "get", "k"),
    ]
    assert rows[5]["existed"] is True
    assert rows[-1]["value"] is None
