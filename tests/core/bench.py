"""A bench for one replica: events are fed by hand, time is virtual, and the disk is a list.

The bench is a host by the contract's rule, and a suspicious one: after every step it checks what the contract promises of
every action (numbers of writes, contiguous ranges, one `Apply` at a time, nothing promised that is not durable, one answer
a request). A test only says what is particular to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import msgpack

from ferrite.core import (
    Entry,
    EntryKind,
    HardState,
    Identity,
    Index,
    LostTail,
    Membership,
    NodeId,
    Recovered,
    RecoveredState,
    Replica,
    ReplicaConfig,
    RequestId,
    Role,
    Term,
    actions,
    events,
    messages,
)
from tests.core.bench_values import (
    CLUSTER,
    ELECTION_MAX_US,
    START_US,
    Acts,
    Disk,
    check_promises,
    command,
    entry,
    instance_of,
    membership_entry,
    membership_of,
)


class Bench:
    """One replica, by default node 1 of voters 1, 2, 3, whose log begins with the founding membership at index 1, term 1."""

    def __init__(
        self,
        *,
        node: int = 1,
        voters: Iterable[int] = (1, 2, 3),
        learners: Iterable[int] = (),
        membership: Membership | None = None,
        log: Iterable[int | Entry] = (),
        term: int | None = None,
        voted_for: int = 0,
        applied: int = 1,
        base: tuple[int, int] | None = None,
        installed: int = 0,
        tail_entries: int | None = None,
        lost_tail: LostTail | None = None,
        auto_load: bool = True,
        auto_persist: bool = True,
        auto_apply: bool = True,
        blank: bool = False,
        **config: Any,
    ) -> None:
        self.config = ReplicaConfig(**{"seed": 1, **config})
        self.node, self.boot = node, 1
        self.auto_persist, self.auto_apply = auto_persist, auto_apply
        self.auto_load, self.tail_entries = auto_load, tail_entries
        self.disk = Disk()
        self.state = RecoveredState()
        if not blank:
            founding = membership or membership_of(voters, learners=learners)
            rest = [item if isinstance(item, Entry) else entry(item, n) for n, item in enumerate(log)]
            self.disk.log = rest if base else [membership_entry(1, founding), *rest]
            self.disk.base = base or (0, 0)
            last = self.disk.term_at(self.disk.last_index)
            self.disk.hard_state = HardState(
                cluster_id=CLUSTER,
                term=Term(last if term is None else term),
                voted_for=NodeId(voted_for),
            )
            self.state = RecoveredState(
                applied_index=Index(applied),
                applied_term=Term(
                    self.disk.term_at(min(max(applied, self.disk.base[0]), self.disk.last_index))
                ),
                membership=founding if applied else Membership(),
                installed_index=Index(installed),
            )
        self.now_us = START_US
        self.lost_tail = lost_tail
        self._numbers = itertools.count(1)
        self.write_seq = 0
        self._start()

    def _start(self) -> None:
        self.writes: list[actions.Persist] = []
        self.image = self.disk.copy()
        self.applying: actions.Apply | None = None
        self.loading: actions.LoadEntries | None = None
        self.applied: list[Entry] = []
        self.next_apply = self.state.applied_index + 1
        self.durable_index = self.disk.last_index
        self.asked: set[int] = set()
        self.answered: set[int] = set()
        self.stopped: Any = None  # an actions.Stop
        self.done: list[Any] = []
        self.held: list[Any] = []
        self.replica = Replica(self.config, self.recovered(), self.now_us)

    # -- what the host finds on its disk

    def recovered(self) -> Recovered:
        return Recovered(
            identity=Identity(node_id=NodeId(self.node), instance=instance_of(self.node), boot=self.boot),
            log=self.disk.recovered(self.write_seq, self.tail_entries, self.lost_tail),
            state=self.state,
        )

    def restart(self, *, state: RecoveredState | None = None) -> Bench:
        """Crash and boot again with what is durable; by default the state store lost nothing."""
        self.boot += 1
        if state is not None:
            self.state = state
        elif self.next_apply - 1 > self.state.applied_index:
            index = self.next_apply - 1
            self.state = RecoveredState(
                applied_index=Index(index),
                applied_term=Term(self.disk.term_at(index)),
                membership=self.replica.status().membership,
                installed_index=self.state.installed_index,
            )
        self._start()
        return self

    # -- driving

    @property
    def status(self) -> Any:
        return self.replica.status()

    @property
    def term(self) -> int:
        return int(self.status.term)

    def role(self) -> Role:
        role: Role = self.status.role
        return role

    def step(self, *facts: Any) -> Acts:
        """Feed these facts in one step, perform the orders, and report what is automatic until nothing is left."""
        for fact in facts:
            if hasattr(fact, "request"):
                self.asked.add(fact.request)
        collected: list[Any] = []
        todo: tuple[Any, ...] = facts
        for _ in range(1000):
            self.commit_before = self.status.commit_index
            done = self.replica.step(list(todo), self.now_us)
            self.held = []
            for act in done:
                self._perform(act)
            collected += done
            self.done += done
            if not self.held or self.stopped:
                return Acts(collected)
            todo = tuple(self.held)
            for fact in todo:
                self._note(fact)
        raise AssertionError("the replica never comes to rest")

    def _perform(self, act: Any) -> None:
        assert self.stopped is None, f"{act} after Stop"
        match act:
            case actions.Persist():
                self._check_persist(act)
                self.writes.append(act)
                if self.auto_persist:
                    self.held = [h for h in self.held if not isinstance(h, events.Persisted)]
                    self.held.append(events.Persisted(write_seq=act.write_seq))
            case actions.Apply():
                self._check_apply(act)
                self.applying = act
                if self.auto_apply:
                    self.held.append(self._applied_fact())
            case actions.Send():
                assert act.to != self.node, "sent to itself"
                check_promises(self, act.to, act.message)
            case actions.ServeRead():
                assert self.next_apply > act.read_index, "a read served before the state is there"
                for request in act.requests:
                    self._check_answer(request)
            case actions.Reply() | actions.Refuse() | actions.Abandon():
                self._check_answer(act.request)
            case actions.LoadEntries():
                assert self.loading is None, "a second LoadEntries while one is outstanding"
                assert act.first_index < act.end_index <= self.durable_index + 1, "loads what is not on disk"
                self.loading = act
                if self.auto_load:
                    self.held.append(self.loaded_fact())
            case actions.DiscardLog():
                assert act.first_index <= self.status.flushed_index + 1, (
                    "discards what no flushed state covers"
                )
            case actions.Stop():
                self.stopped = act
            case _:
                pass

    def _check_persist(self, order: actions.Persist) -> None:
        assert order.write_seq == self.write_seq + 1, "write_seq grows by one"
        self.write_seq = order.write_seq
        if order.truncate:
            assert order.first_index > self.commit_before, "cuts at or below the commit index"
        self.image.write(order)

    def _check_apply(self, order: actions.Apply) -> None:
        assert self.applying is None, "a second Apply while one is outstanding"
        assert order.entries, "an empty Apply"
        assert order.first_index == self.next_apply, "Apply is not contiguous"
        last = order.first_index + len(order.entries) - 1
        assert last <= self.durable_index, "applied before it is durable here"
        assert last <= self.status.commit_index, "applied before it is committed"

    def _check_answer(self, request: int) -> None:
        assert request in self.asked, f"answers {request}, which nobody asked"
        assert request not in self.answered, f"request {request} was answered twice"
        self.answered.add(request)

    def _applied_fact(self) -> events.Applied:
        assert self.applying is not None
        outcomes = []
        first = self.applying.first_index
        for index, item in enumerate(self.applying.entries, first):
            if item.payload[0] == EntryKind.COMMAND:
                node, boot, request = msgpack.unpackb(item.payload[9:])[1]
                if (node, boot) == (self.node, self.boot):
                    outcomes.append((RequestId(request), ("applied at", index)))
        last = Index(first + len(self.applying.entries) - 1)
        return events.Applied(applied_index=last, outcomes=tuple(outcomes))

    def _note(self, fact: Any) -> None:
        """What a report says is now so: the checks below look at it."""
        match fact:
            case events.Persisted():
                while self.writes and self.writes[0].write_seq <= fact.write_seq:
                    self.disk.write(self.writes.pop(0))
                # What later writes cut off is not promised any more, whatever the platter still holds.
                kept = [w.first_index - 1 for w in self.writes if w.truncate or w.base is not None]
                self.durable_index = min([self.disk.last_index, *kept])
            case events.Applied():
                assert self.applying is not None
                self.applied += self.applying.entries
                self.next_apply = fact.applied_index + 1
                self.applying = None
            case events.ApplyStalled():
                self.applying = None
            case events.EntriesLoaded():
                self.loading = None
            case events.SnapshotInstalled():
                if fact.installed and fact.state is not None:
                    self.state = fact.state
                    self.next_apply = fact.state.applied_index + 1
            case _:
                pass

    def persist(self, write_seq: int | None = None) -> Acts:
        """Everything ordered so far (or up to `write_seq`) has become durable."""
        assert self.writes, "nothing is being written"
        fact = events.Persisted(write_seq=self.writes[-1].write_seq if write_seq is None else write_seq)
        self._note(fact)
        return self.step(fact)

    def apply(self) -> Acts:
        """The outstanding Apply is done."""
        fact = self._applied_fact()
        self._note(fact)
        return self.step(fact)

    def loaded_fact(self, *, at_most: int = 1 << 30) -> events.EntriesLoaded:
        order = self.loading
        assert order is not None
        return events.EntriesLoaded(first_index=order.first_index, entries=self.disk.read(order, at_most))

    def load(self, *, at_most: int = 1 << 30) -> Acts:
        """The outstanding LoadEntries is answered from the disk."""
        return self.report(self.loaded_fact(at_most=at_most))

    def report(self, fact: Any) -> Acts:
        """Report something that has happened on this host, and remember that it has."""
        self._note(fact)
        return self.step(fact)

    def stall(self) -> Acts:
        assert self.applying is not None
        fact = events.ApplyStalled(first_index=self.applying.first_index)
        self._note(fact)
        return self.step(fact)

    def pass_us(self, duration_us: int) -> Acts:
        """Let time go by; the replica is called at each of its deadlines."""
        end = self.now_us + duration_us
        acts = Acts([])
        for _ in range(100_000):
            if self.stopped:
                return acts
            due = self.replica.deadline_us
            if due > end:
                self.now_us = end
                return acts + self.step()
            self.now_us = max(due, self.now_us)
            acts += self.step()
            assert self.stopped or self.replica.deadline_us > self.now_us, "a deadline that has passed"
        raise AssertionError("a busy loop")

    def header(self, peer: int, **other: Any) -> messages.Header:
        fields: dict[str, Any] = {
            "cluster_id": CLUSTER,
            "source": NodeId(peer),
            "source_instance": instance_of(peer),
            "source_boot": 1,
            "target": NodeId(self.node),
            "target_instance": instance_of(self.node),
        }
        return messages.Header(**{**fields, **other})

    def fact(self, peer: int, message: Any, **header: Any) -> events.MessageReceived:
        return events.MessageReceived(header=self.header(peer, **header), message=message)

    def hear(self, peer: int, *heard: Any, **header: Any) -> Acts:
        """These messages of one peer arrive in one step."""
        return self.step(*(self.fact(peer, message, **header) for message in heard))

    # -- shorthand for what peers say

    def pre_vote(self, peer: int, *, granted: bool = True, term: int | None = None) -> Acts:
        own = self.term
        answer = messages.PreVoteResponse(
            term=Term(own if term is None else term), proposed_term=Term(own + 1), vote_granted=granted
        )
        return self.hear(peer, answer)

    def vote(self, peer: int, *, granted: bool = True, term: int | None = None) -> Acts:
        answer = messages.RequestVoteResponse(
            term=Term(self.term if term is None else term), vote_granted=granted
        )
        return self.hear(peer, answer)

    def append(
        self, leader: int, prev: int, items: Iterable[int | Entry] = (), *, commit: int = 0, **other: int
    ) -> Acts:
        return self.hear(leader, self.append_message(prev, items, commit=commit, **other))

    def append_message(
        self,
        prev: int,
        items: Iterable[int | Entry] = (),
        *,
        commit: int = 0,
        term: int | None = None,
        prev_term: int | None = None,
    ) -> messages.AppendEntries:
        found = prev_term if prev_term is not None else self.image.term_at(prev)
        real = [item if isinstance(item, Entry) else entry(item, n) for n, item in enumerate(items)]
        return messages.AppendEntries(
            term=Term(self.term if term is None else term),
            prev_log_index=Index(prev),
            prev_log_term=Term(found),
            entries=tuple(real),
            leader_commit=Index(commit),
        )

    def beat(self, leader: int, *, commit: int = 0, round_: int = 0, term: int | None = None) -> Acts:
        return self.hear(
            leader,
            messages.Heartbeat(
                term=Term(self.term if term is None else term), leader_commit=Index(commit), round=round_
            ),
        )

    def ack(self, peer: int, index: int | None = None) -> Acts:
        """The peer holds everything up to `index` (by default: all that this leader has)."""
        last = self.status.last_log_index if index is None else index
        answer = messages.AppendEntriesResponse(term=Term(self.term), success=True, match_index=Index(last))
        return self.hear(peer, answer)

    def refuse_append(self, peer: int, prev: int, *, hint: int, hint_term: int = 0) -> Acts:
        return self.hear(
            peer,
            messages.AppendEntriesResponse(
                term=Term(self.term),
                success=False,
                prev_log_index=Index(prev),
                conflict_term=Term(hint_term),
                conflict_index=Index(hint),
            ),
        )

    def beat_ack(self, peer: int, round_: int, *, last: int | None = None) -> Acts:
        held = self.status.last_log_index if last is None else last
        return self.hear(
            peer, messages.HeartbeatResponse(term=Term(self.term), round=round_, last_log_index=Index(held))
        )

    # -- roles

    def time_out(self) -> Acts:
        """Nothing is heard for long enough that a voter stands up, and not longer."""
        acts = Acts([])
        end = self.now_us + 4 * ELECTION_MAX_US
        while self.role() is Role.FOLLOWER and self.now_us < end:
            self.now_us = max(self.replica.deadline_us, self.now_us)
            acts += self.step()
        return acts

    def stand(self) -> Acts:
        """Time out and win the pre-vote: now a candidate (its own vote durable if writes are automatic)."""
        acts = self.time_out()
        for peer in self.others():
            if self.role() is Role.PRE_CANDIDATE:
                acts += self.pre_vote(peer)
        return acts

    def win(self) -> Acts:
        """Become the leader; nothing is acknowledged by anybody yet."""
        acts = self.stand()
        for peer in self.others():
            if self.role() is Role.CANDIDATE:
                acts += self.vote(peer)
        assert self.role() is Role.LEADER
        return acts

    def lead(self) -> Acts:
        """Become the leader, and everybody holds its whole log: its term's first entry is committed and applied."""
        acts = self.win()
        for peer in self.others(voters_only=False):
            acts += self.ack(peer)
        return acts

    def follow(self, leader: int = 2, *, term: int | None = None, commit: int = 0) -> Acts:
        return self.beat(leader, term=term, commit=commit)

    def others(self, *, voters_only: bool = True) -> list[int]:
        config = self.status.membership
        found = config.all_voters() if voters_only else config.members
        return [int(peer) for peer in found if peer != self.node]

    # -- requests

    def propose(self, *, deadline_us: int = 10_000_000, size: int = 0) -> tuple[RequestId, Acts]:
        request = RequestId(next(self._numbers))
        return request, self.step(self.proposal(request, deadline_us=deadline_us, size=size))

    def proposal(
        self, request: int, *, deadline_us: int = 10_000_000, size: int = 0
    ) -> events.ProposalReceived:
        return events.ProposalReceived(
            request=RequestId(request),
            command=command(request, origin=self.node, boot=self.boot, size=size),
            deadline_us=self.now_us + deadline_us,
        )

    def read(self, *, deadline_us: int = 10_000_000, **other: Any) -> tuple[RequestId, Acts]:
        request = RequestId(next(self._numbers))
        fact = events.ReadRequested(request=request, deadline_us=self.now_us + deadline_us, **other)
        return request, self.step(fact)

    def change(self, change: Any, *, deadline_us: int = 10_000_000) -> tuple[RequestId, Acts]:
        request = RequestId(next(self._numbers))
        fact = events.MembershipChangeRequested(
            request=request, change=change, deadline_us=self.now_us + deadline_us
        )
        return request, self.step(fact)

    def transfer(self, target: int, *, deadline_us: int = 10_000_000) -> tuple[RequestId, Acts]:
        request = RequestId(next(self._numbers))
        fact = events.TransferRequested(
            request=request, target=NodeId(target), deadline_us=self.now_us + deadline_us
        )
        return request, self.step(fact)

    def bootstrap(self, membership: Membership, cluster_id: bytes = CLUSTER) -> tuple[RequestId, Acts]:
        request = RequestId(next(self._numbers))
        fact = events.BootstrapRequested(request=request, cluster_id=cluster_id, membership=membership)
        return request, self.step(fact)
