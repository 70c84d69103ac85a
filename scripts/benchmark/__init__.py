"""The parts of scripts/bench.py: stores under test, load generators, what is measured, how it is told."""
