"""watch: changes as they happen, printed or given to a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ferrite.io.cli.ctl.child import run_program
from ferrite.io.cli.ctl.command import ExecCommand, command, split_program
from ferrite.io.cli.ctl.exit_codes import CtlExit, failed, wrong_input
from ferrite.io.cli.ctl.header import Header, ask_header
from ferrite.io.cli.ctl.kv_forms import kv_fields, kv_json, kv_simple
from ferrite.io.cli.ctl.output import Bare, Forms, Pair, refuse_table, show
from ferrite.io.cli.ctl.quoting import quoted
from ferrite.io.cli.ctl.session import with_client
from ferrite.io.cli.ctl.settings import Settings, settings_of
from ferrite.io.cli.ctl.words import selection

if TYPE_CHECKING:
    from ferrite.io.client import AsyncClient, Event, Watch, WatchBatch


_HELP = """Print every change of KEY (to RANGE_END) or a prefix, in order, each once, until interrupted.

With a PROGRAM, it also runs once for each change, one after the other, with FERRITE_WATCH_REVISION and, quoted as in the
fields form, FERRITE_WATCH_EVENT_TYPE, FERRITE_WATCH_KEY and FERRITE_WATCH_VALUE, in its environment. Without KEY, the
environment's FERRITECTL_WATCH_KEY and FERRITECTL_WATCH_RANGE_END say what to watch.

\b
Interactive: lines of standard input start watches and ask how far they are:
  watch [OPTIONS] KEY [RANGE_END] [-- PROGRAM ARGUMENT...]
  progress
"""


@command("watch", help=_HELP, cls=ExecCommand, short_help="Watch keys change.")
@click.argument("words", nargs=-1, metavar="[KEY [RANGE_END]] [-- PROGRAM ARGUMENT...]")
@click.option("--prefix", is_flag=True, help="All keys that begin with KEY.")
@click.option("--from-key", is_flag=True, help="All keys from KEY on.")
@click.option("--rev", default=0, type=click.IntRange(min=0), help="From this revision on; 0: from now on.")
@click.option("--prev-kv", is_flag=True, help="Also what was there before each change.")
@click.option("-i", "--interactive", is_flag=True, help="Watch what lines of standard input say.")
@click.option("--key", "key", envvar="FERRITECTL_WATCH_KEY", hidden=True)
@click.option("--range-end", "range_end", envvar="FERRITECTL_WATCH_RANGE_END", hidden=True)
@click.pass_context
def watch(
    context: click.Context, words: tuple[str, ...], *, prefix: bool, from_key: bool, rev: int, prev_kv: bool,
    interactive: bool, key: str | None, range_end: str | None,
) -> None:  # fmt: skip
    """See _HELP."""
    refuse_table(settings_of(context), "watch")
    before, program = split_program(words)
    if interactive:
        if before or program:
            raise wrong_input("watch -i takes no key: lines of standard input say what to watch")
        from ferrite.io.cli.ctl.watch_lines import watch_lines

        with_client(context, watch_lines)
        return
    if not before and key:
        before = (key, range_end) if range_end else (key,)
    options = watch_options(before, prefix=prefix, from_key=from_key, rev=rev, prev_kv=prev_kv)

    async def work(client: AsyncClient, settings: Settings) -> None:
        header = await ask_header(client, settings)
        async with client.watch(**options) as changes:
            await follow(changes, settings, header, program)

    with_client(context, work)


def watch_options(
    words: tuple[str, ...], *, prefix: bool, from_key: bool, rev: int, prev_kv: bool
) -> dict[str, Any]:
    """As the client library takes them. Raises ClickException."""
    selected = selection(words, "watch", prefix=prefix, from_key=from_key)
    return {**selected, "start_revision": rev, "prev_kv": prev_kv}


async def follow(changes: Watch, settings: Settings, header: Header, program: tuple[str, ...]) -> None:
    """Print, and run the program, until the watch ends. Raises ClickException."""
    from ferrite.io.client import Compacted

    try:
        async for batch in changes:
            if batch.events:
                show(settings, _forms(settings, header, batch))
            for event in batch.events if program else ():
                await _run_for(event, program)
    except Compacted as error:
        if settings.write_out == "json":
            show(settings, _canceled_forms(header, error.revision))
        raise failed(f"the watch was ended by the server: {error}", CtlExit.UNHEALTHY) from None


async def _run_for(event: Event, program: tuple[str, ...]) -> None:
    environment = {
        "FERRITE_WATCH_REVISION": str(event.kv.mod_revision),
        "FERRITE_WATCH_EVENT_TYPE": quoted(event.kind.upper().encode()),
        "FERRITE_WATCH_KEY": quoted(event.kv.key),
        "FERRITE_WATCH_VALUE": quoted(event.kv.value),
    }
    code = await run_program(program, environment)
    if code:
        raise failed(f"{program[0]} ended with code {code} at revision {event.kv.mod_revision}")


def _forms(settings: Settings, header: Header, batch: WatchBatch) -> Forms:
    def simple() -> list[bytes]:
        lines: list[bytes] = []
        for event in batch.events:
            lines.append(event.kind.upper().encode())
            lines += kv_simple(settings, event.prev_kv) if event.prev_kv else []
            lines += kv_simple(settings, event.kv)
        return lines

    def fields() -> list[Pair]:
        pairs = header.fields(batch.revision)
        for event in batch.events:
            pairs.append(("Type", Bare(event.kind.upper())))
            pairs += kv_fields(event.prev_kv, "Prev") if event.prev_kv else []
            pairs += kv_fields(event.kv)
        return pairs

    return Forms(
        simple=simple,
        fields=fields,
        json=lambda: _json(header.json(batch.revision), [_event_json(event) for event in batch.events]),
    )


def _event_json(event: Event) -> dict[str, Any]:
    return {
        **({"type": 1} if event.kind == "delete" else {}),
        "kv": kv_json(event.kv),
        **({"prev_kv": kv_json(event.prev_kv)} if event.prev_kv else {}),
    }


def _canceled_forms(header: Header, compact_revision: int) -> Forms:
    return Forms(
        simple=list,
        fields=list,
        json=lambda: _json(header.json(0), [], compact_revision=compact_revision, canceled=True),
    )


def _json(
    header: dict[str, int],
    events: list[dict[str, Any]],
    *,
    compact_revision: int = 0,
    canceled: bool = False,
) -> dict[str, Any]:
    return {
        "Header": header,
        "Events": events,
        "CompactRevision": compact_revision,
        "Canceled": canceled,
        "Created": False,
    }
