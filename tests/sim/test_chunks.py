"""The checks on the pieces of snapshots, on messages made by hand."""

import pytest

from ferrite.core import Index, SnapshotMeta, Term, messages
from ferrite.sim import Violation
from ferrite.sim.checks.chunks import CHUNKS_MAX, DEAF_MAX
from tests.sim.test_invariants import NODES, Told

LEADER, RECEIVER = NODES[0], NODES[1]
FILE = SnapshotMeta(snapshot_id=b"s" * 16, last_index=Index(1), last_term=Term(1), size_bytes=9)
LONG_US = 10_000_000


class Sender:
    """A leader that sends a snapshot of three pieces; much time passes between any two sendings."""

    def __init__(self) -> None:
        self.now_us = 0
        told = Told()
        self.checks = told.checks
        self.checks.checks.now = lambda: (self.now_us, 0)

    def send(self, offset: int, *, after_us: int = LONG_US) -> None:
        self.now_us += after_us
        piece = messages.InstallSnapshot(
            term=Term(1), snapshot=FILE, offset=offset, data=b"abc", done=offset == 6
        )
        self.checks.sending(LEADER, RECEIVER, piece)

    def hear(self, next_offset: int, *, term: int = 1, installed: bool = False) -> None:
        answer = messages.InstallSnapshotResponse(
            term=Term(term), snapshot_id=FILE.snapshot_id, next_offset=next_offset, installed=installed
        )
        self.checks.heard(LEADER, RECEIVER, [answer], queued=False)


def test_a_sender_that_never_goes_back_is_caught() -> None:
    sender = Sender()
    sender.send(6)
    for _ in range(DEAF_MAX - 1):
        sender.hear(0)
        sender.send(6)
    sender.hear(0)
    with pytest.raises(Violation, match=r"^S24: Who sends a snapshot goes back"):
        sender.send(6)


def test_a_sender_that_hears_nothing_may_send_a_piece_for_ever() -> None:
    sender = Sender()
    for _ in range(10 * DEAF_MAX):
        sender.send(6)
        sender.hear(9)
        sender.hear(0, term=2)
        sender.hear(0, installed=True)


def test_many_answers_to_one_piece_count_once() -> None:
    sender = Sender()
    sender.send(6)
    for _ in range(10 * DEAF_MAX):
        sender.hear(0)
    sender.send(6)


def test_who_goes_back_each_time_may_come_again_to_the_same_piece() -> None:
    sender = Sender()
    for _ in range(10 * DEAF_MAX):
        sender.send(6)
        sender.hear(0)
        sender.send(0)
        sender.hear(6)


def test_one_piece_again_and_again_within_a_heartbeat_interval_is_caught() -> None:
    sender = Sender()
    for _ in range(CHUNKS_MAX):
        sender.send(3, after_us=0)
    with pytest.raises(Violation, match=r"^S24: One piece of a snapshot"):
        sender.send(3, after_us=0)
