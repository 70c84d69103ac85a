"""A process of scripts/bench.py: one node of a replicated dictionary on PySyncObj, with its defaults.

    pysyncobj_node.py SELF PARTNER PARTNER [--journal FILE]

Takes commands from standard input, one a line, and answers each with one line: `leader?` with `yes` (it leads, with both partners
connected) or `no`; `load IN_FLIGHT SECONDS KEYS VALUE` with `RESULT {json}` or `FAILED reason`: writes started in this process,
so many at a time, each counted when its own callback says that it was applied. Ends with standard input.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time

from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated

PATIENCE_S = 20


class Dictionary(SyncObj):  # type: ignore[misc]  # PySyncObj has no types
    """Keys and values, replicated."""

    def __init__(self, own: str, others: list[str], journal: str | None) -> None:
        super().__init__(own, others, SyncObjConf(journalFile=journal))
        self.pairs: dict[str, str] = {}

    @replicated  # type: ignore[untyped-decorator]  # PySyncObj has no types
    def put(self, key: str, value: str) -> None:
        """Set a key on every node."""
        self.pairs[key] = value


class Load:
    """Writes in flight. Callbacks run in PySyncObj's own thread, and start the next write there."""

    def __init__(self, store: Dictionary, in_flight: int, seconds: float, keys: int, value: str) -> None:
        self._store, self._keys, self._value = store, keys, value
        self.left = in_flight
        self._number = 0
        self._until_s = time.perf_counter() + seconds
        self.took_s: list[float] = []
        self.failure = ""
        self.over = threading.Event()
        for _ in range(in_flight):
            self._start()

    def _start(self) -> None:
        self._number += 1
        began_s = time.perf_counter()
        key = f"bench/{self._number % self._keys:04d}"
        self._store.put(key, self._value, callback=lambda _, error: self._ended(began_s, error))

    def _ended(self, began_s: float, error: int) -> None:
        now_s = time.perf_counter()
        if error != FAIL_REASON.SUCCESS:
            self.failure = f"a write failed with PySyncObj's reason {error}"
        self.took_s.append(now_s - began_s)
        if now_s < self._until_s and not self.failure:
            self._start()
            return
        self.left -= 1
        if self.left == 0:
            self.over.set()


def load(store: Dictionary, in_flight: int, seconds: float, keys: int, value: str) -> str:
    """Return the line that answers a `load`."""
    started_s = time.perf_counter()
    running = Load(store, in_flight, seconds, keys, value)
    if not running.over.wait(seconds + PATIENCE_S):
        # It forgets the callbacks of writes that a new leader's log replaced.
        return f"FAILED {running.left} writes had no answer {PATIENCE_S} s after the load; PySyncObj lost their callbacks"
    if running.failure:
        return f"FAILED {running.failure}"
    duration_s = time.perf_counter() - started_s
    took_s = sorted(running.took_s)
    result = {
        "operations": len(took_s),
        "duration_us": int(duration_s * 1e6),
        "p50_us": int(took_s[len(took_s) // 2] * 1e6),
        "p99_us": int(took_s[int(len(took_s) * 0.99)] * 1e6),
        "max_us": int(took_s[-1] * 1e6),
    }
    return f"RESULT {json.dumps(result)}"


def leads(store: Dictionary) -> bool:
    """Does this node lead, with all others connected? Before they are, one of them may still call another election."""
    connected = all(store.isNodeConnected(node) for node in store.otherNodes)
    return connected and store.isReady() and store._getLeader() == store.selfNode  # noqa: SLF001 - its only name


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("own")
    parser.add_argument("others", nargs="+")
    parser.add_argument("--journal")
    options = parser.parse_args()
    store = Dictionary(options.own, options.others, options.journal)
    for line in sys.stdin:
        match line.split():
            case ["leader?"]:
                print("yes" if leads(store) else "no", flush=True)
            case ["load", in_flight, seconds, keys, value]:
                print(load(store, int(in_flight), float(seconds), int(keys), value), flush=True)
            case _:
                raise SystemExit(f"unknown command: {line!r}")


if __name__ == "__main__":
    main()
