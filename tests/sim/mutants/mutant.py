"""What a planted bug is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ferrite.core import Replica
from ferrite.sim import Cluster, Options
from ferrite.sim.cluster import Result
from tests.sim.mutants.planting import Plant, default_replica_class


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One planted bug. Pickled by its number, so that a pool of processes can run it.

    `sentence` says what the mutated code does. `provenance` is who had the bug. `needs` is the fault or state without which it
    cannot show. `plant` is None when the bug cannot be planted at all, and `impossible` says why. `harmless` says why a bug
    that can be planted breaks nothing in this design.
    """

    number: int
    name: str
    sentence: str
    provenance: str
    needs: str
    plant: Plant | None = None
    impossible: str = ""
    harmless: str = ""

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Every cluster made and run inside has the bug. Raises LookupError when what it replaces is not there any more."""
        if self.plant is None:
            raise ValueError(f"mutant {self.number} cannot be planted: {self.impossible}")
        with self.plant():
            yield

    @property
    def replica_class(self) -> type[Replica]:
        """What nodes make their replica with: the honest class when the bug is a replaced function."""
        with self.planted():
            return default_replica_class()

    def run(self, seed: int, options: Options) -> Result:
        """One run of a cluster with the bug."""
        with self.planted():
            return Cluster(seed, options).run()

    def __reduce__(self) -> tuple[Callable[[int], Any], tuple[int]]:
        return by_number, (self.number,)


def by_number(number: int) -> Mutant:
    """Return the mutant of this number. Raises KeyError."""
    registry: dict[int, Mutant] = import_module("tests.sim.mutants").BY_NUMBER
    return registry[number]
