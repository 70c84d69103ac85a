"""One node: a real replica, a disk that is a list, and a state store that is a number. Performs every action at once, in order;
only syncs can wait.

What the host would tell the checks is collected as calls, because one turn of a node is played once and then used in every
state of the cluster in which it happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ferrite.core import (
    PAYLOAD_HEADER_BYTES,
    Entry,
    EntryKind,
    HardState,
    Identity,
    Index,
    InvariantViolated,
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
    events,
    payload_kind,
    payload_time_us,
)
from ferrite.core.kv import Put, encode_command
from ferrite.sim.checks.invariants import Invariants
from ferrite.sim.exhaustive.steps import Letter
from ferrite.sim.violation import Violation

NEVER_US: Final = 1 << 61
"""The deadline of every proposal."""
START_US: Final = 1 << 41
"""Clocks begin anywhere but near zero."""
TURNS_MAX: Final = 100
"""Reports that one step of a node may lead to, one after the other; a handful is normal."""

CONFIG: Final = ReplicaConfig(
    heartbeat_interval_us=100_000,
    election_timeout_min_us=150_000,
    election_timeout_max_us=1 << 40,
    append_entries_max=1,
    auto_flush=False,
    auto_discard=False,
)
"""One entry a message gives the finest interleavings. A leader without a quorum gives up between its first and its second
heartbeat. The election timer is so wide that it never runs out by the same tick in which a leader is forgotten."""

FOUNDED_INDEX: Final = Index(1)
"""The membership entry that every node begins with: committed, applied, flushed."""

Check = Callable[[Invariants], None]


@dataclass(slots=True, kw_only=True)
class Setting:
    """What all nodes of a search have in common, and the commands proposed so far, by their bytes."""

    membership: Membership
    founding: Entry
    instances: dict[NodeId, bytes]
    cluster_id: bytes
    replica_class: type[Replica]
    origins: dict[bytes, tuple[NodeId, int, int]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Disk:
    """The log as far as it is synced, and the writes that are not; `write_seq` is that of the last synced one."""

    hard_state: HardState
    log: list[Entry]
    write_seq: int = 0
    waiting: list[actions.Persist] = field(default_factory=list)

    def sync(self, count: int) -> None:
        """The first `count` waiting writes become durable."""
        for order in self.waiting[:count]:
            self.hard_state = order.hard_state or self.hard_state
            if order.truncate:
                del self.log[order.first_index - 1 :]
            self.log.extend(order.entries)
            self.write_seq = order.write_seq
        del self.waiting[:count]


@dataclass(slots=True, kw_only=True)
class Host:
    """Everything of one node. `replica` is None while it is down."""

    node: NodeId
    disk: Disk
    boot: int = 0
    now_us: int = START_US
    replica: Replica | None = None
    died_as: tuple[Role, Term] | None = None
    """What the last incarnation was, while the node is down: the checks still compare others with it."""
    survive: int = 0
    """Of the waiting writes of a node that is down, how many its next start finds: always the first ones."""
    applied_index: Index = FOUNDED_INDEX
    asked: list[RequestId] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Turn:
    """What one step of a node led to: calls for the checks, in order, and messages."""

    checks: list[Check] = field(default_factory=list)
    sent: list[Letter] = field(default_factory=list)
    wrote: bool = False


def restart(host: Host, setting: Setting) -> Turn:
    """Boot from what is on the disk."""
    turn, node = Turn(), host.node
    host.boot += 1
    host.died_as = None
    host.disk.sync(host.survive)
    host.disk.waiting.clear()
    host.survive = 0
    identity = Identity(node_id=node, instance=setting.instances[node], boot=host.boot)
    recovered = Recovered(identity=identity, log=_recovered_log(host.disk), state=_state(host, setting))
    turn.checks.append(lambda invariants: invariants.booted(node, recovered))
    try:
        host.replica = setting.replica_class(CONFIG, recovered, host.now_us)
        status = host.replica.status()
    except Exception as error:  # noqa: BLE001 - whatever a replica raises is a finding
        turn.checks.append(_raised(host, error))
        return turn
    turn.checks.append(lambda invariants: invariants.started(node, status))
    return turn


def crash(host: Host, kept: int, *, power_loss: bool) -> None:
    """The process ends. With a power loss all but the first `kept` waiting writes are lost, and what was applied.

    What becomes of the waiting writes is settled by the next start, not before: that is when the checks learn it.
    """
    assert host.replica is not None, "only a running node crashes"
    status = host.replica.status()
    host.died_as = (status.role, status.term)
    host.asked.clear()
    host.replica = None
    host.survive = kept if power_loss else len(host.disk.waiting)
    if power_loss:
        host.applied_index = FOUNDED_INDEX


def finish_sync(host: Host, setting: Setting) -> Turn:
    """Everything that waits becomes durable, and the replica hears of it."""
    turn = Turn()
    drive(host, setting, turn, _synced(host, turn), slow=False)
    return turn


def time_out(host: Host, setting: Setting, *, slow: bool) -> Turn:
    """The node's clock moves on to the replica's deadline."""
    assert host.replica is not None, "only a running node has a timer"
    turn = Turn()
    host.now_us = max(host.now_us, host.replica.deadline_us)
    drive(host, setting, turn, None, slow=slow)
    return turn


def forgets_at_us(host: Host) -> int | None:
    """Return when this node stops sticking to the leader it heard last; None when it sticks to nobody."""
    assert host.replica is not None, "only a running node sticks to a leader"
    status = host.replica.status()
    until_us = status.leader_last_heard_us + CONFIG.election_timeout_min_us
    heard = status.role is not Role.LEADER and status.leader and status.leader_last_heard_us >= 0
    return until_us if heard and host.now_us < until_us else None


def propose(host: Host, setting: Setting, number: int, *, slow: bool) -> Turn:
    """A client's write arrives; the number of the proposal is its request, key and value."""
    turn, request = Turn(), RequestId(number)
    text = str(number).encode()
    command = encode_command(Put(key=text, value=text), origin=(host.node, host.boot, request))
    setting.origins[command] = (host.node, host.boot, number)
    host.asked.append(request)
    event = events.ProposalReceived(request=request, command=command, deadline_us=NEVER_US)
    drive(host, setting, turn, event, slow=slow)
    return turn


def deliver(host: Host, setting: Setting, letter: Letter, *, slow: bool) -> Turn:
    """A message arrives."""
    turn = Turn()
    drive(
        host,
        setting,
        turn,
        events.MessageReceived(header=letter.header, message=letter.message),
        slow=slow,
    )
    return turn


def drive(host: Host, setting: Setting, turn: Turn, event: events.Event | None, *, slow: bool) -> None:
    """Step the replica, perform its orders and report, until nothing is left to report."""
    slow = slow or bool(host.disk.waiting)
    facts = [event] if event else []
    for _ in range(TURNS_MAX):
        reports: list[events.Event] = []
        for action in _step(host, turn, facts):
            _perform(host, setting, turn, action, reports)
        if host.disk.waiting and not slow:
            reports.insert(0, _synced(host, turn))
        if not reports:
            return
        facts = reports
    turn.checks.append(_broken("L9", "A node does not spin without time passing.", f"node {host.node}"))


def _step(host: Host, turn: Turn, facts: list[events.Event]) -> list[actions.Action]:
    replica, node = host.replica, host.node
    assert replica is not None, "only a running node steps"
    try:
        ordered = replica.step(facts, host.now_us)
        status = replica.status()
    except Exception as error:  # noqa: BLE001 - whatever a replica raises is a finding
        turn.checks.append(_raised(host, error))
        return []
    turn.checks.append(lambda invariants: invariants.stepped(node, status, ordered))
    return ordered


def _perform(
    host: Host, setting: Setting, turn: Turn, action: actions.Action, reports: list[events.Event]
) -> None:
    node, replica = host.node, host.replica
    assert replica is not None, "only a running node performs"
    match action:
        case actions.Persist(write_seq=write_seq):
            host.disk.waiting.append(action)
            turn.wrote = True
            turn.checks.append(lambda invariants: invariants.performed(node, write_seq))
        case actions.Apply():
            reports.append(_apply(host, setting, turn, action))
        case actions.Send(to=to, message=message):
            turn.checks.append(lambda invariants: invariants.sending(node, to, message))
            turn.sent.append(Letter(header=replica.header_for(to), message=message))
        case (
            actions.Reply(request=request)
            | actions.Refuse(request=request)
            | actions.Abandon(request=request)
        ):
            _answer(host, turn, request)
        case actions.Announce():
            pass
        case actions.Stop(code=code, detail=detail):
            sentence = "A node stops only for faults that were injected."
            turn.checks.append(_broken("STOP", sentence, f"node {node}: {code!r}: {detail}"))
        case (
            actions.ServeRead()
            | actions.FlushState()
            | actions.LoadEntries()
            | actions.DiscardLog()
            | actions.SaveSnapshot()
            | actions.SendSnapshot()
            | actions.StoreChunk()
            | actions.InstallSnapshot()
        ):
            sentence = "Without reads, and with logs that are never cut, nobody orders this."
            turn.checks.append(_broken("UNEXPECTED", sentence, f"node {node}: {action}"))


def _apply(host: Host, setting: Setting, turn: Turn, order: actions.Apply) -> events.Applied:
    node = host.node
    last = Index(order.first_index + len(order.entries) - 1)
    outcomes: list[tuple[RequestId, object]] = []
    for index, entry in enumerate(order.entries, order.first_index):
        origin = setting.origins.get(entry.payload[PAYLOAD_HEADER_BYTES:])
        if origin is not None and origin[:2] == (node, host.boot):
            outcomes.append((RequestId(origin[2]), index))
    host.applied_index = last
    turn.checks.append(lambda invariants: invariants.applied(node, last))
    return events.Applied(applied_index=last, outcomes=tuple(outcomes))


def _answer(host: Host, turn: Turn, request: RequestId) -> None:
    if request in host.asked:
        host.asked.remove(request)
        return
    sentence = "Every request is answered exactly once."
    turn.checks.append(_broken("ANSWER", sentence, f"node {host.node} answers {request} again"))


def _synced(host: Host, turn: Turn) -> events.Persisted:
    node, write_seq = host.node, host.disk.waiting[-1].write_seq
    host.disk.sync(len(host.disk.waiting))
    turn.checks.append(lambda invariants: invariants.persisted(node, write_seq))
    return events.Persisted(write_seq=write_seq)


def _broken(name: str, sentence: str, facts: str, kind: str = "safety") -> Check:
    def fail(_invariants: Invariants) -> None:
        raise Violation(name, sentence, facts, kind=kind)

    return fail


def _raised(host: Host, error: Exception) -> Check:
    name = "CORE" if isinstance(error, InvariantViolated) else "CRASH"
    sentence = "No state of a replica is impossible, and a replica never raises."
    return _broken(name, sentence, f"node {host.node}: {error!r}", kind="crash")


# -- what is found at a restart ---------------------------------------------------------------------------------


def _recovered_log(disk: Disk) -> RecoveredLog:
    runs: list[tuple[Index, Term]] = []
    memberships: list[tuple[Index, bytes]] = []
    for at, entry in enumerate(disk.log, 1):
        if not runs or runs[-1][1] != entry.term:
            runs.append((Index(at), entry.term))
        if payload_kind(entry.payload) == EntryKind.MEMBERSHIP:
            memberships.append((Index(at), entry.payload))
    return RecoveredLog(
        hard_state=disk.hard_state,
        last_index=Index(len(disk.log)),
        term_runs=tuple(runs),
        tail=tuple(disk.log),
        memberships=tuple(memberships),
        last_write_seq=disk.write_seq,
    )


def _state(host: Host, setting: Setting) -> RecoveredState:
    last = host.disk.log[host.applied_index - 1]
    return RecoveredState(
        applied_index=host.applied_index,
        applied_term=last.term,
        membership=setting.membership,
        time_us=payload_time_us(last.payload),
    )
