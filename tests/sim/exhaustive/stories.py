"""Paths to begin a search with, told by what happens rather than by whole steps."""

from collections.abc import Callable

from ferrite.core import Replica
from ferrite.sim.exhaustive import Kind, Step
from ferrite.sim.exhaustive.steps import Letter, number_of
from ferrite.sim.exhaustive.walk import Walk


class Story:
    """A walk of honest replicas, and the steps it took."""

    def __init__(self, nodes: int = 3) -> None:
        self._walk = Walk(nodes, Replica)

    @property
    def path(self) -> list[Step]:
        assert self._walk.violation is None, self._walk.violation
        return self._walk.taken

    def happens(self, kind: Kind, node: int, number: int = 0) -> None:
        self._walk.take(Step(kind=kind, node=node, number=number))

    def deliver(self, message: str, source: int, target: int) -> None:
        """Deliver the latest message of this name on this link."""
        letter = [letter for letter in self._walk.bag if _is(letter, message, source, target)][-1]
        self._walk.take(Step(kind=Kind.DELIVER, node=target, letter=letter))

    def elect(self, candidate: int, voter: int) -> None:
        """A candidate that knows the voter's term is elected by it."""
        self.happens(Kind.TIMEOUT, candidate)
        for message in ("PreVote", "RequestVote"):
            self.deliver(message, candidate, voter)
            self.deliver(f"{message}Response", voter, candidate)

    def learn_term(self, candidate: int, voter: int) -> None:
        """A candidate asks in vain, and learns the voter's later term."""
        self.happens(Kind.TIMEOUT, candidate)
        self.deliver("PreVote", candidate, voter)
        self.deliver("PreVoteResponse", voter, candidate)

    def lose_everything_in_flight(self) -> None:
        for letter in list(self._walk.bag):
            node = number_of(letter.header.target)
            self._walk.take(Step(kind=Kind.DROP, node=node, letter=letter))


def _is(letter: Letter, message: str, source: int, target: int) -> bool:
    link = (number_of(letter.header.source), number_of(letter.header.target))
    return type(letter.message).__name__ == message and link == (source, target)


Telling = Callable[[], Story]


def a_leader_that_nobody_heard() -> Story:
    """1 led term 2, has an entry that nobody else has, and is a follower again. Nothing is in flight."""
    story = Story()
    story.elect(1, voter=2)
    story.happens(Kind.KILL, 1)
    story.lose_everything_in_flight()
    story.happens(Kind.RESTART, 1)
    return story


def two_leaders_with_an_entry_each() -> Story:
    """Figure 8 (c) without its last election: 1 led term 2 and 3 leads term 3, each with entries that nobody else has; 2 voted
    for both. Nothing is in flight.
    """
    story = Story()
    story.elect(1, voter=2)
    story.happens(Kind.KILL, 1)
    story.learn_term(3, voter=2)
    story.elect(3, voter=2)
    story.lose_everything_in_flight()
    story.happens(Kind.RESTART, 1)
    return story


def a_longer_log_of_an_earlier_term() -> Story:
    """1 has two entries of term 2 that nobody else has; 3 leads term 3, and its one entry is committed by 2."""
    story = Story()
    story.elect(1, voter=2)
    story.happens(Kind.PROPOSE, 1, 1)
    story.happens(Kind.KILL, 1)
    story.learn_term(3, voter=2)
    story.elect(3, voter=2)
    story.deliver("AppendEntries", 3, 2)
    story.deliver("AppendEntriesResponse", 2, 3)
    story.lose_everything_in_flight()
    story.happens(Kind.RESTART, 1)
    return story
