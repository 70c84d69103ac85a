"""The machine: deterministic, total, and without a trace of what was not written."""

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferrite.core import (
    Entry,
    EntryKind,
    Index,
    InvariantViolated,
    Member,
    Membership,
    NodeId,
    RequestId,
    Term,
    encode_membership,
    encode_payload,
)
from ferrite.core.kv import (
    Batch,
    CommandErrorCode,
    CommandFailed,
    Compact,
    Delete,
    DeleteRange,
    Get,
    GetResult,
    LeaseGrant,
    LeaseKeepAlive,
    LeaseRevoke,
    LeaseTimeToLive,
    MemoryStore,
    Operation,
    Put,
    PutResult,
    Range,
    SetNoSpace,
    StateCorrupt,
    StateMachine,
    Tick,
    Txn,
)
from tests.core.kv import helpers
from tests.core.kv.helpers import IDENTITY, SMALL_LIMITS, Machine, command, put, split


def test_an_empty_machine_is_at_index_0_and_revision_1() -> None:
    machine = StateMachine(MemoryStore(), IDENTITY)
    assert (machine.applied_index, machine.revision) == (0, 1)
    assert machine.recovered_state().applied_index == 0


def test_apply_returns_the_outcomes_of_this_boot_of_this_node_only() -> None:
    applied = Machine().apply(
        put(b"a", request=5), put(b"b", request=6, node=2), put(b"c", request=7, boot=8), put(b"d", request=8)
    )
    assert applied.outcomes == ((RequestId(5), PutResult(revision=2)), (RequestId(8), PutResult(revision=5)))
    assert (applied.applied_index, applied.applied_term) == (4, 1)


def test_what_was_not_written_leaves_no_trace() -> None:
    host = Machine()
    host.apply(put(b"a", b"old"))
    before = host.machine.state_hash()
    forgotten = host.machine.apply(Index(2), [put(b"a", b"new"), put(b"b")])
    assert host.machine.state_hash() == before
    assert (host.machine.revision, host.machine.applied_index) == (2, 1)
    assert host.machine.read(Get(key=b"b")) == GetResult(revision=2, entry=None)
    assert host.machine.apply(Index(2), [put(b"a", b"new"), put(b"b")]) == forgotten


def test_entries_out_of_order_are_an_invariant_violation() -> None:
    machine = StateMachine(MemoryStore(), IDENTITY)
    with pytest.raises(InvariantViolated, match="apply at 2 after 0"):
        machine.apply(Index(2), [put(b"a")])
    with pytest.raises(InvariantViolated, match="no entries"):
        machine.apply(Index(1), [])


def test_terms_never_decrease() -> None:
    host = Machine()
    host.apply(put(b"a", term=3))
    with pytest.raises(InvariantViolated, match="never decrease"):
        host.apply(put(b"a", term=2))


def test_a_batch_is_written_once() -> None:
    host = Machine()
    applied = host.apply(put(b"a"))
    with pytest.raises(InvariantViolated, match="once"):
        host.machine.advance(applied)


def test_cluster_time_never_goes_back() -> None:
    host = Machine()
    host.apply(put(b"a", time_us=50))
    host.apply(Entry(Term(2), encode_payload(EntryKind.NOOP, 40)))
    assert host.machine.recovered_state().time_us == 50
    host.apply(Entry(Term(2), encode_payload(EntryKind.NOOP, 60)))
    state = host.machine.recovered_state()
    assert (state.time_us, state.applied_index, state.applied_term) == (60, 3, 2)


def test_a_time_beyond_belief_is_ignored() -> None:
    host = Machine()
    host.apply(put(b"a", time_us=50), put(b"a", time_us=2**64 - 1))
    assert host.machine.recovered_state().time_us == 50


def test_the_applied_membership_is_recovered() -> None:
    membership = Membership(
        voters=(NodeId(1),), members={NodeId(1): Member(node_id=NodeId(1), http_addr="127.0.0.1:1")}
    )
    host = Machine()
    host.apply(Entry(Term(1), encode_payload(EntryKind.MEMBERSHIP, 9, encode_membership(membership))))
    assert host.machine.recovered_state().membership == membership
    assert host.machine.revision == 1


def test_a_membership_that_cannot_be_read_changes_nothing_but_the_applied_index() -> None:
    host = Machine()
    host.apply(Entry(Term(1), encode_payload(EntryKind.MEMBERSHIP, 9, b"nonsense")))
    assert host.machine.recovered_state().membership == Membership()
    assert host.machine.applied_index == 1


def envelope(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "version": 1, "origin": [1, 7, 3], "session": None, "principal": None, "feature": 0, "operation": [1, b"k", b"v"],
    }  # fmt: skip
    packed: bytes = msgpack.packb(list((fields | changes).values()))
    return packed


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"version": 2}, CommandErrorCode.UNSUPPORTED_VERSION),
        ({"version": "1"}, CommandErrorCode.MALFORMED),
        ({"principal": ["root", 1]}, CommandErrorCode.UNSUPPORTED_VERSION),
        ({"feature": 1}, CommandErrorCode.UNSUPPORTED_VERSION),
        ({"operation": [14, b"k"]}, CommandErrorCode.UNSUPPORTED_VERSION),
        ({"operation": [3, [[14, b"k"]]]}, CommandErrorCode.UNSUPPORTED_VERSION),
        ({"operation": [5, [], [[14]], []]}, CommandErrorCode.UNSUPPORTED_VERSION),
        ({"operation": [6, b"k"]}, CommandErrorCode.MALFORMED),
        ({"operation": [3, [[4, b"k", b"", False]]]}, CommandErrorCode.MALFORMED),
        ({"operation": [3, [[3, []]]]}, CommandErrorCode.MALFORMED),
        ({"operation": [True, b"k", b"v"]}, CommandErrorCode.MALFORMED),
        ({"operation": [1, "k", b"v"]}, CommandErrorCode.MALFORMED),
        ({"operation": [1, b"k"]}, CommandErrorCode.MALFORMED),
        ({"operation": [1, b"k" * 65537, b"v"]}, CommandErrorCode.MALFORMED),
        ({"operation": []}, CommandErrorCode.MALFORMED),
        ({"session": [b"", 1, 0]}, CommandErrorCode.MALFORMED),
        ({"session": [b"c" * 65, 1, 0]}, CommandErrorCode.MALFORMED),
        ({"session": [b"c", 0, 0]}, CommandErrorCode.MALFORMED),
        ({"session": [b"c", 2**63, 0]}, CommandErrorCode.MALFORMED),
        ({"operation": [1, b"", b"v"]}, CommandErrorCode.INVALID),
        ({"operation": [3, [[1, b"a", b"1"], [2, b"a"]]]}, CommandErrorCode.INVALID),
    ],
)
def test_a_bad_command_fails_and_changes_nothing(changes: dict[str, object], code: CommandErrorCode) -> None:
    host = Machine()
    host.apply(put(b"a"))
    applied = host.apply(Entry(Term(1), encode_payload(EntryKind.COMMAND, 0, envelope(**changes))))
    ((request, result),) = applied.outcomes
    assert request == 3
    assert isinstance(result, CommandFailed)
    assert result.code == code
    assert result.detail
    assert host.machine.revision == 2
    assert len(applied.batch) == 1, "the applied index alone"


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x01", b"\x01" * 8, b"\x07" + bytes(8) + b"x", b"\x01" + bytes(8), b"\x01" + bytes(8) + b"\xc1"],
)
def test_a_payload_without_a_readable_origin_is_applied_as_nothing(payload: bytes) -> None:
    host = Machine()
    applied = host.apply(Entry(Term(1), payload))
    assert (applied.outcomes, applied.applied_index, len(applied.batch)) == ((), 1, 1)


@given(st.binary(max_size=60))
def test_any_command_bytes_have_an_answer_or_none(body: bytes) -> None:
    host = Machine()
    host.apply(Entry(Term(1), encode_payload(EntryKind.COMMAND, 0, body)))
    assert host.machine.applied_index == 1


@settings(max_examples=60)
@given(helpers.entries, st.lists(st.integers(1, 6), max_size=12))
def test_any_split_of_the_entries_gives_the_same_state_and_the_same_results(
    entries: list[Entry], sizes: list[int]
) -> None:
    one_by_one, batched = Machine(limits=SMALL_LIMITS), Machine(limits=SMALL_LIMITS)
    results = [outcome for entry in entries for outcome in one_by_one.apply(entry).outcomes]
    assert [outcome for part in split(entries, sizes) for outcome in batched.apply(*part).outcomes] == results
    assert batched.machine.state_hash() == one_by_one.machine.state_hash()
    reopened = StateMachine(one_by_one.store, IDENTITY)
    assert reopened.revision == one_by_one.machine.revision
    assert reopened.recovered_state() == one_by_one.machine.recovered_state()


def test_groups_share_a_store_without_meeting() -> None:
    store = MemoryStore()
    first = StateMachine(store, IDENTITY, group_id=0)
    second = StateMachine(store, IDENTITY, group_id=1)
    for machine, data in ((first, b"1"), (second, b"2")):
        applied = machine.apply(Index(1), [put(b"k", data), put(b"\xff" * 9)])
        store.write(applied.batch)
        machine.advance(applied)
    hash_before = second.state_hash()
    applied = first.apply(Index(3), [command(Delete(key=b"k"))])
    store.write(applied.batch)
    first.advance(applied)
    assert second.state_hash() == hash_before
    assert first.read(Get(key=b"k")) == GetResult(revision=4, entry=None)
    found = second.read(Get(key=b"k"))
    assert isinstance(found, GetResult)
    assert found.entry is not None
    assert found.entry.value == b"2"


def test_a_state_of_another_layout_is_refused() -> None:
    store = MemoryStore()
    store.write([(b"\x00\x00\x00\x00\x10applied", msgpack.packb([1, 1, 1, 0, 1, 0, 0, 0, 0, 0]))])
    with pytest.raises(StateCorrupt, match="layout is 1; this version of Ferrite reads layout 2"):
        StateMachine(store, IDENTITY)


def test_a_pointer_into_nothing_is_corruption() -> None:
    host = Machine()
    host.apply(command(Put(key=b"k", value=b"v")))
    host.store.write([(b"\x00\x00\x00\x00\x40" + bytes(7) + b"\x02" + bytes(4), None)])
    with pytest.raises(StateCorrupt, match="not there"):
        host.machine.read(Get(key=b"k"))


NO_SPACE_REFUSES: list[Operation] = [
    Put(key=b"a"),
    Batch(operations=(Delete(key=b"a"), Put(key=b"b", value=b""))),
    Txn(success=(DeleteRange(key=b"a"),), failure=(Txn(failure=(Put(key=b"b"),)),)),
    LeaseGrant(lease_id=9, ttl_s=5),
]
NO_SPACE_TAKES: list[Operation] = [
    Batch(operations=(Delete(key=b"x"),)),
    Txn(success=(DeleteRange(key=b"x"), Range(key=b"a"))),
    LeaseKeepAlive(lease_ids=(1,)),
    LeaseTimeToLive(lease_id=1),
    LeaseRevoke(lease_id=1),
    DeleteRange(key=b"a"),
    Delete(key=b"b"),
    Compact(revision=3),
    Tick(),
]


def test_without_space_what_adds_is_refused_and_the_rest_goes_on() -> None:
    host = Machine()
    host.apply(put(b"a"), put(b"b"), command(LeaseGrant(lease_id=1, ttl_s=5)), command(SetNoSpace(on=True)))
    modes = [host.machine.no_space]
    for operation in NO_SPACE_REFUSES:
        failed = host.result(command(operation))
        assert isinstance(failed, CommandFailed)
        assert (failed.code, failed.revision) == (CommandErrorCode.NO_SPACE, 3)
    for operation in NO_SPACE_TAKES:
        assert not isinstance(host.result(command(operation)), CommandFailed), operation
    host.apply(command(SetNoSpace(on=False)))
    modes.append(host.machine.no_space)
    assert modes == [True, False]
    assert host.result(put(b"a")) == PutResult(revision=6)


def test_a_transaction_that_may_change_something_is_no_query() -> None:
    failed = Machine().machine.read(Txn(failure=(Put(key=b"a"),)))
    assert isinstance(failed, CommandFailed)
    assert failed.code == CommandErrorCode.INVALID
