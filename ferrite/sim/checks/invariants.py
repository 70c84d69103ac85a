"""The cheap invariants, checked after every step: O(1) amortized per event, one English sentence above each check.

The names are those of Ongaro's thesis (figure 3.2) and of Ferrite's catalogue (S1-S25). A replica is seen through its status
and through what enters and leaves it; what is durable is tracked from `Persist` orders and finished syncs, and compared with
the recovered log at every start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ferrite.core import (
    Entry,
    NodeId,
    Recovered,
    ReplicaConfig,
    ReplicaStatus,
    RequestId,
    SnapshotMeta,
    actions,
    events,
    messages,
)
from ferrite.core.kv import Origin
from ferrite.sim.checks.chunks import chunk_answered
from ferrite.sim.checks.commands import answered, skipped_are_answered
from ferrite.sim.checks.commit import became_leader, commit_advanced, ordered_apply
from ferrite.sim.checks.contact import leads, read_served
from ferrite.sim.checks.ghost import Ghost, apply_to
from ferrite.sim.checks.log import loaded, ordered_discard, ordered_load, ordered_persist, voted
from ferrite.sim.checks.proved import appends_arrived, commit_is_proved
from ferrite.sim.checks.reads import read_arrived, read_confirmed, round_answered
from ferrite.sim.checks.recovery import recovered_problem
from ferrite.sim.checks.role import (
    asks_everybody,
    campaigned,
    membership_in_force,
    monotonic,
    progress_of_peers,
    remembers,
)
from ferrite.sim.checks.send import sending
from ferrite.sim.checks.shared import CANDIDATE, LEADER, PRE_CANDIDATE, Checks, Seen, View
from ferrite.sim.checks.told import told

Send: Final = actions.Send
"""By its plain name, because this is asked of nearly every action there is."""
_ANSWERS: Final = (actions.Reply, actions.Refuse, actions.Abandon)


def _moved_on(checks: Checks, node: NodeId, seen: Seen, before: View | None, status: View) -> None:
    """Something that a replica says of itself is not what it said before; `before` is None at its start."""
    if status.role is LEADER and (before is None or before.role is not LEADER or before.term != status.term):
        became_leader(checks, node, seen, status)
    if status.role is LEADER and seen.facts is not None:
        leads(seen.facts.contact, before, status)
    if before is not None:
        if status.role is CANDIDATE:
            campaigned(checks, node, seen, before, status)
        monotonic(checks, node, before, status)
        if status.commit_index > before.commit_index:
            commit_is_proved(checks, node, seen, before, status)
    if before is None or status.commit_index != before.commit_index:
        commit_advanced(checks, node, before, status)


class Invariants:
    """All checks of one run: what the host calls at each turn of events."""

    def __init__(self, config: ReplicaConfig, now: Callable[[], tuple[int, int]]) -> None:
        """Begin with an empty cluster; `now` gives (time_us, event number)."""
        self.checks = Checks(config=config, now=now)
        self.steps = 0

    @property
    def ghost(self) -> Ghost:
        """What the harness knows and no node does."""
        return self.checks.ghost

    def opening(self, node: NodeId) -> None:
        """A node is about to open its log."""
        self.ghost.disk(node).opens += 1

    def booted(self, node: NodeId, recovered: Recovered) -> None:
        """A node came up with this: its disk must be one of the images that the crash could leave."""
        disk = self.checks.ghost.disk(node)
        # F5, S6, S7: what a node recovers is its last durable state, or that plus a prefix of the writes under way.
        problem = recovered_problem(disk, recovered)
        if problem:
            self.checks.fail(
                "F5",
                "A node recovers at least what was durable, and nothing that was never written.",
                problem,
            )
        voted(self.checks, node, disk.hard_state)
        if recovered.log.lost_tail is not None:
            self.checks.marks.hit("lost_tail")
            for other in self.checks.seen.values():
                other.tail_lost.add(node)
        self.checks.seen[node] = Seen(
            boot=recovered.identity.boot, applied_index=recovered.state.applied_index
        )
        # S16: the state that survived is a prefix of the committed log.
        if recovered.state.applied_index > self.checks.ghost.commit_index:
            self.checks.fail(
                "S16",
                "A state store holds committed entries only.",
                f"node {node} recovered applied index {recovered.state.applied_index}, "
                f"committed is {self.checks.ghost.commit_index}",
            )

    def started(self, node: NodeId, status: ReplicaStatus) -> None:
        """A replica was made of what its node recovered."""
        remembers(self.checks, node, status)
        self.stepped(node, status, ())

    def told(self, node: NodeId, batch: Sequence[events.Event], now_us: int) -> None:
        """These facts are handed to a replica, at this time of its clock: before `stepped`."""
        told(self.checks, node, batch, now_us)

    def stepped(self, node: NodeId, status: View, ordered: Sequence[actions.Action]) -> None:
        """Check the step that turned the status before into this one and ordered these actions."""
        self.steps += 1
        checks = self.checks
        seen = checks.seen[node]
        before, facts = seen.status, seen.facts
        upon_state: list[actions.Action] = []
        for action in ordered:
            if type(action) is Send:  # Nearly all of them; they are looked at when they leave.
                continue
            if type(action) is actions.Persist:
                ordered_persist(checks, node, action, before, status)
                seen.membership_due = True
            elif type(action) is actions.LoadEntries:
                ordered_load(checks, node, action)
            elif type(action) is actions.ServeRead:
                for request in action.requests:
                    read_confirmed(checks, node, status, request)
                    if facts is not None:
                        read_served(checks, node, facts.contact, status, request)
            elif type(action) is actions.Apply or type(action) is actions.DiscardLog:
                upon_state.append(action)
            elif isinstance(action, _ANSWERS) and facts is not None:
                answered(checks, node, facts.commands, action)
                facts.contact.bounds_us.pop(action.request, None)
        if facts is not None:
            skipped_are_answered(checks, node, facts.commands)
        if status.role is CANDIDATE or status.role is PRE_CANDIDATE:
            asks_everybody(checks, node, status, ordered)
        if status is not before:  # The same object: the same numbers.
            _moved_on(checks, node, seen, before, status)
            seen.membership_due = True
        if seen.membership_due:
            membership_in_force(checks, node, seen, status)
        if status.role is LEADER:
            progress_of_peers(checks, node, seen, status)
        for action in upon_state:
            if type(action) is actions.Apply:
                ordered_apply(checks, node, seen, status, action)
            elif type(action) is actions.DiscardLog:
                ordered_discard(checks, node, action)
        seen.status = status

    def loaded(self, node: NodeId, first_index: int, entries: Sequence[Entry]) -> None:
        """Entries were read from a node's log."""
        loaded(self.checks, node, first_index, entries)

    def performed(self, node: NodeId, write_seq: int) -> None:
        """The host has begun to write this `Persist`: a crash may keep it, whole or in part."""
        disk = self.checks.ghost.disk(node)
        disk.performed_seq = max(disk.performed_seq, write_seq)

    def persisted(self, node: NodeId, write_seq: int) -> None:
        """A sync has finished: everything up to this `Persist` is durable."""
        disk = self.checks.ghost.disk(node)
        while disk.waiting and disk.waiting[0].persist.write_seq <= write_seq:
            ordered = disk.waiting.pop(0)
            apply_to(disk.durable, ordered.persist, ordered.chains, ordered.base_chain)
            disk.durable_seq = ordered.persist.write_seq
            if ordered.persist.hard_state is not None:
                disk.hard_state = ordered.persist.hard_state
                voted(self.checks, node, disk.hard_state)

    def applied(self, node: NodeId, applied_index: int, *, stalled: bool = False) -> None:
        """An Apply was answered."""
        seen = self.checks.seen[node]
        seen.apply_outstanding = False
        if not stalled:
            seen.applied_index = applied_index

    def outcome(self, origin: Origin, first_index: int, applied_index: int) -> None:
        """Applying these entries gave a result for a command of this node and boot."""
        index = self.ghost.taken.get(origin, 0)
        # ANSWER: a result is that of the command which this boot of the node took, not of an earlier one's.
        if not first_index <= index <= applied_index:
            self.checks.fail(
                "ANSWER",
                "Results are reported of commands that this boot took, when they are applied.",
                f"{origin} got a result from the entries [{first_index}, {applied_index}]; its command stands at {index}",
            )

    def flushed(self, node: NodeId, applied_index: int) -> None:
        """The state up to here survives a power loss."""
        self.checks.ghost.disk(node).flushed_index = max(
            self.checks.ghost.disk(node).flushed_index, applied_index
        )

    def state_hash(self, node: NodeId, applied_index: int, state_hash: bytes) -> None:
        """The state of a node at an applied index."""
        known = self.checks.ghost.state_hashes.setdefault(applied_index, state_hash)
        # S16: states at the same applied index are the same on all nodes.
        if known != state_hash:
            self.checks.fail(
                "S16",
                "States at the same applied index are equal on all nodes.",
                f"node {node} at {applied_index}: {state_hash.hex()[:16]}, another node had {known.hex()[:16]}",
            )

    def fingerprint(self, node: NodeId, applied_index: int, fingerprint: int) -> None:
        """What a node's state store holds at an applied index, in one number."""
        # S16: the same, at no cost: as often as one likes.
        if self.checks.ghost.fingerprints.setdefault(applied_index, fingerprint) != fingerprint:
            self.checks.fail(
                "S16",
                "States at the same applied index are equal on all nodes.",
                f"node {node} at {applied_index}: another node's state store held other pairs there",
            )

    def snapshot_saved(self, node: NodeId, snapshot: SnapshotMeta) -> None:
        """A snapshot file was built."""
        index = snapshot.last_index
        self.ghost.snapshots[snapshot.snapshot_id] = index
        # S15: a snapshot stands for committed entries, and names the term of the last one.
        if (
            index > self.checks.ghost.commit_index
            or self.checks.ghost.committed_terms[index] != snapshot.last_term
        ):
            self.checks.fail(
                "S15",
                "A snapshot stands for committed entries and names the last one's term.",
                f"node {node} saved ({index}, term {snapshot.last_term}); committed is {self.checks.ghost.commit_index}",
            )

    def snapshot_installed(self, node: NodeId, applied_index: int) -> None:
        """A snapshot has become the state, durably."""
        seen = self.checks.seen[node]
        # S15: a snapshot never takes a state back.
        if applied_index < seen.applied_index:
            self.checks.fail(
                "S15",
                "A snapshot never takes a state back.",
                f"node {node} had applied {seen.applied_index} and installed {applied_index}",
            )
        seen.applied_index = applied_index
        seen.membership_due = True
        disk = self.checks.ghost.disk(node)
        self.checks.marks.hit("snapshot_installed")
        held = disk.log.chain_at(applied_index)
        if disk.log.last_index > applied_index or held not in (None, self.ghost.committed[applied_index]):
            self.checks.marks.hit("snapshot_over_conflict")
        disk.installed_index = max(disk.installed_index, applied_index)
        disk.flushed_index = max(disk.flushed_index, applied_index)

    def sending(self, node: NodeId, to: NodeId, message: messages.Message) -> None:
        """A message leaves a node."""
        sending(self.checks, node, to, message)

    def heard(self, node: NodeId, source: NodeId, batch: Sequence[messages.Message], *, queued: bool) -> None:
        """Messages have arrived at a node that runs. `queued`: it has others to take before these."""
        for message in batch:
            if type(message) is messages.AppendEntries:
                appends_arrived(self.checks, node, batch, queued=queued)
                break
        for message in batch:
            if type(message) is messages.HeartbeatResponse:
                round_answered(self.checks, node, source, message)
            elif type(message) is messages.ReadIndex:
                read_arrived(self.checks, node, (source, message.context))
            elif type(message) is messages.InstallSnapshotResponse:
                chunk_answered(self.checks, node, source, message)

    def read_arrived(self, node: NodeId, request: RequestId) -> None:
        """A client's linearizable read has arrived."""
        read_arrived(self.checks, node, request)
