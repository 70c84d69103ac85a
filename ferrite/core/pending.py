"""Requests of this node's clients that have no answer yet. Pure bookkeeping: it decides nothing about consensus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ferrite.core.recovered import ReplicaConfig
from ferrite.core.values import NO_NODE, NO_TERM, Index, NodeId, RequestId, Term

SWEEP_INTERVAL_US: Final = 10_000
"""Deadlines are kept to about this; one sweep serves all requests."""
_NEVER_US: Final = 1 << 62


@dataclass(slots=True)
class PendingProposal:
    """A command on its way. `term_sent` 0: it has certainly not been appended anywhere."""

    command: bytes
    deadline_us: int
    term_sent: Term = NO_TERM
    sent_to: NodeId = NO_NODE
    sent_us: int = 0


class PendingRequests:
    """Proposals and reads, bounded in number and bytes.

    A read is in exactly one place: `reads_waiting`, a batch (the leader's, or a context asked of the leader), or
    `reads_confirmed`.    A read whose deadline passed is only removed from `reads`; the place it was in skips it later.
    """

    def __init__(self, config: ReplicaConfig, boot: int) -> None:
        """Begin empty; contexts begin at a number that no earlier boot used."""
        self.proposals: dict[RequestId, PendingProposal] = {}
        self.proposals_waiting: list[RequestId] = []
        self.bytes = 0
        self.reads: dict[RequestId, int] = {}
        self.reads_waiting: list[RequestId] = []
        self.contexts: dict[int, tuple[int, tuple[RequestId, ...]]] = {}
        self.read_retry_us = 0
        """The leader was not ready: it is not asked again before this time."""
        self.reads_confirmed: list[tuple[Index, tuple[RequestId, ...]]] = []
        self.resend_us: int = 0
        """Forwards older than this are sent again when the leader is next heard."""
        self.sweep_us = _NEVER_US
        self._config = config
        self._next_context = (boot & 0xFFFFFFFF) << 32

    def __len__(self) -> int:
        """Return how many requests wait for an answer."""
        return len(self.proposals) + len(self.reads)

    def is_full(self, more_bytes: int) -> bool:
        """Would one more be too many?"""
        config = self._config
        count = len(self.proposals) + len(self.reads)
        return count >= config.pending_requests_max or self.bytes + more_bytes > config.pending_bytes_max

    def add_proposal(self, request: RequestId, command: bytes, deadline_us: int) -> None:
        """Take a command; it waits to be appended or forwarded."""
        self.proposals[request] = PendingProposal(command, deadline_us)
        self.proposals_waiting.append(request)
        self.bytes += len(command)
        self._expect(deadline_us)

    def add_read(self, request: RequestId, deadline_us: int) -> None:
        """Take a linearizable read; it waits for a round."""
        self.reads[request] = deadline_us
        self.reads_waiting.append(request)
        self._expect(deadline_us)

    def take_waiting_proposals(self) -> list[tuple[RequestId, PendingProposal]]:
        """Return the proposals that nobody has, in order, and regard them as on their way."""
        taken = [
            (request, self.proposals[request])
            for request in self.proposals_waiting
            if request in self.proposals
        ]
        self.proposals_waiting = []
        return taken

    def take_waiting_reads(self) -> tuple[RequestId, ...]:
        """Return the reads that no round serves yet."""
        taken = tuple([request for request in self.reads_waiting if request in self.reads])
        self.reads_waiting = []
        return taken

    def finish_proposal(self, request: RequestId) -> bool:
        """Forget a proposal; False when its client no longer waits."""
        proposal = self.proposals.pop(request, None)
        if proposal is None:
            return False
        self.bytes -= len(proposal.command)
        return True

    def propose_again(self, requests: Iterable[RequestId]) -> None:
        """These were certainly not appended: they wait for a leader again."""
        for request in requests:
            proposal = self.proposals.get(request)
            if proposal and proposal.term_sent:
                proposal.term_sent = Term(0)
                self.proposals_waiting.append(request)

    def sent_before(self, term: Term) -> list[RequestId]:
        """Return the proposals that were sent in a term before this one."""
        return [request for request, proposal in self.proposals.items() if 0 < proposal.term_sent < term]

    def take_overdue(self, term: Term) -> list[tuple[RequestId, PendingProposal]]:
        """Return the proposals that were sent in this term before `resend_us`."""
        before_us, self.resend_us = self.resend_us, 0
        return [
            item
            for item in self.proposals.items()
            if item[1].term_sent == term and item[1].sent_us < before_us
        ]

    def read_again(self, requests: Iterable[RequestId]) -> None:
        """The round or context of these reads came to nothing."""
        self.reads_waiting.extend(request for request in requests if request in self.reads)

    def ask_reads_anew(self) -> None:
        """Every context under way is void, its answer will be dropped."""
        contexts, self.contexts = self.contexts, {}
        for _, requests in contexts.values():
            self.read_again(requests)

    def new_context(self, requests: tuple[RequestId, ...], now_us: int) -> int:
        """Return a context never used before, for these reads."""
        self._next_context += 1
        self.contexts[self._next_context] = (now_us, requests)
        return self._next_context

    def confirmed(self, read_index: Index, requests: tuple[RequestId, ...]) -> None:
        """These may be served once `read_index` is applied."""
        self.reads_confirmed.append((read_index, requests))

    def expired(self, now_us: int) -> tuple[list[tuple[RequestId, PendingProposal]], list[RequestId]]:
        """Remove and return the proposals and reads whose deadline has passed."""
        proposals = [item for item in self.proposals.items() if item[1].deadline_us <= now_us]
        reads = [request for request, deadline_us in self.reads.items() if deadline_us <= now_us]
        for request, _ in proposals:
            self.finish_proposal(request)
        for request in reads:
            del self.reads[request]
        left = [proposal.deadline_us for proposal in self.proposals.values()]
        earliest_us = min(min(left, default=_NEVER_US), min(self.reads.values(), default=_NEVER_US))
        self.sweep_us = max(earliest_us, now_us + SWEEP_INTERVAL_US) if earliest_us < _NEVER_US else _NEVER_US
        return proposals, reads

    def _expect(self, deadline_us: int) -> None:
        self.sweep_us = min(self.sweep_us, deadline_us)
