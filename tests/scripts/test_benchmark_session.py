"""A benchmark's session keeps what was measured, whatever fails, and is fair in its order."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

import pytest

from scripts.benchmark.cells import Cell, Measured, NotASuccess, all_cells
from scripts.benchmark.measure import Bench
from scripts.benchmark.session import Contender, Session
from tests.scripts.test_benchmark import measured

CELLS = all_cells((1, 16), (16,))


@dataclass
class FakeStore(AbstractContextManager["FakeStore"]):
    """A store that notes what happens to it."""

    name: str
    story: list[str]
    has_leader: bool = True

    def __enter__(self) -> Self:
        self.story.append(f"{self.name} starts")
        return self

    def __exit__(self, *_: object) -> None:
        self.story.append(f"{self.name} ends")

    def leader(self) -> int:
        if not self.has_leader:
            raise NotASuccess("no leader any more")
        return 0


@dataclass
class FakeBench:
    """Measures 100/s, except where `failing` says otherwise; notes the order."""

    story: list[str]
    failing: set[tuple[str, str]] = field(default_factory=set)

    def fill(self, store: FakeStore) -> None:
        self.story.append(f"{store.name} is filled")

    def measure(self, store: FakeStore, cell: Cell) -> Measured:
        if (store.name, cell.name) in self.failing:
            raise NotASuccess("wrong answers")
        self.story.append(f"{store.name} {cell.name}")
        return measured(100)


def contender(name: str, story: list[str], *, has_leader: bool = True, starts: bool = True) -> Contender:
    def make(directory: Path) -> Any:
        assert directory.is_dir()
        if not starts:
            raise NotASuccess("port in use")
        return FakeStore(name, story, has_leader)

    return Contender(name=name, doors=frozenset({"http"}), operations=frozenset({"write"}), make=make)


def session(
    tmp_path: Path, bench: FakeBench, *contenders: Contender, runs: int = 1, together: bool = False
) -> Session:
    return Session(
        contenders=contenders,
        cells=CELLS,
        runs=runs,
        bench=cast(Bench, bench),
        place=tmp_path,
        together=together,
    )


def test_stores_run_alone_and_the_order_turns_with_every_run(tmp_path: Path) -> None:
    story: list[str] = []
    session(tmp_path, FakeBench(story), contender("a", story), contender("b", story), runs=2).run()
    steps = ("starts", "is filled", "http-write-1", "http-write-16", "ends")
    visits = {name: [f"{name} {step}" for step in steps] for name in "ab"}
    assert story == [*visits["a"], *visits["b"], *visits["b"], *visits["a"]]
    assert list(tmp_path.iterdir()) == []


def test_together_each_row_is_measured_at_every_store_before_the_next(tmp_path: Path) -> None:
    story: list[str] = []
    session(tmp_path, FakeBench(story), contender("a", story), contender("b", story), together=True).run()
    rows = [line for line in story if "http" in line]
    assert rows == ["a http-write-1", "b http-write-1", "a http-write-16", "b http-write-16"]
    assert story[-2:] == ["b ends", "a ends"]


def test_a_row_that_fails_is_told_and_the_others_are_measured(tmp_path: Path) -> None:
    story: list[str] = []
    bench = FakeBench(story, {("a", "http-write-1")})
    found = session(tmp_path, bench, contender("a", story))
    found.run()
    assert found.figures.failures == ["a: http-write-1: wrong answers"]
    assert [cell.name for cell in found.figures.by_store["a"]] == ["http-write-16"]


@pytest.mark.parametrize("together", [False, True])
def test_a_store_without_a_leader_or_a_start_is_left_out_and_told(tmp_path: Path, together: bool) -> None:
    story: list[str] = []
    bench = FakeBench(story, {("lost", "http-write-1")})
    stores = (
        contender("lost", story, has_leader=False),
        contender("never", story, starts=False),
        contender("good", story),
    )
    found = session(tmp_path, bench, *stores, together=together)
    found.run()
    assert sorted(found.figures.failures) == [
        "lost: http-write-1: wrong answers",
        "lost: no leader any more",
        "never: port in use",
    ]
    assert list(found.figures.by_store) == ["good"]
    assert "lost ends" in story


def test_an_interruption_ends_every_store_and_keeps_the_figures(tmp_path: Path) -> None:
    story: list[str] = []

    class Interrupted(FakeBench):
        def measure(self, store: FakeStore, cell: Cell) -> Measured:
            if cell.clients == 16:
                raise KeyboardInterrupt
            return super().measure(store, cell)

    found = session(tmp_path, Interrupted(story), contender("a", story))
    with pytest.raises(KeyboardInterrupt):
        found.run()
    assert story[-1] == "a ends"
    assert [cell.name for cell in found.figures.by_store["a"]] == ["http-write-1"]
