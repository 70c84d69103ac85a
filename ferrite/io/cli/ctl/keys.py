"""put, get, del, compaction."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from ferrite.io.cli.ctl.command import command
from ferrite.io.cli.ctl.exit_codes import wrong_input
from ferrite.io.cli.ctl.header import ask_header
from ferrite.io.cli.ctl.kv_forms import delete_forms, put_forms, range_forms
from ferrite.io.cli.ctl.output import Forms, refuse_table, show
from ferrite.io.cli.ctl.ranges import read_range
from ferrite.io.cli.ctl.session import no_lease, with_client
from ferrite.io.cli.ctl.settings import Settings, settings_of
from ferrite.io.cli.ctl.words import data, lease_id, number, selection

if TYPE_CHECKING:
    from ferrite.io.client import AsyncClient

SORT_TARGETS: Final = {
    "CREATE": "create",
    "KEY": "key",
    "MODIFY": "mod",
    "VALUE": "value",
    "VERSION": "version",
}
CONSISTENCIES: Final = {"l": "linearizable", "s": "serializable"}


@command("put", short_help="Put a key.")
@click.argument("words", nargs=-1, metavar="KEY [VALUE]")
@click.option("--lease", "lease_word", metavar="HEX", default="0", help="Lease to attach the key to.")
@click.option("--prev-kv", is_flag=True, help="Also print what was there before.")
@click.option("--ignore-value", is_flag=True, help="Keep the value that the key has.")
@click.option("--ignore-lease", is_flag=True, help="Keep the lease that the key has.")
@click.pass_context
def put(
    context: click.Context, words: tuple[str, ...], lease_word: str, *, prev_kv: bool, ignore_value: bool,
    ignore_lease: bool,
) -> None:  # fmt: skip
    """Put a key. Without VALUE, standard input is the value. A value that begins with a dash: put KEY -- VALUE."""
    refuse_table(settings_of(context), "put")
    if not words:
        raise wrong_input("put takes a key and a value (or the value on standard input); nothing given")
    if ignore_value and len(words) > 1:
        raise wrong_input("put --ignore-value takes the key alone, without a value")
    lease = lease_id(lease_word)
    if ignore_lease and lease:
        raise wrong_input("--lease and --ignore-lease exclude each other; choose one")
    if len(words) > 2:
        raise wrong_input(
            f"put takes a key and one value, {len(words)} words given; quote a value with spaces"
        )
    key = data(words[0])
    if len(words) > 1:
        value = data(words[1])
    else:
        value = b"" if ignore_value else sys.stdin.buffer.read()

    async def work(client: AsyncClient, settings: Settings) -> None:
        from ferrite.io.client import LeaseNotFound

        header = await ask_header(client, settings)
        try:
            answer = await client.put(
                key,
                value,
                lease=lease,
                prev_kv=prev_kv,
                ignore_value=ignore_value,
                ignore_lease=ignore_lease,
            )
        except LeaseNotFound:
            raise no_lease(lease) from None
        show(settings, put_forms(settings, header, answer))

    with_client(context, work)


@command("get", short_help="Get a key or a range of keys.")
@click.argument("words", nargs=-1, metavar="KEY [RANGE_END]")
@click.option("--prefix", is_flag=True, help="All keys that begin with KEY.")
@click.option("--from-key", is_flag=True, help="All keys from KEY on.")
@click.option("--rev", default=0, type=click.IntRange(min=0), help="As of a revision instead of the present.")
@click.option("--limit", default=0, type=click.IntRange(min=0), help="At most so many keys; 0: all.")
@click.option(
    "--order", type=click.Choice(("ASCEND", "DESCEND"), case_sensitive=False), help="Order of the keys."
)
@click.option(
    "--sort-by", type=click.Choice(tuple(SORT_TARGETS), case_sensitive=False), help="What to sort by."
)
@click.option("--keys-only", is_flag=True, help="Without values.")
@click.option("--count-only", is_flag=True, help="Only how many there are.")
@click.option("--print-value-only", is_flag=True, help="Only values (simple form).")
@click.option(
    "--consistency", default="l", type=click.Choice(tuple(CONSISTENCIES)),
    help="l: linearizable, s: serializable, one node's own state.",
)  # fmt: skip
@click.pass_context
def get(
    context: click.Context, words: tuple[str, ...], *, prefix: bool, from_key: bool, rev: int, limit: int, order: str | None,
    sort_by: str | None, keys_only: bool, count_only: bool, print_value_only: bool, consistency: str,
) -> None:  # fmt: skip
    """Get a key, the keys from KEY to RANGE_END (without it), a prefix, or all from a key on."""
    selected = selection(words, "get", prefix=prefix, from_key=from_key)
    if print_value_only and settings_of(context).write_out != "simple":
        raise wrong_input("--print-value-only goes with -w simple only")
    if sum((keys_only, count_only, print_value_only)) > 1:
        raise wrong_input("--keys-only, --count-only and --print-value-only exclude each other; choose one")
    options: dict[str, Any] = {
        "revision": rev,
        "sort_by": SORT_TARGETS[(sort_by or "KEY").upper()],
        "descending": (order or "").upper() == "DESCEND",
        "keys_only": keys_only,
        "consistency": CONSISTENCIES[consistency],
    }

    async def work(client: AsyncClient, settings: Settings) -> None:
        header = await ask_header(client, settings)
        if count_only:
            answer = await client.range(**selected, **options, count_only=True)
        else:
            answer = await read_range(client, selected, limit, options)
        forms = range_forms(settings, header, answer, values_only=print_value_only, count_only=count_only)
        show(settings, forms)

    with_client(context, work)


@command("del", short_help="Delete a key or a range of keys.")
@click.argument("words", nargs=-1, metavar="KEY [RANGE_END]")
@click.option("--prefix", is_flag=True, help="All keys that begin with KEY.")
@click.option("--from-key", is_flag=True, help="All keys from KEY on.")
@click.option("--prev-kv", is_flag=True, help="Also print what was deleted.")
@click.pass_context
def delete(
    context: click.Context, words: tuple[str, ...], *, prefix: bool, from_key: bool, prev_kv: bool
) -> None:
    """Delete keys, at one revision; prints how many there were."""
    refuse_table(settings_of(context), "del")
    selected = selection(words, "del", prefix=prefix, from_key=from_key)

    async def work(client: AsyncClient, settings: Settings) -> None:
        header = await ask_header(client, settings)
        answer = await client.delete(**selected, prev_kv=prev_kv)
        show(settings, delete_forms(settings, header, answer))

    with_client(context, work)


@command("compaction", short_help="Forget the history below a revision.")
@click.argument("revision_word", metavar="REVISION")
@click.pass_context
def compaction(context: click.Context, revision_word: str) -> None:
    """Forget the history below REVISION. The space is freed in the background."""
    refuse_table(settings_of(context), "compaction")
    revision = number(revision_word, "revision", minimum=1)

    async def work(client: AsyncClient, settings: Settings) -> None:
        header = await ask_header(client, settings)
        answer = await client.compact(revision)
        forms = Forms(
            simple=lambda: [f"compacted revision {answer.compacted}"],
            fields=lambda: [*header.fields(answer.revision), ("CompactRevision", answer.compacted)],
            json=lambda: {"header": header.json(answer.revision), "compact_revision": answer.compacted},
        )
        show(settings, forms)

    with_client(context, work)
