from pathlib import Path

import pytest

from ferrite.core import Entry, EntryKind, HardState, Index, Term, actions, encode_payload, events
from ferrite.core.kv import SnapshotInvalid
from ferrite.io.data_dir import DataDirLocked
from ferrite.io.storage import Storage, open_storage
from tests.io.test_requests import config_of

CLUSTER = b"c" * 16
NOOP = Entry(Term(1), encode_payload(EntryKind.NOOP, 1))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(config_of(tmp_path / "data"))


def test_a_new_directory_is_recovered_as_nothing(storage: Storage) -> None:
    recovered = storage.recovered
    assert (recovered.identity.node_id, recovered.identity.boot) == (1, 1)
    assert (recovered.log.last_index, recovered.state.applied_index) == (0, 0)
    storage.close()


def test_what_was_persisted_and_applied_is_recovered_at_the_next_boot(
    storage: Storage, tmp_path: Path
) -> None:
    reports: list[events.Event] = []
    storage.start(reports.extend)
    hard_state = HardState(cluster_id=CLUSTER, term=Term(1))
    storage.log.persist(
        actions.Persist(write_seq=1, first_index=Index(1), entries=(NOOP, NOOP), hard_state=hard_state)
    )
    storage.state.apply(Index(1), (NOOP,))
    storage.close()
    assert reports == [events.Persisted(write_seq=1)]
    again = open_storage(config_of(tmp_path / "data"))
    recovered = again.recovered
    assert recovered.identity.boot == 2
    assert recovered.identity.instance == storage.recovered.identity.instance
    assert (recovered.log.hard_state, recovered.log.last_index, recovered.state.applied_index) == (
        hard_state,
        2,
        1,
    )
    again.close()


def test_a_directory_is_given_back_when_opening_fails(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(DataDirLocked):
        open_storage(config_of(tmp_path / "data"))
    storage.close()
    pointer = tmp_path / "data" / "state" / "CURRENT"
    good = pointer.read_bytes()
    pointer.write_bytes(b"nonsense")
    with pytest.raises(Exception, match="nonsense"):
        open_storage(config_of(tmp_path / "data"))
    pointer.write_bytes(good)
    open_storage(config_of(tmp_path / "data")).close()


def test_a_snapshot_travels_in_pieces_and_replaces_the_state_of_another_node(
    storage: Storage, tmp_path: Path
) -> None:
    other = open_storage(config_of(tmp_path / "other", node__id="2"))
    storage.state.apply(Index(1), (NOOP, NOOP, NOOP))
    saved = storage.snapshots.begin_save(CLUSTER)()
    offset, done = 0, False
    while not done:
        data, done = storage.snapshots.read_chunk(saved, offset, 50)
        other.snapshots.store_chunk(saved, offset, data)
        offset += len(data)
    with pytest.raises(SnapshotInvalid):
        other.snapshots.install(saved, b"x" * 16)
    assert other.state.applied_index == 0
    assert other.snapshots.install(saved, CLUSTER).applied_index == 3
    assert other.state.applied_index == 3
    storage.close()
    other.close()


def test_a_newer_snapshot_takes_the_place_of_the_one_before_but_not_of_what_is_received(
    storage: Storage, tmp_path: Path
) -> None:
    storage.state.apply(Index(1), (NOOP,))
    first = storage.snapshots.begin_save(CLUSTER)()
    coming = type(first)(snapshot_id=b"r" * 16, last_index=Index(9), last_term=Term(1), size_bytes=4)
    storage.snapshots.store_chunk(coming, 0, b"ab")
    storage.state.apply(Index(2), (NOOP,))
    second = storage.snapshots.begin_save(CLUSTER)()
    with pytest.raises(SnapshotInvalid):
        storage.snapshots.read_chunk(first, 0, 10)
    assert storage.snapshots.read_chunk(second, 0, 10)[0]
    storage.snapshots.store_chunk(coming, 2, b"cd")
    storage.close()


def test_a_write_of_the_log_that_does_not_come_back_is_a_problem(storage: Storage) -> None:
    storage.start(lambda _: None)
    assert storage.problems() == []
    storage.log._now_us = lambda: 3_500_000
    storage.log.stalled_since_us = 2_000_000
    assert storage.problems() == ["disk: a write of the Raft log has not finished for 1500 ms"]
    storage.log.stalled_since_us = 3_000_000
    assert storage.problems() == []
