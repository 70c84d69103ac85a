"""Locks, leases and memberships that change while a command runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ferrite.client import ChangeRefused, Lease
from ferrite.io.cli.ctl.perf import Measured
from tests.io.cli.ctl.conftest import Ctl
from tests.io.cli.ctl.fake_client import FakeClient


@dataclass
class LostLock:
    """A lock that is lost a moment after it was won."""

    token: int = 7
    key: bytes = b"job/1f"
    lease: Lease = field(default_factory=lambda: Lease(lease_id=31, ttl_s=2))

    @property
    def lost(self) -> asyncio.Event:
        return self.lease.lost


def holds(fake: FakeClient, method: str) -> None:
    @asynccontextmanager
    async def hold(*_: object, **__: object) -> AsyncIterator[LostLock]:
        held = LostLock()
        asyncio.get_running_loop().call_later(0.2, held.lost.set)
        yield held

    setattr(fake, method, hold)


@pytest.mark.parametrize("words", [["lock", "job"], ["elect", "job", "me"]])
def test_what_is_lost_while_it_is_held_is_exit_code_5(
    run_ctl: Ctl, fake: FakeClient, words: list[str]
) -> None:
    holds(fake, words[0])
    ran = run_ctl(*words)
    assert ran.code == 5
    assert ran.text.splitlines()[0] == "job/1f"
    assert ran.text.splitlines()[-1] == "token 7"
    assert "was lost" in ran.err


def test_a_program_does_not_outlive_its_lock(run_ctl: Ctl, fake: FakeClient, tmp_path: Path) -> None:
    holds(fake, "lock")
    ended = tmp_path / "ended"
    program = f"trap 'echo $FERRITE_LOCK_TOKEN > {ended}; exit 0' TERM; while :; do sleep 0.05; done"
    ran = run_ctl("lock", "job", "--", "sh", "-c", program)
    assert ran.code == 5
    assert "was lost" in ran.err
    assert ended.read_text() == "7\n"


def in_turn(*answers: Any) -> Any:
    """A method that gives one answer after the other; an exception is raised."""
    left = list(answers)

    def answer(*_: object) -> Any:
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return answer


def test_a_lease_is_kept_alive_until_it_is_gone(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers["lease_keep_alive"] = in_turn((1,), (1,), (0,))
    ran = run_ctl("lease", "keep-alive", "1f")
    kept = "lease 000000000000001f keepalived with TTL(1)"
    assert ran.text.splitlines() == [kept, kept, "lease 000000000000001f expired or revoked."]
    assert ran.code == 0


BEHIND = ChangeRefused("behind", code="not_caught_up")


def test_a_member_gets_its_vote_once_it_has_caught_up(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers |= {"add_learner": 5, "promote": in_turn(BEHIND, 6)}
    ran = run_ctl("member", "add", "2", "--addr", "http://127.0.0.1:8002")
    assert (ran.code, ran.text) == (0, f"Member 2 added to cluster 00000000000000ff{'11' * 8}\n")
    assert fake.asked("add_learner") == ((2, "127.0.0.1:8002"), {})
    assert [name for name, _, _ in fake.calls].count("promote") == 2


def test_a_member_that_does_not_catch_up_stays_a_learner_and_that_is_said(
    run_ctl: Ctl, fake: FakeClient
) -> None:
    fake.answers |= {"add_learner": 5, "promote": BEHIND}
    ran = run_ctl("member", "add", "2", "--addr", "127.0.0.1:8002", "--command-timeout", "300ms")
    assert ran.code == 1
    assert "was added as a learner" in ran.err
    assert "member promote 2" in ran.err


def test_a_learner_is_only_added(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers["add_learner"] = 5
    assert run_ctl("member", "add", "2", "--learner", "--peer-urls", "127.0.0.1:8002").code == 0
    assert "promote" not in [name for name, _, _ in fake.calls]


def test_what_cannot_be_changed_otherwise_is_refused_at_once(run_ctl: Ctl, fake: FakeClient) -> None:
    refusal = ChangeRefused("node 2 was a member", code="retired_id")
    fake.answers |= {"add_learner": 5, "promote": refusal}
    ran = run_ctl("member", "add", "2", "--addr", "127.0.0.1:8002")
    assert (ran.code, ran.err) == (1, "Error: retired_id: node 2 was a member\n")


def verdicts(measured: Measured) -> list[bool]:
    return [good for good, _ in measured.verdicts(150)]


def test_a_load_is_judged_as_etcdctl_judges() -> None:
    assert verdicts(Measured(took_s=[0.01] * 150, elapsed_s=1)) == [True, True, True]
    assert verdicts(Measured(took_s=[0.01] * 136, elapsed_s=1)) == [True, True, True]
    assert verdicts(Measured(took_s=[0.01] * 134, elapsed_s=1)) == [False, True, True]
    assert verdicts(Measured(took_s=[0.01] * 149 + [0.51], elapsed_s=1)) == [True, False, True]
    assert verdicts(Measured(took_s=[0.01, 0.4] * 75, elapsed_s=1)) == [True, True, False]
    assert verdicts(Measured(took_s=[0.01] * 150, errors=["lost"], elapsed_s=1)) == [True, True, True, False]
    assert not all(verdicts(Measured(elapsed_s=1)))


def test_the_environment_says_what_to_watch_when_no_key_is_given(
    run_ctl: Ctl, fake: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.answers["watch"] = []
    monkeypatch.setenv("FERRITECTL_WATCH_KEY", "from")
    monkeypatch.setenv("FERRITECTL_WATCH_RANGE_END", "to")
    assert run_ctl("watch", "--rev", "3").code == 0
    _, asked = fake.calls[-1][1:]
    assert asked == {"key": b"from", "range_end": b"to", "start_revision": 3, "prev_kv": False}
    assert run_ctl("watch", "other").code == 0
    assert fake.calls[-1][2]["key"] == b"other"
