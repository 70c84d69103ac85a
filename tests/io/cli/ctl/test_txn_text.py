"""The text form of a transaction."""

import click
import pytest

from ferrite.client import Create, DeleteRange, LeaseOf, Mod, Put, Value, Version
from ferrite.core import kv
from ferrite.io.cli.ctl.txn_text import parse_condition, parse_step, split_words, unquoted


@pytest.mark.parametrize(
    "line, condition",
    [
        ('value("a") = "1"', Value("a") == "1"),
        ('val("a") != "1"', Value("a") != "1"),
        ('mod("a") > "7"', Mod("a") > 7),
        (' create( "a b" )  <  "7" ', Create("a b") < 7),
        ('version("a")=0', Version("a") == 0),
        ('ver("a") = "3"', Version("a") == 3),
        ('lease("a") = "1f"', LeaseOf("a") == 0x1F),
        (r'value("q\"x\\") = "a\nb\x00\u00e9\101"', Value('q"x\\') == b"a\nb\x00\xc3\xa9A"),
    ],
)
def test_conditions_mean_what_etcdctls_mean(line: str, condition: kv.Compare) -> None:
    assert parse_condition(line) == condition


@pytest.mark.parametrize(
    "line",
    [
        'value(a) = "1"', 'valu("a") = "1"', 'value("a") ! "1"', 'value("a") = 1x', 'mod("a") > "x"', 'mod("a") > "-1"',
        'lease("a") = "xyz"', 'value("") = "1"', r'value("a") = "\q"', 'value("a") = "1" x', r'value("\777") = "1"',
    ],
)  # fmt: skip
def test_malformed_conditions_are_refused(line: str) -> None:
    with pytest.raises(click.ClickException):
        parse_condition(line)


def test_requests_take_the_options_of_their_commands() -> None:
    assert parse_step(r'put "a b" "1\n2" --prev-kv --lease=1f').operation == kv.Put(
        key=b"a b", value=b"1\n2", prev_kv=True, lease=0x1F
    )
    assert parse_step("put a --ignore-value").operation == kv.Put(key=b"a", value=b"", ignore_value=True)
    assert parse_step("put a 1 --ignore-lease") == Put("a", "1", ignore_lease=True)
    assert parse_step("del a --prefix --prev-kv") == DeleteRange(prefix="a", prev_kv=True)
    assert parse_step("del a b") == DeleteRange("a", "b")
    assert parse_step(
        "get a --prefix --limit 2 --order DESCEND --sort-by modify --keys-only --rev 3"
    ).operation == kv.Range(
        key=b"a", range_end=b"b", limit=2, revision=3, sort_target=kv.SortTarget.MOD, sort_order=kv.SortOrder.DESCEND,
        keys_only=True, with_count=True,
    )  # fmt: skip
    ascending = kv.SortOrder.ASCEND
    assert parse_step("get a --count-only").operation == kv.Range(
        key=b"a", count_only=True, sort_order=ascending
    )
    assert parse_step('get "" --prefix').operation == kv.Range(
        key=b"\0", range_end=kv.FROM_KEY, with_count=True, sort_order=ascending
    )


@pytest.mark.parametrize(
    "line",
    ["foo", "put a", "put a 1 2",
         "put a 1 --ignore-value", "get", "get a b --prefix", "del", "put a 1 --nosuch", "get a --limit x"],
)  # fmt: skip
def test_malformed_requests_are_refused(line: str) -> None:
    with pytest.raises(click.ClickException):
        parse_step(line)


def test_words_are_split_at_spaces_outside_quotes() -> None:
    assert split_words("""put 'a "b"' "c\\td" e""") == (b"put", b'a "b"', b"c\td", b"e")
    assert unquoted('"') == b'"'
