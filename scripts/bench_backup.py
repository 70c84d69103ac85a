#!/usr/bin/env python3
"""What a backup costs the writers: three real nodes on this machine, many keys, steady writes with a save and without one.

    .venv/bin/python scripts/bench_backup.py                     # 1,000,000 keys of 256 bytes, 100 writes a second
    .venv/bin/python scripts/bench_backup.py --keys 100000 --rounds 1

Save and control take turns, each as long as a save takes. The last file is restored as a new node and every key compared. Nodes,
writer and save share this machine's cores. Ends with 1 when a key differs, or when p99 during the saves is more than `--ratio`
times that of the control.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import uvloop
from rich.console import Console
from rich.progress import Progress

from ferrite import AsyncClient
from ferrite.client import KeyValue, Put
from ferrite.io.backup import restore
from ferrite.io.request_path import MemberAddress
from tests.e2e.cluster import Cluster, Node

PREFIX = b"bench/"
PUTS_PER_TXN = 100
TXNS_AT_ONCE = 4
PROBE_KEYS = 1_000
COMMAND = [sys.executable, "-c", "from ferrite.io.cli.ctl import main; main()", "backup", "save"]


@dataclass(slots=True)
class Round:
    """How long the probes of a phase took, in seconds."""

    control: list[float] = field(default_factory=list)
    saving: list[float] = field(default_factory=list)
    save_s: float = 0.0


def value_of(number: int, size: int) -> bytes:
    """Return what nothing can compress, the same for the same number."""
    return random.Random(number).randbytes(size)


async def load(client: AsyncClient, keys: int, size: int) -> None:
    """Write all keys, with a bar on a terminal."""
    starts = iter(range(0, keys, PUTS_PER_TXN))
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("keys", total=keys)

        async def write() -> None:
            for start in starts:
                numbers = range(start, min(start + PUTS_PER_TXN, keys))
                puts = [Put(b"%s%09d" % (PREFIX, number), value_of(number, size)) for number in numbers]
                await client.txn().then(*puts).commit()
                progress.advance(bar, len(numbers))

        await asyncio.gather(*(write() for _ in range(TXNS_AT_ONCE)))


async def probe(client: AsyncClient, rate: int, took: list[float], until: asyncio.Event) -> None:
    """Write at this rate until told to stop; a late write is not waited for, and its lateness counts."""
    begin, number, writes = time.monotonic(), 0, set[asyncio.Task[None]]()

    async def write(number: int, due: float) -> None:
        await client.put(b"probe/%d" % (number % PROBE_KEYS), b"x" * 100)
        took.append(time.monotonic() - due)

    while not until.is_set():
        due = begin + number / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        task = asyncio.create_task(write(number, due))
        writes.add(task)
        task.add_done_callback(writes.discard)
        number += 1
    await asyncio.gather(*writes)


async def phase(client: AsyncClient, rate: int, took: list[float], work: asyncio.Future[float]) -> float:
    """Probe while this work goes on; return what it returned."""
    over = asyncio.Event()
    probing = asyncio.create_task(probe(client, rate, took, over))
    result = await work
    over.set()
    await probing
    return result


async def rest(seconds: float) -> float:
    """Stand where the save stands in a control."""
    await asyncio.sleep(seconds)
    return seconds


async def save(node: Node, path: Path) -> float:
    """Save with ferritectl, as an operator does; return the seconds it took."""
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *COMMAND, str(path), "--endpoints", f"grpc://{node.grpc_addr}", stdout=asyncio.subprocess.DEVNULL
    )
    if await process.wait() != 0:
        raise SystemExit(f"the save ended with {process.returncode}")
    return time.monotonic() - started


async def measure(cluster: Cluster, arguments: argparse.Namespace, directory: Path) -> Round:
    """Load; then controls and saves in turn, from a node that is the leader, then from one that is not, ..."""
    found = Round()
    leader = cluster.leader()
    nodes = [leader, *(node for node in cluster.nodes.values() if node is not leader)]
    async with AsyncClient([f"grpc://{node.grpc_addr}" for node in nodes], timeout_s=60) as client:
        started = time.monotonic()
        await load(client, arguments.keys, arguments.bytes)
        print(f"loaded in {time.monotonic() - started:.0f} s", flush=True)
        await asyncio.sleep(arguments.settle)
        for number in range(arguments.rounds):
            path = directory / f"{number}.backup"
            saving = asyncio.ensure_future(save(nodes[number % len(nodes)], path))
            seconds = await phase(client, arguments.rate, found.saving, saving)
            found.save_s += seconds / arguments.rounds
            await asyncio.sleep(1)
            await phase(client, arguments.rate, found.control, asyncio.ensure_future(rest(seconds)))
            print(f"round {number + 1}: saved {path.stat().st_size >> 20} MiB in {seconds:.1f} s", flush=True)
    return found


async def differences(old: Cluster, new: Node, keys: int, size: int) -> int:
    """Compare every key of the restored node with what was written and with the old cluster."""
    bad = count = 0
    old_addr = [f"grpc://{node.grpc_addr}" for node in old.nodes.values()]
    async with AsyncClient(old_addr) as before, AsyncClient(f"grpc://{new.grpc_addr}") as after:
        ours: AsyncIterator[KeyValue] = after.scan(prefix=PREFIX, page=1_000)
        async for theirs in before.scan(prefix=PREFIX, page=1_000):
            mine = await anext(ours, None)
            bad += mine != theirs or theirs.value != value_of(count, size)
            count += 1
        bad += await anext(ours, None) is not None
    return bad + abs(keys - count)


def p99(took: list[float]) -> float:
    """Of these seconds, in milliseconds."""
    ordered = sorted(took)
    return 1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def restored(path: Path, directory: Path) -> Node:
    """Restore as the only member of a new cluster, and start it."""
    place = Cluster(directory, 1)
    node = place.nodes[1]
    node.directory.mkdir(parents=True, exist_ok=True)
    member = MemberAddress(node_id=1, http_addr=node.http_addr, grpc_addr=node.grpc_addr)
    started = time.monotonic()
    restore(str(path), str(node.data_dir), node_id=1, members=[member])
    print(f"restored in {time.monotonic() - started:.1f} s", flush=True)
    return node.start()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--bytes", type=int, default=256, help="of a value")
    parser.add_argument("--rate", type=int, default=100, help="writes a second meanwhile")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--settle", type=float, default=10.0, help="seconds of rest after loading")
    parser.add_argument("--ratio", type=float, default=2.0, help="the bar; 0 for none")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ferrite-bench-") as name:
        directory = Path(name)
        with Cluster(directory / "old") as cluster:
            cluster.start()
            found = uvloop.run(measure(cluster, arguments, directory))
            node = restored(directory / f"{arguments.rounds - 1}.backup", directory / "new")
            try:
                bad = uvloop.run(differences(cluster, node, arguments.keys, arguments.bytes))
            finally:
                node.kill()
    control, saving = p99(found.control), p99(found.saving)
    print(
        f"{arguments.keys:,} keys of {arguments.bytes} bytes, {arguments.rounds} saves of {found.save_s:.1f} s\n"
        f"write p99   control {control:.1f} ms ({len(found.control)} writes)   "
        f"save {saving:.1f} ms ({len(found.saving)})   ratio {saving / control:.2f}\n"
        f"keys that differ after the restore: {bad}"
    )
    return int(bool(bad) or (bool(arguments.ratio) and saving > arguments.ratio * control))


if __name__ == "__main__":
    sys.exit(main())
