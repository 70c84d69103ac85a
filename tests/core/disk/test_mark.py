"""The durable mark by itself."""

from ferrite.core import Index, Term
from ferrite.core.actions import Persist
from ferrite.core.disk.mark import read_mark
from tests.core.disk.model import CLUSTER, NODE, begin, entry, put, reopen
from tests.core.disk.test_damage import FIRST, written
from tests.core.disk.two_images import TwoImages


def test_the_slots_are_written_in_turn_so_that_a_torn_one_leaves_the_other() -> None:
    files = TwoImages()
    store, _ = reopen(files)
    store.append([begin()])
    found = []
    for number in range(1, 4):
        store.append([put(number + 1, number, entry(1))])
        store.sync()
        assert store.update_mark(number)
        marked = read_mark(files)
        assert marked is not None
        owner, mark = marked
        assert (owner.cluster_id, owner.instance, owner.node_id) == (CLUSTER, NODE.instance, NODE.node_id)
        assert (mark.write_seq, mark.last_index, mark.commit_index) == (number + 1, number, number)
        found.append(mark)
    newest = 0 if found[-1].sequence % 2 == 0 else 4096
    files.written["mark"][newest : newest + 512] = b"\xee" * 512
    marked = read_mark(files)
    assert marked is not None
    assert marked[1] == found[-2]
    assert reopen(files)[1].last_index == 3


def test_the_commit_index_of_the_mark_never_passes_what_is_durable() -> None:
    files = written(marked=False)
    store, _ = reopen(files)
    store.update_mark(99)
    marked = read_mark(files)
    assert marked is not None
    assert marked[1].commit_index == 3
    assert reopen(files)[1].last_index == 3


def test_the_mark_forgets_a_loss_once_it_is_made_good() -> None:
    files = written(marked=True)
    files.written[FIRST][2048:] = bytes(2048)
    store, log = reopen(files)
    assert log.lost_tail is not None
    marked = read_mark(files)
    assert marked is not None
    assert (marked[1].lost, marked[1].lost_index, marked[1].lost_term) == (1, 3, 1)
    hard_state = begin(term=2).hard_state
    entries = tuple(entry(2) for _ in range(3))
    store.append([
        Persist(write_seq=log.last_write_seq + 1, first_index=Index(2), hard_state=hard_state, entries=entries)
    ])  # fmt: skip
    store.sync()
    store.update_mark(4)
    marked = read_mark(files)
    assert marked is not None
    assert (marked[1].lost, marked[1].term) == (0, Term(2))
