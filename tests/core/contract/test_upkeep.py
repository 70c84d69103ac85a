"""Flushing, cutting the log, and loading entries: contract 3 (`FlushState`, `DiscardLog`, `LoadEntries`) and the
settings in ReplicaConfig."""

from __future__ import annotations

import pytest

from ferrite.core import Index, actions, events, messages
from tests.core.bench import Bench
from tests.core.bench_values import HEARTBEAT_US, Acts, entries, entry, terms_of


def write(bench: Bench, count: int, *, size: int = 0) -> Acts:
    """The leader of node 2 sends so many entries, all committed."""
    acts = Acts([])
    for _ in range(count):
        last = bench.image.last_index
        acts += bench.append(2, last, [entry(1, last, size=size)], commit=last + 1)
    return acts


def flushed(bench: Bench, index: int | None = None) -> Acts:
    applied: Index = bench.status.applied_index
    return bench.step(events.StateFlushed(applied_index=applied if index is None else Index(index)))


def cuts(acts: Acts) -> list[int]:
    return [int(act.first_index) for act in acts.of(actions.DiscardLog)]


# -- flush


def test_a_number_of_applied_entries_orders_a_flush() -> None:
    """`flush_entries`: "Applied entries ... since the last flush that order the next"."""
    bench = Bench(flush_entries=10)
    assert write(bench, 8).of(actions.FlushState) == []
    assert len(write(bench, 4).of(actions.FlushState)) == 1


def test_one_flush_is_outstanding() -> None:
    """A flush takes its time; a second order would only queue behind it."""
    bench = Bench(flush_entries=5)
    assert len(write(bench, 40).of(actions.FlushState)) == 1
    acts = flushed(bench)
    assert acts.of(actions.FlushState) == [] and bench.status.flushed_index == bench.status.applied_index
    assert len(write(bench, 7).of(actions.FlushState)) == 1


def test_time_orders_a_flush_when_there_is_something_to_flush() -> None:
    """`flush_interval_us`: "time with something to flush"."""
    bench = Bench(flush_interval_us=1_000_000, voters=(1, 2, 3))
    flushed(bench)
    assert bench.pass_us(5_000_000).of(actions.FlushState) == []
    bench = Bench(flush_interval_us=1_000_000)
    flushed(bench)
    write(bench, 1)
    acts = Acts([])
    for _ in range(12):
        acts += bench.pass_us(HEARTBEAT_US) + bench.beat(2)
    assert len(acts.of(actions.FlushState)) == 1


def test_zero_is_never_by_time() -> None:
    """`flush_interval_us`: "0 = never by time"."""
    bench = Bench(flush_interval_us=0)
    write(bench, 1)
    assert bench.pass_us(10**9).of(actions.FlushState) == []


def test_bytes_of_log_order_a_flush_and_a_cut_whatever_the_other_settings_say() -> None:
    """`log_bytes_max`: "Bytes of log (payloads) that order a flush and a cut, whatever the other settings say"."""
    bench = Bench(log_bytes_max=20_000, auto_flush=False, auto_discard=False, log_retention_entries=5)
    acts = write(bench, 15, size=1000)
    assert acts.of(actions.FlushState) == []
    acts = write(bench, 85, size=1000)
    assert len(acts.of(actions.FlushState)) == 1, "five times the limit, and few entries"
    assert cuts(flushed(bench)) != [] and bench.status.log_bytes <= 20_000


def test_many_small_entries_are_bounded_by_bytes_as_well() -> None:
    """The same limit, reached by number."""
    bench = Bench(log_bytes_max=80_000, auto_flush=False, auto_discard=False)
    for _ in range(30):
        last = bench.image.last_index
        bench.append(2, last, entries(*[1] * 100, size=10), commit=last + 100)
    acts = Acts(bench.done)
    assert len(acts.of(actions.FlushState)) == 1
    assert cuts(flushed(bench)) != [] and bench.status.log_bytes <= 80_000


def test_without_auto_flush_nothing_is_flushed_by_count_or_time() -> None:
    bench = Bench(auto_flush=False, flush_entries=5, flush_interval_us=1_000_000)
    acts = write(bench, 20) + bench.pass_us(10_000_000)
    assert acts.of(actions.FlushState) == []


# -- cut


def test_the_log_is_cut_after_a_flush_when_it_is_long_and_some_is_kept() -> None:
    """`log_entries_max`, `log_retention_entries`; contract 3: "covered by a *flushed* state"."""
    bench = Bench(flush_entries=50, log_entries_max=40, log_retention_entries=10)
    acts = write(bench, 60)
    assert cuts(acts) == [], "nothing is flushed yet"
    acts = flushed(bench, 50)
    assert cuts(acts) != [] and max(cuts(acts)) <= 41
    assert bench.status.first_log_index == max(cuts(acts))


def test_a_short_log_is_not_cut() -> None:
    bench = Bench(flush_entries=5, log_entries_max=40, log_retention_entries=0)
    assert cuts(write(bench, 30) + flushed(bench)) == []


def test_without_auto_discard_the_log_is_kept() -> None:
    bench = Bench(flush_entries=5, log_entries_max=5, log_retention_entries=0, auto_discard=False)
    assert cuts(write(bench, 30) + flushed(bench)) == []


def test_the_log_keeps_working_behind_a_cut() -> None:
    """The entry before the first is still known: appends and votes go on."""
    bench = Bench(flush_entries=5, log_entries_max=5, log_retention_entries=0)
    write(bench, 20)
    flushed(bench)
    assert bench.status.first_log_index == 22
    acts = write(bench, 1)
    assert acts.sent(messages.AppendEntriesResponse, 2)[0].match_index == 22
    acts = bench.append(2, 5, [], prev_term=1)
    assert all(m.success for m in acts.sent(messages.AppendEntriesResponse, 2)), (
        "committed entries match by themselves"
    )
    bench.lead()


def test_a_late_flush_report_never_moves_back() -> None:
    """Contract 3: `DiscardLog` never passes the last flush; reports may come late."""
    bench = Bench()
    write(bench, 10)
    flushed(bench, 10)
    flushed(bench, 4)
    assert bench.status.flushed_index == 10


def test_a_slow_peers_need_is_kept_within_the_configured_amount() -> None:
    """Contract 3: "nor (within the configured amount) a slow peer's need"."""
    bench = Bench(flush_entries=10, log_entries_max=10, log_retention_entries=1000)
    bench.lead()
    for _ in range(30):
        bench.propose()
        bench.ack(2)
    assert all(cut <= 3 for cut in cuts(flushed(bench))), "node 3 needs all from 3 on"


# -- load


def test_entries_that_are_not_in_memory_are_loaded_for_a_slow_peer() -> None:
    """Contract 3, LoadEntries; architecture 2.5."""
    bench = Bench(log=[1] * 40, applied=41, tail_entries=5)
    bench.win()
    acts = bench.refuse_append(3, 41, hint=2)
    for _ in range(4):
        for sent in acts.sent(messages.AppendEntries, 3)[-1:]:
            acts += bench.ack(3, sent.prev_log_index + len(sent.entries))
    orders = acts.of(actions.LoadEntries)
    assert orders and orders[0].first_index == 2
    sent_entries = [e for m in acts.sent(messages.AppendEntries, 3) for e in m.entries]
    assert len(sent_entries) >= 40, "all of the 40 and the leader's own; contents are checked by the bench"


def test_fewer_entries_than_asked_for_is_normal() -> None:
    """Contract 2, EntriesLoaded: "at least one entry, contiguous; fewer than asked for is normal"."""
    bench = Bench(log=[1] * 12, applied=13, tail_entries=2, auto_load=False)
    bench.win()
    bench.refuse_append(3, 13, hint=2)
    acts = Acts([])
    for _ in range(60):
        if bench.loading:
            acts += bench.load(at_most=1)
        last = acts.sent(messages.AppendEntries, 3)[-1:]
        for sent in last:
            acts += bench.ack(3, sent.prev_log_index + len(sent.entries))
        acts += bench.pass_us(HEARTBEAT_US)
        if bench.status.peers[3].match_index == bench.status.last_log_index:
            break
        for beat in acts.sent(messages.Heartbeat, 2)[-1:]:
            bench.beat_ack(2, beat.round)
        for beat in acts.sent(messages.Heartbeat, 3)[-1:]:
            acts += bench.beat_ack(3, beat.round, last=bench.status.peers[3].match_index)
    assert bench.status.peers[3].match_index == bench.status.last_log_index


def test_after_a_restart_what_is_not_applied_is_loaded_and_applied() -> None:
    """Contract 9: the log is read back where only its tail was recovered."""
    bench = Bench(log=[1] * 30, applied=1, tail_entries=5)
    acts = bench.beat(2)
    acts = bench.append(2, 31, [], commit=31)
    assert acts.of(actions.LoadEntries) != []
    assert bench.next_apply == 32 and bench.applied == bench.disk.log[1:]


def test_a_load_that_was_overtaken_by_a_truncation_is_dropped() -> None:
    """Openraft #1795 and its kin: what comes from an older log must not be sent as the present one."""
    bench = Bench(log=[1, *entries(2, 2, 2, 2, 2, 2)], applied=2, tail_entries=1, auto_load=False)
    bench.win()
    bench.refuse_append(3, 8, hint=3)
    assert bench.loading is not None
    old = bench.loaded_fact()
    term = bench.term
    bench.append(2, 2, [term + 1, term + 1], term=term + 1)
    bench.time_out()
    bench.win() if bench.role().value == "follower" else bench.pre_vote(2)
    if bench.role().value == "candidate":
        bench.vote(2)
    acts = bench.report(old)  # the bench checks each entry that is sent against the log
    acts += bench.refuse_append(3, bench.status.last_log_index - 1, hint=3) + bench.pass_us(HEARTBEAT_US)
    sent = [e for m in acts.sent(messages.AppendEntries, 3) for e in m.entries]
    assert 2 not in terms_of(sent)


@pytest.mark.parametrize("cache", [0, 500])
def test_a_small_cache_changes_nothing_but_the_loads(cache: int) -> None:
    """`cache_bytes_max`: a bound on memory, not on what works."""
    bench = Bench(cache_bytes_max=cache)
    bench.lead()
    for number in range(20):
        request, acts = bench.propose(size=100)
        acts += bench.ack(2)
        assert isinstance(acts.answer(request), actions.Reply), number
    acts = bench.pass_us(0)
    assert bench.status.applied_index == 22
