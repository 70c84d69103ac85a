"""F5: what a node finds on its disk is one of the images that the crash could leave, and never less than what was durable."""

from __future__ import annotations

from copy import deepcopy

from ferrite.core import Identity, Recovered, RecoveredLog
from ferrite.sim.checks.ghost import GhostDisk, GhostLog, apply_to, next_chain


def recovered_problem(disk: GhostDisk, recovered: Recovered, *, opened: bool = True) -> str | None:
    """Return what contradicts, None when nothing does; the ghost then holds exactly what was recovered.

    The recovered `last_write_seq` says which of the writes under way survived: all up to it, nothing after it. A log that has
    lost its tail is `opened` with one write of its own: the term that may have been lost.
    """
    found = recovered.log
    survived_seq = found.last_write_seq - (opened and found.lost_tail is not None)
    node = recovered.identity.node_id
    if found.lost_tail is not None and not (disk.tail_taken or disk.tail_was_taken):
        return f"node {node} reports a lost tail {found.lost_tail}, but no disk lost what it had synced"
    if disk.tail_taken or (disk.tail_was_taken and disk.opens > 1):
        # An open that failed may have left its own write behind: what is there cannot be told apart by its number.
        _take_tail(disk, found)
    elif not disk.durable_seq <= survived_seq <= disk.performed_seq:
        return (
            f"node {node} recovered write_seq {survived_seq}; durable was {disk.durable_seq}, "
            f"begun was {disk.performed_seq}"
        )
    for ordered in disk.waiting:
        persist = ordered.persist
        if persist.write_seq <= survived_seq:
            apply_to(disk.durable, persist, ordered.chains, ordered.base_chain)
            disk.hard_state = persist.hard_state or disk.hard_state
        # A large write is several records, and a crash may keep the first of them only.
        if persist.write_seq == survived_seq and persist.first_index - 1 <= found.last_index:
            disk.durable.cut_from(found.last_index + 1)
    disk.waiting.clear()
    problem = _hard_state_problem(disk, found) or _log_problem(disk.durable, found)
    if problem:
        return f"node {node}: {problem}"
    disk.log = disk.durable.copy()
    disk.ordered_hard_state = disk.hard_state
    disk.durable_seq = disk.ordered_seq = disk.performed_seq = found.last_write_seq
    disk.tail_was_taken = disk.tail_was_taken or disk.tail_taken
    disk.tail_taken = False
    disk.opens = 0
    return None


def image_problem(disk: GhostDisk, found: RecoveredLog, identity: Identity) -> str | None:
    """The same for an image that a crash might leave now; the ghost stays as it is."""
    return recovered_problem(deepcopy(disk), Recovered(identity=identity, log=found), opened=False)


def _take_tail(disk: GhostDisk, found: RecoveredLog) -> None:
    """A test took the end of the log away (amnesia): the ghost forgets it too, and only checks what is left."""
    disk.waiting.clear()
    disk.hard_state = found.hard_state
    log = disk.durable
    if found.tail_first_index != found.base_index + 1:
        log.cut_from(max(log.base_index, found.last_index) + 1)
        return
    # With a truncation the old entries come back: the log is what is found, from its beginning on.
    chain = log.chain_at(found.base_index)
    assert chain is not None, "the beginning of the log was not lost"
    log.rebase(found.base_index, found.base_term, chain)
    for entry in found.tail:
        chain = next_chain(chain, entry)
        log.terms.append(entry.term)
        log.chains.append(chain)
    log.memberships.extend(found.memberships)


def _hard_state_problem(disk: GhostDisk, found: RecoveredLog) -> str | None:
    if found.hard_state != disk.hard_state:
        return f"recovered {found.hard_state}; after write {found.last_write_seq} it was {disk.hard_state}"
    return None


def _log_problem(expected: GhostLog, found: RecoveredLog) -> str | None:
    if found.last_index != expected.last_index:
        return f"the log ends at {found.last_index}; after write {found.last_write_seq} it ended at {expected.last_index}"
    if found.base_index < expected.base_index or expected.term_at(found.base_index) != found.base_term:
        return (
            f"the log begins after ({found.base_index}, term {found.base_term}); "
            f"expected term {expected.term_at(found.base_index)} there, and not below {expected.base_index}"
        )
    runs: list[tuple[int, int]] = []
    for index in range(found.base_index + 1, found.last_index + 1):
        term = expected.term_at(index)
        if term is not None and (not runs or runs[-1][1] != term):
            runs.append((index, term))
    if list(found.term_runs) != runs:
        return f"the log's terms are {found.term_runs}; expected {runs}"
    memberships = [item for item in expected.memberships if item[0] > found.base_index]
    if list(found.memberships) != memberships:
        return f"the log has memberships at {[i for i, _ in found.memberships]}; expected {[i for i, _ in memberships]}"
    return _tail_problem(expected, found)


def _tail_problem(expected: GhostLog, found: RecoveredLog) -> str | None:
    chain = expected.chain_at(found.tail_first_index - 1)
    if not found.tail:
        return None
    if chain is None:
        return f"the tail begins at {found.tail_first_index}, outside the log"
    for entry in found.tail:
        chain = next_chain(chain, entry)
    if chain != expected.chain_at(found.last_index):
        return (
            f"the entries from {found.tail_first_index} to {found.last_index} are not those that were written"
        )
    return None
