#!/usr/bin/env python3
"""Random operations on a real etcd and a real Ferrite, every answer compared: the long run of tests/e2e/differential.

    .venv/bin/python scripts/etcd_diff.py                           # 3,000 sequences, over gRPC
    .venv/bin/python scripts/etcd_diff.py --sequences 500 --protocol http --seed 7

Needs `etcd` on the PATH (Debian: etcd-server). Ends with 1 when an answer differed that no row of the table of known
differences explains. tests/e2e/differential/test_differential.py also shrinks what it finds.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hypothesis import HealthCheck, Phase, given, seed, settings
from rich.console import Console
from rich.progress import Progress

from tests.e2e.differential.etcd import EtcdProcess
from tests.e2e.differential.run import Unexplained
from tests.e2e.differential.sequences import Sequence, sequences
from tests.e2e.differential.session import Session, both_stores

SHOWN_MAX = 10
TOLD_EVERY = 250
"""Sequences between two lines where there is no terminal to show a bar on."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", type=int, default=3000)
    parser.add_argument("--protocol", choices=("grpc", "http"), default="grpc")
    parser.add_argument("--seed", type=int, default=random.getrandbits(32))
    return parser.parse_args()


def _run(session: Session, options: argparse.Namespace) -> list[Unexplained]:
    """Return what was not explained; each ends its own sequence only."""
    found: list[Unexplained] = []
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("sequences", total=options.sequences)

        @seed(options.seed)
        @settings(
            max_examples=options.sequences,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(sequences())
        def each(sequence: Sequence) -> None:
            progress.advance(bar)
            done = session.tally.sequences
            if not sys.stderr.isatty() and done and done % TOLD_EVERY == 0:
                print(
                    f"{done} sequences, {session.tally.operations} operations, {len(found)} found", flush=True
                )
            try:
                session.compare(sequence, options.protocol)
            except Unexplained as error:
                found.append(error)
                if len(found) <= SHOWN_MAX:
                    print(f"difference {len(found)}: {error}\n", flush=True)

        each()
    return found


def main() -> int:
    """Return the exit code."""
    options = _arguments()
    version = EtcdProcess.version()
    if version is None:
        print("etcd_diff: no etcd on the PATH; Debian has it as etcd-server", file=sys.stderr)
        return 2
    print(f"etcd {version}, {options.protocol}, seed {options.seed}", flush=True)
    with both_stores() as session:
        started = time.monotonic()
        try:
            found = _run(session, options)
        finally:  # An interrupted run has compared something, too.
            seconds = time.monotonic() - started
            tally = session.tally
            print(f"{tally}\n{seconds:.0f} s, {tally.operations / seconds:.0f} operations a second on each")
    print(f"differences that nothing explains: {len(found)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
