"""A client's calls, pure: facts in, orders out (`calls.py`). Decides who is asked, when again, and when to give up.

What always holds: a change is sent with one session pair only, unless it is certain that no attempt with the pair before had
or will
have an effect; a call ends once, at its deadline at the latest; a failure says "certainly not applied" only when every
attempt was
refused before anything happened, or never left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, assert_never

from ferrite.core.client.calls import (
    Action,
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
    Try,
)
from ferrite.core.client.endpoints import Dice, Endpoints
from ferrite.core.client.failure import (
    BROKEN_SESSION,
    DEADLINE_EXCEEDED,
    MACHINE,
    NO_LEADER,
    TRANSIENT,
    UNKNOWN_OUTCOME,
    UNREACHABLE,
    USELESS_NODE,
    Failure,
)
from ferrite.core.client.retry import RetryPolicy
from ferrite.core.client.session import Sessions, Slot
from ferrite.core.values import RefusalCode

_NEVER_US: Final = 1 << 62
_SILENCE_US: Final = 250_000
"""An endpoint that said nothing for so long counts as failed; a shorter silence is the impatience of the caller."""


class _Call:
    """A call under way. It waits for a slot, for the answer to `attempt`, or for the time of the next attempt."""

    __slots__ = (
        "attempt", "call", "deadline_us", "endpoint", "kind", "last", "only", "pauses", "sent", "sent_us", "silences", "slot",
        "timeout_us", "tried", "unsettled", "wake_us",
    )  # fmt: skip

    def __init__(self, made: CallMade, now_us: int) -> None:
        self.call = made.call
        self.kind = made.kind
        self.only = made.endpoint
        self.deadline_us = made.deadline_us
        self.timeout_us = max(1, made.deadline_us - now_us)
        self.slot: Slot | None = None
        self.sent: list[int] = []
        """All its attempts."""
        self.sent_us = 0
        """When the last one was."""
        self.silences = 0
        """Attempts that were not answered in time; one that was refused says nothing of how long to wait."""
        self.pauses = 0
        self.attempt = 0
        """The attempt whose answer is awaited; 0: none."""
        self.endpoint = ""
        """Where it was sent."""
        self.wake_us = 0
        """When the answer is not awaited any more, or the next attempt is due."""
        self.tried: list[str] = []
        """Endpoints asked since the last pause."""
        self.unsettled: set[int] = set()
        """Attempts that may have had an effect, or may yet."""
        self.last: Failure | None = None
        """The last refusal."""


class Requests:
    """All calls of one client. `deadline_us`: call `step([], now_us)` then, at the latest."""

    __slots__ = (
        "_attempt_calls", "_attempts_made", "_calls", "_deadline_us", "_dice", "_discovered_us", "_now_us", "_orders", "_policy",
        "_sessions", "_waiting", "endpoints",
    )  # fmt: skip

    def __init__(
        self,
        client_id: bytes,
        endpoints: Sequence[str],
        dice: Dice,
        policy: RetryPolicy | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        """`client_id`: 1 to 40 bytes, never used before by anybody."""
        self.endpoints = Endpoints(endpoints, dice)
        self._dice = dice
        self._policy = policy or RetryPolicy()
        self._sessions = sessions or Sessions(client_id)
        self._calls: dict[int, _Call] = {}
        self._waiting: deque[int] = deque()
        """Changes without a slot, the oldest first; those that ended meanwhile are passed over."""
        self._attempt_calls: dict[int, tuple[_Call, str]] = {}
        """Attempts of calls that are not over, and where they were sent."""
        self._attempts_made = 0
        self._discovered_us = -_NEVER_US
        self._deadline_us = _NEVER_US
        self._now_us = 0
        self._orders: list[Action] = []

    @property
    def deadline_us(self) -> int:
        """At the latest then something is to be done without an event; far away when nothing waits."""
        return self._deadline_us

    @property
    def outstanding(self) -> int:
        """Calls that are not over."""
        return len(self._calls)

    def step(self, events: Sequence[Event], now_us: int) -> list[Action]:
        """Take facts, give orders. `now_us` never goes back."""
        assert now_us >= self._now_us, f"time went back from {self._now_us} to {now_us}"
        self._now_us = now_us
        self._orders = []
        for event in events:
            self._take(event)
        if now_us >= self._deadline_us:
            self._wake()
        self._admit()
        return self._orders

    # ------------------------------------------------------------------------------------------------ facts

    def _take(self, event: Event) -> None:
        match event:
            case CallMade():
                self._begin(event)
            case CallCancelled(call=call):
                found = self._calls.get(call)
                if found is not None:
                    self._forget(found)
            case AttemptAnswered():
                self._answered(event)
            case AttemptRefused():
                self._refused(event)
            case AttemptLost():
                self._lost(event)
            case MembersFound(endpoints=endpoints, leader=leader):
                self.endpoints.found(endpoints)
                if leader:
                    self.endpoints.leads(leader)
            case _:
                assert_never(event)

    def _begin(self, made: CallMade) -> None:
        assert made.call not in self._calls, f"call {made.call} is under way already"
        call = _Call(made, self._now_us)
        if len(self._calls) >= self._policy.calls_max:
            detail = f"this client has {len(self._calls)} calls under way; wait for some of them"
            self._finish_failed(call, Failure(code="overloaded", detail=detail, certainly_not_applied=True))
            return
        self._calls[made.call] = call
        self._wake_at(call, made.deadline_us)
        if made.kind is CallKind.CHANGE:
            self._waiting.append(made.call)
        else:
            self._try(call)

    def _answered(self, event: AttemptAnswered) -> None:
        found = self._attempt_calls.get(event.attempt)
        if found is None:
            return
        call, endpoint = found
        self.endpoints.did_well(endpoint)
        if event.leader:
            self.endpoints.leads(event.leader)
        # Also of an attempt that was given up: by its session every attempt has the same answer.
        self._forget(call)
        self._orders.append(Finish(call=call.call, answer=event.answer))

    def _refused(self, event: AttemptRefused) -> None:
        found = self._attempt_calls.pop(event.attempt, None)
        if found is None:
            return
        call, endpoint = found
        self._learn(event, endpoint)
        if event.certainly_not_applied or event.code in BROKEN_SESSION:
            call.unsettled.discard(event.attempt)
        call.last = Failure(
            code=event.code,
            detail=event.detail,
            certainly_not_applied=event.certainly_not_applied,
            revision=event.revision,
        )
        if event.attempt != call.attempt:
            return  # An attempt that was given up; another one is under way.
        call.attempt = 0
        if event.code in BROKEN_SESSION:
            self._session_broken(call)
        elif event.code in TRANSIENT or (not event.certainly_not_applied and event.code not in MACHINE):
            hinted = bool(event.leader) and event.leader not in call.tried
            self._again(call, at_once=hinted, retry_after_us=event.retry_after_us)
        else:
            self._finish_refused(call, call.last)

    def _learn(self, event: AttemptRefused, endpoint: str) -> None:
        if event.code in USELESS_NODE:
            self._endpoint_failed(endpoint)
        else:
            self.endpoints.did_well(endpoint)
        if event.leader and event.leader != endpoint:
            self.endpoints.leads(event.leader)
        elif event.code == RefusalCode.NOT_LEADER.value and self.endpoints.leader == endpoint:
            self.endpoints.leads("")

    def _lost(self, event: AttemptLost) -> None:
        found = self._attempt_calls.pop(event.attempt, None)
        if found is None:
            return
        call, endpoint = found
        self._endpoint_failed(endpoint)
        if not event.sent:
            call.unsettled.discard(event.attempt)
        if event.attempt != call.attempt:
            return
        call.attempt = 0
        call.last = Failure(code=UNREACHABLE, detail=event.detail, certainly_not_applied=not event.sent)
        self._again(call, at_once=self.endpoints.has_fit(self._now_us, avoid=call.tried))

    def _endpoint_failed(self, endpoint: str) -> None:
        self.endpoints.failed(endpoint, self._now_us)
        if self._now_us - self._discovered_us >= self._policy.discovery_pause_us:
            self._discovered_us = self._now_us
            self._orders.append(Discover())

    # ------------------------------------------------------------------------------------------------ consequences

    def _admit(self) -> None:
        """Give free slots to the changes that wait, in order."""
        while self._waiting:
            call = self._calls.get(self._waiting[0])
            if call is not None:
                call.slot = self._sessions.take()
                if call.slot is None:
                    return
                self._try(call)
            self._waiting.popleft()

    def _try(self, call: _Call) -> None:
        endpoint = call.only or self.endpoints.choose(self._now_us, avoid=call.tried)
        self._attempts_made += 1
        attempt = call.attempt = self._attempts_made
        call.endpoint = endpoint
        if endpoint not in call.tried:
            call.tried.append(endpoint)
        if call.kind is not CallKind.REPEATABLE:
            call.unsettled.add(attempt)
        timeout_us = self._patience_us(call, endpoint)
        call.sent.append(attempt)
        call.sent_us = self._now_us
        self._wake_at(call, self._now_us + timeout_us)
        self._attempt_calls[attempt] = (call, endpoint)
        session = call.slot.session() if call.slot else None
        self._orders.append(
            Try(call=call.call, attempt=attempt, endpoint=endpoint, session=session, timeout_us=timeout_us)
        )

    def _patience_us(self, call: _Call, endpoint: str) -> int:
        """How long this attempt is waited for. One that failed lately is only probed: another may lead by now."""
        left_us = max(1, call.deadline_us - self._now_us)
        if call.only:
            return left_us
        elsewhere = call.kind is not CallKind.UNREPEATABLE and len(self.endpoints.all) > 1
        if elsewhere and self.endpoints.is_suspect(endpoint):
            return min(left_us, self._policy.patience_us(call.timeout_us, 0) // 2)
        return min(left_us, self._policy.patience_us(call.timeout_us, call.silences))

    def _again(self, call: _Call, *, at_once: bool, retry_after_us: int = 0) -> None:
        """Try another time, now or after a pause; unless that is useless or not allowed."""
        if call.only or (call.kind is CallKind.UNREPEATABLE and call.unsettled):
            self._finish_given_up(call)
        elif at_once and not retry_after_us:
            self._try(call)
        else:
            pause_us = self._policy.pause_us(call.pauses, self._dice)
            call.pauses += 1
            call.tried.clear()
            self._wake_at(call, min(call.deadline_us, self._now_us + max(pause_us, retry_after_us)))

    def _session_broken(self, call: _Call) -> None:
        """Begin afresh in another session if no attempt can have had an effect; else nobody will ever know."""
        assert call.slot is not None and call.last is not None, "only a change is refused for its session"
        call.slot.window.broken = True
        if call.unsettled:
            self._finish_failed(call, call.last)
            return
        call.slot.give_back()
        call.slot = None
        self._waiting.append(call.call)
        self._wake_at(call, call.deadline_us)

    def _wake(self) -> None:
        """Calls whose time has come; then find out whose comes next."""
        for call in list(self._calls.values()):
            if call.wake_us > self._now_us:
                continue
            if call.attempt and self._now_us - call.sent_us >= _SILENCE_US:
                self._endpoint_failed(call.endpoint)
            if self._now_us >= call.deadline_us:
                self._finish_given_up(call)
            elif call.attempt:
                call.attempt = 0
                call.silences += 1
                call.last = None
                self._again(call, at_once=self.endpoints.has_fit(self._now_us, avoid=call.tried))
            else:
                self._try(call)
        self._deadline_us = min((call.wake_us for call in self._calls.values()), default=_NEVER_US)

    def _wake_at(self, call: _Call, time_us: int) -> None:
        call.wake_us = time_us
        self._deadline_us = min(self._deadline_us, time_us)

    # ------------------------------------------------------------------------------------------------ ends

    def _finish_refused(self, call: _Call, failure: Failure) -> None:
        if call.unsettled and failure.code not in MACHINE:
            # This node's door refused it; an earlier attempt at another node may have been carried out.
            failure = _unknown(failure)
        self._finish_failed(call, failure)

    def _finish_given_up(self, call: _Call) -> None:
        """No time is left, or nothing may be tried any more."""
        if call.unsettled:
            failure = _unknown(call.last)
        elif call.last is not None:
            leaderless = call.last.code == RefusalCode.NOT_LEADER.value and not self.endpoints.leader
            failure = Failure(
                code=NO_LEADER if leaderless else call.last.code,
                detail=call.last.detail,
                certainly_not_applied=True,
                revision=call.last.revision,
            )
        else:
            where = f"{call.endpoint} did not answer" if call.endpoint else "too many changes were before it"
            detail = f"not answered within {call.timeout_us // 1000} ms: {where}"
            failure = Failure(code=DEADLINE_EXCEEDED, detail=detail, certainly_not_applied=True)
        self._finish_failed(call, failure)

    def _finish_failed(self, call: _Call, failure: Failure) -> None:
        self._forget(call)
        self._orders.append(Finish(call=call.call, failure=failure))

    def _forget(self, call: _Call) -> None:
        self._calls.pop(call.call, None)
        if call.slot is not None:
            call.slot.give_back()
        for attempt in call.sent:
            self._attempt_calls.pop(attempt, None)


def _unknown(last: Failure | None) -> Failure:
    said = f"; the last attempt: {last.code}: {last.detail}" if last else ""
    detail = f"sent, and no certain answer: it may have happened, or may yet{said}"
    return Failure(code=UNKNOWN_OUTCOME, detail=detail, certainly_not_applied=False)
