"""The checks of a run: invariants after every step, the witness check of histories, liveness after healing."""
