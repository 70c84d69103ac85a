import random

from ferrite.core.kv import local_key
from ferrite.sim.dice import Dice
from ferrite.sim.store import SimStore, StateImage


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


def test_equal_states_have_equal_fingerprints_however_they_were_made() -> None:
    dice = random.Random(1)
    image, pairs = StateImage(), dict[bytes, bytes]()
    for _ in range(300):
        key, value = b"%d" % dice.randrange(20), b"%d" % dice.randrange(3)
        if dice.random() < 0.3:
            pairs.pop(key, None)
            image.write([(key, b"twice"), (key, None)])
        else:
            pairs[key] = value
            image.write([(key, value)])
        assert image.fingerprint == StateImage(pairs.items()).fingerprint
        assert image.fingerprint != StateImage({**pairs, b"more": b""}.items()).fingerprint


def test_a_fingerprint_sees_values_that_change_places_and_not_the_nodes_own_records() -> None:
    plain = StateImage([(b"a", b"1"), (b"b", b"2")])
    own = (local_key(0, b"installed"), b"7")
    assert StateImage([(b"a", b"2"), (b"b", b"1")]).fingerprint != plain.fingerprint
    for number in range(100):  # Whatever PYTHONHASHSEED is: sums of plain hashes were equal for two in five.
        one, other = b"%d" % number, b"x%d" % number
        swapped = StateImage([(b"a", other), (b"b", one)])
        assert swapped.fingerprint != StateImage([(b"a", one), (b"b", other)]).fingerprint
    assert StateImage([(b"a", b"1"), own, (b"b", b"2")]).fingerprint == plain.fingerprint


def test_a_crash_takes_the_fingerprint_back() -> None:
    store = SimStore()
    store.write([(b"a", b"1")])
    store.flush()
    known = store.fingerprint
    store.write([(b"a", b"2")])
    assert store.fingerprint != known
    store.fall_back()
    assert store.fingerprint == known
