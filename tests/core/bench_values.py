"""What tests of a replica are made of: members, entries, a disk that is a list, and the actions of one drive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

import msgpack

from ferrite.core import (
    Entry,
    EntryKind,
    HardState,
    Index,
    LostTail,
    Member,
    Membership,
    NodeId,
    RecoveredLog,
    Term,
    actions,
    encode_membership,
    encode_payload,
    messages,
)

CLUSTER = b"bench-cluster-01"
START_US = 1_000_000_000
HEARTBEAT_US = 100_000
ELECTION_MIN_US = 1_000_000
ELECTION_MAX_US = 2_000_000

_A = TypeVar("_A")
_ANSWERS = (actions.Reply, actions.Refuse, actions.Abandon)


def instance_of(node: int) -> bytes:
    """The data directory of a node on the bench."""
    return b"instance-of-%04d" % node


def member(node: int, **addresses: str) -> Member:
    return Member(node_id=NodeId(node), instance=instance_of(node), peer_addr=f"host{node}:1", **addresses)


def membership_of(
    voters: Iterable[int],
    *,
    outgoing: Iterable[int] = (),
    learners: Iterable[int] = (),
    retired: Iterable[int] = (),
) -> Membership:
    new, old, learning = sorted(voters), sorted(outgoing), sorted(learners)
    return Membership(
        voters=tuple(map(NodeId, new)),
        outgoing=tuple(map(NodeId, old)),
        learners=tuple(map(NodeId, learning)),
        members={NodeId(n): member(n) for n in sorted({*new, *old, *learning})},
        retired={NodeId(n): instance_of(n) for n in retired},
    )


def command(request: int, *, origin: int = 1, boot: int = 1, size: int = 0) -> bytes:
    """A command as encoded at the door (contract, section 7)."""
    encoded: bytes = msgpack.packb([1, [origin, boot, request], None, None, 0, [1, b"x" * size]])
    return encoded


def entry(term: int, tag: int = 0, *, size: int = 0) -> Entry:
    """A command's entry that nobody here waits for; another tag is another command."""
    return Entry(Term(term), encode_payload(EntryKind.COMMAND, 0, command(tag, origin=999, size=size)))


def entries(*terms: int, size: int = 0) -> tuple[Entry, ...]:
    return tuple(entry(term, number, size=size) for number, term in enumerate(terms))


def noop(term: int) -> Entry:
    return Entry(Term(term), encode_payload(EntryKind.NOOP, 0))


def membership_entry(term: int, membership: Membership) -> Entry:
    return Entry(Term(term), encode_payload(EntryKind.MEMBERSHIP, 0, encode_membership(membership)))


class Disk:
    """The log as `Persist` describes it."""

    def __init__(self) -> None:
        self.hard_state = HardState()
        self.base: tuple[int, int] = (0, 0)
        self.log: list[Entry] = []

    @property
    def last_index(self) -> int:
        return self.base[0] + len(self.log)

    def term_at(self, index: int) -> int:
        return self.base[1] if index == self.base[0] else int(self.log[index - self.base[0] - 1].term)

    def write(self, order: actions.Persist) -> None:
        if order.hard_state is not None:
            before = self.hard_state
            assert order.hard_state.term >= before.term, "S6: the durable term decreased"
            same_term = order.hard_state.term == before.term
            kept = order.hard_state.voted_for == before.voted_for or not before.voted_for
            assert not same_term or kept, "S7: a second vote in one term"
            self.hard_state = order.hard_state
        if order.base is not None:
            self.base, self.log = (int(order.base[0]), int(order.base[1])), []
        if order.truncate:
            assert self.base[0] < order.first_index <= self.last_index, "truncates what is not there"
            del self.log[order.first_index - self.base[0] - 1 :]
        if order.entries or order.truncate:
            assert order.first_index == self.last_index + 1, "the log would have a hole or an overlap"
        self.log.extend(order.entries)

    def recovered(
        self, write_seq: int, tail_entries: int | None = None, lost_tail: LostTail | None = None
    ) -> RecoveredLog:
        """The log as a host finds it; of the payloads only the last `tail_entries`."""
        runs: list[tuple[Index, Term]] = []
        found: list[tuple[Index, bytes]] = []
        for index, item in enumerate(self.log, self.base[0] + 1):
            if not runs or runs[-1][1] != item.term:
                runs.append((Index(index), item.term))
            if item.payload[0] == EntryKind.MEMBERSHIP:
                found.append((Index(index), item.payload))
        kept = len(self.log) if tail_entries is None else min(tail_entries, len(self.log))
        return RecoveredLog(
            hard_state=self.hard_state,
            base_index=Index(self.base[0]),
            base_term=Term(self.base[1]),
            last_index=Index(self.last_index),
            term_runs=tuple(runs),
            tail_first_index=Index(self.last_index - kept + 1),
            tail=tuple(self.log[len(self.log) - kept :]),
            memberships=tuple(found),
            last_write_seq=write_seq,
            lost_tail=lost_tail,
        )

    def read(self, order: actions.LoadEntries, at_most: int) -> tuple[Entry, ...]:
        found: list[Entry] = []
        size = 0
        for index in range(order.first_index, order.end_index):
            item = self.log[index - self.base[0] - 1]
            size += len(item.payload)
            if found and (size > order.bytes_max or len(found) >= at_most):
                break
            found.append(item)
        return tuple(found)

    def copy(self) -> Disk:
        other = Disk()
        other.hard_state, other.base, other.log = self.hard_state, self.base, list(self.log)
        return other


class Acts:
    """The actions of one drive, in order."""

    def __init__(self, done: Sequence[Any]) -> None:
        self.all = list(done)

    def of(self, kind: type[_A]) -> list[_A]:
        return [act for act in self.all if isinstance(act, kind)]

    def sent(self, kind: type[_A], to: int | None = None) -> list[_A]:
        return [
            act.message
            for act in self.all
            if isinstance(act, actions.Send)
            and isinstance(act.message, kind)
            and (to is None or act.to == to)
        ]

    def receivers(self, kind: type[Any]) -> list[int]:
        return [
            int(act.to) for act in self.all if isinstance(act, actions.Send) and isinstance(act.message, kind)
        ]

    def messages_to(self, peer: int) -> list[Any]:
        return [act.message for act in self.all if isinstance(act, actions.Send) and act.to == peer]

    def answer(self, request: int) -> Any:
        """The one answer to this request, None when there is none yet."""
        found: list[Any] = [act for act in self.all if isinstance(act, _ANSWERS) and act.request == request]
        found += [a for a in self.all if isinstance(a, actions.ServeRead) and request in a.requests]
        assert len(found) <= 1, f"request {request} was answered {len(found)} times"
        return found[0] if found else None

    def __add__(self, other: Acts) -> Acts:
        return Acts(self.all + other.all)


def terms_of(items: Iterable[Entry]) -> list[int]:
    return [int(item.term) for item in items]


def commands_in(items: Iterable[Entry]) -> list[int]:
    """The request numbers of the commands among these entries."""
    return [msgpack.unpackb(item.payload[9:])[1][2] for item in items if item.payload[0] == EntryKind.COMMAND]


class Host(Protocol):
    """What the check of a message looks at."""

    node: int
    disk: Disk
    image: Disk
    durable_index: int
    writes: list[actions.Persist]


def check_promises(host: Host, to: int, message: Any) -> None:
    """S11: at the moment a message leaves, what it promises is durable; and a leader sends what it holds."""
    hard = host.disk.hard_state
    match message:
        case messages.PreVote() | messages.PreVoteResponse():
            return
        case messages.RequestVoteResponse(vote_granted=True) | messages.RequestVote():
            wanted = to if isinstance(message, messages.RequestVoteResponse) else host.node
            assert hard.voted_for == wanted and hard.term == message.term, "S11: the vote is not durable"
        case messages.AppendEntries():
            first = message.prev_log_index + 1
            for index, item in enumerate(message.entries, first):
                if index > host.image.base[0]:
                    assert item == host.image.log[index - host.image.base[0] - 1], (
                        "sends what it does not hold"
                    )
            if message.prev_log_index >= host.image.base[0]:
                assert message.prev_log_term == host.image.term_at(message.prev_log_index), "a wrong prev"
        case messages.InstallSnapshotResponse(installed=True):
            assert not host.writes or host.writes[-1].base is None, (
                "S11: acknowledges a snapshot whose base is not durable"
            )
        case messages.AppendEntriesResponse(success=True):
            assert message.match_index <= host.durable_index, "S11: acknowledges what is not durable"
        case _:
            pass
    assert message.term <= hard.term, f"S11: {message} carries a term that is not durable"
