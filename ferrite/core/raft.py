"""The one owner of a replica's state, and the few things that every topic needs: sending, terms, roles, membership.

Topics (election, replication, reads, ...) are modules of plain functions over `Raft`. Handlers record facts; the replica's
settle draws the consequences.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from typing import Final

from ferrite.core.actions import Abandon, Action, Announce, Refuse, Reply, Send, Stop, new_send
from ferrite.core.disk_state import DiskState
from ferrite.core.membership import Membership, decode_membership
from ferrite.core.messages import AppendEntriesResponse, Header, Message, RequestVote
from ferrite.core.pending import PendingRequests
from ferrite.core.raft_log import RaftLog
from ferrite.core.recovered import Recovered, ReplicaConfig
from ferrite.core.roles import Candidate, Follower, ForwardsSeen, Leader, RoleState
from ferrite.core.snapshot_state import SnapshotState
from ferrite.core.values import (
    NO_CLUSTER,
    NO_INSTANCE,
    NO_NODE,
    PAYLOAD_HEADER_BYTES,
    Entry,
    EntryKind,
    HardState,
    Index,
    NodeId,
    RefusalCode,
    RequestId,
    StopCode,
    Term,
    must,
    payload_kind,
    payload_time_us,
)

NEVER_US: Final = 1 << 62
"""A deadline that does not come."""
_MEMBERSHIP: Final = int(EntryKind.MEMBERSHIP)
"""A plain number: looking an enum's member up costs more than the comparison, and this runs for every entry."""
STRANGERS_MAX: Final = 1000
"""Nodes outside the membership whose incarnations are remembered: a fresh node knows nobody yet, everybody else few."""


class Raft:
    """All state of one replica.

    Always: `applied_index <= commit_index <= log.last_index`, `flushed_index <= applied_index`.
    """

    def __init__(self, config: ReplicaConfig, recovered: Recovered, now_us: int) -> None:
        """Start as a follower of nobody."""
        self.config = config
        self.headers: dict[NodeId, Header] = {}
        """What frames to each peer bear, until anything of it changes."""
        self.accepted: dict[NodeId, Header] = {}
        """By source: the header that was found to be in order last. The very same object needs no second look."""
        self.standing = 0
        """Counts the changes of role, term, leader and membership: while it stands still, so do they."""
        self.term: Term = Term(0)
        self.leader: NodeId = NO_NODE
        self.identity = recovered.identity
        self.node_id: NodeId = recovered.identity.node_id
        self.now_us = now_us
        # The same seed given to every node, or kept over a restart, must not keep nodes in step.
        self.dice = Dice(config.seed ^ (recovered.identity.node_id << 32) ^ (recovered.identity.boot << 48))
        self.actions: list[Action] = []
        self.counters: Counter[str] = Counter()
        self.stopped = False
        self.stepping_down = False

        log, state = recovered.log, recovered.state
        self._set_hard_state(log.hard_state)
        self.boot_term: Term = log.hard_state.term
        self.log = RaftLog(log, config.cache_bytes_max)
        self.disk = DiskState(log.last_index, log.last_write_seq)
        self.lost_tail = log.lost_tail
        self.commit_index: Index = state.applied_index
        self.applied_index: Index = state.applied_index
        # What was applied before may sit in the page cache only; what the log was cut below is certainly flushed.
        self.flushed_index: Index = min(log.base_index, state.applied_index)
        self.flush_outstanding = False
        self.flush_due_us = NEVER_US
        """When the state is flushed if there is anything to flush then."""
        self.note_flushed()
        self.applied_term: Term = state.applied_term
        self.apply_outstanding = False
        self.apply_retry_us = 0
        self.load_outstanding = False
        self.load_wanted: tuple[Index, Index] | None = None
        self.last_time_us = state.time_us
        self.take_role(Follower())
        in_log = [
            (index, decode_membership(payload[PAYLOAD_HEADER_BYTES:]))
            for index, payload in log.memberships
            if index > state.applied_index
        ]
        self.set_memberships([(Index(0), state.membership), *in_log])
        for entry in log.tail:
            self.last_time_us = max(self.last_time_us, payload_time_us(entry.payload))

        self.verified: tuple[Term, Index] = (Term(0), Index(0))
        """The term, and how far its leader has proved our log to be its own (since this boot)."""
        self.leader_connected = False
        self.leader_heard_us: int | None = None
        self.election_deadline_us = NEVER_US
        self.boots_seen: dict[tuple[NodeId, bytes], int] = {}
        self.instances_seen: dict[NodeId, bytes] = {}
        self.forwards_seen = ForwardsSeen()
        self.pending = PendingRequests(config, recovered.identity.boot)
        self.snapshots = SnapshotState()
        self.bootstrap_request: RequestId | None = None
        self.shutdown_deadline_us: int | None = None
        self.transfer_requests: list[tuple[RequestId, int]] = []
        self._fresh: list[tuple[Term, NodeId, Message, bool]] = []
        self._held: deque[tuple[int, Term, NodeId, Message]] = deque()
        self._announced: Announce | None = None
        self._announced_standing = -1

    # -- identity ---------------------------------------------------------------------------------------------

    def _set_hard_state(self, hard_state: HardState) -> None:
        self.hard_state = hard_state
        self._forget_headers()
        self.standing += 1
        self.term = hard_state.term
        """The current term, durable or about to be."""
        self.initialized = hard_state.cluster_id != NO_CLUSTER
        """Does this node belong to a cluster?"""

    def set_memberships(self, memberships: list[tuple[Index, Membership]]) -> None:
        """Replace the memberships: the committed one and those after it in the log. The list is never changed in place."""
        self.memberships = memberships
        self._forget_headers()
        self.standing += 1
        self.membership_index, self.membership = memberships[-1]
        """The membership in force: the latest in the log, committed or not (thesis 4.1), and where it stands (0: it is older
        than what was replayed)."""
        self.membership_unsettled = self.membership.joint or not self.membership.is_voter(self.node_id)
        """Has a leader something to do about it: leave the joint state, or hand over because it does not vote?"""
        mine = self._priority(self.node_id)
        voters = self.membership.all_voters()
        self._preferred = sum([self._priority(voter) > mine for voter in voters if voter != self.node_id])
        if self.office:
            self.office.quorum_due_us = 0

    def _priority(self, node: NodeId) -> int:
        return self.config.priorities.get(node, 50)

    @property
    def removed(self) -> bool:
        """Does this node know that it is no member any more?"""
        committed = self.membership_index <= self.commit_index
        return committed and bool(self.membership.members) and self.node_id not in self.membership.members

    @property
    def voter_until_committed(self) -> bool:
        """Does this node vote in the membership in force, or in one that it would replace?

        After a restart nothing is known to be committed, so every membership in the log may be the one that is.
        """
        return any(membership.is_voter(self.node_id) for _, membership in self.memberships)

    @property
    def shutting_down(self) -> bool:
        """Has a stop been asked for?"""
        return self.shutdown_deadline_us is not None

    def instance_of(self, node: NodeId) -> bytes | None:
        """Return the data directory's uuid that this id must have, None when the id is not known."""
        member = self.membership.members.get(node)
        return member.instance if member else self.membership.retired.get(node)

    def remember_instance(self, node: NodeId, instance: bytes) -> None:
        """Note who speaks, so that it can be answered; of strangers only the latest are kept."""
        self.instances_seen[node] = instance
        self._forget_headers()
        if len(self.instances_seen) > STRANGERS_MAX:
            self._forget_strangers()

    def _forget_strangers(self) -> None:
        known = self.membership.members
        strangers = [node for node in self.instances_seen if node not in known]
        for node in strangers[: len(strangers) // 2]:
            del self.instances_seen[node]
        self.boots_seen = {
            key: boot for key, boot in self.boots_seen.items() if key[0] in self.instances_seen
        }

    def _forget_headers(self) -> None:
        """The cluster, a membership or an instance is another: headers are made and judged anew."""
        self.headers.clear()
        self.accepted.clear()

    def header_for(self, peer: NodeId) -> Header:
        """Return the header of a frame to this peer: always the same object until something in it changes."""
        header = self.headers.get(peer)
        if header is None:
            header = self.headers[peer] = self._new_header(peer)
        return header

    def _new_header(self, peer: NodeId) -> Header:
        target_instance = self.instance_of(peer) or self.instances_seen.get(peer, NO_INSTANCE)
        return Header(
            cluster_id=self.hard_state.cluster_id,
            source=self.node_id,
            source_instance=self.identity.instance,
            source_boot=self.identity.boot,
            target=peer,
            target_instance=target_instance,
        )

    # -- sending ----------------------------------------------------------------------------------------------

    def send(self, to: NodeId, message: Message, *, promise: bool = False) -> None:
        """Send once the present term and vote are durable; a *promise* also waits for everything ordered so far (DR1)."""
        self._fresh.append((self.term, to, message, promise))

    def release_messages(self) -> None:
        """Emit what may leave now; `stage` has been called, so that every promise has its write number."""
        if self._held:
            self._release_held()
        if not self._fresh:
            return
        disk, actions, now_term = self.disk, self.actions, self.term
        durable_seq = disk.durable_seq
        for term, to, message, promise in self._fresh:
            if term != now_term or (type(message) is RequestVote and self._is_void(term, message)):
                continue
            gate = disk.write_seq if promise else disk.hard_state_seq
            if gate <= durable_seq:
                actions.append(new_send(to, message))
            else:
                self._held.append((gate, now_term, to, message))
        self._fresh.clear()

    def _release_held(self) -> None:
        waiting: deque[tuple[int, Term, NodeId, Message]] = deque()
        for gate, term, to, message in self._held:
            if self._is_void(term, message):
                continue
            if gate <= self.disk.durable_seq:
                self.actions.append(Send(to=to, message=message))
            else:
                waiting.append((gate, term, to, message))
        self._held = waiting

    def _is_void(self, term: Term, message: Message) -> bool:
        """What was said in a term that is over helps nobody, nor a request for votes after the election was lost."""
        return term != self.term or (
            isinstance(message, RequestVote) and not isinstance(self.role, Candidate)
        )

    # -- terms and roles --------------------------------------------------------------------------------------

    def set_term(self, term: Term, voted_for: NodeId = NO_NODE) -> None:
        """Enter a later term, or vote in this one."""
        must((term, voted_for) != (self.term, self.hard_state.voted_for), "only a change is recorded")
        must(term >= self.term, "the term never decreases")
        must(term > self.term or self.hard_state.voted_for == NO_NODE, "one vote a term")
        self._set_hard_state(replace(self.hard_state, term=term, voted_for=voted_for))
        self.disk.hard_state_changed()

    def adopt_cluster(self, cluster_id: bytes) -> None:
        """Belong to this cluster from now on."""
        must(not self.initialized, "a node belongs to one cluster for ever")
        self._set_hard_state(replace(self.hard_state, cluster_id=cluster_id))
        self.disk.hard_state_changed()

    def take_role(self, role: RoleState) -> None:
        """Be this from now on."""
        self.standing += 1
        self.role: RoleState = role
        self.office = role if isinstance(role, Leader) else None
        """The role's data when this replica leads."""

    def become_follower(self, term: Term, leader: NodeId = NO_NODE) -> None:
        """Follow: in a later term, or in this one because somebody leads it (or nobody may)."""
        if self.office:
            self._leave_office(self.office)
        if term > self.term:
            self.set_term(term)
        if not isinstance(self.role, Follower):
            self.take_role(Follower())
        self.follow(leader)
        self.reset_election_timer()

    def _leave_office(self, office: Leader) -> None:
        self.counters["leaderships_lost"] += 1
        for batch in office.read_batches:
            self.pending.read_again(batch.requests)
        if office.change and office.change.request:
            detail = "leadership was lost before the change was complete; a later leader may complete it"
            self.actions.append(Abandon(request=office.change.request, detail=detail))

    def follow(self, leader: NodeId) -> None:
        """Take note of who leads this term; reads under way to somebody else are asked anew."""
        if leader != self.leader:
            self.standing += 1
            self.leader = leader
            self.leader_connected = True
            self.pending.ask_reads_anew()
            if leader != NO_NODE:
                self.counters["leader_changes"] += 1

    def heard_leader(self) -> None:
        """The leader of this term spoke."""
        self.leader_heard_us = self.now_us
        self.leader_connected = True
        self.reset_election_timer()

    def sticks_to_leader(self) -> bool:
        """Was a leader heard within the minimum election timeout? Then nobody gets our vote (thesis 4.2.3)."""
        if self.office:
            return True
        heard_us = self.leader_heard_us
        if self.leader == NO_NODE or heard_us is None:
            return False
        return self.now_us < heard_us + self.config.election_timeout_min_us

    def reset_election_timer(self) -> None:
        """Choose a new time to campaign; voters that others are preferred to wait longer for each of them."""
        shortest_us = self.config.election_timeout_min_us
        spread = self.config.election_timeout_max_us - shortest_us
        delay_us = self.dice.below(spread + 1) + self._preferred * (spread // 2)
        self.election_deadline_us = self.now_us + shortest_us + delay_us

    # -- the log ----------------------------------------------------------------------------------------------

    def append(self, entries: tuple[Entry, ...] | list[Entry]) -> None:
        """Add entries to the log; a membership is in force from here on."""
        if not entries:
            return
        first = self.log.last_index + 1
        self.log.append(entries)
        found = [
            (Index(first + at), decode_membership(entry.payload[PAYLOAD_HEADER_BYTES:]))
            for at, entry in enumerate(entries)
            if payload_kind(entry.payload) == _MEMBERSHIP
        ]
        if found:
            self.set_memberships([*self.memberships, *found])
        self.last_time_us = max(self.last_time_us, payload_time_us(entries[-1].payload))

    def truncate(self, first_index: Index) -> None:
        """Cut a conflicting suffix, and with it the memberships that stood there."""
        must(first_index > self.commit_index, "committed entries are never cut")
        must(self.office is None, "a leader never cuts its own log (Leader Append-Only)")
        self.log.truncate(first_index)
        self.verified = (self.verified[0], Index(min(self.verified[1], first_index - 1)))
        self.disk.truncated(first_index)
        self._unpromise(first_index)
        self.set_memberships([(index, m) for index, m in self.memberships if index < first_index])
        self.counters["log_truncations"] += 1

    def reset_log(self, base_index: Index, base_term: Term) -> None:
        """Begin the log anew behind an installed snapshot; what it held is acknowledged no more."""
        self.log.reset(base_index, base_term)
        self.disk.reset(base_index, base_term)
        self._unpromise(Index(base_index + 1))

    def _unpromise(self, first_index: Index) -> None:
        """What was cut must not be acknowledged any more, whatever was about to say so."""

        def void(message: Message) -> bool:
            return isinstance(message, AppendEntriesResponse) and message.match_index >= first_index

        self._held = deque(held for held in self._held if not void(held[3]))
        self._fresh = [fresh for fresh in self._fresh if not void(fresh[2])]

    def verify(self, index: Index) -> None:
        """The leader of this term proved that the logs agree up to here."""
        known = self.verified[1] if self.verified[0] == self.term else 0
        self.verified = (self.term, Index(max(known, index)))

    @property
    def verified_index(self) -> Index:
        """How far the leader of this term has proved our log to be its own; 0 when it has not yet."""
        return self.verified[1] if self.verified[0] == self.term else Index(0)

    def forget_old_memberships(self) -> None:
        """Only the last committed membership and the later ones can be rolled back to."""
        while len(self.memberships) > 1 and self.memberships[1][0] <= self.commit_index:
            self.set_memberships(self.memberships[1:])

    def note_flushed(self) -> None:
        """The state is flushed as of now: by time, the next flush is due an interval later."""
        interval_us = self.config.flush_interval_us
        if self.config.auto_flush and interval_us:
            self.flush_due_us = self.now_us + interval_us

    # -- answers ----------------------------------------------------------------------------------------------

    def reply(self, request: RequestId, result: object) -> None:
        """Answer a request that was carried out; 0 is nobody's."""
        if request:
            self.actions.append(Reply(request=request, result=result))

    def refuse(self, request: RequestId, code: RefusalCode, detail: str) -> None:
        """Answer a request that certainly is not carried out."""
        if request:
            self.counters["refused_" + code.value] += 1
            self.actions.append(Refuse(request=request, code=code, detail=detail, leader=self.leader))

    def stop(self, code: StopCode, detail: str) -> None:
        """Order the end, after an answer to everybody who still waits; nothing is done after it."""
        if self.stopped:
            return
        self.stopped = True
        refusal = RefusalCode.SHUTTING_DOWN if code is StopCode.OK else RefusalCode.STORAGE_FAILED
        unknown = [request for request, _ in self.transfer_requests]
        office = self.office
        if office and office.change:
            unknown.append(office.change.request)
        if self.bootstrap_request:
            unknown.append(self.bootstrap_request)
        for request, proposal in self.pending.proposals.items():
            if proposal.term_sent:
                unknown.append(request)
            else:
                self.refuse(request, refusal, detail)
        for request in self.pending.reads:
            self.refuse(request, refusal, detail)
        self.actions.extend(Abandon(request=request, detail=detail) for request in unknown if request)
        self.take_role(Follower())
        self.standing += 1
        self.leader = NO_NODE
        self.announce()
        self.actions.append(Stop(code=code, detail=detail))

    def announce(self) -> None:
        """Tell the host what it shows and connects to, when it changed."""
        if self._announced_standing == self.standing:
            return
        self._announced_standing = self.standing
        last, role, membership = self._announced, self.role.role, self.membership
        if (
            last is None
            or last.role is not role
            or last.term != self.term
            or last.leader != self.leader
            or (last.membership is not membership and last.membership != membership)
        ):
            now = Announce(role=role, term=self.term, leader=self.leader, membership=membership)
            self._announced = now
            self.actions.append(now)


class Dice:
    """A small seeded generator (SplitMix64) for election jitter; the core has no other chance in it."""

    _MASK = (1 << 64) - 1

    def __init__(self, seed: int) -> None:
        """Start from any integer."""
        self._state = seed & self._MASK

    def below(self, bound: int) -> int:
        """Return a number from 0 to bound - 1."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & self._MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & self._MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & self._MASK
        return (mixed ^ (mixed >> 31)) % bound
