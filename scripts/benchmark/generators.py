"""The load generators: wrk for JSON, h2load for gRPC (both are C programs from Debian), and Python processes of our own."""

from __future__ import annotations

import json
import math
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from scripts.benchmark.cells import Load, NotASuccess
from scripts.benchmark.machine import ends_with_us

GRACE_S: Final = 30.0
"""Longer than this beyond its time no generator takes, unless it hangs."""
_TIMEOUT_S: Final = 20
"""Of one request in wrk; h2load knows none."""
_RESULT: Final = re.compile(r"^RESULT (\{.*\})$", re.MULTILINE)
_H2LOAD_DATA: Final = re.compile(r"^traffic: .*? \((\d+)\) total.*\((\d+)\) data$", re.MULTILINE)
_H2LOAD_REQUESTS: Final = re.compile(
    r"^requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$",
    re.MULTILINE,
)

WRK_SCRIPT: Final = """
-- Made by scripts/bench.py: POSTs the lines of a file in turn, and tells the result as one line of JSON.
local bodies, count, turn = {}, 0, 0

function init(arguments)
  wrk.headers["Content-Type"] = "application/json"
  for body in io.lines(arguments[1]) do
    count = count + 1
    bodies[count] = wrk.format("POST", nil, nil, body)
  end
end

function request()
  turn = turn % count + 1
  return bodies[turn]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write("\\n", string.format(
    'RESULT {"operations": %d, "duration_us": %d, "bytes": %d, "p50_us": %d, "p99_us": %d, "max_us": %d,',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99), latency.max))
  io.write(string.format(
    ' "errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\\n',
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
"""


def missing() -> list[str]:
    """Return what is to be installed before anything can be measured; Debian's names."""
    return [
        package
        for program, package in (("wrk", "wrk"), ("h2load", "nghttp2-client"))
        if shutil.which(program) is None
    ]


def wrk_command(
    directory: Path, url: str, bodies: Sequence[bytes], clients: int, seconds: float
) -> list[str]:
    """Write what wrk needs into `directory` and return its command. One thread: it is far from being the limit."""
    script, lines = directory / "wrk.lua", directory / "bodies"
    script.write_text(WRK_SCRIPT)
    lines.write_bytes(b"\n".join(bodies) + b"\n")
    return [
        "wrk", "--threads=1", f"--connections={clients}", f"--duration={math.ceil(seconds)}s", f"--timeout={_TIMEOUT_S}s",
        f"--script={script}", url, "--", str(lines),
    ]  # fmt: skip


def parse_wrk(output: str) -> Load:
    """Return what the script told. `answer_bytes` includes the heads. Raises `NotASuccess` when it told nothing."""
    told = _told("wrk", output)
    errors = {kind: count for kind, count in told["errors"].items() if count}
    return Load(
        operations=told["operations"] - errors.get("status", 0),
        failed=sum(errors.values()),
        duration_s=told["duration_us"] / 1e6,
        p50_us=told["p50_us"],
        p99_us=told["p99_us"],
        max_us=told["max_us"],
        answer_bytes=told["bytes"],
        complaint=", ".join(f"{count} errors of kind {kind}" for kind, count in errors.items()),
    )


def h2load_command(directory: Path, url: str, frame: bytes, clients: int, seconds: float) -> list[str]:
    """Write what h2load needs into `directory` and return its command. One stream a connection: a client each."""
    data, log = directory / "frame", directory / "h2load.log"
    data.write_bytes(frame)
    log.unlink(missing_ok=True)
    return [
        "h2load", "--threads=1", f"--clients={clients}", "--max-concurrent-streams=1", f"--duration={math.ceil(seconds)}",
        f"--data={data}", f"--log-file={log}",
        "--header=content-type: application/grpc", "--header=te: trailers", url,
    ]  # fmt: skip


def parse_h2load(output: str, log: str) -> Load:
    """Return what h2load said and logged. Its log has a line a request: start in us, HTTP status, duration in us.

    `answer_bytes` is DATA only: an error of gRPC is an answer without any, and its HTTP status is 200.
    """
    requests, data = _H2LOAD_REQUESTS.search(output), _H2LOAD_DATA.search(output)
    if requests is None or data is None:
        raise NotASuccess(f"h2load said no result; its output ends with\n{output[-1500:]}")
    rows = [tuple(map(int, line.split("\t")[:3])) for line in log.splitlines()]
    good = sorted(took for _, status, took in rows if status == 200)
    if not good:
        raise NotASuccess(f"h2load had no answer with status 200; its output ends with\n{output[-1500:]}")
    failed = len(rows) - len(good)
    first, last = min(start for start, _, _ in rows), max(start + took for start, _, took in rows)
    return Load(
        operations=len(good),
        failed=failed,
        duration_s=(last - first) / 1e6,
        p50_us=quantile(good, 0.5),
        p99_us=quantile(good, 0.99),
        max_us=good[-1],
        answer_bytes=int(data[2]),
        complaint=f"{failed} of {len(rows)} answers had another status than 200" if failed else "",
    )


def python_command(script: Path, *arguments: str) -> list[str]:
    """Return the command of one of our own processes."""
    return [sys.executable, str(script), *arguments]


def parse_python(output: str) -> Load:
    """Return what one of our own processes told. It ends with an error when an operation fails."""
    told = _told("the client process", output)
    return Load(
        operations=told["operations"],
        failed=0,
        duration_s=told["duration_us"] / 1e6,
        p50_us=told["p50_us"],
        p99_us=told["p99_us"],
        max_us=told["max_us"],
        answer_bytes=told.get("bytes", 0),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which this share lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def run(
    commands: Sequence[Sequence[str]], seconds: float, env: dict[str, str] | None = None
) -> tuple[list[str], float]:
    """Run generators side by side; return what each said and the seconds of CPU they used. Raises `NotASuccess`."""
    before_s = _children_s()
    running = [
        subprocess.Popen(
            [*ends_with_us(), *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env=env,
        )
        for command in commands
    ]  # fmt: skip
    try:
        outputs = [process.communicate(timeout=seconds + GRACE_S)[0] for process in running]
    except subprocess.TimeoutExpired as error:
        raise NotASuccess(f"{error.cmd[-1]}: no end within {seconds + GRACE_S:.0f} s") from None
    finally:
        for process in running:
            process.kill()
            process.wait()
    for process, output in zip(running, outputs, strict=True):
        if process.returncode != 0:
            raise NotASuccess(f"{_name_of(process)} ended with {process.returncode}:\n{output[-1500:]}")
    return outputs, _children_s() - before_s


def _name_of(process: subprocess.Popen[str]) -> str:
    arguments: Any = process.args
    return " ".join(Path(str(argument)).name for argument in arguments[len(ends_with_us()) :][:2])


def _told(who: str, output: str) -> Any:
    found = _RESULT.search(output)
    if found is None:
        raise NotASuccess(f"{who} said no result; its output ends with\n{output[-1500:]}")
    return json.loads(found[1])


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
