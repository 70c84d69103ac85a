"""One path, taken step by step with living replicas: no copies, nothing remembered, nothing merged. What the search believes to
have found is proved here.
"""

from __future__ import annotations

from collections.abc import Sequence

from ferrite.core import Replica
from ferrite.sim.exhaustive.founding import founded_checks, founded_hosts, new_setting
from ferrite.sim.exhaustive.host import (
    Host,
    Setting,
    Turn,
    crash,
    deliver,
    finish_sync,
    forgets_at_us,
    propose,
    restart,
    time_out,
)
from ferrite.sim.exhaustive.steps import Kind, Letter, Step, node_id
from ferrite.sim.violation import Violation


def play(host: Host, setting: Setting, step: Step) -> Turn:
    """Let one node take its part in a step. A drop has no part for it."""
    match step.kind:
        case Kind.DELIVER | Kind.DUPLICATE:
            assert step.letter is not None, "something is delivered"
            return deliver(host, setting, step.letter, slow=step.slow)
        case Kind.TIMEOUT:
            return time_out(host, setting, slow=step.slow)
        case Kind.PROPOSE:
            return propose(host, setting, step.number, slow=step.slow)
        case Kind.SYNC:
            return finish_sync(host, setting)
        case Kind.RESTART:
            return restart(host, setting)
        case Kind.WAIT:
            host.now_us = forgets_at_us(host) or host.now_us
        case Kind.KILL | Kind.POWER_LOSS:
            crash(host, step.number, power_loss=step.kind is Kind.POWER_LOSS)
        case Kind.DROP:
            pass
    return Turn()


class Walk:
    """The cluster at the end of a path so far. `violation` ends it."""

    def __init__(self, nodes: int, replica_class: type[Replica]) -> None:
        """Found the cluster and start all nodes."""
        self.setting = new_setting(nodes, replica_class)
        self.hosts = founded_hosts(self.setting)
        self.invariants = founded_checks(self.setting)
        self.bag: list[Letter] = []
        self.taken: list[Step] = []
        self.violation: Violation | None = None
        for host in self.hosts:
            self._check(restart(host, self.setting))

    @property
    def proposals(self) -> int:
        """How many there were."""
        return sum(1 for step in self.taken if step.kind is Kind.PROPOSE)

    def take_all(self, path: Sequence[Step]) -> None:
        """Take these steps until one breaks a check. Raises ValueError when one cannot happen."""
        for step in path:
            if self.violation is not None:
                return
            self.take(step)

    def take(self, step: Step) -> None:
        """Take one step. Raises ValueError when it cannot happen."""
        host = self._actor(step)
        self.taken.append(step)
        if step.letter is not None and step.kind is not Kind.DUPLICATE:
            self.bag.remove(step.letter)
        turn = play(host, self.setting, step)
        self._check(turn)
        self.bag.extend(turn.sent)

    def _actor(self, step: Step) -> Host:
        found = [host for host in self.hosts if host.node == node_id(step.node)]
        up = bool(found) and found[0].replica is not None
        there = step.letter is None or step.letter in self.bag
        able = step.kind is Kind.DROP or up == (step.kind is not Kind.RESTART)
        if not (found and there and able):
            where = f"step {len(self.taken) + 1} cannot happen here: {step}"
            raise ValueError(
                f"{where}; a path begins with the founded cluster, and these are the nodes' numbers"
            )
        return found[0]

    def _check(self, turn: Turn) -> None:
        try:
            for check in turn.checks:
                check(self.invariants)
        except Violation as violation:
            self.violation = violation
