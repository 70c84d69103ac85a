from ferrite.sim.dice import Dice
from ferrite.sim.store import SimStore


def test_a_crash_keeps_a_prefix_of_the_batches_since_the_last_flush() -> None:
    kept = set()
    for seed in range(60):
        store = SimStore()
        store.write([(b"a", b"1")])
        store.flush()
        for number in range(3):
            store.write([(b"n%d" % number, b"x"), (b"m%d" % number, b"y")])
        store.crash(Dice(seed).stream("store"), power_loss=True)
        found = [key for key, _ in store.scan(b"", b"\xff")]
        assert b"a" in found
        count = sum(key.startswith(b"n") for key in found)
        assert found == sorted([b"a", *(b"%c%d" % (letter, n) for n in range(count) for letter in b"nm")])
        kept.add(count)
    assert kept == {0, 1, 2, 3}


def test_a_replaced_store_is_durable_at_once() -> None:
    store = SimStore()
    store.write([(b"old", b"1")])
    store.replace([(b"new", b"2")])
    store.crash(Dice(1).stream("store"), power_loss=True)
    assert list(store.scan(b"", b"\xff")) == [(b"new", b"2")]


def test_a_pinned_view_does_not_change() -> None:
    store = SimStore()
    store.write([(b"a", b"1")])
    view = store.pin()
    store.write([(b"a", b"2")])
    assert (view.get(b"a"), store.get(b"a")) == (b"1", b"2")
