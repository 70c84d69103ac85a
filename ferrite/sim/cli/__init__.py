"""`ferrite-sim`: the command line of the simulator."""

from ferrite.sim.cli.group import main

__all__ = ["main"]
