"""The shipped client library in a simulated process: `ferrite.core.client.Requests` decides whom to ask, when again and when to
give up, and this performs its orders against the simulated nodes, as the real client does with connections.

A process may have several clients, as the tasks of a program share one: their requests travel in one session, side by side. Its
clock runs at a rate of its own, because the library's pauses are made for elections of seconds. It may stand still, with answers
and timers queued, and what it was about to send leaves when it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ferrite.core import Member, NodeId, RefusalCode
from ferrite.core.client import (
    UNKNOWN_OUTCOME,
    AttemptAnswered,
    AttemptLost,
    AttemptRefused,
    CallCancelled,
    CallKind,
    CallMade,
    Discover,
    Event,
    Finish,
    MembersFound,
    Requests,
    Try,
)
from ferrite.core.kv import CommandErrorCode, CommandFailed, Session
from ferrite.sim.answers import Abandoned, Answer, Callback, Refused, Replied
from ferrite.sim.dice import PPM
from ferrite.sim.history import Operation
from ferrite.sim.node import Node
from ferrite.sim.world import World

REFUSES_PPM: Final = 700_000
"""The share of attempts at a node that is down that a living machine refuses; the others get no answer at all."""
BREAKS_PPM: Final = 500_000
"""The share of lost answers whose connection is seen to break; the others are waited for."""
OVERLOADED_US: Final = 100_000
"""What an overloaded node asks for, as the doors say it."""
DISCOVERY_TIMEOUT_US: Final = 5_000_000
"""By the library's clock, as all that the real client adds to it."""
_NEVER_US: Final = 1 << 62

BROKEN_SESSIONS: Final = (
    CommandErrorCode.SESSION_EXPIRED,
    CommandErrorCode.REQUEST_FORGOTTEN,
    CommandErrorCode.REQUEST_MISMATCH,
)
MAYBE_BEFORE: Final = (
    CommandErrorCode.SESSION_EXPIRED,
    CommandErrorCode.REQUEST_FORGOTTEN,
    CommandErrorCode.REPLY_TOO_LARGE,
)
"""With these the doors say that an earlier attempt may have been carried out."""


@dataclass(slots=True, kw_only=True)
class Call:
    """What a client asks for. `ask` brings one attempt to a node; `over` is told how it ended, `gone` that the process did."""

    kind: CallKind
    ask: Callable[[Node, Session | None, int, Callback], None]
    reaches: Callable[[NodeId], bool]
    """May the client's packets arrive at this node?"""
    over: Callable[[Finish], None]
    gone: Callable[[], None]
    operation: Operation | None = None


class Library:
    """One process after the other. After a crash a new one with other sessions takes its place."""

    def __init__(self, number: int, nodes: Mapping[NodeId, Node], world: World) -> None:
        self._number = number
        self._nodes = nodes
        self._endpoints = {f"node{node}": node for node in sorted(nodes)}
        self._world = world
        self._timeline = world.timeline
        self._options = world.options.clients
        self._dice = world.dice.stream("library", number)
        self._answer_lost = world.plan.site(
            "library_answer_lost", self._options.answer_lost_ppm, number, of_nodes=False
        )
        self._pauses = world.plan.site("client_pause", self._options.pause_ppm, number, of_nodes=False)
        self._lives = 0
        self._calls: dict[int, Call] = {}
        self._calls_made = 0
        self._discovering = False
        self._asleep_until_us = 0
        self._timer_us = _NEVER_US
        self._requests = self._new()

    def start(self) -> None:
        """The first thing that it does is to ask for the members."""
        self._discover()

    def _new(self) -> Requests:
        """Of the endpoints a user gives one at least."""
        self._lives += 1
        voters = list(self._endpoints)[: self._world.options.nodes]
        given = self._dice.subset(voters, self._dice.between(1, len(voters)))
        client_id = b"library%d.%d" % (self._number, self._lives)
        return Requests(client_id, given, lambda bound: self._dice.between(0, bound - 1))

    @property
    def _now_us(self) -> int:
        return self._timeline.now_us * self._options.shipped_rate_ppm // PPM

    @property
    def asleep_us(self) -> int:
        """How long the process still stands still, in simulated time."""
        return max(0, self._asleep_until_us - self._timeline.now_us)

    # ------------------------------------------------------------------------------------------------ what clients ask

    def call(self, call: Call, timeout_us: int) -> int:
        """Begin, with a deadline in simulated time; returns its number."""
        return self._begin(call, timeout_us * self._options.shipped_rate_ppm // PPM)

    def _begin(self, call: Call, timeout_us: int) -> int:
        number = self._calls_made = self._calls_made + 1
        self._calls[number] = call
        self._step(CallMade(call=number, kind=call.kind, deadline_us=self._now_us + timeout_us))
        return number

    def cancel(self, number: int) -> None:
        """The client does not wait for it any more."""
        if self._calls.pop(number, None) is not None:
            self._step(CallCancelled(call=number))

    def crash(self) -> None:
        """The process is gone, with everything in hand; what was sent may still arrive."""
        calls, self._calls = list(self._calls.values()), {}
        self._asleep_until_us, self._timer_us, self._discovering = 0, _NEVER_US, False
        self._requests = self._new()
        for call in calls:
            call.gone()
        self._discover()

    def tell_members(self, nodes: Mapping[NodeId, Node]) -> None:
        """The user names those that can be asked: all that it knew may be gone for good."""
        self._step(MembersFound(endpoints=tuple(self._endpoint(node) for node in sorted(nodes))))

    # ------------------------------------------------------------------------------------------------ its orders

    def _step(self, *events: Event) -> None:
        for action in self._requests.step(events, self._now_us):
            match action:
                case Try():
                    self._try(action)
                case Finish(call=number):
                    self._calls.pop(number).over(action)
                case Discover():
                    self._discover()
        self._arm()

    def _arm(self) -> None:
        """A timer that is too early does no harm."""
        deadline_us = self._requests.deadline_us
        if not self._calls or self._timer_us <= deadline_us:
            return
        self._timer_us = deadline_us
        self._timeline.at(
            -(-deadline_us * PPM // self._options.shipped_rate_ppm), self._time_has_come, deadline_us
        )

    def _time_has_come(self, timer_us: int) -> None:
        if timer_us != self._timer_us:
            return
        if self.asleep_us:
            self._timeline.at(self._asleep_until_us, self._time_has_come, timer_us)
            return
        self._timer_us = _NEVER_US
        self._step()

    def _try(self, order: Try) -> None:
        call = self._calls[order.call]
        if call.operation is not None:
            self._note_attempt(call.operation, order)
        if fault := self._pauses.strikes():
            self._asleep_until_us = self._timeline.now_us + fault.stream().exponential(
                self._options.pause_mean_us
            )
        delay_us = self.asleep_us + 1 + self._dice.exponential(self._options.delay_mean_us)
        self._timeline.after(delay_us, self._arrive, self._requests, call, order)

    @staticmethod
    def _note_attempt(operation: Operation, order: Try) -> None:
        operation.attempts += 1
        if order.session is not None:
            request = order.session.client_id, order.session.request_id
            if request not in operation.tried_as:
                operation.tried_as.append(request)

    def _arrive(self, sender: Requests, call: Call, order: Try) -> None:
        """It may arrive after the process gave up on it, or ended."""
        node = self._nodes[self._endpoints[order.endpoint]]
        if not call.reaches(node.node_id):
            lost = AttemptLost(attempt=order.attempt, detail="there is no way to it", sent=False)
            self._report(sender, lost)
            return
        if not node.running:
            if self._dice.chance(REFUSES_PPM):
                lost = AttemptLost(attempt=order.attempt, detail="connection refused", sent=False)
                self._report(sender, lost)
            return
        if self._world.recording is not None and call.operation is not None:
            operation = call.operation
            self._world.row("attempt", operation=operation.number, node=node.node_id, cause=operation.row)
        timeout_us = order.timeout_us * PPM // self._options.shipped_rate_ppm
        call.ask(node, order.session, timeout_us, lambda answer: self._answered(sender, order, node, answer))

    def _answered(self, sender: Requests, order: Try, node: Node, answer: Answer) -> None:
        if fault := self._answer_lost.strikes():
            if fault.stream().chance(BREAKS_PPM):
                lost = AttemptLost(attempt=order.attempt, detail="connection reset", sent=True)
                self._report(sender, lost)
            return
        self._report(sender, self._event(sender, order, node, answer))

    def _event(self, sender: Requests, order: Try, node: Node, answer: Answer) -> Event:
        """What the doors of a real node would say."""
        attempt = order.attempt
        match answer:
            case Replied(result=CommandFailed(code=code, detail=detail, revision=revision)):
                if code in BROKEN_SESSIONS and sender is self._requests:
                    self._session_refused(order, code, detail)
                return AttemptRefused(
                    attempt=attempt,
                    code=code.name.lower(),
                    detail=detail,
                    certainly_not_applied=code not in MAYBE_BEFORE,
                    revision=revision,
                )
            case Replied(result=result):
                status = node.status()
                return AttemptAnswered(
                    attempt=attempt, answer=result, leader=self._endpoint(status.leader) if status else ""
                )
            case Refused(code=code, detail=detail, leader=leader):
                return AttemptRefused(
                    attempt=attempt,
                    code=code.value,
                    detail=detail,
                    certainly_not_applied=True,
                    leader=self._endpoint(leader),
                    retry_after_us=OVERLOADED_US if code is RefusalCode.OVERLOADED else 0,
                )
            case Abandoned(detail=detail):
                return AttemptRefused(
                    attempt=attempt, code=UNKNOWN_OUTCOME, detail=detail, certainly_not_applied=False
                )

    def _session_refused(self, order: Try, code: CommandErrorCode, detail: str) -> None:
        """A copy of what nobody waits for any more may be refused for its session; nothing else is."""
        if order.call not in self._calls:
            return
        if code is CommandErrorCode.SESSION_EXPIRED and self._world.options.kv.session_ttl_s:
            call = self._calls[order.call]
            again = call.operation is not None and call.operation.attempts > 1
            self._world.counters["expired_retries" if again else "expired_requests"] += 1
        else:
            raise self._world.violation(
                "S17",
                "A client that keeps to the session's rules is never refused by them.",
                f"{order}: {code.name}: {detail}",
            )

    def _endpoint(self, node: NodeId) -> str:
        return f"node{node}" if node in self._nodes else ""

    def _report(self, sender: Requests, event: Event) -> None:
        delay_us = 1 + self._dice.exponential(self._options.delay_mean_us)
        self._timeline.after(delay_us, self._happened, sender, event)

    def _happened(self, sender: Requests, event: Event) -> None:
        if sender is not self._requests:
            return
        if self.asleep_us:
            self._timeline.at(self._asleep_until_us, self._happened, sender, event)
            return
        self._step(event)

    # ------------------------------------------------------------------------------------------------ members

    def _discover(self) -> None:
        """Ask any node for the members, as the real client does: by a call like every other."""
        if self._discovering:
            return
        self._discovering = True
        self._begin(
            Call(
                kind=CallKind.REPEATABLE,
                ask=_ask_for_members,
                reaches=lambda _node: True,
                over=self._discovered,
                gone=lambda: None,
            ),
            DISCOVERY_TIMEOUT_US,
        )

    def _discovered(self, finish: Finish) -> None:
        self._discovering = False
        if isinstance(finish.answer, tuple):
            endpoints = (self._endpoint(member.node_id) for member in finish.answer)
            self._step(MembersFound(endpoints=tuple(name for name in endpoints if name)))


def _ask_for_members(node: Node, _session: Session | None, _timeout_us: int, callback: Callback) -> None:
    status = node.status()
    if status is not None and not node.paused:
        members: tuple[Member, ...] = tuple(
            status.membership.members[one] for one in sorted(status.membership.members)
        )
        callback(Replied(result=members))
