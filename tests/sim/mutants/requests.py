"""Bugs of reads and of requests that come twice."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from ferrite.core import Index, Replica, Role, actions, events, messages
from ferrite.core.raft import Raft
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.planting import during, hearing, no_lie, office_of, pretending, replaced, replica


class ReadsWithoutQuorum(Replica):
    """A leader serves reads from its own state without asking anybody."""

    def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
        status = self.status()
        if status.role is not Role.LEADER:
            return super().step(given, now_us)
        reads = [event for event in given if isinstance(event, events.ReadRequested)]
        rest = [event for event in given if not isinstance(event, events.ReadRequested)]
        served: list[actions.Action] = [
            actions.ServeRead(requests=(event.request,), read_index=status.applied_index) for event in reads
        ]
        return served + super().step(rest, now_us)


def _term_has_begun(raft: Raft) -> AbstractContextManager[None]:
    office = office_of(raft)
    return no_lie() if office is None else pretending(office, "term_start_index", Index(0))


def _any_answer_confirms(
    raft: Raft, _header: messages.Header, message: messages.HeartbeatResponse
) -> messages.Message:
    office = office_of(raft)
    if office is None:
        return message
    # The length of the log is not what this bug is about: without it, the answer would pass for one after a loss.
    return replace(message, round=office.round, last_log_index=raft.log.last_index)


def _all_is_applied(raft: Raft) -> AbstractContextManager[None]:
    return pretending(raft, "applied_index", Index(1 << 60))


REQUESTS = (
    Mutant(
        number=27,
        name="read-without-quorum",
        sentence="A leader serves linearizable reads without asking anybody.",
        provenance="etcd 0.4.1, issue 741; Xraft-KV#1, found at depth 10",
        needs="a leader cut off from the majority, and a client that reads from it",
        plant=replica(ReadsWithoutQuorum),
    ),
    Mutant(
        number=28,
        name="read-before-own-commit",
        sentence="A leader takes its commit index for a read before it has committed in its term.",
        provenance="thesis 6.4; etcd #7331; TiKV #9239",
        needs="a read at a new leader whose heartbeats are answered before its first entry is on a quorum's disks",
        plant=during("ferrite.core.replica:advance_reads", _term_has_begun),
    ),
    Mutant(
        number=29,
        name="late-answer-confirms",
        sentence="The answer to an earlier heartbeat confirms a later read.",
        provenance="etcd #20418, found by Antithesis",
        needs="a leader paused over the election of the next, with late answers to its heartbeats and a read waiting",
        plant=hearing(messages.HeartbeatResponse, _any_answer_confirms),
    ),
    Mutant(
        number=30,
        name="lease-from-response",
        sentence="The leader's lease is measured from the arrival of answers.",
        provenance="thesis 6.4.1",
        needs="clocks that drift, pauses",
        impossible="there are no lease reads: no clock is ever trusted for consistency",
    ),
    Mutant(
        number=32,
        name="request-runs-again",
        sentence="A repeated request of a session runs again.",
        provenance="thesis 6.3; jetcd, Jepsen",
        needs="a client that asks again",
        plant=replaced(
            lambda _honest: lambda _sessions, _session, _crc32, execute: execute(),
            "ferrite.core.kv.sessions:Sessions.run_once",
        ),
    ),
    Mutant(
        number=41,
        name="forward-appended-twice",
        sentence="A forwarded command that arrives twice is appended twice.",
        provenance="thesis 6.3, one layer below the sessions",
        needs="duplicated frames, and clients without a session",
        plant=replaced(
            lambda _honest: lambda _raft, _header, message: list(message.proposals),
            "ferrite.core.proposals:_not_seen",
        ),
    ),
    Mutant(
        number=42,
        name="read-before-applied",
        sentence="A confirmed read is served before its index is applied.",
        provenance="thesis 6.4; etcd #3879",
        needs="an apply that takes time",
        plant=during("ferrite.core.replica:advance_reads", _all_is_applied),
    ),
)
