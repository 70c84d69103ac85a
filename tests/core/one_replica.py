"""A host for one replica in memory: it performs the orders honestly, and holds the replica to what every order promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ferrite.core import (
    NO_CLUSTER,
    PAYLOAD_HEADER_BYTES,
    ChangeVoters,
    Entry,
    EntryKind,
    HardState,
    Identity,
    Index,
    Member,
    Membership,
    NodeId,
    Recovered,
    RecoveredLog,
    RecoveredState,
    Replica,
    ReplicaConfig,
    Role,
    SnapshotMeta,
    StopCode,
    Term,
    actions,
    decode_membership,
    encode_membership,
    encode_payload,
    events,
    messages,
    payload_kind,
)
from tests.core.model_disk import Disk, Image

CLUSTER = b"C" * 16
ME = NodeId(1)
ACTIONS_MAX = 400
"""In one step: 6 peers with 3 appends in flight, a heartbeat and a chunk each, and the answers to all requests, are far below."""

SMALL = ReplicaConfig(
    seed=7,
    append_entries_max=4,
    append_bytes_max=200,
    inflight_messages_max=3,
    inflight_bytes_max=1000,
    cache_bytes_max=40,
    apply_entries_max=3,
    pending_requests_max=40,
    snapshot_chunk_bytes=16,
    flush_entries=2,
    flush_interval_us=700_000,
    log_entries_max=4,
    log_retention_entries=1,
)
"""Limits so small that loads, cuts, flushes and full windows happen within a few events."""


CALM = ReplicaConfig(seed=7, flush_interval_us=700_000)
"""For tests that mean one thing: nothing but the flush happens by itself."""

IN_MEMORY = 2
"""Entries that a start finds in memory; older ones must be loaded."""


def instance(node: int) -> bytes:
    return b"%016d" % (node % 10**16)


def member(node: int) -> Member:
    return Member(node_id=NodeId(node), instance=instance(node), peer_addr=f"n{node}:1")


def members_of(
    *voters: int, learners: Sequence[int] = (), retired: Sequence[int] = (), outgoing: Sequence[int] = ()
) -> Membership:
    everybody = sorted({*voters, *learners, *outgoing})
    return Membership(
        voters=tuple(NodeId(node) for node in sorted(voters)),
        outgoing=tuple(NodeId(node) for node in sorted(outgoing)),
        learners=tuple(NodeId(node) for node in sorted(learners)),
        members={NodeId(node): member(node) for node in everybody},
        retired={NodeId(node): instance(node) for node in retired},
    )


THREE = members_of(1, 2, 3, learners=(4,), retired=(5,))


def command(term: int, body: bytes = b"x", time_us: int = 0) -> Entry:
    return Entry(Term(term), encode_payload(EntryKind.COMMAND, time_us, body))


def config_entry(term: int, membership: Membership) -> Entry:
    return Entry(Term(term), encode_payload(EntryKind.MEMBERSHIP, 0, encode_membership(membership)))


def recovered(
    entries: Sequence[Entry],
    *,
    term: int,
    voted_for: int = 0,
    applied: int = 0,
    membership: Membership = THREE,
) -> Recovered:
    """A log from index 1 with these entries, of which the first `applied` are in the state; the membership is the state's."""
    runs: list[tuple[Index, Term]] = []
    for at, entry in enumerate(entries):
        if not runs or runs[-1][1] != entry.term:
            runs.append((Index(at + 1), entry.term))
    return Recovered(
        identity=Identity(node_id=ME, instance=instance(ME), boot=1),
        log=RecoveredLog(
            hard_state=HardState(cluster_id=CLUSTER, term=Term(term), voted_for=NodeId(voted_for)),
            last_index=Index(len(entries)),
            term_runs=tuple(runs),
            tail=tuple(entries),
        ),
        state=RecoveredState(
            applied_index=Index(applied),
            applied_term=entries[applied - 1].term if applied else Term(0),
            membership=membership,
        ),
    )


def fresh() -> Recovered:
    """A node that belongs to no cluster."""
    return Recovered(identity=Identity(node_id=ME, instance=instance(ME), boot=1))


class Host:
    """Performs orders; completions happen when asked for. Every step is checked."""

    def __init__(self, start: Recovered, config: ReplicaConfig = CALM, now_us: int = 1_000_000) -> None:
        self.now_us, self.config = now_us, config
        log = start.log
        in_memory = log.tail[-IN_MEMORY:]
        first = Index(log.last_index - len(in_memory) + 1)
        start = replace(start, log=replace(log, tail=in_memory, tail_first_index=first))
        self.replica = Replica(config, start, now_us)
        self.disk = Disk(Image(log.base_index, list(log.tail)), log.hard_state)
        self.write_seq = log.last_write_seq
        self.state_index = int(start.state.applied_index)
        self.flushed_index = self.flush_index = 0
        self.applying: actions.Apply | None = None
        self.loading: list[actions.LoadEntries] = []
        self.flushing = self.saving = False
        self.installing: SnapshotMeta | None = None
        self.sent: list[actions.Send] = []
        self.done: list[actions.Action] = []
        self.stop: actions.Stop | None = None
        self.base_membership = int(start.state.applied_index), start.state.membership
        self.led = 0
        self.term, self.commit = int(log.hard_state.term), self.state_index
        self.votes: dict[int, int] = {int(log.hard_state.term): int(log.hard_state.voted_for)}
        self.answers: dict[int, actions.Action] = {}
        self.last_request = 0
        self._given: tuple[events.Event, ...] = ()

    # -- time and events --------------------------------------------------------------------------------------

    def step(self, *given: events.Event, after_us: int = 0) -> list[actions.Action]:
        """One step and the checks on it; orders are taken down, nothing completes by itself."""
        self.now_us += after_us
        self._given = given
        ordered = self.replica.step(list(given), self.now_us)
        assert len(ordered) <= ACTIONS_MAX, f"{len(ordered)} actions in one step"
        for action in ordered:
            assert self.stop is None, f"{action} after the stop"
            self._perform(action)
        self.done.extend(ordered)
        self._check_status()
        return ordered

    def rest(self) -> None:
        """A step at the deadline moves the deadline on: nothing keeps a host busy for ever."""
        for _ in range(8):
            if self.replica.deadline_us > self.now_us:
                return
            self.step()
        raise AssertionError(f"deadline {self.replica.deadline_us} stays behind now, {self.now_us}")

    def to_deadline(self) -> list[actions.Action]:
        """Wait until the replica wants to be called."""
        return self.step(after_us=max(self.replica.deadline_us - self.now_us, 0))

    def hear(self, message: messages.Message, source: int = 2, boot: int = 1) -> list[actions.Action]:
        """A message of a member."""
        return self.step(events.MessageReceived(header=header_from(source, boot=boot), message=message))

    def request_id(self) -> int:
        self.last_request += 1
        return self.last_request

    # -- honest completions -----------------------------------------------------------------------------------

    def finish_writes(self, count: int | None = None) -> list[actions.Action]:
        count = len(self.disk.pending) if count is None else count
        return self.step(events.Persisted(write_seq=self.disk.finish(count))) if count else []

    def finish_apply(self) -> list[actions.Action]:
        order, self.applying = self.applying, None
        assert order is not None
        self.state_index = order.first_index + len(order.entries) - 1
        return self.step(events.Applied(applied_index=Index(self.state_index)))

    def stall_apply(self) -> list[actions.Action]:
        order, self.applying = self.applying, None
        assert order is not None
        return self.step(events.ApplyStalled(first_index=order.first_index))

    def finish_flush(self) -> list[actions.Action]:
        self.flushing = False
        self.flushed_index = self.flush_index
        return self.step(events.StateFlushed(applied_index=Index(self.flush_index)))

    def finish_load(self) -> list[actions.Action]:
        order = self.loading.pop(0)
        log = self.disk.written
        found = [log.at(i) for i in range(order.first_index, order.end_index) if log.base < i <= log.last]
        if not found:
            return []  # The log was replaced meanwhile: nobody waits for this any more.
        return self.step(events.EntriesLoaded(first_index=order.first_index, entries=tuple(found[:3])))

    def finish_save(self, *, well: bool = True) -> list[actions.Action]:
        self.saving = False
        term = self.term_of(self.state_index)
        if not well or term is None:
            return self.step(events.SnapshotLost(snapshot_id=b"", detail="could not be built"))
        name = b"S%015d" % self.state_index
        meta = SnapshotMeta(
            snapshot_id=name, last_index=Index(self.state_index), last_term=term, size_bytes=40
        )
        return self.step(events.SnapshotSaved(snapshot=meta))

    def finish_install(self, *, well: bool = True) -> list[actions.Action]:
        """The file is what its sender said that it is, or it is damaged."""
        meta, self.installing = self.installing, None
        assert meta is not None
        if not well:
            return self.step(events.SnapshotInstalled(snapshot_id=meta.snapshot_id, installed=False))
        self.state_index = self.flushed_index = int(meta.last_index)
        self.base_membership = meta.last_index, self.membership_at(meta.last_index)
        state = RecoveredState(
            applied_index=meta.last_index,
            applied_term=meta.last_term,
            membership=self.base_membership[1],
            installed_index=meta.last_index,
        )
        return self.step(events.SnapshotInstalled(snapshot_id=meta.snapshot_id, installed=True, state=state))

    def finish_all(self) -> None:
        """Complete whatever is outstanding until nothing is."""
        for _ in range(200):
            if self.stop or not self.complete_one():
                return
        raise AssertionError("the replica always finds something to do")

    def complete_one(self) -> bool:
        if self.disk.pending:
            self.finish_writes()
        elif self.applying:
            self.finish_apply()
        elif self.flushing:
            self.finish_flush()
        elif self.loading:
            self.finish_load()
        elif self.saving:
            self.finish_save()
        elif self.installing:
            self.finish_install()
        else:
            return False
        return True

    def membership_at(self, index: int) -> Membership:
        """The latest one in the log up to this index, committed or not (thesis 4.1)."""
        log, (base, membership) = self.disk.written, self.base_membership
        for at in range(min(index, log.last), max(base, log.base), -1):
            payload = log.at(at).payload
            if payload_kind(payload) == EntryKind.MEMBERSHIP:
                return decode_membership(payload[PAYLOAD_HEADER_BYTES:])
        return membership

    def term_of(self, index: int) -> Term | None:
        log = self.disk.written
        return log.at(index).term if log.base < index <= log.last else None

    # -- performing and checking ------------------------------------------------------------------------------

    def _perform(self, action: actions.Action) -> None:
        match action:
            case actions.Persist():
                self._take_persist(action)
            case actions.Apply():
                self._take_apply(action)
            case actions.Send():
                self._take_send(action)
            case actions.LoadEntries():
                assert self.disk.written.base < action.first_index < action.end_index
                assert action.end_index <= self.disk.written.last + 1
                self.loading.append(action)
            case actions.FlushState():
                assert not self.flushing and self.installing is None, "one flush at a time, and alone"
                self.flushing, self.flush_index = True, self.state_index
            case actions.SaveSnapshot():
                assert not self.saving, "one snapshot at a time"
                self.saving = True
            case actions.InstallSnapshot():
                assert self.installing is None and self.applying is None and not self.flushing
                assert action.snapshot.last_index > self.state_index, "older state never replaces newer"
                self.installing = action.snapshot
            case actions.DiscardLog():
                assert action.first_index <= self.flushed_index + 1, "only what a flushed state covers"
            case actions.ServeRead():
                assert action.read_index <= self.state_index, "served from a state that holds it"
                for request in action.requests:
                    self._answer(request, action)
            case actions.Reply() | actions.Refuse() | actions.Abandon():
                self._answer(action.request, action)
            case actions.Stop():
                self._take_stop(action)
            case actions.Announce() | actions.StoreChunk() | actions.SendSnapshot():
                pass

    def _answer(self, request: int, action: actions.Action) -> None:
        assert request not in self.answers, f"{request} answered twice: {self.answers[request]}, {action}"
        self.answers[request] = action

    def _take_persist(self, order: actions.Persist) -> None:
        assert order.write_seq == self.write_seq + 1, "writes are numbered one by one"
        self.write_seq = order.write_seq
        if order.hard_state is not None:
            hard = order.hard_state
            assert hard.term >= self.term, "the term on disk never decreases"
            self.term = hard.term
            voted = self.votes.setdefault(hard.term, hard.voted_for)
            assert voted in {0, hard.voted_for}, f"two votes in term {hard.term}"
            self.votes[hard.term] = hard.voted_for
        if order.truncate:
            assert order.first_index > self.state_index, "what is applied is never cut"
            if len(self._given) == 1 and order.entries:
                cut = self.disk.written.at(order.first_index)
                assert cut.term != order.entries[0].term, "cut only at a real conflict"
        self.disk.order(order)

    def _take_apply(self, order: actions.Apply) -> None:
        assert self.applying is None and self.installing is None, "one at a time"
        assert order.first_index == self.state_index + 1 and order.entries, "contiguous"
        end = order.first_index + len(order.entries)
        assert end - 1 <= self.replica.status().commit_index, "only what is committed"
        assert end - 1 <= self.disk.certain_last(self.disk.written), "only what is durable"
        for at, entry in enumerate(order.entries):
            assert entry == self.disk.durable.at(order.first_index + at), "what the disk holds"
        self.applying = order

    def _take_stop(self, stop: actions.Stop) -> None:
        self.stop = stop
        match self._given:
            case (
                events.MessageReceived(message=messages.AppendEntries(prev_log_index=prev, entries=entries)),
            ):
                if stop.code is StopCode.CORRUPTION:
                    log = self.disk.written
                    told = {prev + 1 + at: entry.term for at, entry in enumerate(entries)}
                    assert any(
                        log.at(index).term != term
                        for index, term in told.items()
                        if log.base < index <= self.commit
                    ), "a stop for nothing"
            case _:
                pass

    def _take_send(self, send: actions.Send) -> None:
        message, durable = send.message, self.disk.hard_state
        if not isinstance(message, messages.PreVote | messages.ForwardRefused):
            assert message.term <= durable.term, f"{message} speaks of a term that is not durable"
        assert send.to != ME
        match message:
            case messages.RequestVoteResponse(vote_granted=True):
                kept = durable.term > message.term or durable.voted_for == send.to
                assert kept, "no crash makes it vote for another one in this term"
                assert not self.replica.status().lost_tail, "who lost acknowledged entries does not vote"
            case messages.RequestVote():
                assert (durable.term, durable.voted_for) == (message.term, ME), "the own vote is durable"
            case messages.AppendEntriesResponse(success=True):
                assert message.match_index <= self.disk.certain_last(self.disk.written), "acked is durable"
            case messages.InstallSnapshotResponse(installed=True):
                assert durable.cluster_id != NO_CLUSTER, "adopting a cluster is durable before any answer"
            case _:
                pass
        self.sent.append(send)

    def _check_status(self) -> None:
        now = self.replica.status()
        assert now.term >= self.term and now.commit_index >= self.commit, "never back"
        led_before, self.led = self.led, now.term if now.role is Role.LEADER else 0
        if led_before == self.led != 0 and now.commit_index > self.commit:
            assert self.term_of(now.commit_index) == now.term, "by counting, only entries of its own term"
        self.commit = now.commit_index
        if now.stopped:
            return
        assert now.membership == self.membership_at(now.last_log_index), "the latest in the log is in force"
        if self.led:
            durable = self.disk.hard_state
            assert (durable.term, durable.voted_for) == (now.term, ME), "its own vote counted once durable"
        assert now.flushed_index <= now.applied_index <= now.commit_index <= now.last_log_index
        assert now.last_log_index == self.disk.written.last, "what was appended was ordered to the disk"
        assert now.persisted_index <= self.disk.certain_last(self.disk.written)
        if not self.disk.pending:
            assert now.persisted_index == self.disk.written.last
        for peer in now.peers.values():
            assert peer.match_index < peer.next_index <= now.last_log_index + 1
            assert peer.inflight_messages <= self.config.inflight_messages_max


def header_from(source: int, *, boot: int = 1) -> messages.Header:
    return messages.Header(
        cluster_id=CLUSTER,
        source=NodeId(source),
        source_instance=instance(source),
        source_boot=boot,
        target=ME,
        target_instance=instance(ME),
    )


# -- starting points ------------------------------------------------------------------------------------------


def follower(
    entries: Sequence[Entry] = (),
    *,
    term: int = 3,
    applied: int = 0,
    membership: Membership = THREE,
    config: ReplicaConfig = CALM,
) -> Host:
    """Heard leader 2 of its term; by default a log of terms 1, 1, 2, 2, 3 with two entries applied."""
    given = list(entries) or [command(t, b"%d" % at) for at, t in enumerate((1, 1, 2, 2, 3))]
    start = recovered(given, term=term, applied=applied or min(2, len(given)), membership=membership)
    host = Host(start, config)
    host.hear(messages.Heartbeat(term=Term(term), leader_commit=Index(0), round=1))
    return host


def pre_candidate(membership: Membership = THREE, config: ReplicaConfig = CALM) -> Host:
    host = follower(membership=membership, config=config)
    while host.replica.status().role is Role.FOLLOWER:
        host.finish_all()
        host.to_deadline()
    return host


def candidate(membership: Membership = THREE, config: ReplicaConfig = CALM) -> Host:
    host = pre_candidate(membership, config)
    for voter in membership.all_voters():
        if voter != ME and host.replica.status().role is Role.PRE_CANDIDATE:
            host.hear(
                messages.PreVoteResponse(term=Term(3), proposed_term=Term(4), vote_granted=True), source=voter
            )
    assert host.replica.status().role in {Role.CANDIDATE, Role.LEADER}
    return host


def leader(membership: Membership = THREE, *, settled: bool = True, config: ReplicaConfig = CALM) -> Host:
    """Leads term 4; settled: its first entry is committed and applied."""
    host = candidate(membership, config)
    host.finish_writes()
    for voter in membership.all_voters():
        if voter != ME and host.replica.status().role is Role.CANDIDATE:
            host.hear(messages.RequestVoteResponse(term=Term(4), vote_granted=True), source=voter)
    assert host.replica.status().role is Role.LEADER
    if settled:
        host.finish_all()
        for voter in 2 * membership.all_voters():  # twice: a joint membership is left once it is committed
            if voter != ME:
                acknowledge(host, voter)
                host.finish_all()
        assert host.replica.status().commit_index == host.replica.status().last_log_index
    return host


def acknowledge(host: Host, source: int, boot: int = 1) -> list[actions.Action]:
    """A member has all that the leader has."""
    now = host.replica.status()
    return host.hear(
        messages.AppendEntriesResponse(term=now.term, success=True, match_index=now.last_log_index),
        source=source,
        boot=boot,
    )


def change_voters(*voters: int) -> ChangeVoters:
    return ChangeVoters(voters=tuple(NodeId(node) for node in voters))
