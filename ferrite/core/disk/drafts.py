"""From a `Persist` to the records that hold it: one as a rule, several when it is very large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from ferrite.core.actions import Persist
from ferrite.core.disk.record import ENTRY_BYTES_MAX, RECORD_ENTRIES_MAX, Flags, RecordDraft
from ferrite.core.values import Entry, must


def drafts_of(
    persist: Persist, first_index: int, prev_term: int, content_bytes_max: int
) -> Iterator[RecordDraft]:
    """Yield the records of one write, in order. Hard state, base and truncation are in the first, so they come all or not at all.

    `first_index` is where the entries begin. A record holds at least one entry, however large, and else at most
    `content_bytes_max` of payload.
    """
    slices = list(_slices(persist.entries, content_bytes_max)) or [()]
    for position, entries in enumerate(slices):
        flags = Flags.CONTINUED if position < len(slices) - 1 else 0
        runs, payloads = _columns(entries)
        if position:
            yield RecordDraft(persist.write_seq, flags | Flags.CONTINUES, first_index, runs, payloads)
        else:
            yield _first(persist, flags, first_index, prev_term, runs, payloads)
        first_index += len(entries)


def _first(
    persist: Persist,
    flags: int,
    first_index: int,
    prev_term: int,
    runs: tuple[tuple[int, int], ...],
    payloads: Sequence[bytes],
) -> RecordDraft:
    hard_state, base = persist.hard_state, persist.base
    if hard_state is not None:
        flags |= Flags.HARD_STATE
    if base is not None:
        flags |= Flags.BASE
    if persist.truncate:
        flags |= Flags.TRUNCATE
    term, voted_for = (hard_state.term, hard_state.voted_for) if hard_state is not None else (0, 0)
    base_index, base_term = base if base is not None else (0, 0)
    return RecordDraft(
        persist.write_seq,
        flags,
        first_index,
        runs,
        payloads,
        term,
        voted_for,
        base_index,
        base_term,
        prev_term,
    )


def _slices(entries: tuple[Entry, ...], content_bytes_max: int) -> Iterator[tuple[Entry, ...]]:
    if (
        len(entries) <= RECORD_ENTRIES_MAX
        and sum(len(entry.payload) for entry in entries) <= content_bytes_max
    ):
        if entries:
            yield entries
        return
    start, size = 0, 0
    for at, entry in enumerate(entries):
        must(len(entry.payload) <= ENTRY_BYTES_MAX, "an entry is within ENTRY_BYTES_MAX")
        if at > start and (size + len(entry.payload) > content_bytes_max or at - start >= RECORD_ENTRIES_MAX):
            yield entries[start:at]
            start, size = at, 0
        size += len(entry.payload)
    yield entries[start:]


def _columns(entries: tuple[Entry, ...]) -> tuple[tuple[tuple[int, int], ...], Sequence[bytes]]:
    if not entries:
        return (), ()
    terms, payloads = zip(*entries, strict=True)
    if terms.count(terms[0]) == len(terms):
        return ((terms[0], len(terms)),), payloads
    return tuple((term, len(list(run))) for term, run in groupby(terms)), payloads
