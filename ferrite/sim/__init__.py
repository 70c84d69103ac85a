"""The deterministic host: drives the core with virtual time, network, disks and clients, and checks every step (front door).

Most of its names are loaded when they are asked for: `ferrite-sim` must be able to answer Ctrl-C while it loads them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ferrite.sim.swarm import (
    swarm,
)  # at once: whoever loads the module of that name first would put it in the function's place

if TYPE_CHECKING:
    from ferrite.sim.cluster import Cluster, Result
    from ferrite.sim.options import ClientOptions, DiskOptions, FaultOptions, NetworkOptions, Options
    from ferrite.sim.violation import Violation

__all__ = [
    "ClientOptions",
    "Cluster",
    "DiskOptions",
    "FaultOptions",
    "NetworkOptions",
    "Options",
    "Result",
    "Violation",
    "swarm",
]

_HOMES = {"Cluster": "cluster", "Result": "cluster", "Violation": "violation"}


def __getattr__(name: str) -> object:
    """Look a name up where it is made."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'options')}"), name)
