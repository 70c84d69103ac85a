"""The cheap invariants, checked after every step: O(1) amortized per event, one English sentence above each check.

The names are those of Ongaro's thesis (figure 3.2) and of Ferrite's catalogue (S1-S24). A replica is seen through its status and through what
enters and leaves it; what is durable is tracked from `Persist` orders and finished syncs, and compared with the recovered log at every start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ferrite.core import (
    EntryKind,
    HardState,
    Index,
    Membership,
    NodeId,
    Recovered,
    ReplicaConfig,
    ReplicaStatus,
    Role,
    SnapshotMeta,
    actions,
    messages,
    payload_kind,
)
from ferrite.sim.ghost import Ghost, GhostDisk, Ordered, apply_to, is_quorum, next_chain
from ferrite.sim.recovery_check import recovered_problem
from ferrite.sim.violation import Violation


@dataclass(slots=True)
class Seen:
    """What the checks remember of one incarnation of a node."""

    boot: int
    status: ReplicaStatus | None = None
    match: dict[NodeId, int] = field(default_factory=dict)
    applied_index: int = 0
    apply_outstanding: bool = False
    membership_index: int = -1


class Invariants:
    """All checks of one run. `fail` turns a contradiction into a `Violation` with the time and the event's number."""

    def __init__(self, config: ReplicaConfig, now: Callable[[], tuple[int, int]]) -> None:
        """Begin with an empty cluster; `now` gives (time_us, event number)."""
        self.ghost = Ghost()
        self.config = config
        self.checks = 0
        self._now = now
        self._seen: dict[NodeId, Seen] = {}

    def fail(self, name: str, sentence: str, facts: str) -> None:
        """Raise the violation."""
        time_us, event_number = self._now()
        raise Violation(name, sentence, facts, time_us=time_us, event_number=event_number)

    # ------------------------------------------------------------------------------------------------ starts

    def booted(self, node: NodeId, recovered: Recovered) -> None:
        """A node came up with this: its disk must be one of the images that the crash could leave."""
        disk = self.ghost.disk(node)
        # F5, S6, S7: what a node recovers is its last durable state, or that plus a prefix of the writes under way.
        problem = recovered_problem(disk, recovered)
        if problem:
            self.fail(
                "F5",
                "A node recovers at least what was durable, and nothing that was never written.",
                problem,
            )
        self._vote(node, disk.hard_state)
        if recovered.log.lost_tail is not None:
            for other in self._seen.values():
                other.match.pop(node, None)  # Contract 8: the one case in which match_index may fall within a term.
        self._seen[node] = Seen(boot=recovered.identity.boot, applied_index=recovered.state.applied_index)
        # S16: the state that survived is a prefix of the committed log.
        if recovered.state.applied_index > self.ghost.commit_index:
            self.fail(
                "S16",
                "A state store holds committed entries only.",
                f"node {node} recovered applied index {recovered.state.applied_index}, committed is {self.ghost.commit_index}",
            )

    # ------------------------------------------------------------------------------------------------ after a step

    def stepped(self, node: NodeId, status: ReplicaStatus, ordered: Sequence[actions.Action]) -> None:
        """Check the step that turned the status before into this one and ordered these actions."""
        self.checks += 1
        seen = self._seen[node]
        before = seen.status
        for action in ordered:
            if type(action) is actions.Persist:
                self._ordered_persist(node, action, before, status)
            elif type(action) is actions.LoadEntries:
                self._ordered_load(node, action)
        if status.role is Role.LEADER and (
            before is None or before.role is not Role.LEADER or before.term != status.term
        ):
            self._became_leader(node, seen, status)
        if before is not None:
            self._monotonic(node, before, status)
        if before is None or status.commit_index != before.commit_index:
            self._commit_advanced(node, before, status)
        self._membership(node, seen, status)
        if status.role is Role.LEADER:
            self._progress(node, seen, status)
        for action in ordered:
            if type(action) is actions.Apply:
                self._ordered_apply(node, seen, status, action)
            elif type(action) is actions.DiscardLog:
                self._ordered_discard(node, action)
        seen.status = status

    def _ordered_persist(
        self, node: NodeId, persist: actions.Persist, before: ReplicaStatus | None, status: ReplicaStatus
    ) -> None:
        disk = self.ghost.disk(node)
        # Contract 3: write_seq grows by one, and entries continue the log but for a base or a truncation.
        if persist.write_seq != disk.ordered_seq + 1:
            self.fail(
                "PERSIST",
                "write_seq grows by one.",
                f"node {node}: {disk.ordered_seq} then {persist.write_seq}",
            )
        disk.ordered_seq = persist.write_seq
        if persist.hard_state is not None:
            self._hard_state(node, disk.ordered_hard_state, persist.hard_state)
            disk.ordered_hard_state = persist.hard_state
        was_leader = before is not None and before.role is Role.LEADER and before.term == status.term
        # S2 Leader Append-Only: a leader never overwrites or deletes entries of its log.
        if was_leader and (persist.truncate or persist.base is not None):
            self.fail(
                "S2",
                "A leader never overwrites or deletes entries of its log.",
                f"node {node} ordered {_text(persist)}",
            )
        base_chain = self._base_chain(node, disk, persist)
        if persist.truncate:
            self._truncation(node, disk, persist)
        log = disk.log
        end = log.last_index + 1 if persist.base is None else persist.base[0] + 1
        if (persist.entries or persist.truncate) and (
            persist.first_index > end or (persist.first_index < end and not persist.truncate)
        ):
            self.fail(
                "PERSIST",
                "Entries continue the log where it ends.",
                f"node {node} ordered entries from {persist.first_index}; its log ends before {end}",
            )
        chains = self._append(node, disk, persist, base_chain)
        apply_to(log, persist, chains, base_chain)
        if was_leader or status.role is Role.LEADER:
            self._leader_memberships(node, status, persist)
        disk.waiting.append(Ordered(persist, chains, base_chain))

    def _ordered_load(self, node: NodeId, order: actions.LoadEntries) -> None:
        last_index = self.ghost.disk(node).log.last_index
        # Contract 3: a load asks for entries of the own log, as ordered before it.
        if not order.first_index < order.end_index <= last_index + 1:
            self.fail(
                "LOAD",
                "A load asks for entries that the log holds at that place in the order.",
                f"node {node} loads [{order.first_index}, {order.end_index}); its log ends at {last_index}",
            )

    def _hard_state(self, node: NodeId, old: HardState, new: HardState) -> None:
        # S6 MonotonicTerm: the durable term never decreases.
        if new.term < old.term:
            self.fail(
                "S6", "The durable term never decreases.", f"node {node}: term {old.term} then {new.term}"
            )
        # S7 VoteOnce: in one term a node votes for one candidate at most.
        if new.term == old.term and old.voted_for not in (0, new.voted_for):
            self.fail(
                "S7",
                "In one term a node votes for one candidate at most.",
                f"node {node}, term {new.term}: voted for {old.voted_for}, then {new.voted_for}",
            )

    def _base_chain(self, node: NodeId, disk: GhostDisk, persist: actions.Persist) -> bytes:
        if persist.base is None:
            return disk.log.base_chain
        index, term = persist.base
        # S15: a log begins after a snapshot of committed entries, at that entry's term.
        if index > self.ghost.commit_index or (index and self.ghost.committed_terms[index] != term):
            self.fail(
                "S15",
                "A log begins after a snapshot of committed entries.",
                f"node {node} ordered base {persist.base}; committed is {self.ghost.commit_index}",
            )
        # S15, DR1: the log is emptied only when the state that replaces it is durable.
        if disk.installed_index < index:
            self.fail(
                "S15",
                "The log is emptied only when the snapshot that replaces it is durable.",
                f"node {node} ordered base {persist.base}, its durable snapshot is {disk.installed_index}",
            )
        return self.ghost.committed[index]

    def _truncation(self, node: NodeId, disk: GhostDisk, persist: actions.Persist) -> None:
        # S4: no committed entry is ever removed from a log that holds it.
        index = persist.first_index
        if index <= self.ghost.commit_index and disk.log.chain_at(index) == self.ghost.committed[index]:
            self.fail(
                "S4",
                "A committed entry is never removed from a log that holds it.",
                f"node {node} truncates from {index}, committed is {self.ghost.commit_index}",
            )

    def _append(
        self, node: NodeId, disk: GhostDisk, persist: actions.Persist, base_chain: bytes
    ) -> list[bytes]:
        ghost = self.ghost
        if not persist.entries:
            return []
        chain = base_chain if persist.base is not None else disk.log.chain_at(persist.first_index - 1)
        assert chain is not None, "contiguity was checked"
        chains = []
        index = persist.first_index
        for entry in persist.entries:
            chain = next_chain(chain, entry)
            known = ghost.chain_of.setdefault((index, entry.term), chain)
            # S3 Log Matching: two entries of the same index and term are the same, and so is everything before them.
            if known != chain:
                self.fail(
                    "S3",
                    "Entries of the same index and term are the same in all logs, and so is everything before them.",
                    f"node {node} appends another entry {index} of term {entry.term}",
                )
            ghost.entry_of.setdefault(known, entry)
            chains.append(known)
            index = Index(index + 1)
        return chains

    def _leader_memberships(self, node: NodeId, status: ReplicaStatus, persist: actions.Persist) -> None:
        for place, entry in enumerate(persist.entries):
            if payload_kind(entry.payload) != EntryKind.MEMBERSHIP or entry.term != status.term:
                continue
            index = persist.first_index + place
            found = self.ghost.disk(node).log.memberships
            earlier = [item for item in found if item[0] < index]
            # S14: a leader appends a membership only when the one before is committed.
            if earlier and earlier[-1][0] > status.commit_index:
                self.fail(
                    "S14",
                    "A leader appends a membership only when the one before it is committed.",
                    f"node {node} appends one at {index}; the one at {earlier[-1][0]} is above commit {status.commit_index}",
                )
            if earlier:
                self._membership_step(
                    node, self.ghost.membership(earlier[-1][1]), self.ghost.membership(entry.payload)
                )

    def _membership_step(self, node: NodeId, old: Membership, new: Membership) -> None:
        fine = (new.voters == old.voters and new.outgoing == old.outgoing) or (
            new.voters == old.voters and not new.outgoing if old.joint else new.outgoing == old.voters
        )
        # S14: voters change through a joint configuration only, so that consecutive quorums intersect.
        if not fine:
            self.fail(
                "S14",
                "Voters change through a joint configuration only.",
                f"node {node}: {old.voters}/{old.outgoing} then {new.voters}/{new.outgoing}",
            )

    def _became_leader(self, node: NodeId, seen: Seen, status: ReplicaStatus) -> None:
        ghost = self.ghost
        seen.match = {}
        known = ghost.leaders.setdefault(status.term, (node, seen.boot))
        # S1 Election Safety: at most one leader in a term.
        if known != (node, seen.boot):
            self.fail(
                "S1",
                "There is at most one leader in a term.",
                f"term {status.term}: {known} and {(node, seen.boot)}",
            )
        log = ghost.disk(node).log
        must_hold = ghost.committed_before_term(status.term)
        # S4 Leader Completeness: a leader's log has every entry committed in earlier terms.
        if log.base_index < must_hold and log.chain_at(must_hold) != ghost.committed[must_hold]:
            self.fail(
                "S4",
                "A leader's log has every entry that was committed in earlier terms.",
                f"node {node} leads term {status.term} without the committed entry {must_hold} (its log ends at {log.last_index})",
            )
        votes = ghost.votes.get(status.term, {})
        # S14: a leader has the durable votes of a quorum of every configuration in force.
        if not is_quorum(status.membership, {voter for voter, candidate in votes.items() if candidate == node}):
            self.fail(
                "S14",
                "A leader has durable votes of a quorum of every configuration in force.",
                f"node {node} leads term {status.term} of {status.membership.voters}/{status.membership.outgoing} with votes {votes}",
            )

    def _monotonic(self, node: NodeId, before: ReplicaStatus, after: ReplicaStatus) -> None:
        facts = f"node {node}: {_numbers(before)} then {_numbers(after)}"
        # S6: the term never decreases in memory either.
        if after.term < before.term:
            self.fail("S6", "The term never decreases.", facts)
        # S8 MonotonicCommit: the commit index never decreases within an incarnation.
        if after.commit_index < before.commit_index:
            self.fail("S8", "The commit index never decreases.", facts)
        # S8: the applied index never decreases either.
        if after.applied_index < before.applied_index:
            self.fail("S8", "The applied index never decreases.", facts)
        # S23: nobody leads two terms without losing leadership in between (an election needs the disk).
        if before.role is Role.LEADER and after.role is Role.LEADER and before.term != after.term:
            self.fail("S23", "A leader of one term becomes a follower before it leads another.", facts)
        # S23: within a term a leader turns into nothing but a follower.
        if before.role is Role.LEADER and before.term == after.term and after.role is Role.CANDIDATE:
            self.fail("S23", "A leader does not become a candidate of its own term.", facts)

    def _commit_advanced(self, node: NodeId, before: ReplicaStatus | None, status: ReplicaStatus) -> None:
        ghost = self.ghost
        log = ghost.disk(node).log
        commit = status.commit_index
        # S8: applied <= commit <= end of the log.
        if not status.applied_index <= commit <= max(log.last_index, ghost.disk(node).installed_index):
            self.fail(
                "S8",
                "Always applied index <= commit index <= last index.",
                f"node {node}: {_numbers(status)}, log as ordered ends at {log.last_index}",
            )
        if commit > ghost.commit_index:
            self._newly_committed(node, before, status)
        # S5 State Machine Safety: what is committed at an index is the same on all nodes.
        elif (
            commit > max(log.base_index, ghost.disk(node).installed_index)
            and log.chain_at(commit) != ghost.committed[commit]
        ):
            self.fail(
                "S5",
                "What is committed at an index is the same on all nodes.",
                f"node {node} says entry {commit} of term {log.term_at(commit)} is committed; it was one of term {ghost.committed_terms[commit]}",
            )

    def _newly_committed(self, node: NodeId, before: ReplicaStatus | None, status: ReplicaStatus) -> None:
        ghost = self.ghost
        log = ghost.disk(node).log
        commit = status.commit_index
        chain = log.chain_at(commit)
        assert chain is not None, "commit is inside the log"
        # S9 NeverCommitEntryPrevTerms: only a leader commits by counting, and only entries of its own term.
        # (It may step down in the same step: a leader that removed itself.)
        leads = status.role is Role.LEADER or (
            before is not None and before.role is Role.LEADER and before.term == status.term
        )
        if not leads or log.term_at(commit) != status.term:
            self.fail(
                "S9",
                "Entries are committed first by a leader, at an entry of its own term (thesis 3.6.2).",
                f"node {node}, {status.role.value} of term {status.term}, commits {commit} of term {log.term_at(commit)}",
            )
        self._extend_committed(node, status)
        holders = {other for other in ghost.disks if ghost.holds_durably(other, commit, chain)}
        in_force = [status.membership]
        if before is not None and status.membership_index > commit:
            in_force.append(
                before.membership
            )  # The newer one may have been appended after the commit, in the same step.
        # S10 CommittedIsDurable: a committed entry is on the disks of a quorum of every configuration in force.
        if not any(is_quorum(membership, holders) for membership in in_force):
            self.fail(
                "S10",
                "A committed entry is durable on a quorum of every configuration in force.",
                f"node {node} commits {commit} in term {status.term}; durable on {sorted(holders)}, "
                f"voters {status.membership.voters}/{status.membership.outgoing}",
            )
        for other, seen in self._seen.items():
            later = seen.status
            # S4: the same for leaders of later terms that were elected before this commit.
            if (
                later is not None
                and later.role is Role.LEADER
                and later.term > status.term
                and ghost.disk(other).log.base_index < commit
                and ghost.disk(other).log.chain_at(commit) != chain
            ):
                self.fail(
                    "S4",
                    "An entry committed in a term is in the log of every later leader.",
                    f"node {node} commits {commit} in term {status.term}; node {other} leads term {later.term} without it",
                )

    def _extend_committed(self, node: NodeId, status: ReplicaStatus) -> None:
        ghost = self.ghost
        log = ghost.disk(node).log
        first = ghost.commit_index + 1
        # S5: the new stretch continues the one committed log.
        if log.base_index < first - 1 and log.chain_at(first - 1) != ghost.committed[-1]:
            self.fail(
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
            if payload_kind(payload) == EntryKind.MEMBERSHIP:
                ghost.committed_memberships.append((index, payload))
        ghost.commits_by_term[status.term] = status.commit_index

    def _membership(self, node: NodeId, seen: Seen, status: ReplicaStatus) -> None:
        disk = self.ghost.disk(node)
        log = disk.log
        top = log.memberships[-1][0] if log.memberships else -max(log.base_index, disk.installed_index)
        if top == seen.membership_index and (
            seen.status is None or status.membership is seen.status.membership
        ):
            return
        index, expected = self.ghost.membership_of(disk)
        # S14: the latest membership in the log is in force, committed or not, and goes when its entry is truncated (thesis 4.1).
        if status.membership != expected:
            self.fail(
                "S14",
                "The latest membership in the log is the one in force.",
                f"node {node} acts on {status.membership.voters}/{status.membership.outgoing} (index {status.membership_index}), "
                f"its log says {expected.voters}/{expected.outgoing} (index {index})",
            )
        seen.membership_index = top

    def _progress(self, node: NodeId, seen: Seen, status: ReplicaStatus) -> None:
        for peer, progress in status.peers.items():
            known = seen.match.get(peer, 0)
            # S13: always match < next.
            if progress.match_index >= progress.next_index:
                self.fail(
                    "S13",
                    "Always match_index < next_index.",
                    f"leader {node}, peer {peer}: {progress.match_index} and {progress.next_index}",
                )
            # S24: what is in flight to a peer is bounded.
            if progress.inflight_messages > self.config.inflight_messages_max:
                self.fail(
                    "S24",
                    "Messages in flight to a peer are bounded.",
                    f"leader {node}, peer {peer}: {progress.inflight_messages} of {self.config.inflight_messages_max}",
                )
            if progress.match_index == known:
                continue
            # S13 MonotonicMatchIndex: within a term match_index never decreases, for no disk here loses what it had synced.
            if progress.match_index < known:
                self.fail(
                    "S13",
                    "Within a term match_index never decreases.",
                    f"leader {node} of term {status.term}, peer {peer}: {known} then {progress.match_index}",
                )
            seen.match[peer] = progress.match_index
            self._match_is_true(node, status, peer, progress.match_index)

    def _match_is_true(self, node: NodeId, status: ReplicaStatus, peer: NodeId, match: int) -> None:
        disk = self.ghost.disk(peer)
        if disk.hard_state.term > status.term:
            return  # The peer may have truncated for a later leader since it answered.
        chain = self.ghost.disk(node).log.chain_at(match)
        # S12 MatchIndexTrue: what the leader believes of a peer is on the peer's disk.
        if chain is not None and not self.ghost.holds_durably(peer, match, chain):
            self.fail(
                "S12",
                "A leader's match_index of a peer is durable on that peer.",
                f"leader {node} of term {status.term} believes {match} of peer {peer}, whose durable log ends at {disk.durable.last_index}",
            )

    def _ordered_apply(self, node: NodeId, seen: Seen, status: ReplicaStatus, order: actions.Apply) -> None:
        ghost = self.ghost
        last = order.first_index + len(order.entries) - 1
        # S16: entries are applied in order, each exactly once per state, one Apply at a time.
        if seen.apply_outstanding or order.first_index != seen.applied_index + 1 or not order.entries:
            self.fail(
                "S16",
                "Entries are applied in order, exactly once, one Apply at a time.",
                f"node {node} applies [{order.first_index}, {last}]; applied is {seen.applied_index}, outstanding {seen.apply_outstanding}",
            )
        seen.apply_outstanding = True
        # S8: only committed entries are applied.
        if last > status.commit_index:
            self.fail(
                "S8",
                "Only committed entries are applied.",
                f"node {node} applies {last}, commit is {status.commit_index}",
            )
        # DR3: the state never passes the own durable log, else a power loss leaves it ahead.
        if last > ghost.disk(node).durable.last_index:
            self.fail(
                "DR3",
                "Only entries that are durable in the own log are applied.",
                f"node {node} applies {last}; its durable log ends at {ghost.disk(node).durable.last_index}",
            )
        for place, entry in enumerate(order.entries):
            # S5 State Machine Safety: no two nodes apply different commands at one index.
            if ghost.committed_entry(order.first_index + place) != entry:
                self.fail(
                    "S5",
                    "No two nodes apply different commands at one index.",
                    f"node {node} applies another entry at {order.first_index + place}",
                )

    def _ordered_discard(self, node: NodeId, order: actions.DiscardLog) -> None:
        disk = self.ghost.disk(node)
        # Contract 3: DiscardLog never passes the last StateFlushed.
        if order.first_index > max(disk.flushed_index, disk.installed_index) + 1:
            self.fail(
                "DISCARD",
                "The log is cut only below what a flushed state covers.",
                f"node {node} discards below {order.first_index}; flushed is {disk.flushed_index}",
            )

    # ------------------------------------------------------------------------------------------------ what the host reports

    def performed(self, node: NodeId, write_seq: int) -> None:
        """The host has begun to write this `Persist`: a crash may keep it, whole or in part."""
        disk = self.ghost.disk(node)
        disk.performed_seq = max(disk.performed_seq, write_seq)

    def persisted(self, node: NodeId, write_seq: int) -> None:
        """A sync has finished: everything up to this `Persist` is durable."""
        disk = self.ghost.disk(node)
        while disk.waiting and disk.waiting[0].persist.write_seq <= write_seq:
            ordered = disk.waiting.pop(0)
            apply_to(disk.durable, ordered.persist, ordered.chains, ordered.base_chain)
            disk.durable_seq = ordered.persist.write_seq
            if ordered.persist.hard_state is not None:
                disk.hard_state = ordered.persist.hard_state
                self._vote(node, disk.hard_state)

    def _vote(self, node: NodeId, hard_state: HardState) -> None:
        if not hard_state.voted_for:
            return
        known = self.ghost.votes.setdefault(hard_state.term, {}).setdefault(node, hard_state.voted_for)
        # S7 VoteOnce, across restarts.
        if known != hard_state.voted_for:
            self.fail(
                "S7",
                "In one term a node votes for one candidate at most, also across restarts.",
                f"node {node}, term {hard_state.term}: {known}, then {hard_state.voted_for}",
            )

    def applied(self, node: NodeId, applied_index: int, *, stalled: bool = False) -> None:
        """An Apply was answered."""
        seen = self._seen[node]
        seen.apply_outstanding = False
        if not stalled:
            seen.applied_index = applied_index

    def flushed(self, node: NodeId, applied_index: int) -> None:
        """The state up to here survives a power loss."""
        self.ghost.disk(node).flushed_index = max(self.ghost.disk(node).flushed_index, applied_index)

    def state_hash(self, node: NodeId, applied_index: int, state_hash: bytes) -> None:
        """The state of a node at an applied index."""
        known = self.ghost.state_hashes.setdefault(applied_index, state_hash)
        # S16: states at the same applied index are the same on all nodes.
        if known != state_hash:
            self.fail(
                "S16",
                "States at the same applied index are equal on all nodes.",
                f"node {node} at {applied_index}: {state_hash.hex()[:16]}, another node had {known.hex()[:16]}",
            )

    def snapshot_saved(self, node: NodeId, snapshot: SnapshotMeta) -> None:
        """A snapshot file was built."""
        index = snapshot.last_index
        # S15: a snapshot stands for committed entries, and names the term of the last one.
        if index > self.ghost.commit_index or self.ghost.committed_terms[index] != snapshot.last_term:
            self.fail(
                "S15",
                "A snapshot stands for committed entries and names the last one's term.",
                f"node {node} saved ({index}, term {snapshot.last_term}); committed is {self.ghost.commit_index}",
            )

    def snapshot_installed(self, node: NodeId, applied_index: int) -> None:
        """A snapshot has become the state, durably."""
        seen = self._seen[node]
        # S15: a snapshot never takes a state back.
        if applied_index < seen.applied_index:
            self.fail(
                "S15",
                "A snapshot never takes a state back.",
                f"node {node} had applied {seen.applied_index} and installed {applied_index}",
            )
        seen.applied_index = applied_index
        disk = self.ghost.disk(node)
        disk.installed_index = max(disk.installed_index, applied_index)
        disk.flushed_index = max(disk.flushed_index, applied_index)

    # ------------------------------------------------------------------------------------------------ what leaves a node

    def sending(self, node: NodeId, to: NodeId, message: messages.Message) -> None:
        """S11 PersistBeforeSend: at the moment a promise leaves, what it promises is durable. Kills a class of bugs without a crash."""
        disk = self.ghost.disk(node)
        sentence = "What a message promises is durable at the moment it leaves."
        facts = f"node {node} sends {message} to {to}; durable: {disk.hard_state}, log to {disk.durable.last_index}"
        # S11: the term of a message is durable (but a pre-vote's, which is the one to come).
        if not isinstance(message, messages.PreVote) and message.term > disk.hard_state.term:
            self.fail("S11", sentence, facts)
        match message:
            case messages.RequestVote(term=term):
                # S11: a candidate's vote for itself (it may have moved on to a later term since).
                if self.ghost.votes.get(term, {}).get(node) != node:
                    self.fail("S11", sentence, facts)
            case messages.RequestVoteResponse(term=term, vote_granted=True):
                # S11: a granted vote.
                if self.ghost.votes.get(term, {}).get(node) != to:
                    self.fail("S11", sentence, facts)
            case messages.AppendEntriesResponse(success=True, match_index=match):
                chain = disk.log.chain_at(match)
                # S11: acknowledged entries.
                if chain is not None and not self.ghost.holds_durably(node, match, chain):
                    self.fail("S11", sentence, facts)
                if match > max(disk.durable.last_index, disk.installed_index):
                    self.fail("S11", sentence, facts)
            case messages.InstallSnapshotResponse(installed=True):
                # S11: an acknowledged snapshot is the durable state, or the durable log and state are past it.
                if not disk.installed_index and not disk.durable.last_index:
                    self.fail("S11", sentence, facts)
            case _:
                pass


def _numbers(status: ReplicaStatus) -> str:
    return f"{status.role.value} term {status.term}, applied {status.applied_index}, commit {status.commit_index}, last {status.last_log_index}"


def _text(persist: actions.Persist) -> str:
    return f"Persist {persist.write_seq}: base {persist.base}, truncate {persist.truncate}, first {persist.first_index}, {len(persist.entries)} entries"
