"""The witness check on histories made by hand: each lie is caught by its name."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ferrite.core import Entry, EntryKind, NodeId, RequestId, Term, encode_payload
from ferrite.core.kv import Delete, Put, Session, encode_command
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
        value=None,
        request_id=request_id,
        invoke_us=0,
        floor_revision=0,
        outcome=OK,
    )
    return replace(made, **fields)  # type: ignore[arg-type]  # fields of Operation


def history_of(*operations: Operation) -> History:
    history = History()
    history.operations.extend(operations)
    return history


TRUE = (
    operation("put", 1, value=b"1", revision=2),
    operation("get", 0, value=b"1", revision=2, mod_revision=2),
    operation("put", 2, value=b"2", revision=3, outcome=INFO),
    operation("get", 0, value=b"2", revision=3, mod_revision=3, floor_revision=3),
    operation("delete", 3, revision=4, existed=True),
    operation("get", 0, revision=4),
    operation("delete", 9, revision=4, existed=False),
    operation("put", 10, value=b"never", outcome=FAIL),
    operation("get", 0, value=b"1", revision=2, mod_revision=2, floor_revision=4, linearizable=False),
)


def test_a_true_history_passes() -> None:
    model = check_history(history_of(*TRUE), committed(*GHOST))
    assert model.revision == 4
    assert model.value_at(b"k", 3) == (3, b"2")


@pytest.mark.parametrize(
    "lie, name",
    [
        (lambda: operation("put", 1, value=b"1", revision=3), "F2"),
        (lambda: operation("put", 11, value=b"lost", revision=5), "F2"),
        (lambda: operation("get", 0, value=b"1", revision=3, mod_revision=2), "S22"),
        (lambda: operation("get", 0, value=b"phantom", revision=4, mod_revision=4), "S22"),
        (lambda: operation("get", 0, value=b"1", revision=2, mod_revision=2, floor_revision=3), "S18"),
        (lambda: operation("put", 2, value=b"2", revision=3, floor_revision=3), "S18"),
        (lambda: operation("put", 2, value=b"2", outcome=FAIL), "S22"),
        (lambda: operation("delete", 3, revision=4, existed=False), "S22"),
        (lambda: operation("delete", 12, revision=3, existed=False), "S22"),
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


def test_a_history_is_written_as_json_lines() -> None:
    lines = to_json_lines(TRUE).splitlines()
    assert len(lines) == len(TRUE)
    assert '"key": "6b"' in lines[0]
    assert '"outcome": "ok"' in lines[0]
