"""A process of scripts/bench.py: Ferrite's own AsyncClient with many operations in flight.

Stands alone, so that PYTHONPATH decides which Ferrite it is a client of. Prints one line `RESULT {json}`; ends with an error
as soon as an operation fails or a read finds another value than it must.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from ferrite import AsyncClient

try:
    from uvloop import run
except ImportError:
    from asyncio import run


async def load(options: argparse.Namespace) -> dict[str, int]:
    """Keep so many operations in flight until the time is over, then let the last ones end."""
    took_ns: list[int] = []
    value = options.value.encode()
    async with AsyncClient(options.endpoints, timeout_s=30) as client:
        await client.put(b"bench/0000", value)
        begin_ns = time.perf_counter_ns()
        until_ns = begin_ns + int(options.seconds * 1e9)

        async def work(number: int) -> None:
            while True:
                started_ns = time.perf_counter_ns()
                if started_ns >= until_ns:
                    return
                number = (number + options.in_flight) % options.keys
                key = b"bench/%04d" % number
                if options.operation == "write":
                    await client.put(key, value)
                else:
                    found = await client.get(key)
                    if found is None or len(found.value) != len(value):
                        raise SystemExit(f"a read of {key!r} found {found}")
                took_ns.append(time.perf_counter_ns() - started_ns)

        await asyncio.gather(*(work(number) for number in range(options.in_flight)))
        duration_ns = time.perf_counter_ns() - begin_ns
    took_ns.sort()
    return {
        "operations": len(took_ns),
        "duration_us": duration_ns // 1000,
        "p50_us": took_ns[len(took_ns) // 2] // 1000,
        "p99_us": took_ns[int(len(took_ns) * 0.99)] // 1000,
        "max_us": took_ns[-1] // 1000,
    }


def main() -> None:
    """Parse, load, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", nargs="+", required=True)
    parser.add_argument("--operation", choices=("write", "read"), required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--keys", type=int, required=True)
    parser.add_argument("--value", required=True)
    print("RESULT", json.dumps(run(load(parser.parse_args()))), flush=True)


if __name__ == "__main__":
    main()
