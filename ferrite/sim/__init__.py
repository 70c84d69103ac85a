"""The deterministic host: drives the core with virtual time, network, disks and clients, and checks every step (front door)."""

from ferrite.sim.cluster import Cluster, Result
from ferrite.sim.options import ClientOptions, DiskOptions, FaultOptions, NetworkOptions, Options
from ferrite.sim.swarm import swarm
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
