"""How bugs are planted: a replica that lies at its border, or a function that is replaced. Everything is undone at the end.

A replica at its border survives any change inside the core, so it is the first choice. Whatever is replaced by name must be
there: a plant whose target has moved raises LookupError, for it would plant nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from typing import Any, TypeVar

from ferrite.core import NodeId, Replica, actions, events, messages
from ferrite.core.raft import Raft
from ferrite.core.roles import Leader
from ferrite.sim import Cluster

Plant = Callable[[], AbstractContextManager[None]]
M = TypeVar("M", bound=messages.Message)
E = TypeVar("E", bound=events.Event)


@contextmanager
def pretending(owner: object, name: str, value: object) -> Iterator[None]:
    """Let an attribute have another value for a while. Raises LookupError when there is none of this name."""
    honest = _target(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, honest)


def _target(owner: object, name: str) -> object:
    # What a class only inherits is not its own: it could not be given back.
    if name in vars(owner) if isinstance(owner, type) else hasattr(owner, name):
        return getattr(owner, name)
    raise LookupError(f"{owner!r} has no {name}: the code has moved, and the plant must follow")


def replaced(make: Callable[[Any], Any], *targets: str) -> Plant:
    """Replace each `module:name` or `module:Class.name` by what `make` makes of it."""

    @contextmanager
    def plant() -> Iterator[None]:
        with ExitStack() as undo:
            for target in targets:
                module, _, path = target.partition(":")
                *owners, name = path.split(".")
                owner: object = import_module(module)
                for step in owners:
                    owner = getattr(owner, step)
                undo.enter_context(pretending(owner, name, make(_target(owner, name))))
            yield

    return plant


def together(*plants: Plant) -> Plant:
    """One bug of several parts."""

    @contextmanager
    def plant() -> Iterator[None]:
        with ExitStack() as undo:
            for part in plants:
                undo.enter_context(part())
            yield

    return plant


def default_replica_class() -> type[Replica]:
    """What a cluster takes when no class is named."""
    found: type[Replica] = _cluster_defaults()["replica_class"]
    return found


def replica(liar: type[Replica]) -> Plant:
    """Every node makes its replica with this class."""

    @contextmanager
    def plant() -> Iterator[None]:
        defaults = _cluster_defaults()
        honest, defaults["replica_class"] = defaults["replica_class"], liar
        try:
            yield
        finally:
            defaults["replica_class"] = honest

    return plant


def _cluster_defaults() -> dict[str, Any]:
    defaults = Cluster.__init__.__kwdefaults__
    if not defaults or "replica_class" not in defaults:
        raise LookupError("Cluster has no replica_class by default: the plants of replicas must follow it")
    return defaults


def office_of(raft: Raft) -> Leader | None:
    """What the replica knows as a leader, if it is one."""
    return raft.role if isinstance(raft.role, Leader) else None


# -- replicas that lie at their border ------------------------------------------------------------------------


def told(kind: type[E], change: Callable[[Raft, E], events.Event]) -> Plant:
    """Events of a kind arrive changed."""

    def changed(raft: Raft, event: events.Event) -> events.Event:
        return change(raft, event) if isinstance(event, kind) else event

    class Told(Replica):
        def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
            if not any(isinstance(event, kind) for event in given):
                return super().step(given, now_us)
            ordered = []
            for event in given:  # one by one, for each may depend on what the one before did
                ordered += super().step([changed(self._raft, event)], now_us)
            return ordered

    return replica(Told)


def hearing(kind: type[M], change: Callable[[Raft, messages.Header, M], messages.Message]) -> Plant:
    """Messages of a kind arrive changed."""

    def changed(raft: Raft, event: events.MessageReceived) -> events.Event:
        if not isinstance(event.message, kind):
            return event
        message = change(raft, event.header, event.message)
        return events.MessageReceived(header=event.header, message=message)

    return told(events.MessageReceived, changed)


def after_hearing(kind: type[M], act: Callable[[Raft, messages.Header, M], None]) -> Plant:
    """Something is done to the replica once a message of a kind was handled; then it draws its consequences."""

    class AfterHearing(Replica):
        def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
            if not any(isinstance(event, events.MessageReceived) for event in given):
                return super().step(given, now_us)
            ordered = []
            for event in given:
                ordered += super().step([event], now_us)
                if isinstance(event, events.MessageReceived) and isinstance(event.message, kind):
                    act(self._raft, event.header, event.message)
                    ordered += super().step([], now_us)
            return ordered

    return replica(AfterHearing)


def saying(kind: type[M], change: Callable[[Raft, NodeId, M], messages.Message]) -> Plant:
    """Messages of a kind leave changed."""

    def changed(raft: Raft, action: actions.Action) -> actions.Action:
        if not isinstance(action, actions.Send) or not isinstance(action.message, kind):
            return action
        return actions.Send(to=action.to, message=change(raft, action.to, action.message))

    class Saying(Replica):
        def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
            return [changed(self._raft, action) for action in super().step(given, now_us)]

    return replica(Saying)


def believing(trusts: Callable[[Raft, actions.Persist], bool]) -> Plant:
    """Some writes are taken for durable at the moment they are ordered."""

    class Believing(Replica):
        def step(self, given: Sequence[events.Event], now_us: int) -> list[actions.Action]:
            known = self._raft.disk.durable_seq
            news = [
                event
                for event in given
                if not isinstance(event, events.Persisted) or event.write_seq >= known
            ]
            ordered = super().step(news, now_us)
            for action in list(ordered):
                if isinstance(action, actions.Persist) and trusts(self._raft, action):
                    ordered += super().step([events.Persisted(write_seq=action.write_seq)], now_us)
            return ordered

    return replica(Believing)


def during(target: str, lie: Callable[[Raft], AbstractContextManager[None]]) -> Plant:
    """A function whose first argument is the replica's state sees some of that state changed."""

    def make(honest: Callable[..., Any]) -> Callable[..., Any]:
        def deceived(raft: Raft, *rest: Any, **more: Any) -> Any:
            with lie(raft):
                return honest(raft, *rest, **more)

        return deceived

    return replaced(make, target)


@contextmanager
def no_lie() -> Iterator[None]:
    """The state as it is."""
    yield
