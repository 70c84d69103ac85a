"""Planted bugs, each a switch of a few lines: the proof that the checks can fail, and the measure of how soon they do.

`with mutant.planted(): Cluster(seed, options).run()` runs a cluster with the bug; `mutant.run(seed, options)` is the same.
Numbers 1 to 30 are the classic ones, from bug trackers and from what model checkers found in other implementations; from 31 on
come their kin, and every bug that Ferrite itself had.
"""

from tests.sim.mutants.clients import CLIENTS
from tests.sim.mutants.disks import DISKS
from tests.sim.mutants.elections import ELECTIONS, ForgetsItsVote
from tests.sim.mutants.logs import LOGS
from tests.sim.mutants.membership import MEMBERSHIP
from tests.sim.mutants.mutant import Mutant
from tests.sim.mutants.requests import REQUESTS
from tests.sim.mutants.snapshots import SNAPSHOTS
from tests.sim.mutants.store import STORE
from tests.sim.mutants.watches import WATCHES

MUTANTS: tuple[Mutant, ...] = tuple(
    sorted(
        (*ELECTIONS, *LOGS, *DISKS, *MEMBERSHIP, *SNAPSHOTS, *REQUESTS, *STORE, *WATCHES, *CLIENTS),
        key=lambda mutant: mutant.number,
    )
)
BY_NUMBER = {mutant.number: mutant for mutant in MUTANTS}

__all__ = ["BY_NUMBER", "MUTANTS", "ForgetsItsVote", "Mutant"]
