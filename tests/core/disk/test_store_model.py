"""Random histories with crashes against a plain list: what was synced is there, what was not is absent or a beginning."""

from contextlib import suppress
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ferrite.core import Entry, EntryKind, HardState, Index, NodeId, Term
from ferrite.core.actions import Persist
from ferrite.core.disk import check_log
from tests.core.disk.model import CLUSTER, NODE, Model, agrees, begin, entry, reopen
from tests.core.disk.two_images import PowerLoss, TwoImages

BODIES = (0, 1, 40, 300, 700, 1500, 5000)


class History:
    """One node's log and its model, driven by dice."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.files = TwoImages()
        self.store, _ = reopen(self.files)
        self.model = Model()
        self.unsynced: list[Persist] = []
        self.commit = 0

    def possible(self) -> list[Model]:
        """States that the next start may find."""
        states, model = [self.model], self.model
        for persist in self.unsynced:
            states += model.stages(persist)
            model = model.after(persist)
        return states

    def latest(self) -> Model:
        model = self.model
        for persist in self.unsynced:
            model = model.after(persist)
        return model

    def entries(self, term: int) -> tuple[Entry, ...]:
        made = []
        for _ in range(self.dice.choice((0, 1, 1, 2, 5))):
            kind = EntryKind.MEMBERSHIP if self.dice.random() < 0.2 else EntryKind.COMMAND
            size = self.dice.choice(BODIES)
            body = bytes(size) if self.dice.random() < 0.5 else self.dice.randbytes(size)
            made.append(entry(term, body, kind))
        return tuple(made)

    def persist(self, model: Model, write_seq: int) -> Persist:
        dice = self.dice
        term, voted_for = model.hard_state.term, model.hard_state.voted_for
        hard_state = None
        if dice.random() < 0.3:
            term, voted_for = Term(term + dice.randrange(3)), NodeId(dice.randrange(4))
            hard_state = HardState(cluster_id=CLUSTER, term=term, voted_for=voted_for)
        base, truncate, first = None, False, model.last_index + 1
        roll = dice.random()
        if roll < 0.05:
            index = model.last_index + dice.randrange(1, 5)
            base, first = (Index(index), term), index + 1
            self.commit = index
        elif roll < 0.3 and model.last_index > self.commit:
            truncate, first = (
                True,
                dice.randrange(max(self.commit, model.base_index) + 1, model.last_index + 2),
            )
        return Persist(
            write_seq=write_seq, first_index=Index(first), entries=self.entries(term), truncate=truncate,
            base=base, hard_state=hard_state,
        )  # fmt: skip

    def act(self) -> None:
        dice, roll = self.dice, self.dice.random()
        if roll < 0.5:
            batch: list[Persist] = []
            model = self.latest()
            seq = self.store.last_write_seq
            for _ in range(dice.choice((1, 1, 2, 4))):
                seq += 1
                persist = begin() if model.write_seq == 0 else self.persist(model, seq)
                batch.append(persist)
                model = model.after(persist)
            self.unsynced += batch
            self.store.append(batch)
        elif roll < 0.7:
            self.store.sync()
            self.model, self.unsynced = self.latest(), []
        elif roll < 0.8:
            if not self.unsynced:
                self.commit = max(self.commit, dice.randrange(self.model.last_index + 1))
            self.store.update_mark(self.commit)
        elif roll < 0.85:
            if not self.unsynced:
                self.store.discard(min(self.commit, self.model.last_index))
        else:
            self.store.prepare_spare()

    def lose_power(self) -> None:
        chance = self.dice.choice((0.0, 0.2, 0.5, 0.9, 1.0))
        self.files = self.files.after_crash(lambda: self.dice.random() < chance)

    def lose_power_while_opening(self) -> None:
        self.files.half_done = lambda: self.dice.random() < 0.5
        self.files.power_loss_at = self.dice.randrange(1, 12)
        with suppress(PowerLoss):
            reopen(self.files)
        self.files.power_loss_at = None
        self.lose_power()

    def crash(self) -> None:
        self.lose_power()
        for _ in range(self.dice.randrange(3)):
            self.lose_power_while_opening()
        offline, _ = check_log(self.files.copy(), NODE)
        self.store, log = reopen(self.files)
        assert log.lost_tail is None
        assert offline.last_index == log.last_index
        matching = [model for model in self.possible() if agrees(model, self.store, log)]
        assert matching, "the log on disk is none of the states that a crash may leave"
        # Several only when writes changed nothing.
        self.model, self.unsynced = matching[-1], []
        self.model.write_seq = log.last_write_seq
        self.commit = min(self.commit, self.model.last_index)
        assert log.last_write_seq == self.store.last_write_seq


@given(seed=st.integers(0, 2**48))
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_crash_between_operations_leaves_what_was_synced_and_a_beginning_of_the_rest(seed: int) -> None:
    history = History(seed)
    for _ in range(6):
        for _ in range(history.dice.randrange(12)):
            history.act()
        history.crash()


@given(seed=st.integers(0, 2**48))
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_crash_within_any_operation_leaves_what_was_synced_and_a_beginning_of_the_rest(seed: int) -> None:
    history = History(seed)
    for _ in range(4):
        history.files.half_done = lambda: history.dice.random() < 0.5
        history.files.power_loss_at = history.files.operations + history.dice.randrange(1, 40)
        try:
            while True:
                history.act()
        except PowerLoss:
            history.crash()
