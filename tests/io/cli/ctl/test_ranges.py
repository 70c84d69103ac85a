"""All of a range is printed, also when one answer of the server has not room for it."""

import pytest

from ferrite.client import KeyValue, RangeAnswer
from tests.io.cli.ctl.conftest import Ctl
from tests.io.cli.ctl.fake_client import FakeClient

KVS = tuple(
    KeyValue(key=key, value=value, create_revision=created, mod_revision=modified, version=1)
    for key, value, created, modified in ((b"a", b"3", 4, 5), (b"b", b"1", 3, 9), (b"c", b"2", 2, 7))
)


@pytest.mark.parametrize(
    "options, keys",
    [
        ([], b"abc"),
        (["--order", "DESCEND"], b"cba"),
        (["--sort-by", "VALUE"], b"bca"),
        (["--sort-by", "value", "--keys-only"], b"bca"),
        (["--sort-by", "CREATE", "--order", "descend"], b"abc"),
        (["--sort-by", "MODIFY", "--limit", "2"], b"ac"),
    ],
)
def test_what_one_answer_has_no_room_for_is_read_page_by_page_and_sorted(
    run_ctl: Ctl, fake: FakeClient, options: list[str], keys: bytes
) -> None:
    fake.answers["range"] = RangeAnswer(revision=9, kvs=KVS[:1], more=True, count=3)
    fake.answers["scan"] = KVS
    ran = run_ctl("get", "", "--prefix", *options)
    assert ran.code == 0
    assert b"".join(ran.out.splitlines()[::2]) == keys
    _, scanned = fake.asked("scan")
    assert (scanned["prefix"], scanned["revision"]) == (b"", 9)
    assert scanned["keys_only"] is False  # to sort by values they are needed
    if "--keys-only" in options:
        assert set(ran.out.splitlines()[1::2]) == {b""}


def test_a_limit_that_is_reached_needs_one_answer(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers["range"] = RangeAnswer(revision=9, kvs=KVS[:2], more=True, count=3)
    assert run_ctl("get", "", "--prefix", "--limit", "2").out == b"a\n3\nb\n1\n"
    _, asked = fake.asked("range")
    assert (asked["limit"], asked["with_count"]) == (2, True)


def test_the_flags_of_get_reach_the_client(run_ctl: Ctl, fake: FakeClient) -> None:
    words = [
        "a",
        "b",
        "--rev",
        "7",
        "--order",
        "DESCEND",
        "--sort-by",
        "CREATE",
        "--keys-only",
        "--consistency",
        "s",
    ]
    assert run_ctl("get", *words).code == 0
    _, asked = fake.asked("range")
    assert asked == {
        "key": b"a", "range_end": b"b", "revision": 7, "sort_by": "create", "descending": True, "keys_only": True,
        "consistency": "serializable", "limit": 0, "with_count": True,
    }  # fmt: skip


def test_the_flags_of_put_and_del_reach_the_client(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers["put"] = ZeroDivisionError()  # what it answers does not matter here
    run_ctl("put", "k", "--ignore-value", "--lease", "1f", "--prev-kv")
    args, asked = fake.asked("put")
    assert args == (b"k", b"")
    assert asked == {"lease": 31, "prev_kv": True, "ignore_value": True, "ignore_lease": False}
    fake.answers["delete"] = ZeroDivisionError()
    run_ctl("del", "k", "--from-key", "--prev-kv")
    assert fake.asked("delete") == ((), {"key": b"k", "from_key": True, "prev_kv": True})


def test_a_value_may_come_from_standard_input_byte_by_byte(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers["put"] = ZeroDivisionError()
    run_ctl("put", "k", stdin=b"\x00line\nline\xff\n")
    assert fake.asked("put")[0] == (b"k", b"\x00line\nline\xff\n")


@pytest.mark.parametrize("words", [["put", "k", "--", "-v"], ["put", "--", "k", "-v"]])
def test_a_value_that_begins_with_a_dash_stands_after_two(
    run_ctl: Ctl, fake: FakeClient, words: list[str]
) -> None:
    fake.answers["put"] = ZeroDivisionError()
    run_ctl(*words)
    assert fake.asked("put")[0] == (b"k", b"-v")
