"""Every way to end has its code, and one line on standard error."""

import pytest

from ferrite.client import (
    Compacted,
    DeadlineExceeded,
    FutureRevision,
    Health,
    KeyNotFound,
    LeaseNotFound,
    NoLeader,
    NoSpace,
    TooLarge,
    Unavailable,
    UnknownOutcome,
)
from tests.io.cli.ctl.conftest import Ctl
from tests.io.cli.ctl.fake_client import FakeClient


@pytest.mark.parametrize(
    "error, code, said",
    [
        (KeyNotFound("no k", code="key_not_found"), 1, "key_not_found: no k"),
        (FutureRevision("9", code="future_revision", revision=3), 1, "future_revision"),
        (NoSpace("full", code="no_space"), 1, "run ferritectl compact"),
        (TooLarge("value", code="too_large"), 1, "too_large"),
        (UnknownOutcome("lost", code="unknown_outcome", certainly_not_applied=False), 1, "read before you repeat"),
        (Unavailable("refused", code="unreachable"), 2, "are --endpoints right?"),
        (NoLeader("none", code="no_leader"), 2, "endpoint status --cluster"),
        (DeadlineExceeded("late", code="deadline_exceeded"), 2, "deadline_exceeded: late"),
        (LeaseNotFound("lease 26", code="lease_not_found"), 1, "no lease 000000000000001a"),
    ],
)  # fmt: skip
def test_errors_are_one_line_and_their_kinds_code(
    run_ctl: Ctl, fake: FakeClient, error: Exception, code: int, said: str
) -> None:
    fake.answers["put"] = error
    ran = run_ctl("put", "k", "v", "--lease", "1a")
    assert (ran.code, ran.out) == (code, b"")
    assert ran.err.startswith("Error: ")
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["put"], ["put", "a", "b", "c"], ["put", "a", "b", "--ignore-value"], ["put", "a", "1", "--lease", "zz"],
        ["put", "a", "1", "--lease", "1", "--ignore-lease"], ["get"], ["get", "a", "b", "c"], ["get", ""],
        ["get", "a", "b", "--prefix"], ["get", "a", "--prefix", "--from-key"], ["get", "a", "--limit", "x"],
        ["get", "a", "--rev", "-1"], ["get", "a", "--order", "UP"], ["get", "a", "--sort-by", "SIZE"],
        ["get", "a", "--consistency", "x"], ["get", "a", "--keys-only", "--count-only"],
        ["get", "a", "--print-value-only", "-w", "json"], ["del"], ["watch"], ["watch", "a", "b", "c"], ["watch", "-i", "a"],
        ["compact"], ["compact", "0"], ["compact", "zz"], ["lease", "grant"], ["lease", "grant", "zz"],
        ["lease", "grant", "--", "-1"], ["lease", "revoke", "zz"], ["lease", "timetolive", "-1"], ["lock"], ["lock", ""],
        ["lock", "a", "b", "--", "c"], ["elect", "a"], ["elect", "-l"], ["elect", "a", "b", "-l"], ["member", "remove", "zz"],
        ["member", "add", "4"], ["member", "promote", "0"], ["move-leader"], ["move-leader", "x"],
        ["check", "perf", "--load", "z"], ["check", "perf", "--duration", "soon"], ["check", "perf", "--prefix", ""],
        ["completion", "tcsh"], ["playground", "-n", "0"], ["lease"], ["backup", "save"],
    ],
)  # fmt: skip
def test_wrong_words_are_exit_code_3_and_nothing_is_sent(
    run_ctl: Ctl, fake: FakeClient, words: list[str]
) -> None:
    ran = run_ctl(*words)
    assert (ran.code, ran.out) == (3, b"")
    assert ran.err
    assert fake.calls == []


@pytest.mark.parametrize("text", [b"", b"nonsense\n", b'mod("a") > "0"\n', b"\nfoo\n", b"\nput a 1\n"])
def test_a_transaction_that_cannot_be_read_is_exit_code_3(
    run_ctl: Ctl, fake: FakeClient, text: bytes
) -> None:
    ran = run_ctl("txn", stdin=text)
    assert (ran.code, ran.out) == (3, b"")
    assert fake.calls == []


def test_unhealthy_endpoints_are_exit_code_5(run_ctl: Ctl, fake: FakeClient) -> None:
    def health(endpoint: str) -> Health:
        healthy = endpoint == "good:1"
        problems = () if healthy else ("the disk is full",)
        return Health(endpoint=endpoint, healthy=healthy, problems=problems, took_s=0.0025)

    fake.answers["health"] = health
    good = run_ctl("endpoint", "health", "--endpoints", "good:1")
    assert (good.code, good.text) == (
        0,
        "good:1 is healthy: hears a leader, has no problem: took = 2.5ms\n",
    )
    both = run_ctl("endpoint", "health", "--endpoints", "good:1,bad:1")
    assert both.code == 5
    assert "bad:1 is unhealthy: the disk is full" in both.text
    assert both.err == "Error: unhealthy cluster\n"
    assert fake.endpoints[-2:] == [("good:1",), ("bad:1",)]


def test_an_endpoint_without_status_is_exit_code_2_and_the_others_are_shown(
    run_ctl: Ctl, fake: FakeClient
) -> None:
    found = fake.answers["status"]

    def status(endpoint: str) -> object:
        if endpoint == "bad:1":
            raise Unavailable("refused", code="unreachable")
        return found

    fake.answers["status"] = status
    ran = run_ctl("endpoint", "status", "--endpoints", "bad:1,good:1")
    assert ran.code == 2
    assert ran.text.startswith("good:1, 1, ")
    assert "Failed to get the status of endpoint bad:1 (refused)" in ran.err


def test_a_watch_ended_by_compaction_is_exit_code_5(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers["watch"] = [Compacted("2 is compacted", code="compacted", revision=3)]
    ran = run_ctl("watch", "k", "--rev", "2", "-w", "json")
    assert ran.code == 5
    assert '"CompactRevision":3,"Canceled":true' in ran.text
    assert "ended by the server" in ran.err


def test_a_program_that_fails_ends_the_watch(run_ctl: Ctl, fake: FakeClient) -> None:
    from ferrite.client import Event, WatchBatch
    from tests.io.cli.ctl.fake_client import KV

    fake.answers["watch"] = [WatchBatch(revision=3, events=(Event(kind="put", kv=KV),))]
    check = (
        'test "$FERRITE_WATCH_REVISION $FERRITE_WATCH_EVENT_TYPE $FERRITE_WATCH_KEY $FERRITE_WATCH_VALUE" ='
    )
    expected = '\'3 "PUT" "k" "v"\''
    assert run_ctl("watch", "k", "--", "sh", "-c", f"{check} {expected}").code == 0
    ran = run_ctl("watch", "k", "--", "sh", "-c", "exit 7")
    assert ran.code == 1
    assert "sh ended with code 7 at revision 3" in ran.err
    assert "cannot be run" in run_ctl("watch", "k", "--", "/nonexistent/program").err


def test_a_bug_says_that_it_is_one(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers["range"] = ZeroDivisionError()
    ran = run_ctl("get", "k")
    assert ran.code == 1
    assert ran.err.endswith("this is a bug in ferritectl\n")
