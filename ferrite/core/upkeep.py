"""What keeps the state store and the log in step: apply, flush, cut, load."""

from __future__ import annotations

from typing import Final

from ferrite.core.actions import Apply, DiscardLog, FlushState, LoadEntries
from ferrite.core.events import Applied, ApplyStalled, EntriesLoaded, StateFlushed
from ferrite.core.proposals import on_applied_outcomes
from ferrite.core.raft import NEVER_US, Raft
from ferrite.core.replication import order_load
from ferrite.core.snapshots import log_needed_from
from ferrite.core.values import Index, StopCode, Term, must

APPLY_RETRY_US: Final = 20_000
"""After the state store pushed back: long enough for a flush to make room, short beside any timeout."""


def order_apply(raft: Raft) -> None:
    """Apply what is committed *and* durable here (DR3), one batch at a time."""
    if raft.apply_outstanding or raft.snapshots.installing:
        return
    end = min(raft.commit_index, raft.disk.persisted_index) + 1
    if raft.applied_index + 1 >= end:
        return
    if raft.now_us < raft.apply_retry_us:
        return
    first = Index(raft.applied_index + 1)
    end = min(end, first + raft.config.apply_entries_max)
    entries = raft.log.slice(first, end, raft.config.apply_bytes_max)
    if entries is None:
        order_load(raft, first, end, urgent=True)
        return
    raft.apply_outstanding = True
    raft.actions.append(Apply(first_index=first, entries=entries))


def on_applied(raft: Raft, event: Applied) -> None:
    """The state moved on: answer, and let go of payloads that nobody needs soon."""
    must(raft.apply_outstanding, "an Apply was ordered")
    must(raft.applied_index < event.applied_index <= raft.commit_index, "applied what was ordered")
    raft.apply_outstanding = False
    raft.applied_index = event.applied_index
    applied_term = raft.log.term_at(event.applied_index)
    must(applied_term is not None, "an applied entry is in the log")
    on_applied_outcomes(raft, event, applied_term or Term(0))


def trim_cache(raft: Raft) -> None:
    """Let go of payloads: of applied entries first, of all that are durable when apply does not keep up."""
    log = raft.log
    log.trim_cache(Index(raft.applied_index + 1))
    log.trim_cache(Index(raft.disk.persisted_index + 1), 2 * raft.config.cache_bytes_max)


def on_apply_stalled(raft: Raft, event: ApplyStalled) -> None:
    """Try again soon; meanwhile the gap grows and proposals are refused."""
    must(raft.apply_outstanding and event.first_index == raft.applied_index + 1, "the Apply that was ordered")
    raft.apply_outstanding = False
    raft.apply_retry_us = raft.now_us + APPLY_RETRY_US
    raft.counters["apply_stalls"] += 1


def order_load_if_wanted(raft: Raft) -> None:
    """Order the first load that somebody asked for in this step."""
    wanted, raft.load_wanted = raft.load_wanted, None
    if wanted and not raft.load_outstanding:
        raft.load_outstanding = True
        raft.actions.append(
            LoadEntries(first_index=wanted[0], end_index=wanted[1], bytes_max=raft.config.append_bytes_max)
        )


def on_entries_loaded(raft: Raft, event: EntriesLoaded) -> None:
    """Keep the stretch for whoever needs it, unless the log has changed there since."""
    raft.load_outstanding = False
    if not event.entries or not raft.log.keep_loaded(event.first_index, event.entries):
        raft.counters["loads_outdated"] += 1


def flush_deadline_us(raft: Raft) -> int:
    """Return when the state is to be flushed by time; never when there is nothing to flush."""
    idle = raft.applied_index == raft.flushed_index or raft.flush_outstanding or raft.snapshots.installing
    return NEVER_US if idle else raft.flush_due_us


def order_flush(raft: Raft) -> None:
    """Flush by entries, by time, or because the log has grown too large."""
    config = raft.config
    due = (
        raft.now_us >= raft.flush_due_us
        or (raft.applied_index - raft.flushed_index >= config.flush_entries and config.auto_flush)
        or (raft.log.bytes > config.log_bytes_max and _cut_would_help(raft))
    )
    if due and not raft.flush_outstanding and not raft.snapshots.installing:
        raft.flush_outstanding = True
        raft.actions.append(FlushState())


def _cut_would_help(raft: Raft) -> bool:
    # Not for every entry once the log is large because of a slow peer: by a good piece each time.
    return raft.log.bytes_above(raft.flushed_index) * 8 > raft.config.log_bytes_max


def on_state_flushed(raft: Raft, event: StateFlushed) -> None:
    """The log below is needed for slow peers only."""
    raft.flush_outstanding = False
    raft.note_flushed()
    if event.applied_index > raft.applied_index:
        raft.stop(
            StopCode.CORRUPTION,
            f"the state store flushed index {event.applied_index}, beyond what was applied",
        )
        return
    raft.flushed_index = Index(max(raft.flushed_index, event.applied_index))
    raft.counters["flushes"] += 1
    _discard(raft)


def _discard(raft: Raft) -> None:
    config, log = raft.config, raft.log
    too_large = log.bytes > config.log_bytes_max
    if not too_large and (not config.auto_discard or len(log) <= config.log_entries_max):
        return
    first = raft.flushed_index + 1
    if not too_large:
        first -= config.log_retention_entries
    if log.bytes <= 2 * config.log_bytes_max:
        first = min(first, log_needed_from(raft))
    if first > log.first_index:
        log.discard(Index(first))
        raft.counters["log_cuts"] += 1
        raft.actions.append(DiscardLog(first_index=Index(first)))
