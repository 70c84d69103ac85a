"""This machine: processor time of processes, the disk's price for an fsync, children that end with us."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_SYNCS: Final = 100


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a process has used. Raises OSError when it is gone."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (
        int(fields[11]) + int(fields[12])
    ) / _TICKS_PER_S  # utime and stime; the list begins with the state


def busy_s() -> float:
    """Return the seconds of CPU that this machine's cores have worked, for whomever; time that its host took away included."""
    user, nice, system, _, _, *others = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + sum(others)) / _TICKS_PER_S


def ends_with_us() -> tuple[str, ...]:
    """Return what goes before a command so that it is killed when this process dies, however it dies. May be empty."""
    return ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()


def file_system(directory: Path) -> str:
    """Return the type of the file system, such as "ext4"."""
    found = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        inside = directory.resolve().is_relative_to(point)
        if inside and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def fdatasync_us(directory: Path) -> float:
    """Return the median microseconds of writing 4 KiB in a file that is there already, with fdatasync."""
    took: list[float] = []
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(bytes(_SYNCS * 4096))
        file.flush()
        os.fsync(file.fileno())
        for number in range(_SYNCS):
            started = time.perf_counter()
            os.pwrite(file.fileno(), b"x" * 4096, number * 4096)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - started)
    return statistics.median(took) * 1e6


def describe(directory: Path) -> dict[str, Any]:
    """Return what the figures depend on, as far as it is not a secret of the place."""
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "file_system": file_system(directory),
        "fdatasync_us": round(fdatasync_us(directory)),
        "load_average": round(os.getloadavg()[0], 1),
    }
