"""Keys and versions against a dumb model; listings; the cost of an operation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrite.core import Index
from ferrite.core.kv import (
    Batch,
    CommandFailed,
    Delete,
    Exists,
    ExistsResult,
    Get,
    GetResult,
    ListKeys,
    ListKeysResult,
    MemoryStore,
    Operation,
    Put,
    ReadLimits,
    StateMachine,
)
from ferrite.core.kv.layout import Layout, escape, successor_of_prefix
from ferrite.core.kv.records import DELETED, decode_change
from tests.core.kv import helpers
from tests.core.kv.helpers import IDENTITY, Machine, Model, Plain, command, put


def listing(machine: StateMachine, query: ListKeys) -> ListKeysResult:
    found = machine.read(query)
    assert isinstance(found, ListKeysResult)
    return found


@given(st.lists(helpers.operations, max_size=25))
def test_the_machine_is_the_model(operations: list[Plain]) -> None:
    host, model = Machine(), Model()
    for operation in operations:
        result, wanted = host.result(command(operation)), model.apply(operation)
        if isinstance(wanted, CommandFailed):
            assert isinstance(result, CommandFailed)
            assert result.code == wanted.code
        else:
            assert result == wanted
    assert host.machine.revision == model.revision
    for key in {*helpers.KEYS, *model.versions}:
        expected = model.value(key)
        found = host.machine.read(Get(key=key))
        assert isinstance(found, GetResult)
        assert (found.entry.value if found.entry else None) == expected
        assert host.machine.read(Exists(key=key)) == ExistsResult(
            revision=model.revision, exists=expected is not None
        )
        if found.entry:
            entry = found.entry
            assert (entry.create_revision, entry.mod_revision, entry.version) == model.bookkeeping(key)
    assert [entry.key for entry in listing(host.machine, ListKeys()).entries] == model.present()


@given(st.lists(helpers.operations, max_size=25))
def test_every_version_that_ever_was_can_be_found_again(operations: list[Plain]) -> None:
    """What reads at a revision and watches will stand on: the revision records, and history plus pointers for each key."""
    host, model, layout = Machine(), Model(), Layout(0)
    for operation in operations:
        host.apply(command(operation))
        model.apply(operation)
    recorded: dict[bytes, list[tuple[int, bytes | None]]] = {}
    for place, data in host.store.scan(layout.revision(0, 0), layout.revision(2**63, 0)):
        revision = int.from_bytes(place[5:13], "big")
        change = decode_change(data, revision)
        recorded.setdefault(change.key, []).append((revision, None if change.deleted else change.value))
        indexed = host.store.get(layout.history(change.key, revision))
        if indexed is None:  # then it is the latest
            pointer = host.store.get(layout.key(change.key))
            assert pointer is not None
            assert pointer[:12] == place[5:17]
        else:
            assert (indexed == DELETED) == change.deleted
            assert change.deleted or indexed[:12] == place[5:17]
    assert recorded == model.versions
    history = list(host.store.scan(b"\x00\x00\x00\x00\x30", b"\x00\x00\x00\x00\x31"))
    assert len(history) + len(model.present()) == sum(len(versions) for versions in model.versions.values())


@given(
    st.lists(helpers.keys.filter(bool), unique=True, max_size=20),
    helpers.keys,
    helpers.keys,
    st.integers(0, 5),
    st.booleans(),
)
def test_a_listing_is_the_sorted_keys_with_the_prefix(
    keys: list[bytes], prefix: bytes, after: bytes, limit: int, keys_only: bool
) -> None:
    host = Machine()
    host.apply(*(put(key, key + b"!") for key in keys), put(b"zz"))
    query = ListKeys(prefix=prefix, after=after, limit=limit, keys_only=keys_only)
    wanted = sorted(key for key in {*keys, b"zz"} if key.startswith(prefix) and (not after or key > after))
    found = listing(host.machine, query)
    shown = wanted[:limit] if limit else wanted
    assert [entry.key for entry in found.entries] == shown
    assert found.more == (len(wanted) > len(shown))
    assert all(
        entry.value == (b"" if keys_only else b"v" if entry.key == b"zz" else entry.key + b"!")
        for entry in found.entries
        if entry.key != b"zz"
    )


def test_a_listing_is_bounded_in_keys_and_bytes_and_goes_on_where_it_ended() -> None:
    store = MemoryStore()
    Machine(store).apply(*(put(b"k%d" % number, b"x" * 100) for number in range(9)))
    by_keys = StateMachine(store, IDENTITY, read_limits=ReadLimits(list_keys_max=4))
    by_bytes = StateMachine(store, IDENTITY, read_limits=ReadLimits(list_bytes_max=250))
    assert len(listing(by_keys, ListKeys(limit=1000)).entries) == 4
    for machine, page in ((by_keys, 4), (by_bytes, 2)):
        seen: list[bytes] = []
        while True:
            found = listing(machine, ListKeys(prefix=b"k", after=seen[-1] if seen else b"", keys_only=False))
            assert 1 <= len(found.entries) <= page
            seen += [entry.key for entry in found.entries]
            if not found.more:
                break
        assert seen == [b"k%d" % number for number in range(9)]


def test_one_value_above_the_bytes_of_a_page_comes_alone() -> None:
    store = MemoryStore()
    Machine(store).apply(put(b"a", b"x" * 1000), put(b"b"))
    found = listing(
        StateMachine(store, IDENTITY, read_limits=ReadLimits(list_bytes_max=10)), ListKeys(keys_only=False)
    )
    assert ([entry.key for entry in found.entries], found.more) == ([b"a"], True)


def test_a_batch_happens_at_one_revision_and_tells_what_was_there() -> None:
    host = Machine()
    host.apply(put(b"a"), put(b"b"))
    batch = Batch(
        operations=(Put(key=b"a", value=b"2"), Delete(key=b"b"), Delete(key=b"c"), Put(key=b"d", value=b"4"))
    )
    result = host.result(command(batch))
    assert (result.revision, result.existed) == (4, (True, True, False, False))  # type: ignore[union-attr]  # a BatchResult
    assert [(e.key, e.mod_revision, e.version) for e in listing(host.machine, ListKeys()).entries] == [
        (b"a", 4, 2),
        (b"d", 4, 1),
    ]


def test_a_batch_that_changes_nothing_keeps_the_revision() -> None:
    host = Machine()
    host.apply(put(b"a"))
    for batch in (Batch(operations=()), Batch(operations=(Delete(key=b"x"), Delete(key=b"y")))):
        result = host.result(command(batch))
        assert (result.revision, result.existed) == (2, (False,) * len(batch.operations))  # type: ignore[union-attr]  # a BatchResult


def test_a_key_made_again_begins_at_version_1() -> None:
    host = Machine()
    host.apply(put(b"a"), put(b"a"), command(Delete(key=b"a")), put(b"a", b"new"))
    (entry,) = listing(host.machine, ListKeys(keys_only=False)).entries
    assert (entry.create_revision, entry.mod_revision, entry.version, entry.value) == (5, 5, 1, b"new")


class CountingStore(MemoryStore):
    gets = 0

    def get(self, key: bytes) -> bytes | None:
        self.gets += 1
        return super().get(key)


@pytest.mark.parametrize(
    "operation, gets, records",
    [
        (Put(key=b"new", value=b"v"), 1, 2),
        (Put(key=b"old", value=b"v"), 1, 3),
        (Delete(key=b"old"), 1, 4),
        (Delete(key=b"new"), 1, 0),
    ],
)
def test_an_operation_costs_what_the_layout_says(operation: Operation, gets: int, records: int) -> None:
    store = CountingStore()
    host = Machine(store)
    host.apply(put(b"old"))
    store.gets = 0
    applied = host.machine.apply(Index(2), [command(operation)])
    assert (store.gets, len(applied.batch)) == (gets, records + 1), "one more record: the applied index"


def test_the_latest_value_is_two_gets_away() -> None:
    store = CountingStore()
    host = Machine(store)
    host.apply(put(b"k"))
    store.gets = 0
    host.machine.read(Get(key=b"k"))
    assert store.gets == 2


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_escaping_keeps_the_order_and_ends_itself(one: bytes, other: bytes) -> None:
    assert (escape(one) < escape(other)) == (one < other)
    assert one == other or not escape(one).startswith(escape(other))


@pytest.mark.parametrize(
    "prefix, successor", [(b"a", b"b"), (b"a\xff", b"b"), (b"a\xff\xff", b"b"), (b"\x00", b"\x01")]
)
def test_the_successor_of_a_prefix_is_above_all_that_begin_with_it(prefix: bytes, successor: bytes) -> None:
    assert successor_of_prefix(prefix) == successor
