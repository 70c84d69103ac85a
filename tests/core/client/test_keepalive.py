from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ferrite.core.client import KeepAlives

SECOND_US = 1_000_000


def test_a_lease_is_renewed_a_third_of_its_ttl_after_it_was_asked_for() -> None:
    alive = KeepAlives()
    alive.keep(7, ttl_s=9, sent_us=100)
    assert alive.deadline_us == 100 + 3 * SECOND_US
    assert alive.due(alive.deadline_us - 1) is None
    renew = alive.due(alive.deadline_us)
    assert renew is not None and renew.lease_ids == (7,)
    assert alive.due(alive.deadline_us) is None, "one request at a time"


def test_leases_that_are_due_soon_go_along() -> None:
    alive = KeepAlives()
    alive.keep(1, ttl_s=12, sent_us=0)
    alive.keep(2, ttl_s=12, sent_us=SECOND_US)
    alive.keep(3, ttl_s=12, sent_us=3 * SECOND_US)
    renew = alive.due(4 * SECOND_US)
    assert renew is not None and renew.lease_ids == (1, 2)


def test_a_lease_that_is_gone_is_told_and_no_longer_kept() -> None:
    alive = KeepAlives()
    alive.keep(7, ttl_s=9, sent_us=0)
    assert alive.renewed((7,), (0,), 1) == (7,)
    assert alive.deadline_us > 1 << 60


def test_a_failed_renewal_is_tried_again_until_the_lease_is_lost() -> None:
    alive = KeepAlives()
    alive.keep(7, ttl_s=10, sent_us=0)
    asked = 0
    while not (lost := alive.lost(alive.deadline_us)):
        now_us = alive.deadline_us
        if alive.due(now_us) is not None:
            asked += 1
            alive.failed((7,), now_us)
    assert lost == (7,)
    assert asked > 5


@given(st.lists(st.tuples(st.integers(0, 3 * SECOND_US), st.booleans()), max_size=50))
def test_a_lease_counts_as_lost_before_the_server_can_end_it(answers: list[tuple[int, bool]]) -> None:
    """The server's end is reckoned from when the renewal arrived, which is after it was sent."""
    alive = KeepAlives()
    ttl_us = 6 * SECOND_US
    alive.keep(7, ttl_s=6, sent_us=0)
    server_end_us = now_us = ttl_us
    now_us = 0
    for delay_us, arrives in answers:
        now_us = max(now_us, alive.deadline_us)
        if alive.lost(now_us):
            assert now_us < server_end_us or (delay_us >= 0 and now_us - delay_us < server_end_us)
            return
        renew = alive.due(now_us)
        if renew is None:
            continue
        sent_us, now_us = now_us, min(now_us + delay_us, alive.deadline_us)
        if arrives and now_us == sent_us + delay_us:
            server_end_us = now_us + ttl_us
            alive.renewed((7,), (6,), sent_us)
        else:
            alive.failed((7,), now_us)
        assert alive._kept[7].lost_us < server_end_us
