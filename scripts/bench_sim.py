#!/usr/bin/env python3
"""How fast the simulator is: simulated seconds and core events per CPU second, and what a seed of the default sweep costs.

    .venv/bin/python scripts/bench_sim.py             # a table
    .venv/bin/python scripts/bench_sim.py --json F    # the same as JSON, to compare two commits

CPU time of this process, medians of several runs; nothing else should need the core meanwhile. On shared machines the very same
run may cost half as much again an hour later: compare two commits by runs in turn, or by `perf stat -e instructions:u`, which
differs by a hundredth between runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from ferrite.sim import ClientOptions, Cluster, NetworkOptions, Options, swarm

RUNS = 3
SECONDS = 10
SEEDS = 40

LOAD = Options(
    nodes=5,
    network=NetworkOptions(loss_ppm=100_000),
    clients=ClientOptions(clients=20, think_mean_us=35_000, keys=32),
    deep_check_every=0,
)
"""About 200 acknowledged operations a simulated second over five nodes, a tenth of all frames lost: an operation takes 60 ms in
the mean then, beside the 35 ms between two of a client.
"""
BUSY = Options(
    nodes=5,
    batch_events_max=64,
    clients=ClientOptions(clients=64, think_mean_us=2_000, keys=64),
    deep_check_every=0,
)
"""For core events per second: 64 clients with hardly a pause make nine thousand operations a simulated second. An operation is
about ten events over five nodes, so their price holds the clients', five disks' and five state machines' share of it."""
IDLE = Options(nodes=5, clients=ClientOptions(clients=0), deep_check_every=0)


def cluster_speed(options: Options, seconds: int) -> dict[str, float]:
    """Let a cluster settle, then measure so many simulated seconds."""
    cluster = Cluster(1, options)
    cluster.start()
    cluster.run_for(5_000_000)
    cluster.start_clients()
    cluster.run_for(1_000_000)
    before = _numbers(cluster)
    begin = time.process_time()
    cluster.run_for(seconds * 1_000_000)
    cpu_s = time.process_time() - begin
    events, steps, operations = (now - then for now, then in zip(_numbers(cluster), before, strict=True))
    return {
        "simulated_s_per_cpu_s": seconds / cpu_s,
        "core_events_per_cpu_s": events / cpu_s,
        "steps_per_cpu_s": steps / cpu_s,
        "operations_per_simulated_s": operations / seconds,
    }


def _numbers(cluster: Cluster) -> tuple[int, int, int]:
    events = sum(node.events_told for node in cluster.nodes.values())
    return events, cluster.world.invariants.steps, cluster.history.count("ok")


def seed_cost() -> dict[str, float]:
    """CPU seconds of the seeds of a default sweep."""
    costs = []
    for seed in range(SEEDS):
        begin = time.process_time()
        violation = Cluster(seed, swarm(seed)).run().violation
        costs.append(time.process_time() - begin)
        if violation is not None:
            print(f"seed {seed}: {violation}", file=sys.stderr)
    return {"cpu_s_per_seed_mean": statistics.mean(costs), "cpu_s_per_seed_worst": max(costs)}


def main() -> int:
    """Measure, print, and write JSON when asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    parser.add_argument(
        "--runs", type=int, default=RUNS, help="runs of each measurement; the median is shown"
    )
    given = parser.parse_args()
    workloads: dict[str, Callable[[], dict[str, float]]] = {
        "five nodes, 200 operations/s, 10 % loss": lambda: cluster_speed(LOAD, SECONDS),
        "five nodes, as busy as 64 clients make them": lambda: cluster_speed(BUSY, 1),
        "five nodes, idle": lambda: cluster_speed(IDLE, 300),
        f"default sweep, {SEEDS} seeds": seed_cost,
    }
    results: dict[str, dict[str, float]] = {}
    for name, measure in workloads.items():
        runs = [measure() for _ in range(1 if measure is seed_cost else given.runs)]
        results[name] = {figure: statistics.median(run[figure] for run in runs) for figure in runs[0]}
        print(name)
        for figure, value in results[name].items():
            print(f"  {figure:<28} {value:>12,.2f}")
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
