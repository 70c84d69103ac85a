"""Searches over many runs: sweeps over seeds, shrinking of what they find."""
