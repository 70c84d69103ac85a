"""check perf: whether a cluster keeps up with a load, judged as etcdctl judges."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import click

from ferrite.io.cli.ctl.command import command, group
from ferrite.io.cli.ctl.exit_codes import failed
from ferrite.io.cli.ctl.output import Forms, refuse_table, show
from ferrite.io.cli.ctl.progress import seconds_progress
from ferrite.io.cli.ctl.session import with_client
from ferrite.io.cli.ctl.settings import Settings, parse_duration_s, settings_of
from ferrite.io.cli.ctl.words import data

if TYPE_CHECKING:
    from ferrite.io.client import AsyncClient

WRITES_PER_S: Final = {"s": 150, "m": 1000, "l": 8000, "xl": 15_000}
"""etcdctl's loads."""
WRITERS: Final = {"s": 50, "m": 200, "l": 500, "xl": 1000}
KEY_BYTES: Final = 256
VALUE_BYTES: Final = 1024
PREFIX_DEFAULT: Final = "/ferritectl-check-perf/"
THROUGHPUT_PART_MIN: Final = 0.9
SLOWEST_S_MAX: Final = 0.5
STDDEV_S_MAX: Final = 0.1
ERRORS_SHOWN_MAX: Final = 5


@dataclass(slots=True, kw_only=True)
class Measured:
    """`took_s` of every write that succeeded; `elapsed_s` of all together."""

    took_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0

    def verdicts(self, writes_per_s: int) -> list[tuple[bool, str]]:
        """Whether each of etcdctl's conditions holds, and its line."""
        throughput = len(self.took_s) / self.elapsed_s if self.elapsed_s else 0.0
        slowest_s = max(self.took_s, default=0.0)
        stddev_s = statistics.pstdev(self.took_s) if self.took_s else 0.0
        verdicts = [
            (throughput >= writes_per_s * THROUGHPUT_PART_MIN, f"Throughput is {throughput:.0f} writes/s"),
            (slowest_s <= SLOWEST_S_MAX, f"Slowest request took {slowest_s:.6f}s"),
            (stddev_s <= STDDEV_S_MAX, f"Stddev is {stddev_s:.6f}s"),
        ]
        shown = self.errors[:ERRORS_SHOWN_MAX]
        return verdicts + [(False, f"a write failed: {error}") for error in shown]


@group("check", short_help="Whether the cluster is fast enough.")
def check() -> None:
    """Checks of a running cluster."""


@command("perf", short_help="Write for a while, and judge.")
@click.option(
    "--load", default="s", type=click.Choice(tuple(WRITES_PER_S)), show_default=True,
    help="Writes per second: 150, 1000, 8000, 15000.",
)  # fmt: skip
@click.option(
    "--prefix", default=PREFIX_DEFAULT, show_default=True, help="Of the keys; they are deleted afterwards."
)
@click.option("--duration", default="60s", show_default=True, help="How long to write.")
@click.option("--auto-compact", is_flag=True, help="Compact the history afterwards.")
@click.pass_context
def perf(context: click.Context, load: str, prefix: str, duration: str, *, auto_compact: bool) -> None:
    """Write for a minute at a rate: passes when the cluster kept up, no write took over 0.5 s and their deviation is below 0.1 s.

    Adds the load to whatever the cluster does.
    """
    refuse_table(settings_of(context), "check perf")
    try:
        duration_s = parse_duration_s(duration)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--duration") from None

    async def work(client: AsyncClient, settings: Settings) -> None:
        start = data(prefix)
        if not start:
            raise click.BadParameter("empty; its keys are deleted afterwards", param_hint="--prefix")
        present = await client.range(prefix=start, count_only=True)
        if present.count:
            raise failed(
                f"prefix {prefix!r} has {present.count} keys; another --prefix, or: ferritectl del --prefix {prefix}"
            )
        try:
            measured = await _load(client, start, load, duration_s)
        finally:
            gone = await client.delete(prefix=start)
        if auto_compact:
            await client.compact(gone.revision)
        verdicts = measured.verdicts(WRITES_PER_S[load])
        show(settings, _forms(verdicts))
        if not all(good for good, _ in verdicts):
            raise failed(f"the cluster does not keep up with the load {load!r}")

    with_client(context, work)


check.add_command(perf)


async def _load(client: AsyncClient, prefix: bytes, load: str, duration_s: float) -> Measured:
    """Writers that each write whenever the rate allows one more."""
    measured = Measured()
    rate, began_s, begun = WRITES_PER_S[load], time.monotonic(), 0

    async def writer() -> None:
        nonlocal begun
        while True:
            due_s = began_s + begun / rate
            begun += 1
            if due_s - began_s >= duration_s or time.monotonic() - began_s >= duration_s:
                return
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            await _write(client, prefix, measured)

    with seconds_progress("writing", duration_s) as show_s:
        writers = [asyncio.ensure_future(writer()) for _ in range(WRITERS[load])]
        gathered = asyncio.gather(*writers)
        try:
            while not gathered.done():
                await asyncio.wait({gathered}, timeout=0.2)
                show_s(time.monotonic() - began_s)
        finally:
            gathered.cancel()
            await asyncio.wait(writers)
    measured.elapsed_s = max(duration_s, time.monotonic() - began_s)
    return measured


async def _write(client: AsyncClient, prefix: bytes, measured: Measured) -> None:
    from ferrite.io.client import FerriteError

    key = (prefix + os.urandom(KEY_BYTES // 2).hex().encode())[: max(KEY_BYTES, len(prefix) + 16)]
    sent_s = time.monotonic()
    try:
        await client.put(key, os.urandom(VALUE_BYTES))
    except FerriteError as error:
        measured.errors.append(str(error))
    else:
        measured.took_s.append(time.monotonic() - sent_s)


def _forms(verdicts: list[tuple[bool, str]]) -> Forms:
    passed = all(good for good, _ in verdicts)

    def simple() -> list[str]:
        lines = [f"{'PASS' if good else 'FAIL'}: {text}" for good, text in verdicts]
        return [*lines, "PASS" if passed else "FAIL"]

    return Forms(
        simple=simple,
        fields=lambda: [("Passed", passed), *(("Verdict", text) for _, text in verdicts)],
        json=lambda: {
            "passed": passed,
            "checks": [{"passed": good, "text": text} for good, text in verdicts],
        },
    )
