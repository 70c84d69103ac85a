"""How long the core itself takes: a 3-node leader, alone in memory, with both followers acknowledging every append at once.

    python scripts/bench_core.py            # a table: nanoseconds per entry at 1, 10 and 100 entries a step, events per second
    python scripts/bench_core.py --json     # the same numbers for a machine

Nothing is encoded, written or sent: the host below answers `Persist` and `Apply` at once. Processor time is counted, so that
neighbours on the machine disturb little. A compass, not a test.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ferrite.core import (
    PAYLOAD_HEADER_BYTES,
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
    RequestId,
    Role,
    Term,
    actions,
    decode_frame,
    encode_frame,
    events,
    messages,
)

COMMAND_BYTES = 300
"""A small key and value with its envelope."""
BATCHES = (1, 10, 100)
PEERS = (2, 3)
DEADLINE_US = 1 << 60


class Bench:
    """A leader and the honest answers to all that it orders."""

    def __init__(self) -> None:
        voters = tuple(NodeId(node) for node in (1, *PEERS))
        members = {
            node: Member(node_id=node, instance=b"%016d" % node, peer_addr=f"n{node}:1") for node in voters
        }
        self.cluster_id = b"C" * 16
        recovered = Recovered(
            identity=Identity(node_id=NodeId(1), instance=members[NodeId(1)].instance, boot=1),
            log=RecoveredLog(hard_state=HardState(cluster_id=self.cluster_id)),
            state=RecoveredState(membership=Membership(voters=voters, members=members)),
        )
        self.headers = {
            peer: messages.Header(
                cluster_id=self.cluster_id,
                source=NodeId(peer),
                source_instance=members[NodeId(peer)].instance,
                source_boot=1,
                target=NodeId(1),
                target_instance=members[NodeId(1)].instance,
            )
            for peer in PEERS
        }
        self.now_us = 1
        self.replica = Replica(ReplicaConfig(log_entries_max=5_000), recovered, self.now_us)
        self.events = self.replies = 0
        self.request = 0
        while self.replica.status().role is not Role.LEADER:
            self.now_us = max(self.now_us, self.replica.deadline_us)
            self.drive([])

    def drive(self, given: list[events.Event]) -> None:
        """Step, and answer what was ordered, until nothing is left to answer."""
        while True:
            ordered = self.replica.step(given, self.now_us)
            self.events += len(given)
            self.now_us += 1
            given = [answer for action in ordered for answer in self.answer(action)]
            if not given:
                return

    def answer(self, action: actions.Action) -> list[events.Event]:
        match action:
            case actions.Persist():
                return [events.Persisted(write_seq=action.write_seq)]
            case actions.Apply():
                return [self.applied(action)]
            case actions.Send():
                heard = peer_answer(action.message)
                if heard is not None:
                    return [events.MessageReceived(header=self.headers[action.to], message=heard)]
            case actions.FlushState():
                return [events.StateFlushed(applied_index=self.replica.status().applied_index)]
            case actions.Reply():
                self.replies += 1
            case actions.Stop() | actions.Abandon() | actions.Refuse():
                raise SystemExit(f"the benchmark went wrong: {action}")
            case _:
                pass
        return []

    def applied(self, order: actions.Apply) -> events.Applied:
        outcomes: list[tuple[RequestId, object]] = [
            (
                RequestId(
                    int.from_bytes(entry.payload[PAYLOAD_HEADER_BYTES : PAYLOAD_HEADER_BYTES + 8], "big")
                ),
                None,
            )
            for entry in order.entries
            if len(entry.payload) > PAYLOAD_HEADER_BYTES
        ]
        last = Index(order.first_index + len(order.entries) - 1)
        return events.Applied(applied_index=last, outcomes=tuple(outcomes))

    def proposals(self, count: int) -> list[events.Event]:
        made: list[events.Event] = []
        for _ in range(count):
            self.request += 1
            command = self.request.to_bytes(8, "big").ljust(COMMAND_BYTES, b"x")
            made.append(
                events.ProposalReceived(
                    request=RequestId(self.request), command=command, deadline_us=DEADLINE_US
                )
            )
        return made


def peer_answer(message: messages.Message) -> messages.Message | None:
    """What a healthy follower says."""
    match message:
        case messages.AppendEntries(term=term, prev_log_index=prev, entries=entries):
            return messages.AppendEntriesResponse(
                term=term, success=True, match_index=Index(prev + len(entries))
            )
        case messages.Heartbeat(term=term, round=number) if number:
            return messages.HeartbeatResponse(term=term, round=number, last_log_index=Index(0))
        case messages.PreVote(term=term):
            return messages.PreVoteResponse(term=Term(term - 1), proposed_term=term, vote_granted=True)
        case messages.RequestVote(term=term):
            return messages.RequestVoteResponse(term=term, vote_granted=True)
        case _:
            return None


def measure(batch: int, seconds: float) -> dict[str, float]:
    """Propose `batch` commands a step for this long; every one is appended, replicated, committed, applied, answered."""
    bench = Bench()
    began = time.process_time()
    events_before = bench.events
    while time.process_time() - began < seconds:
        for _ in range(max(200 // batch, 1)):
            bench.drive(bench.proposals(batch))
    took = time.process_time() - began
    assert bench.replies == bench.request, "every proposal was answered"
    return {
        "entries_per_step": batch,
        "ns_per_entry": round(took / bench.request * 1e9),
        "entries_per_second": round(bench.request / took),
        "events_per_second": round((bench.events - events_before) / took),
    }


def measure_frames(seconds: float) -> dict[str, float]:
    """Encode and decode an append of 100 entries."""
    bench = Bench()
    sent = [
        action.message
        for action in bench.replica.step(bench.proposals(100), bench.now_us)
        if isinstance(action, actions.Send) and isinstance(action.message, messages.AppendEntries)
    ]
    header, frame = bench.headers[2], encode_frame(bench.headers[2], sent[:1])
    return {
        "encode_ns_per_entry": per_entry_ns(lambda: encode_frame(header, sent[:1]), seconds),
        "decode_ns_per_entry": per_entry_ns(lambda: decode_frame(frame), seconds),
    }


def per_entry_ns(work: Callable[[], object], seconds: float) -> int:
    """Best of several short runs over 100 entries: what the code costs without the neighbours."""
    best, end = 1e9, time.process_time() + seconds
    while time.process_time() < end:
        began = time.process_time()
        for _ in range(20):
            work()
        best = min(best, (time.process_time() - began) / 20)
    return round(best / 100 * 1e9)


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each measurement (default 1)")
    options = parser.parse_args()
    steps = [measure(batch, options.seconds) for batch in BATCHES]
    frames = measure_frames(options.seconds / 4)
    if options.json:
        print(json.dumps({"steps": steps, "frames": frames}))
        return
    print(f"{'entries/step':>12} {'ns/entry':>10} {'entries/s':>10} {'events/s':>10}")
    for row in steps:
        print(
            f"{row['entries_per_step']:>12} {row['ns_per_entry']:>10} {row['entries_per_second']:>10} "
            f"{row['events_per_second']:>10}"
        )
    print(
        f"frames: encode {frames['encode_ns_per_entry']} ns, decode {frames['decode_ns_per_entry']} ns per entry"
    )


if __name__ == "__main__":
    main()
