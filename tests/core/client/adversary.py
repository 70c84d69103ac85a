"""A cluster that does to clients what real ones do, at its worst: it loses requests and answers, delivers late, gives up on
commands and
runs them later, changes leaders, and forgets sessions. Its state is how often each call was counted.

One thing it does not do, since no transport does: deliver one attempt twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ferrite.core.client import (
    Action,
    AttemptAnswered,
    AttemptLost,
    AttemptRefused,
    CallKind,
    CallMade,
    Event,
    Finish,
    Requests,
    RetryPolicy,
    Sessions,
    Try,
)
from ferrite.core.kv import Session

ENDPOINTS = ("a", "b", "c")
REPLIES_MAX = 5
WIDTH = 4
TIMEOUT_US = 5_000_000


@dataclass(slots=True)
class Remembered:
    floor: int = 0
    replies: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Server:
    """The replicated part: what was counted, and the sessions. `None` in `sessions` is a tombstone."""

    counted: dict[int, int] = field(default_factory=dict)
    total: int = 0
    sessions: dict[bytes, Remembered | None] = field(default_factory=dict)

    def run(self, call: int, session: Session) -> int | str:
        """The total after it, or the code of a refusal (as ferrite.core.kv.sessions has it)."""
        known = self.sessions.setdefault(session.client_id, Remembered())
        if known is None:
            return "session_expired"
        floor = max(known.floor, session.lowest_unacknowledged)
        if session.request_id < floor:
            return "request_forgotten"
        if session.request_id not in known.replies:
            self.total += 1
            self.counted[call] = self.counted.get(call, 0) + 1
            known.replies[session.request_id] = self.total
        total = known.replies[session.request_id]
        known.floor = floor
        known.replies = {number: reply for number, reply in known.replies.items() if number >= floor}
        while len(known.replies) > REPLIES_MAX:
            oldest = min(known.replies)
            del known.replies[oldest]
            known.floor = oldest + 1
        return total

    def expire(self) -> None:
        """Every session ends."""
        for client_id in self.sessions:
            self.sessions[client_id] = None


class World:
    """One client, its calls, the network between it and the server."""

    def __init__(self) -> None:
        self.requests = Requests(
            b"client",
            ENDPOINTS,
            lambda bound: bound // 2,
            RetryPolicy(calls_max=100),
            Sessions(b"client", WIDTH),
        )
        self.server = Server()
        self.leader = "a"
        self.now_us = 0
        self.made = 0
        self.finished: dict[int, Finish] = {}
        self.sent: list[Try] = []
        self.limbo: list[Try] = []
        self.answers: list[Event] = []
        self.pairs: dict[int, list[tuple[bytes, int]]] = {}

    def step(self, *events: Event) -> None:
        self._perform(self.requests.step(events, self.now_us))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Try(call=call, session=session):
                    assert call not in self.finished, "a call that is over is not tried"
                    assert session is not None
                    self.pairs.setdefault(call, []).append((session.client_id, session.request_id))
                    self.sent.append(action)
                case Finish(call=call):
                    assert call not in self.finished, "a call ends once"
                    self.finished[call] = action
                case _:
                    pass

    def call(self) -> None:
        self.made += 1
        self.step(CallMade(call=self.made, kind=CallKind.CHANGE, deadline_us=self.now_us + TIMEOUT_US))

    def pass_time(self, duration_us: int) -> None:
        self.now_us += duration_us
        self.step()

    def lose_request(self, position: int, *, known: bool) -> None:
        """It never arrives; the client is told, or it is not."""
        if self.sent:
            lost = self.sent.pop(position % len(self.sent))
            if known:
                self.answers.append(AttemptLost(attempt=lost.attempt, detail="refused", sent=False))

    def deliver_request(self, position: int, *, answered: bool = True, late: bool = False) -> None:
        """It arrives. `late`: the node gives up on it before it runs, and it runs some time."""
        if not self.sent:
            return
        attempt = self.sent.pop(position % len(self.sent))
        assert attempt.session is not None
        if late:
            self.limbo.append(attempt)
            self._refuse(attempt, "unknown_outcome", certain=False)
            return
        if attempt.endpoint != self.leader:
            self._refuse(attempt, "not_leader", certain=True)
            return
        outcome = self.server.run(attempt.call, attempt.session)
        if not answered:
            self.answers.append(AttemptLost(attempt=attempt.attempt, detail="broken", sent=True))
        elif isinstance(outcome, str):
            self._refuse(attempt, outcome, certain=False)
        else:
            answer = AttemptAnswered(attempt=attempt.attempt, answer=outcome, leader=self.leader)
            self.answers.append(answer)

    def _refuse(self, attempt: Try, code: str, *, certain: bool) -> None:
        refusal = AttemptRefused(
            attempt=attempt.attempt,
            code=code,
            detail="",
            certainly_not_applied=certain,
            leader=self.leader if certain else "",
        )
        self.answers.append(refusal)

    def run_limbo(self, position: int) -> None:
        if self.limbo:
            attempt = self.limbo.pop(position % len(self.limbo))
            assert attempt.session is not None
            self.server.run(attempt.call, attempt.session)

    def deliver_answer(self, position: int) -> None:
        if self.answers:
            self.step(self.answers.pop(position % len(self.answers)))

    def lose_answer(self, position: int) -> None:
        if self.answers:
            self.answers.pop(position % len(self.answers))

    def change_leader(self, position: int) -> None:
        self.leader = ENDPOINTS[position % len(ENDPOINTS)]

    def heal(self) -> None:
        """From now on all goes well, and time passes until every call is over."""
        for _ in range(10_000):
            if len(self.finished) == self.made:
                return
            while self.sent:
                self.deliver_request(0)
            while self.answers:
                self.deliver_answer(0)
            self.now_us = max(self.now_us, min(self.requests.deadline_us, self.now_us + TIMEOUT_US))
            self.step()
        raise AssertionError(f"calls that never end: {set(range(1, self.made + 1)) - set(self.finished)}")
