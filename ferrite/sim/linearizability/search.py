"""The search for a linearization of the calls on one object: Wing and Gong's, with Lowe's memory, just in time.

Theory of operation. Calls are linearized only when the next one to return asks for it (Lowe 2017, "Testing for
linearizability", just-in-time linearization). A configuration is the place in the list of returns, the state, and for each
pending call two bits:

- AVAILABLE: it can still be linearized;
- SETTLED: it need not be any more.

A known call that was linearized is settled and no longer available; an unknown one is available and nothing else, because
nothing ever asks for it. More bits are never worse, so a configuration is dropped when one with the same place and state and
all its bits was seen before. Four rules keep the search small; each keeps a linearization if there is one:

1. A pure call that is legal now is linearized now: moving it here changes no state.
2. A blind write settles every pending blind write: they may stand directly before it, seen by nobody. They stay available
   until they return, in case somebody does see them.
3. A blind write that is not returning, and an unknown call, are linearized only when a known pending call that is not blind
   can make use of the state, at once or after further unknown ones. Otherwise only unknown ones follow until the next blind
   write: all of them may be left out, and rule 2 does for the known blind one.
4. Of equal pending actions the one that returns first is taken: exchanging two equal ones harms nothing. Values that no
   call asks for which has yet to return are all equal.
5. Where nothing is left to settle, a call that always leads to this state (no append) is preferred to a blind write to it
   which returns no sooner: later on, the blind write does for either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from ferrite.sim.linearizability.actions import Action, Semantics, State
from ferrite.sim.linearizability.history import NEVER
from ferrite.sim.linearizability.models import Call, Part
from ferrite.sim.linearizability.prefixes import Prefixes
from ferrite.sim.linearizability.prune import UNMENTIONED, last_mentions, relevant_calls

Viable = Callable[[int, State, int, int], bool]
"""(place, state, settled, available) -> whether a linearization can go on from here; may say yes too often, never no."""
Trail = tuple["Trail | None", Literal["call", "settled", "pure"], int, int]
"""The way to a configuration: (before, what happened, place, bits of the calls)."""
_ROOT: Final[Trail | None] = None


Legal = tuple[int, int, list[tuple[State, list[int], int, bool]]]
"""What is legal in a state: bits of pure calls, bits of others, and those others, equal ones together, as (state afterwards,
bits by return, all bits, whether that state is the same wherever the call is legal)."""


@dataclass(slots=True)
class Frame:
    """What is pending when one call returns."""

    now: int
    """Where it returns."""
    target: int
    """Bit of the call that returns."""
    arriving: int
    """AVAILABLE bits of what is invoked before the next return."""
    calls: dict[int, Call]
    """bit -> pending call."""
    pure: list[tuple[int, Action]] = field(default_factory=list)
    blind: list[tuple[int, State, list[int]]] = field(default_factory=list)
    """(all bits, state afterwards, bits by return): pending blind writes, equal ones together."""
    other: list[tuple[int, Action, list[int]]] = field(default_factory=list)
    blind_known: int = 0
    """Bits of all known blind writes that are pending: what a blind write settles."""
    unknown: int = 0
    """Bits of the calls whose outcome is unknown."""
    legal: dict[State, Legal] = field(default_factory=dict)


class Search:
    """One part's search, in portions: `run` goes on where it stopped.

    `exact` leaves out what hides states: the look-ahead on appends, that values are alike which nobody asks for any more, that
    unknown calls which nobody has seen are left out. `thrifty` keeps unknown calls for later where there is a choice; the
    opposite finds some linearizations that it misses for long.
    """

    def __init__(self, part: Part, *, exact: bool = False, thrifty: bool = True) -> None:
        self._thrifty = thrifty
        self._semantics: Semantics = part.semantics
        self.calls = part.calls if exact else relevant_calls(part)
        self._frames: list[Frame | None] = []
        self._plan: list[tuple[Call, int, int, list[tuple[int, Call]]]] = []
        first_bits = self._lay_out()
        self._viable: Viable | None = Prefixes.for_calls(self.calls, self._plan) if not exact else None
        self._mentions = None if exact else last_mentions(self.calls)
        self._seen: list[dict[State, list[int]]] = [{} for _ in self._plan]
        self._stack: list[tuple[int, State, int, int, Trail | None]] = [
            (0, part.initial, 0, first_bits, _ROOT)
        ]
        self.steps = 0
        """Configurations looked at, the search's unit of work."""
        self.deepest = -1
        self.deepest_trail: Trail | None = None
        self.found: Trail | None = None

    def _lay_out(self) -> int:
        """Give every call a bit while it is pending, and note who is pending at each return."""
        events = sorted(
            [(call.invoke, False, number) for number, call in enumerate(self.calls)]
            + [(call.ret, True, number) for number, call in enumerate(self.calls) if call.ret != NEVER]
        )
        free: list[int] = []
        width = 0
        bits: dict[int, int] = {}
        pending: dict[int, Call] = {}
        arriving = 0
        arrivals: list[int] = []
        for _, returns, number in events:
            call = self.calls[number]
            if returns:
                bit = bits.pop(number)
                self._plan.append((call, bit, 0, list(pending.items())))
                del pending[bit]
                free.append(bit)
                arrivals.append(arriving)
                arriving = 0
                continue
            if free:
                bit = free.pop()
            else:
                bit = 1 << width
                width += 1
            bits[number] = bit
            pending[bit] = call
            if call.kind != "pure":
                arriving |= bit
        self._width = width
        self._frames = [None] * len(self._plan)
        for place in range(len(self._plan) - 1):
            call, bit, _, waiting = self._plan[place]
            self._plan[place] = (call, bit, arrivals[place + 1], waiting)
        return arrivals[0] if arrivals else 0

    def run(self, steps: int) -> bool | None:
        """Look at up to so many further configurations. Return the verdict, or None when there is none yet."""
        stack, seen, frames = self._stack, self._seen, self._frames
        places, width = len(self._plan), self._width
        limit = self.steps + steps
        while stack:
            if self.steps >= limit:
                return None
            self.steps += 1
            place, state, settled, available, trail = stack.pop()
            if place == places:
                self.found = trail
                self.deepest, self.deepest_trail = place, trail
                return True
            frame = frames[place] or self._frame(place)
            state = self._plain(frame, state)
            pure, _, _ = frame.legal.get(state) or self._legal(frame, state)
            fresh = pure & ~settled
            if fresh:
                settled |= fresh
                trail = (trail, "pure", place, fresh)
            good = settled << width | available
            known = seen[place].get(state)
            if known is None:
                seen[place][state] = [good]
            elif any(good & ~other == 0 for other in known):
                continue
            else:
                known.append(good)
            if self._viable is not None and not self._viable(place, state, settled, available):
                continue
            if place > self.deepest:
                self.deepest, self.deepest_trail = place, trail
            self._expand(place, frame, state, settled, available, trail)
        return False

    def _expand(
        self, place: int, frame: Frame, state: State, settled: int, available: int, trail: Trail | None
    ) -> None:
        target = frame.target
        stack = self._stack
        if settled & target and not available & target:
            self._advance(place, frame, state, settled, available, trail)
            return
        later: list[tuple[int, State, int, int, Trail | None]] = []
        weaker: dict[State, int] = {}
        for after, bits, _, fixed in frame.legal[state][2]:
            bit = next((bit for bit in bits if bit & available), 0)
            if not bit or (bit & frame.unknown and not self._wanted(frame, after, settled, available & ~bit)):
                continue
            later.append((place, after, settled | bit, available & ~bit, (trail, "call", place, bit)))
            if fixed:
                weaker[after] = min(weaker.get(after, NEVER), frame.calls[bit].ret)
        obliged = frame.blind_known & ~settled
        for all_bits, after, bits in frame.blind:
            if not available & all_bits:
                continue
            bit = next(bit for bit in bits if bit & available)
            if not obliged and after in weaker and weaker[after] <= frame.calls[bit].ret:
                continue
            if bit == target or self._wanted(frame, after, settled, available & ~bit):
                settles = settled | frame.blind_known | bit
                later.append((place, after, settles, available & ~bit, (trail, "call", place, bit)))
        # What helps the returning call comes last, that is, is looked at first.
        later.sort(key=lambda child: self._promise(frame, child))
        stack.extend(later)
        if settled & target:
            self._advance(place, frame, state, settled, available, (trail, "settled", place, target))

    def _wanted(self, frame: Frame, state: State, settled: int, available: int) -> bool:
        """Rule 3: whether a known call can make use of the state, at once or after further unknown ones."""
        seen = {state}
        waiting = [state]
        while waiting:
            state = waiting.pop()
            pure, others, moves = frame.legal.get(state) or self._legal(frame, state)
            if pure & ~settled or others & available & ~frame.unknown:
                return True
            for after, _, all_bits, fixed in moves:
                if not all_bits & available:
                    continue
                if not fixed:
                    return True
                if after not in seen:
                    seen.add(after)
                    waiting.append(after)
        return False

    def _promise(self, frame: Frame, child: tuple[int, State, int, int, Trail | None]) -> tuple[bool, int]:
        """What helps the returning call, and among that what returns soonest (or latest)."""
        _, after, settled, _, trail = child
        assert trail is not None, "every child was led to by a call"
        legal = frame.legal.get(after) or self._legal(frame, after)
        ret = frame.calls[trail[3]].ret
        return bool((settled | legal[0]) & frame.target), -ret if self._thrifty else ret

    def _advance(
        self, place: int, frame: Frame, state: State, settled: int, available: int, trail: Trail | None
    ) -> None:
        keep = ~frame.target
        self._stack.append((place + 1, state, settled & keep, available & keep | frame.arriving, trail))

    def _frame(self, place: int) -> Frame:
        call, target, arriving, waiting = self._plan[place]
        frame = Frame(now=call.ret, target=target, arriving=arriving, calls=dict(waiting))
        blind: dict[State, list[int]] = {}
        other: dict[Action, list[int]] = {}
        for bit, call in sorted(waiting, key=lambda pair: pair[1].ret):
            if call.kind == "pure":
                frame.pure.append((bit, call.action))
            elif call.kind == "blind":
                after = self._plain(frame, self._semantics.result(call.action)[1])
                blind.setdefault(after, []).append(bit)
                if call.ret != NEVER:
                    frame.blind_known |= bit
            else:
                other.setdefault(call.action, []).append(bit)
            if call.ret == NEVER:
                frame.unknown |= bit
        frame.blind = [(sum(bits), after, bits) for after, bits in blind.items()]
        frame.other = [(sum(bits), action, bits) for action, bits in other.items()]
        self._frames[place] = frame
        return frame

    def _plain(self, frame: Frame, state: State) -> State:
        if self._mentions is None or state is None or self._mentions.get(state, 0) >= frame.now:
            return state
        return UNMENTIONED

    def _legal(self, frame: Frame, state: State) -> Legal:
        step = self._semantics.step
        pure = 0
        for bit, action in frame.pure:
            if step(state, action)[0]:
                pure |= bit
        others = 0
        moves: list[tuple[State, list[int], int, bool]] = []
        for all_bits, action, bits in frame.other:
            legal, after = step(state, action)
            if legal:
                others |= all_bits
                moves.append((self._plain(frame, after), bits, all_bits, self._semantics.result(action)[0]))
        frame.legal[state] = (pure, others, moves)
        return frame.legal[state]

    # ---------------------------------------------------------------------------------------------------- what it found

    def order(self, trail: Trail | None) -> list[Call]:
        """Return the linearization, complete or partial, that led to a configuration."""
        steps: list[Trail] = []
        while trail is not None:
            steps.append(trail)
            trail = trail[0]
        order: list[Call] = []
        last_blind = 0
        for _, what, place, bits in reversed(steps):
            frame = self._frames[place] or self._frame(place)
            calls = [call for bit, call in frame.calls.items() if bit & bits]
            if what == "settled":
                # Rule 2: directly before the last blind write, seen by nobody.
                order[last_blind:last_blind] = calls
                last_blind += len(calls)
                continue
            if what == "call" and calls[0].kind == "blind":
                last_blind = len(order)
            order.extend(calls)
        return order

    @property
    def looks_ahead(self) -> bool:
        """Whether configurations were dropped for the sake of later calls: `stuck_at` may then be earlier than needed."""
        return self._viable is not None

    def stuck_at(self) -> Call | None:
        """The call whose return no configuration got past; None when everything was linearized."""
        return self._plan[self.deepest][0] if 0 <= self.deepest < len(self._plan) else None

    def states_at_deepest(self) -> list[State]:
        """Every state that the object could be in while the call of `stuck_at` was pending, after a refusal."""
        if not 0 <= self.deepest < len(self._plan):
            return []
        frame = self._frames[self.deepest]
        assert frame is not None, "the deepest place was looked at"
        states = dict.fromkeys(self._seen[self.deepest])
        reachable = list(states)
        for known in self._seen[self.deepest].values():
            for good in known:
                reachable += [after for all_bits, after, _ in frame.blind if good & all_bits]
        return list(dict.fromkeys(reachable))
