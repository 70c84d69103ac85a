"""Requests without an answer: none is lost, none is in two places, and bytes and deadlines are kept."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ferrite.core import Index, ReplicaConfig, RequestId, Term
from ferrite.core.pending import SWEEP_INTERVAL_US, PendingRequests

CONFIG = ReplicaConfig(pending_requests_max=8, pending_bytes_max=100)
FAR_US = 1_000_000


class PendingMachine(RuleBasedStateMachine):
    """Proposals and reads come, are taken, sent, confirmed, come back, are finished or expire."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = PendingRequests(CONFIG, boot=3)
        self.now_us = 0
        self.last = 0
        self.commands: dict[int, bytes] = {}
        self.reads: dict[int, int] = {}
        self.deadlines: dict[int, int] = {}
        self.held: list[tuple[RequestId, ...]] = []
        self.contexts_used: set[int] = set()

    def new_request(self, wait_us: int) -> RequestId:
        self.last += 1
        self.deadlines[self.last] = self.now_us + wait_us
        return RequestId(self.last)

    @rule(command=st.binary(max_size=40), wait_us=st.sampled_from((0, 1, SWEEP_INTERVAL_US, FAR_US)))
    def propose(self, command: bytes, wait_us: int) -> None:
        full = len(self.commands) + len(self.reads) >= 8
        too_large = sum(map(len, self.commands.values())) + len(command) > 100
        assert self.pending.is_full(len(command)) == (full or too_large)
        if not self.pending.is_full(len(command)):
            request = self.new_request(wait_us)
            self.pending.add_proposal(request, command, self.deadlines[request])
            self.commands[request] = command

    @rule(wait_us=st.sampled_from((0, 1, SWEEP_INTERVAL_US, FAR_US)))
    def read(self, wait_us: int) -> None:
        if not self.pending.is_full(0):
            request = self.new_request(wait_us)
            self.pending.add_read(request, self.deadlines[request])
            self.reads[request] = self.deadlines[request]

    @rule(term=st.integers(1, 4))
    def send(self, term: int) -> None:
        taken = self.pending.take_waiting_proposals()
        assert [request for request, _ in taken] == [
            request for request in dict(taken) if self.commands[request] == dict(taken)[request].command
        ]
        for _, proposal in taken:
            assert proposal.term_sent == 0, "what waits has not been sent"
            proposal.term_sent, proposal.sent_us = Term(term), self.now_us
        assert self.pending.proposals_waiting == []

    @rule(term=st.integers(1, 5))
    def a_later_term_is_applied(self, term: int) -> None:
        lost = self.pending.sent_before(Term(term))
        assert set(lost) == {
            request for request, proposal in self.pending.proposals.items() if 0 < proposal.term_sent < term
        }
        self.pending.propose_again(lost)
        self.pending.propose_again(lost)
        assert set(lost) <= set(self.pending.proposals_waiting)

    @precondition(lambda self: self.commands)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        request = RequestId(data.draw(st.sampled_from(sorted(self.commands))))
        assert self.pending.finish_proposal(request)
        assert not self.pending.finish_proposal(request)
        del self.commands[request]

    @rule()
    def a_round_begins(self) -> None:
        taken = self.pending.take_waiting_reads()
        assert set(taken) <= self.reads.keys()
        if taken:
            self.held.append(taken)

    @rule()
    def a_context_begins(self) -> None:
        context = self.pending.new_context(self.pending.take_waiting_reads(), self.now_us)
        assert context not in self.contexts_used and context >> 32 == 3
        self.contexts_used.add(context)

    @rule()
    def contexts_are_void(self) -> None:
        self.pending.ask_reads_anew()
        assert not self.pending.contexts

    @precondition(lambda self: self.held)
    @rule(well=st.booleans(), index=st.integers(0, 9))
    def a_round_ends(self, well: bool, index: int) -> None:
        requests = self.held.pop(0)
        if well:
            self.pending.confirmed(Index(index), requests)
        else:
            self.pending.read_again(requests)

    @rule(wait_us=st.sampled_from((0, 1, SWEEP_INTERVAL_US, 2 * FAR_US)))
    def time_passes(self, wait_us: int) -> None:
        self.now_us += wait_us
        if self.now_us < self.pending.sweep_us:
            return
        proposals, reads = self.pending.expired(self.now_us)
        over = {request for request, deadline_us in self.deadlines.items() if deadline_us <= self.now_us}
        assert {request for request, _ in proposals} == over & self.commands.keys()
        assert set(reads) == over & self.reads.keys()
        self.commands = {r: c for r, c in self.commands.items() if r not in over}
        self.reads = {r: d for r, d in self.reads.items() if r not in over}
        assert self.pending.sweep_us > self.now_us, "no busy loop"

    @invariant()
    def nothing_is_lost_and_the_bytes_add_up(self) -> None:
        pending = self.pending
        assert {request: proposal.command for request, proposal in pending.proposals.items()} == self.commands
        assert pending.reads == self.reads
        assert pending.bytes == sum(map(len, self.commands.values()))
        assert len(pending) == len(self.commands) + len(self.reads)

    @invariant()
    def every_deadline_is_watched(self) -> None:
        waiting = [self.deadlines[request] for request in (*self.commands, *self.reads)]
        if waiting:
            assert self.pending.sweep_us <= max(min(waiting), self.now_us + SWEEP_INTERVAL_US)

    @invariant()
    def a_proposal_waits_once_or_is_on_its_way(self) -> None:
        waiting = [request for request in self.pending.proposals_waiting if request in self.commands]
        assert len(waiting) == len(set(waiting))
        assert set(waiting) == {
            request for request, proposal in self.pending.proposals.items() if not proposal.term_sent
        }

    @invariant()
    def a_read_is_in_exactly_one_place(self) -> None:
        pending = self.pending
        places = [*pending.reads_waiting]
        for requests in (
            *self.held,
            *[requests for _, requests in pending.contexts.values()],
            *[requests for _, requests in pending.reads_confirmed],
        ):
            places.extend(requests)
        living = [request for request in places if request in self.reads]
        assert sorted(living) == sorted(self.reads)


PendingMachine.TestCase.settings = settings(
    max_examples=max(settings().max_examples // 3, 1), stateful_step_count=25
)
TestPending: Any = PendingMachine.TestCase


def test_only_what_was_sent_in_this_term_and_long_ago_is_sent_again() -> None:
    pending = PendingRequests(CONFIG, boot=1)
    for request, (term, sent_us) in enumerate(((3, 10), (3, 50), (2, 10), (0, 0)), start=1):
        pending.add_proposal(RequestId(request), b"", FAR_US)
        pending.proposals[RequestId(request)].term_sent = Term(term)
        pending.proposals[RequestId(request)].sent_us = sent_us
    pending.resend_us = 50
    assert [request for request, _ in pending.take_overdue(Term(3))] == [1]
    assert pending.resend_us == 0


def test_contexts_of_another_boot_are_other_numbers() -> None:
    first, second = (PendingRequests(CONFIG, boot=boot).new_context((), 0) for boot in (1, 2))
    assert first != second
