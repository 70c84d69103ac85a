"""Bugs of snapshots: what they hold, what they replace, how they travel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ferrite.core import Index, Term
from ferrite.core.progress import Progress
from ferrite.core.raft import Raft
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.planting import replaced

SESSION_TABLES = (b"\x50", b"\x51")
"""Sessions, and when each was last active; the byte behind the group's four (`ferrite/core/kv/layout.py`)."""


def _keep_suffix(honest: Callable[[Raft, Index, Term], None]) -> Any:
    def reset(raft: Raft, base_index: Index, base_term: Term) -> None:
        if base_index >= raft.log.last_index:
            honest(raft, base_index, base_term)

    return reset


def _without_sessions(honest: Any) -> Any:
    return lambda store, group: (pair for pair in honest(store, group) if pair[0][4:5] not in SESSION_TABLES)


def _follow_every_answer(_honest: Any) -> Any:
    return lambda _progress, _next_offset: True


def _never_back(_honest: Any) -> Any:
    def moves_on(progress: Progress, next_offset: int) -> bool:
        return next_offset > progress.snapshot_offset

    return moves_on


SNAPSHOTS = (
    Mutant(
        number=25,
        name="conflicting-suffix-stays",
        sentence="A log that differs from an installed snapshot keeps what it has behind it.",
        provenance="WRaft, snapshot bugs",
        needs="a leader cut off with a long tail, while the others write less than that and cut their logs",
        plant=replaced(_keep_suffix, "ferrite.core.raft:Raft.reset_log"),
    ),
    Mutant(
        number=26,
        name="snapshot-without-sessions",
        sentence="A snapshot leaves the session table out.",
        provenance="thesis 6.3",
        needs="a snapshot; to do harm, a retry after it",
        plant=replaced(_without_sessions, "ferrite.sim.state_thread:replicated_pairs"),
    ),
    Mutant(
        number=35,
        name="sorcerers-apprentice",
        sentence="Every answer to a snapshot's chunk sends one, also a duplicate of an earlier answer.",
        provenance="TFTP; Ferrite, found by the simulator",
        needs="duplicated frames while a snapshot of several chunks is sent",
        plant=replaced(_follow_every_answer, "ferrite.core.snapshots:_moves_on"),
    ),
    Mutant(
        number=47,
        name="refused-snapshot-sticks",
        sentence="A snapshot that its receiver lost or refused is never sent from its beginning again.",
        provenance="Ferrite, a review",
        needs="a receiver that restarts in the middle of a snapshot, and a leader that does not notice",
        plant=replaced(_never_back, "ferrite.core.snapshots:_moves_on"),
    ),
    Mutant(
        number=48,
        name="void-promise-leaves",
        sentence="An acknowledgement of entries that were cut before they were durable leaves all the same.",
        provenance="Ferrite, found by the fuzzer",
        needs="a peer that breaks the protocol",
        plant=replaced(lambda _honest: lambda _raft, _first_index: None, "ferrite.core.raft:Raft._unpromise"),
        harmless=(
            "An acknowledgement is void anyway once its term is over, and within a term the one leader never takes back what it "
            "sent: what was appended in this term is cut neither by its appends nor by its snapshots, for both are prefixes of "
            "one log, and a snapshot that ends beyond the log covers all of it. Only a peer that breaks the protocol gets here."
        ),
    ),
)
