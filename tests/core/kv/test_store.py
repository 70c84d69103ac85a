"""The memory store and the overlay against a plain dictionary."""

from hypothesis import given
from hypothesis import strategies as st

from ferrite.core.kv import MemoryStore, Overlay, ReadableStore

keys = st.binary(max_size=2)
pairs = st.dictionaries(keys, st.binary(max_size=2), max_size=12)
writes = st.lists(st.tuples(keys, st.none() | st.binary(max_size=2)), max_size=12)


def written(base: dict[bytes, bytes], batch: list[tuple[bytes, bytes | None]]) -> dict[bytes, bytes]:
    result = dict(base)
    for key, value in batch:
        if value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def check_range(store: ReadableStore, model: dict[bytes, bytes], start: bytes, end: bytes) -> None:
    inside = sorted((key, value) for key, value in model.items() if start <= key < end)
    assert list(store.scan(start, end)) == inside
    assert list(store.scan(start, end, reverse=True)) == inside[::-1]


@given(pairs, writes, keys, keys)
def test_the_memory_store_is_an_ordered_dictionary(
    base: dict[bytes, bytes], batch: list[tuple[bytes, bytes | None]], start: bytes, end: bytes
) -> None:
    store = MemoryStore(base.items())
    pinned = store.pin()
    store.write(batch)
    model = written(base, batch)
    check_range(store, model, start, end)
    check_range(pinned, base, start, end)
    assert {key: store.get(key) for key in {*base, *model}} == {
        key: model.get(key) for key in {*base, *model}
    }
    assert len(store) == len(model)


@given(pairs, writes, keys, keys)
def test_the_overlay_reads_its_own_writes_and_leaves_the_base_alone(
    base: dict[bytes, bytes], batch: list[tuple[bytes, bytes | None]], start: bytes, end: bytes
) -> None:
    store = MemoryStore(base.items())
    overlay = Overlay(store)
    for key, value in batch:
        if value is None:
            overlay.delete(key)
        else:
            overlay.put(key, value)
    model = written(base, batch)
    check_range(overlay, model, start, end)
    assert all(overlay.get(key) == model.get(key) for key in {*base, *model, start})
    check_range(store, base, b"", b"\xff\xff\xff")
    store.write(overlay.batch())
    check_range(store, model, b"", b"\xff\xff\xff")


def test_an_overlay_may_be_written_while_it_is_scanned() -> None:
    overlay = Overlay(MemoryStore([(b"a", b"1"), (b"b", b"2")]))
    overlay.put(b"c", b"3")
    seen = []
    for key, _ in overlay.scan(b"", b"z"):
        overlay.delete(key)
        overlay.put(key + b"!", b"new")
        seen.append(key)
    assert seen == [b"a", b"b", b"c"]
