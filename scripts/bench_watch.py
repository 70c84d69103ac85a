#!/usr/bin/env python3
"""How late watches hear: three real nodes on this machine, many watches of one prefix spread over them, steady writes.

    .venv/bin/python scripts/bench_watch.py                        # 1,000 watches, 50 writes a second, 10 s
    .venv/bin/python scripts/bench_watch.py --watches 300 --rate 20 --seconds 5

Latency is from just before a write is sent to the moment that its event was received, for every event of every watch; each
watch is an HTTP stream of its own. Nodes, watches and writer share this machine's cores. Ends with 1 when an event was lost,
repeated or out of order, or when p99 is above `--p99-ms`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).parents[1]))

import uvloop

from tests.e2e.cluster import Cluster

PREFIX = "bench/"
SETTLE_S = 5.0
"""For the last events to arrive."""
_STAMP = re.compile(rb'"value":"(\d+) (\d+)"')


@dataclass(slots=True)
class Heard:
    """What all watches heard: latencies in nanoseconds, and what came in the wrong order."""

    latencies_ns: list[int] = field(default_factory=list)
    wrong: int = 0
    reads: int = 0
    began: int = 0
    refused: list[bytes] = field(default_factory=list)


class Watcher(asyncio.Protocol):
    """One HTTP watch. Looks for the values only: parsing the JSON of 50,000 events a second is the client's own problem."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._rest = b""
        self._next = 0
        self._began = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        sending = cast(asyncio.WriteTransport, transport)
        request = f"GET /watch?prefix={PREFIX} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        sending.write(request.encode())

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        heard = self._heard
        heard.reads += 1
        if not self._began:
            self._began = True
            heard.began += 1
            if not data.startswith(b"HTTP/1.1 200"):
                heard.refused.append(data[:200])
        data = self._rest + data
        end = 0
        for found in _STAMP.finditer(data):
            end = found.end()
            heard.wrong += int(found[1]) != self._next
            self._next = int(found[1]) + 1
            heard.latencies_ns.append(now_ns - int(found[2]))
        # A value that was cut by the end of the data is at most this long.
        self._rest = data[max(end, len(data) - 64) :]


async def write_steadily(address: str, rate: int, seconds: int) -> list[float]:
    """Write at this rate over one connection; return how long each write took, in seconds. A late one is not waited for."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    sent: list[float] = []
    took: list[float] = []

    async def answers() -> None:
        for number in range(rate * seconds):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            assert length is not None
            body = await reader.readexactly(int(length[1]))
            assert head.startswith(b"HTTP/1.1 200"), body
            took.append(time.monotonic() - sent[number])

    reading = asyncio.ensure_future(answers())
    begin = time.monotonic()
    for number in range(rate * seconds):
        await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
        sent.append(time.monotonic())
        stamp = f"{number} {time.monotonic_ns()}"
        body = json.dumps({"Set": {"key": f"{PREFIX}{number % 100}", "value": stamp}})
        head = "POST /write HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
        writer.write(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    await reading
    writer.close()
    return took


async def measure(cluster: Cluster, arguments: argparse.Namespace) -> tuple[Heard, list[float], float]:
    """Open the watches, write, wait for the last events. The last number is the nodes' seconds of CPU meanwhile."""
    loop, heard = asyncio.get_running_loop(), Heard()
    transports, nodes = [], list(cluster.nodes.values())
    for number in range(arguments.watches):
        node = nodes[number % len(nodes)]
        host, _, port = node.http_addr.rpartition(":")
        transport, _ = await loop.create_connection(lambda: Watcher(heard), host, int(port))
        transports.append(transport)
    until = time.monotonic() + SETTLE_S
    while heard.began < arguments.watches and time.monotonic() < until:  # noqa: ASYNC110 - counted by the protocols
        await asyncio.sleep(0.05)
    if heard.refused:
        raise SystemExit(f"{len(heard.refused)} watches were refused, such as: {heard.refused[0]!r}")
    before_s = cpu_s(cluster)
    took = await write_steadily(cluster.leader().http_addr, arguments.rate, arguments.seconds)
    expected = arguments.watches * arguments.rate * arguments.seconds
    until = time.monotonic() + SETTLE_S
    while len(heard.latencies_ns) < expected and time.monotonic() < until:  # noqa: ASYNC110 - counted by the protocols
        await asyncio.sleep(0.05)
    nodes_s = cpu_s(cluster) - before_s
    for transport in transports:
        transport.close()
    return heard, took, nodes_s


def cpu_s(cluster: Cluster) -> float:
    """Return the seconds of CPU that the nodes have used."""
    ticks = 0
    for node in cluster.nodes.values():
        assert node.process is not None
        fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime and stime; the list begins with the state
    return ticks / os.sysconf("SC_CLK_TCK")


def quantile(ordered: list[int] | list[float], share: float) -> float:
    """Return the value below which this share lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def tell(what: str, ordered_ms: list[float]) -> None:
    """Print one line of a table."""
    p50, p99 = quantile(ordered_ms, 0.5), quantile(ordered_ms, 0.99)
    print(f"{what}   p50 {p50:7.1f} ms   p99 {p99:7.1f} ms   max {ordered_ms[-1]:7.1f} ms")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--watches", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=50, help="writes a second")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--p99-ms", type=float, default=100.0, help="the bar; 0 for none")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ferrite-bench-") as directory:
        cluster = Cluster(
            Path(directory), settings={"limits.connections_per_ip_max": 5000, "limits.connections_max": 5000}
        )
        with cluster:
            cluster.start()
            before_s = time.process_time()
            heard, took, nodes_s = uvloop.run(measure(cluster, arguments))
            client_s = time.process_time() - before_s
    expected = arguments.watches * arguments.rate * arguments.seconds
    late = sorted(heard.latencies_ns)
    took.sort()
    print(
        f"{arguments.watches} watches, {arguments.rate} writes/s, {arguments.seconds} s: {len(late)} of {expected} events"
    )
    if not late:
        return 1
    p99_ms = quantile(late, 0.99) / 1e6
    tell("event", [latency_ns / 1e6 for latency_ns in late])
    tell("write", [duration_s * 1e3 for duration_s in took])
    each_us, together = nodes_s / len(late) * 1e6, len(late) / heard.reads
    print(f"CPU     nodes {nodes_s:.1f} s, {each_us:.1f} us an event, {together:.1f} events a read")
    print(f"        watches and writer {client_s:.1f} s, with the nodes' start")
    if heard.wrong:
        print(f"{heard.wrong} events lost, repeated or out of order", file=sys.stderr)
    slow = bool(arguments.p99_ms) and p99_ms > arguments.p99_ms
    return int(bool(heard.wrong) or len(late) != expected or slow)


if __name__ == "__main__":
    sys.exit(main())
