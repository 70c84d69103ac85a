"""Exactly-once: retries, windows, expiry, tombstones."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.core import Entry
from ferrite.core.kv import (
    Batch,
    BatchResult,
    CommandErrorCode,
    CommandFailed,
    CommandResult,
    CompactResult,
    Delete,
    DeleteRangeResult,
    DeleteResult,
    Done,
    KeyValue,
    LeaseGrantResult,
    LeaseKeepAliveResult,
    LeaseRevokeResult,
    LeaseTimeToLiveResult,
    MemoryStore,
    Operation,
    Put,
    PutResult,
    Range,
    RangeResult,
    Session,
    SessionLimits,
    StateCorrupt,
    Txn,
    TxnOperationResult,
    TxnResult,
)
from ferrite.core.kv.layout import Layout
from ferrite.core.kv.results_codec import decode_result, encode_result
from ferrite.core.kv.sessions import ACTIVITY_GRANULE_US, REPLY_BYTES_MAX, SESSION_TTL_US
from tests.core.kv.helpers import Machine, command, put


def in_session(
    request_id: int,
    operation: Operation | None = None,
    *,
    client: bytes = b"c",
    lowest: int = 0,
    time_us: int = 0,
) -> Entry:
    session = Session(client_id=client, request_id=request_id, lowest_unacknowledged=lowest)
    return command(operation or Put(key=b"k", value=b"v"), session=session, time_us=time_us)


def refused(result: CommandResult) -> CommandErrorCode:
    assert isinstance(result, CommandFailed), result
    return result.code


@pytest.mark.parametrize(
    "operation, reply",
    [
        (Put(key=b"a", value=b"2"), PutResult(revision=3)),
        (Delete(key=b"a"), DeleteResult(revision=3, existed=True)),
        (
            Batch(operations=(Delete(key=b"a"), Delete(key=b"b"))),
            BatchResult(revision=3, existed=(True, False)),
        ),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_retry_gets_the_first_reply_and_runs_nothing(
    operation: Operation, reply: CommandResult, together: bool
) -> None:
    host = Machine()
    host.apply(put(b"a"))
    if together:
        results = host.results(in_session(1, operation), put(b"other"), in_session(1, operation))
    else:
        results = [
            host.result(entry)
            for entry in (in_session(1, operation), put(b"other"), in_session(1, operation))
        ]
    assert results == [reply, PutResult(revision=4), reply]
    assert host.machine.revision == 4


def test_a_failure_is_a_reply_that_is_remembered_as_well() -> None:
    host = Machine()
    first, again = (host.result(in_session(1, Put(key=b"", value=b""))) for _ in range(2))
    assert refused(first) == CommandErrorCode.INVALID
    assert again == first


def test_the_same_number_with_another_operation_is_a_mismatch() -> None:
    host = Machine()
    host.apply(in_session(1))
    assert (
        refused(host.result(in_session(1, Put(key=b"k", value=b"other"))))
        == CommandErrorCode.REQUEST_MISMATCH
    )
    assert host.result(in_session(1)) == PutResult(revision=2)


def test_requests_may_come_in_any_order() -> None:
    host = Machine()
    assert host.results(*(in_session(number) for number in (3, 1, 2))) == [
        PutResult(revision=n) for n in (2, 3, 4)
    ]


def test_what_the_client_acknowledged_is_forgotten_and_refused() -> None:
    host = Machine()
    host.apply(in_session(1), in_session(2), in_session(3, lowest=3))
    assert refused(host.result(in_session(2))) == CommandErrorCode.REQUEST_FORGOTTEN
    assert host.result(in_session(3)) == PutResult(revision=4)


def test_a_request_below_its_own_lowest_unacknowledged_is_refused_and_opens_no_session() -> None:
    host = Machine()
    assert refused(host.result(in_session(1, lowest=2))) == CommandErrorCode.REQUEST_FORGOTTEN
    assert host.machine.session_count == 0


def test_the_oldest_reply_over_the_window_is_forgotten_and_never_run_again() -> None:
    host = Machine(limits=SessionLimits(replies_max=4))
    host.apply(*(in_session(number) for number in (1, 3, 2, 5, 4)))
    assert refused(host.result(in_session(1))) == CommandErrorCode.REQUEST_FORGOTTEN
    assert host.result(in_session(2)) == PutResult(revision=4)
    assert host.machine.revision == 6


def test_clients_do_not_meet() -> None:
    host = Machine()
    assert host.results(in_session(1), in_session(1, client=b"d")) == [
        PutResult(revision=2),
        PutResult(revision=3),
    ]
    assert host.machine.session_count == 2


END_US = SESSION_TTL_US + ACTIVITY_GRANULE_US


def test_a_silent_session_expires_and_its_retry_is_refused() -> None:
    host = Machine()
    host.apply(in_session(1), put(b"x", time_us=END_US - 1))
    assert host.machine.session_count == 1
    host.apply(put(b"x", time_us=END_US))
    assert host.machine.session_count == 0
    assert refused(host.result(in_session(1))) == CommandErrorCode.SESSION_EXPIRED
    assert refused(host.result(in_session(2))) == CommandErrorCode.SESSION_EXPIRED


def test_a_retry_that_comes_at_the_last_moment_finds_its_session_expired() -> None:
    host = Machine()
    host.apply(in_session(1))
    assert refused(host.result(in_session(1, time_us=END_US))) == CommandErrorCode.SESSION_EXPIRED


def test_a_session_that_is_used_lives_on() -> None:
    host = Machine()
    host.apply(in_session(1), in_session(2, time_us=SESSION_TTL_US))
    host.apply(in_session(3, time_us=SESSION_TTL_US + END_US - 1))
    assert host.result(in_session(2)) == PutResult(revision=3)


def test_little_activity_is_not_noted() -> None:
    host = Machine()
    host.apply(in_session(1))
    batch = host.apply(in_session(2, time_us=ACTIVITY_GRANULE_US - 1)).batch
    assert len(batch) == 5, "the put's pointer, history and change, the session, the applied index"
    assert len(host.apply(in_session(3, time_us=ACTIVITY_GRANULE_US)).batch) == 7, "and the activity moved"


LIMITS = SessionLimits(sessions_max=3, ended_together=2, tombstones_max=3, ttl_us=1000, activity_granule_us=1)


def clients(count: int) -> list[Entry]:
    return [in_session(1, client=b"c%d" % number, time_us=10 + number) for number in range(count)]


def test_one_session_too_many_ends_the_longest_silent_in_bulk() -> None:
    host = Machine(limits=LIMITS)
    host.apply(*clients(4))
    assert host.machine.session_count == 2
    assert [refused(host.result(in_session(1, client=client))) for client in (b"c0", b"c1")] == [
        CommandErrorCode.SESSION_EXPIRED
    ] * 2
    assert host.result(in_session(1, client=b"c2")) == PutResult(revision=4)


def test_tombstones_are_bounded_and_the_oldest_goes_first() -> None:
    host = Machine(limits=LIMITS)
    host.apply(
        *clients(7)
    )  # the 4th ends c0 and c1, the 6th c2 and c3: four tombstones, c0's is one too many
    assert refused(host.result(in_session(1, client=b"c1"))) == CommandErrorCode.SESSION_EXPIRED
    assert host.result(in_session(1, client=b"c0")) == PutResult(revision=9), "taken for a new client"


def test_an_entry_ends_a_bounded_number_of_sessions_and_the_next_ones_go_on() -> None:
    host = Machine(limits=LIMITS)
    host.apply(*clients(3))
    counts = []
    for _ in range(3):
        host.apply(put(b"x", time_us=5000))
        counts.append(host.machine.session_count)
    assert counts == [1, 0, 0]


READS_BIG = Txn(success=(Put(key=b"counter"), Range(key=b"big")))


def test_an_answer_too_large_to_be_remembered_is_not_run_again() -> None:
    host = Machine()
    host.apply(put(b"big", bytes(REPLY_BYTES_MAX)))
    first = host.result(in_session(1, READS_BIG))
    assert isinstance(first, TxnResult)
    again = host.result(in_session(1, READS_BIG))
    assert refused(again) == CommandErrorCode.REPLY_TOO_LARGE
    assert again.revision == first.revision == host.machine.revision


def test_answers_over_the_bytes_of_a_session_are_forgotten_the_oldest_first() -> None:
    host = Machine(limits=SessionLimits(session_bytes_max=250))
    host.apply(put(b"big", bytes(60)))
    host.apply(*(in_session(number, READS_BIG) for number in (1, 3, 2, 4)))
    revision = host.machine.revision
    assert refused(host.result(in_session(1, READS_BIG))) == CommandErrorCode.REQUEST_FORGOTTEN
    assert all(isinstance(host.result(in_session(number, READS_BIG)), TxnResult) for number in (3, 4))
    assert host.machine.revision == revision


class ReadStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.reads: list[bytes] = []

    def get(self, key: bytes) -> bytes | None:
        self.reads.append(key)
        return super().get(key)


def test_a_session_is_read_and_written_once_in_an_apply() -> None:
    store = ReadStore()
    host = Machine(store)
    host.apply(in_session(1))
    applied = host.apply(*(in_session(number) for number in range(2, 50)))
    session = Layout(0).session(b"c")
    assert store.reads.count(session) == 2, "once in each"
    assert [key for key, _ in applied.batch].count(session) == 1


def test_a_refused_request_writes_no_session() -> None:
    host = Machine()
    host.apply(in_session(5, lowest=5))
    assert len(host.apply(in_session(1)).batch) == 1, "the applied index alone"


pairs = st.builds(
    KeyValue,
    key=st.binary(max_size=3),
    value=st.binary(max_size=3),
    create_revision=st.integers(0, 2**62),
    mod_revision=st.just(3),
    version=st.integers(0, 5),
    lease=st.integers(0, 2**63 - 1),
)
some_pairs = st.lists(pairs, max_size=3).map(tuple)
numbers = st.integers(0, 2**62)
inner: st.SearchStrategy[PutResult | DeleteRangeResult | RangeResult] = st.one_of(
    st.builds(PutResult, revision=numbers, prev=st.none() | pairs),
    st.builds(DeleteRangeResult, revision=numbers, deleted=numbers, prev=some_pairs),
    st.builds(
        RangeResult, revision=numbers, entries=some_pairs, more=st.booleans(), count=st.integers(-1, 9)
    ),
)


def txn_results(of: st.SearchStrategy[TxnOperationResult]) -> st.SearchStrategy[TxnResult]:
    return st.builds(
        TxnResult, revision=numbers, succeeded=st.booleans(), results=st.lists(of, max_size=3).map(tuple)
    )


@given(
    st.one_of(
        inner.filter(lambda result: not isinstance(result, RangeResult)),
        txn_results(inner | txn_results(inner)),
        st.builds(DeleteResult, revision=numbers, existed=st.booleans()),
        st.builds(BatchResult, revision=numbers, existed=st.lists(st.booleans(), max_size=20).map(tuple)),
        st.builds(CompactResult, revision=numbers, compacted=numbers),
        st.builds(LeaseGrantResult, revision=numbers, lease_id=numbers, ttl_s=numbers),
        st.builds(LeaseRevokeResult, revision=numbers, deleted=numbers),
        st.builds(LeaseKeepAliveResult, revision=numbers, ttls_s=st.lists(numbers).map(tuple)),
        st.builds(
            LeaseTimeToLiveResult,
            revision=numbers,
            remaining_us=st.integers(-1, 2**62),
            granted_ttl_s=numbers,
            keys=st.lists(st.binary(max_size=2)).map(tuple),
        ),
        st.builds(Done, revision=numbers),
        st.builds(CommandFailed, code=st.sampled_from(CommandErrorCode), detail=st.text(), revision=numbers),
    )
)
def test_a_remembered_answer_comes_back_as_it_was(result: CommandResult) -> None:
    assert decode_result(encode_result(result)) == result


@pytest.mark.parametrize(
    "fields",
    [[], [99, 1], [1], [0, 999, "x", 1], [6, 1, [], False, 0], [5, 1, True, [[12, 1]]], [1, 1, [b"k"]], 7],
)
def test_an_answer_that_cannot_be_read_is_corruption(fields: object) -> None:
    with pytest.raises(StateCorrupt):
        decode_result(msgpack.packb(fields))
