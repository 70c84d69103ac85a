"""Who leads, what is committed, what is applied: S1, S4, S5, S8, S9, S10, S14, S16 and rule DR3. One English sentence above
each check.
"""

from __future__ import annotations

from ferrite.core import PAYLOAD_HEADER_BYTES, EntryKind, NodeId, actions, payload_kind
from ferrite.core.kv import CommandInvalid, decode_command
from ferrite.sim.checks.ghost import is_quorum
from ferrite.sim.checks.shared import LEADER, Checks, Seen, View


def became_leader(checks: Checks, node: NodeId, seen: Seen, status: View) -> None:
    """A node began to lead a term."""
    ghost = checks.ghost
    seen.match = {}
    known = ghost.leaders.setdefault(status.term, (node, seen.boot))
    # S1 Election Safety: at most one leader in a term.
    if known != (node, seen.boot):
        checks.fail(
            "S1",
            "There is at most one leader in a term.",
            f"term {status.term}: {known} and {(node, seen.boot)}",
        )
    if status.membership.joint:
        checks.marks.hit("joint_election")
    if any(
        other.status is not None and other.status.role is LEADER
        for at, other in checks.seen.items()
        if at != node
    ):
        checks.marks.hit("two_leaders")
    log = ghost.disk(node).log
    must_hold = ghost.committed_before_term(status.term)
    # S4 Leader Completeness: a leader's log has every entry committed in earlier terms.
    if log.base_index < must_hold and log.chain_at(must_hold) != ghost.committed[must_hold]:
        checks.fail(
            "S4",
            "A leader's log has every entry that was committed in earlier terms.",
            f"node {node} leads term {status.term} without the committed entry {must_hold} (its log ends at {log.last_index})",
        )
    votes = ghost.votes.get(status.term, {})
    # S14: a leader has the durable votes of a quorum of every configuration in force.
    if not is_quorum(status.membership, {voter for voter, candidate in votes.items() if candidate == node}):
        checks.fail(
            "S14",
            "A leader has durable votes of a quorum of every configuration in force.",
            f"node {node} leads term {status.term} of {status.membership.voters}/{status.membership.outgoing} with votes {votes}",
        )


def commit_advanced(checks: Checks, node: NodeId, before: View | None, status: View) -> None:
    """The commit index of a node is not what it was."""
    ghost = checks.ghost
    log = ghost.disk(node).log
    commit = status.commit_index
    if before is None and ghost.state_contradicts_log(ghost.disk(node), commit):
        return  # The log lost its tail: the replica's first order must be to stop (contract 9).
    # S8: applied <= commit <= end of the log.
    if not status.applied_index <= commit <= max(log.last_index, ghost.disk(node).installed_index):
        checks.fail(
            "S8",
            "Always applied index <= commit index <= last index.",
            f"node {node}: {_numbers(status)}, log as ordered ends at {log.last_index}",
        )
    if commit > ghost.commit_index:
        _newly_committed(checks, node, before, status)
    # S5 State Machine Safety: what is committed at an index is the same on all nodes.
    elif (
        commit > max(log.base_index, ghost.disk(node).installed_index)
        and log.chain_at(commit) != ghost.committed[commit]
    ):
        checks.fail(
            "S5",
            "What is committed at an index is the same on all nodes.",
            f"node {node} says entry {commit} of term {log.term_at(commit)} is "
            f"committed; it was one of term {ghost.committed_terms[commit]}",
        )


def _newly_committed(checks: Checks, node: NodeId, before: View | None, status: View) -> None:
    ghost = checks.ghost
    log = ghost.disk(node).log
    commit = status.commit_index
    chain = log.chain_at(commit)
    assert chain is not None, "commit is inside the log"
    # S9 NeverCommitEntryPrevTerms: only a leader commits by counting, and only entries of its own term.
    # (It may step down in the same step: a leader that removed itchecks.)
    leads = status.role is LEADER or (
        before is not None and before.role is LEADER and before.term == status.term
    )
    if not leads or log.term_at(commit) != status.term:
        checks.fail(
            "S9",
            "Entries are committed first by a leader, at an entry of its own term (thesis 3.6.2).",
            f"node {node}, {status.role.value} of term {status.term}, commits {commit} of term {log.term_at(commit)}",
        )
    _extend_committed(checks, node, status)
    # S10 CommittedIsDurable: a committed entry is on the disks of a quorum of every configuration in force.
    if not _is_durable_on_quorum(checks, before, status, chain):
        checks.fail(
            "S10",
            "A committed entry is durable on a quorum of every configuration in force.",
            f"node {node} commits {commit} in term {status.term}; durable on {sorted(_holders(checks, commit, chain))}, "
            f"voters {status.membership.voters}/{status.membership.outgoing}",
        )
    for other, seen in checks.seen.items():
        later = seen.status
        # S4: the same for leaders of later terms that were elected before this commit.
        if (
            later is not None
            and later.role is LEADER
            and later.term > status.term
            and ghost.disk(other).log.base_index < commit
            and ghost.disk(other).log.chain_at(commit) != chain
        ):
            checks.fail(
                "S4",
                "An entry committed in a term is in the log of every later leader.",
                f"node {node} commits {commit} in term {status.term}; node {other} leads term {later.term} without it",
            )


def _is_durable_on_quorum(checks: Checks, before: View | None, status: View, chain: bytes) -> bool:
    commit = status.commit_index
    holders = _holders(checks, commit, chain)
    if (
        before is None
        or status.membership_index <= commit
        or status.membership_index == before.membership_index
    ):
        return is_quorum(status.membership, holders)
    # A newer membership was appended in this very step, above what is committed: the commit came before it...
    if is_quorum(before.membership, holders):
        return True
    # ... or after it, but then the one before was committed by its own quorum first, in this step or earlier.
    index = before.membership_index
    base = checks.ghost.committed[index] if index <= checks.ghost.commit_index else None
    durable = base is not None and is_quorum(before.membership, _holders(checks, index, base))
    return durable and is_quorum(status.membership, holders)


def _holders(checks: Checks, index: int, chain: bytes) -> set[NodeId]:
    """Who has this entry, and all before it, on disk?"""
    return {other for other in checks.ghost.disks if checks.ghost.holds_durably(other, index, chain)}


def _extend_committed(checks: Checks, node: NodeId, status: View) -> None:
    ghost = checks.ghost
    log = ghost.disk(node).log
    first = ghost.commit_index + 1
    # S5: the new stretch continues the one committed log.
    if log.base_index < first - 1 and log.chain_at(first - 1) != ghost.committed[-1]:
        checks.fail(
            "S5",
            "What is committed continues what was committed before.",
            f"node {node} commits {status.commit_index}, but its entry {first - 1} is not the committed one",
        )
    for index in range(first, status.commit_index + 1):
        chain, term = log.chain_at(index), log.term_at(index)
        assert chain is not None, "the log begins below what is newly committed"
        assert term is not None, "the same"
        ghost.committed.append(chain)
        ghost.committed_terms.append(term)
        payload = ghost.entry_of[chain].payload
        if payload_kind(payload) == EntryKind.COMMAND:
            _once(checks, index, payload)
        if payload_kind(payload) == EntryKind.MEMBERSHIP:
            ghost.committed_memberships.append((index, payload))
    ghost.commits_by_term[status.term] = status.commit_index
    if len(status.membership.voters) == 1:
        checks.marks.hit("single_voter")
    if checks.committed is not None:
        checks.committed(node, first, status.commit_index, status.term)


def _once(checks: Checks, index: int, payload: bytes) -> None:
    try:
        origin = decode_command(payload[PAYLOAD_HEADER_BYTES:]).origin
    except CommandInvalid:
        return
    # Contract 4 and 8: what a node took is forwarded again only when it certainly was not appended, with a session or without.
    first = checks.ghost.taken.setdefault(origin, index)
    if first != index:
        checks.fail(
            "FORWARD",
            "A command that a node took is committed once at most.",
            f"{origin} stands at {first} and {index}",
        )


def ordered_apply(checks: Checks, node: NodeId, seen: Seen, status: View, order: actions.Apply) -> None:
    """A node applies entries."""
    ghost = checks.ghost
    last = order.first_index + len(order.entries) - 1
    # S16: entries are applied in order, each exactly once per state, one Apply at a time.
    if seen.apply_outstanding or order.first_index != seen.applied_index + 1 or not order.entries:
        checks.fail(
            "S16",
            "Entries are applied in order, exactly once, one Apply at a time.",
            f"node {node} applies [{order.first_index}, {last}]; applied is "
            f"{seen.applied_index}, outstanding {seen.apply_outstanding}",
        )
    seen.apply_outstanding = True
    # S8: only committed entries are applied.
    if last > status.commit_index:
        checks.fail(
            "S8",
            "Only committed entries are applied.",
            f"node {node} applies {last}, commit is {status.commit_index}",
        )
    # DR3: the state never passes the own durable log, else a power loss leaves it ahead.
    if last <= ghost.commit_index and not ghost.holds_durably(node, last, ghost.committed[last]):
        checks.fail(
            "DR3",
            "Only entries that are durable in the own log are applied.",
            f"node {node} applies {last}; its durable log ends at {ghost.disk(node).durable.last_index} "
            "or holds another entry there",
        )
    for place, entry in enumerate(order.entries):
        # S5 State Machine Safety: no two nodes apply different commands at one index.
        if ghost.committed_entry(order.first_index + place) != entry:
            checks.fail(
                "S5",
                "No two nodes apply different commands at one index.",
                f"node {node} applies another entry at {order.first_index + place}",
            )


def _numbers(status: View) -> str:
    return (
        f"{status.role.value} term {status.term}, applied {status.applied_index}, commit {status.commit_index}, "
        f"last {status.last_log_index}"
    )
