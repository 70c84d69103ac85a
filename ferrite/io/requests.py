"""The request path of a real node: encode once, ask the core, translate its one answer.

A request costs one future and one dictionary entry; its deadline is the core's. What comes back is exactly one of: a result,
`RequestRefused` (certainly not carried out), `OutcomeUnknown`, `CommandRejected` (went through the log, changed nothing).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from ferrite.core import (
    AddLearner,
    Change,
    ChangeVoters,
    Consistency,
    Identity,
    NodeId,
    RefusalCode,
    RemoveLearner,
    RequestId,
    actions,
    events,
)
from ferrite.core.kv import (
    CommandFailed,
    CommandResult,
    Exists,
    Operation,
    Query,
    QueryResult,
    Session,
    WatchSpec,
    encode_command,
)
from ferrite.io.config import Config
from ferrite.io.founding import Founding, Identify
from ferrite.io.lease_requests import LeaseRequests, cares_for
from ferrite.io.node import Node, Outcome, Served, now_us
from ferrite.io.node_status import NodeView
from ferrite.io.request_path import (
    Answered,
    Backup,
    CommandRejected,
    Done,
    MemberAddress,
    NodeStatus,
    OutcomeUnknown,
    RequestError,
    RequestRefused,
)
from ferrite.io.watches import NodeWatch, Watches

OVERLOADED_RETRY_MS = 100
"""About the time in which a full queue empties at the speed that filled it."""

_log = structlog.get_logger(__name__)

_ANY_KEY = b"0"
"""For a read that only asks whether this node is up to date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leader:
    node_id: int = 0
    http_addr: str = ""
    grpc_addr: str = ""


class NodeRequests:
    """What both faces call (`RequestPath`)."""

    def __init__(
        self,
        node: Node,
        *,
        config: Config,
        identity: Identity,
        identify: Identify,
        view: NodeView,
        watches: Watches,
        begin_backup: Callable[[], Backup],
    ) -> None:
        """`identify` asks an address who is there; `view` makes the status; `watches` are the node's own; `begin_backup` pins
        its state.
        """
        self._node = node
        self._identity = identity
        self._origin = (identity.node_id, identity.boot)
        self._view = view
        self._founding = Founding(config=config, identity=identity, identify=identify)
        self._timeout_ms = config.network.request_timeout
        self._election_ms = config.raft.election_timeout_min
        self._leader = _Leader()
        self._watches = watches
        self._begin_backup = begin_backup
        self._leases = LeaseRequests(self._propose)
        self._carried: set[asyncio.Future[Answered]] = set()
        node.listen(self._note_leader)

    # ------------------------------------------------------------------------------------------------ clients

    async def write(
        self, operation: Operation, *, session: Session | None = None, timeout_ms: int | None = None
    ) -> Answered:
        """Carry a command through the log."""
        if cares_for(operation, session):
            return await self._leases.carry(operation, session, timeout_ms)
        return self._answer_of(await self._node.ask(*self._write_event(operation, session, timeout_ms)))

    async def read(
        self,
        query: Query,
        *,
        consistency: Consistency = Consistency.LINEARIZABLE,
        max_staleness_ms: int = 0,
        timeout_ms: int | None = None,
    ) -> Answered:
        """Answer a query."""
        request, event = self._read_event(consistency, max_staleness_ms, timeout_ms)
        return self._answer_of(await self._node.ask(request, event, query))

    def begin_write(
        self,
        operation: Operation,
        done: Done,
        *,
        session: Session | None = None,
        timeout_ms: int | None = None,
    ) -> None:
        """As `write`, without a task, but for what leases need done around the command."""
        if cares_for(operation, session):
            carried = asyncio.ensure_future(self._leases.carry(operation, session, timeout_ms))
            self._carried.add(carried)
            carried.add_done_callback(partial(self._settle_carried, done))
            return
        request, event = self._write_event(operation, session, timeout_ms)
        self._node.begin(request, event, partial(self._settle, done))

    def begin_read(
        self,
        query: Query,
        done: Done,
        *,
        consistency: Consistency = Consistency.LINEARIZABLE,
        max_staleness_ms: int = 0,
        timeout_ms: int | None = None,
    ) -> None:
        """As `read`, without a task."""
        request, event = self._read_event(consistency, max_staleness_ms, timeout_ms)
        self._node.begin(request, event, partial(self._settle, done), query)

    def watch(self, spec: WatchSpec) -> NodeWatch:
        """Begin a watch on this node's state."""
        return self._watches.watch(spec)

    def _write_event(
        self, operation: Operation, session: Session | None, timeout_ms: int | None
    ) -> tuple[RequestId, events.Event]:
        request = self._node.next_request()
        command = encode_command(operation, origin=(*self._origin, request), session=session)
        return request, events.ProposalReceived(
            request=request, command=command, deadline_us=self._client_deadline_us(timeout_ms)
        )

    def _read_event(
        self, consistency: Consistency, max_staleness_ms: int, timeout_ms: int | None
    ) -> tuple[RequestId, events.Event]:
        request = self._node.next_request()
        return request, events.ReadRequested(
            request=request,
            deadline_us=self._client_deadline_us(timeout_ms),
            consistency=consistency,
            max_staleness_us=max_staleness_ms * 1000,
        )

    def _settle(self, done: Done, outcome: Outcome) -> None:
        """In the node's own turn: a door that fails at its answer must not take the node along."""
        try:
            answered: Answered | RequestError = self._answer_of(outcome)
        except RequestError as error:
            answered = error
        try:
            done(answered)
        except Exception as error:  # noqa: BLE001 - told with its traceback; only this request's client is hurt
            _log.error("an answer could not be given, a bug in Ferrite", exc_info=error)

    def _settle_carried(self, done: Done, carried: asyncio.Future[Answered]) -> None:
        self._carried.discard(carried)
        try:
            answered = carried.result()
        except RequestError as error:
            done(error)
        else:
            done(answered)

    async def _propose(
        self, operation: Operation, session: Session | None, timeout_ms: int | None
    ) -> Answered:
        return self._answer_of(await self._node.ask(*self._write_event(operation, session, timeout_ms)))

    def _answer_of(self, outcome: Outcome) -> Answered:
        if isinstance(outcome, Served):
            return self._answered(outcome.result)
        if isinstance(outcome, actions.Reply):
            assert isinstance(outcome.result, CommandResult), (
                "the machine answers commands with its own results"
            )
            return self._answered(outcome.result)
        raise self._error(outcome)

    # ------------------------------------------------------------------------------------------------ operators

    async def initialize(
        self, members: Sequence[MemberAddress] | None, *, timeout_ms: int | None = None
    ) -> NodeStatus:
        """Make a new cluster of these members (None: the configured peers and this node), and wait for its first leader."""
        deadline_us = self._deadline_us(timeout_ms)
        found = self._view.status()
        if found.initialized:
            raise RequestRefused(
                RefusalCode.ALREADY_INITIALIZED.value,
                "this node already belongs to a cluster. /init makes a new one, once, from nodes without data",
                leader_id=found.leader_id,
                leader_http_addr=found.leader_http_addr,
                leader_grpc_addr=found.leader_grpc_addr,
            )
        membership = await self._founding.membership(members)
        request = self._node.next_request()
        event = events.BootstrapRequested(
            request=request, cluster_id=self._founding.new_cluster_id(), membership=membership
        )
        outcome = await self._node.ask(request, event)
        if not isinstance(outcome, actions.Reply):
            raise self._error(outcome)
        await self._serves(deadline_us)
        return self._view.status()

    async def add_learner(self, member: MemberAddress, *, timeout_ms: int | None = None) -> int:
        """Ask the address who it is, add it, wait until it follows; returns the log index of the membership."""
        deadline_us = self._deadline_us(timeout_ms)
        self._refuse_unless_leader()
        found = await self._founding.newcomer(member, self._node.replica.status().cluster_id)
        return await self._change(AddLearner(member=found), deadline_us)

    async def change_membership(self, voters: Sequence[int], *, timeout_ms: int | None = None) -> int:
        """Make exactly these the voters; returns the log index of the final membership."""
        wanted = tuple(sorted(NodeId(voter) for voter in set(voters)))
        return await self._change(ChangeVoters(voters=wanted), self._deadline_us(timeout_ms))

    async def remove_member(self, node_id: int, *, timeout_ms: int | None = None) -> int:
        """Take a voter or a learner out; returns the log index of the membership without it."""
        # Read and asked for in one turn: whatever changes the membership in between, the core refuses this as a second change.
        announced, node = self._node.announced, NodeId(node_id)
        if announced is None or not announced.membership.is_voter(node):
            change: Change = RemoveLearner(node_id=node)
        else:
            change = ChangeVoters(
                voters=tuple(voter for voter in announced.membership.voters if voter != node)
            )
        return await self._change(change, self._deadline_us(timeout_ms))

    async def transfer_leader(self, target: int, *, timeout_ms: int | None = None) -> int:
        """Hand leadership over (0: to the best voter); returns the new leader's id."""
        return await self._operator_request(
            lambda request: events.TransferRequested(
                request=request, target=NodeId(target), deadline_us=self._deadline_us(timeout_ms)
            )
        )

    async def backup(
        self, *, consistency: Consistency = Consistency.LINEARIZABLE, timeout_ms: int | None = None
    ) -> Backup:
        """Begin a copy of this node's state; a linearizable one begins once everything acknowledged so far is applied here."""
        if consistency is Consistency.LINEARIZABLE:
            await self.read(Exists(key=_ANY_KEY), timeout_ms=timeout_ms)
        return self._begin_backup()

    def status(self) -> NodeStatus:
        """Return the present status; never blocks."""
        return self._view.status()

    # ------------------------------------------------------------------------------------------------ inside

    async def _change(self, change: Change, deadline_us: int) -> int:
        return await self._operator_request(
            lambda request: events.MembershipChangeRequested(
                request=request, change=change, deadline_us=deadline_us
            )
        )

    async def _operator_request(self, event_for: Callable[[RequestId], events.Event]) -> int:
        request = self._node.next_request()
        outcome = await self._node.ask(request, event_for(request))
        if not isinstance(outcome, actions.Reply):
            raise self._error(outcome)
        assert isinstance(outcome.result, int), "changes answer with an index, transfers with an id"
        return outcome.result

    def _refuse_unless_leader(self) -> None:
        """Only the leader changes the membership; asking the newcomer first would waste its and the operator's time."""
        leader = self._leader
        if leader.node_id != self._identity.node_id:
            detail = (
                "the leader changes the membership" if leader.node_id else "no leader is known at the moment"
            )
            raise self._refused(RefusalCode.NOT_LEADER, detail, NodeId(leader.node_id))

    async def _serves(self, deadline_us: int) -> None:
        """Wait for the first leader and for its first commit: from then on the cluster survives the loss of this node.

        A linearizable read is answered only by a leader that has committed in its term.
        """
        try:
            await self._leader_known(deadline_us)
            await self.read(Exists(key=_ANY_KEY), timeout_ms=max(1, (deadline_us - now_us()) // 1000))
        except (TimeoutError, RequestRefused):
            raise OutcomeUnknown(
                "unknown_outcome",
                "the cluster was made, but does not serve yet. Do not repeat /init: look at /health of its members",
            ) from None

    async def _leader_known(self, deadline_us: int) -> None:
        """Wait for the first Announce with a leader. Once in a cluster's life, so a timer of its own is no waste."""
        if self._leader.node_id:
            return
        known = asyncio.get_running_loop().create_future()

        def notice(announced: actions.Announce) -> None:
            if announced.leader and not known.done():
                known.set_result(None)

        unlisten = self._node.listen(notice)
        try:
            async with asyncio.timeout(max(0, deadline_us - now_us()) / 1_000_000):
                await known
        finally:
            unlisten()

    def _note_leader(self, announced: actions.Announce) -> None:
        self._leader = self._leader_of(announced.leader)

    def _leader_of(self, node_id: NodeId) -> _Leader:
        announced = self._node.announced
        member = announced.membership.members.get(node_id) if announced is not None else None
        if member is None:
            return _Leader(node_id=node_id)
        return _Leader(node_id=node_id, http_addr=member.http_addr, grpc_addr=member.grpc_addr)

    def _answered(self, result: CommandResult | QueryResult) -> Answered:
        if isinstance(result, CommandFailed):
            raise CommandRejected(result.code.name.lower(), result.detail, revision=result.revision)
        leader = self._leader
        return Answered(
            result=result,
            leader_id=leader.node_id,
            leader_http_addr=leader.http_addr,
            leader_grpc_addr=leader.grpc_addr,
        )

    def _deadline_us(self, timeout_ms: int | None) -> int:
        return now_us() + (self._timeout_ms if timeout_ms is None else timeout_ms) * 1000

    def _client_deadline_us(self, timeout_ms: int | None) -> int:
        """Clients may ask for less than network.request_timeout, never for more; operators may."""
        allowed_ms = self._timeout_ms
        return now_us() + (allowed_ms if timeout_ms is None else min(timeout_ms, allowed_ms)) * 1000

    def _error(self, outcome: Outcome) -> RequestRefused | OutcomeUnknown:
        if isinstance(outcome, actions.Refuse):
            return self._refused(outcome.code, outcome.detail, outcome.leader)
        assert isinstance(outcome, actions.Abandon), f"no answer to this request: {outcome}"
        leader = self._leader
        return OutcomeUnknown(
            "unknown_outcome",
            outcome.detail,
            leader_id=leader.node_id,
            leader_http_addr=leader.http_addr,
            leader_grpc_addr=leader.grpc_addr,
        )

    def _refused(self, code: RefusalCode, detail: str, leader_id: NodeId) -> RequestRefused:
        leader = self._leader_of(leader_id)
        retry_after_ms = 0
        if code is RefusalCode.OVERLOADED:
            retry_after_ms = OVERLOADED_RETRY_MS
        elif code is RefusalCode.NOT_LEADER and not leader_id:
            retry_after_ms = self._election_ms  # an election is under way
        return RequestRefused(
            code.value,
            detail,
            leader_id=leader_id,
            leader_http_addr=leader.http_addr,
            leader_grpc_addr=leader.grpc_addr,
            retry_after_ms=retry_after_ms,
        )
