"""`AsyncClient` against real doors, over both protocols."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ferrite.client import (
    AsyncClient,
    ChangeRefused,
    Compacted,
    Create,
    DeadlineExceeded,
    DeleteRange,
    DuplicateKey,
    FutureRevision,
    Get,
    InvalidArgument,
    KeyNotFound,
    LeaseNotFound,
    LeaseOf,
    Mod,
    NotLeader,
    Put,
    Range,
    RequestForgotten,
    SessionExpired,
    TooLarge,
    Unavailable,
    UnknownOutcome,
    Value,
    Version,
)
from ferrite.core import kv
from ferrite.io.client.cluster_guard import ClusterGuard
from ferrite.io.client.connection import Outcome, Refusal
from ferrite.io.client.http_connection import HttpConnection
from ferrite.io.client.request import Request
from ferrite.io.request_path import CommandRejected, RequestRefused
from tests.io.client.served import Served, serving

BOTH = pytest.mark.parametrize("protocol", ["grpc", "http"])
BYTES = bytes(range(256))


@asynccontextmanager
async def connected(
    protocol: str, count: int = 1, timeout_s: float = 5.0
) -> AsyncIterator[tuple[Served, AsyncClient]]:
    async with (
        serving(count) as served,
        AsyncClient(served.endpoints(protocol)[0], protocol=protocol, timeout_s=timeout_s) as client,  # type: ignore[arg-type]  # one of the names
    ):
        await client.endpoints()
        yield served, client


# -- every operation


@BOTH
async def test_puts_and_gets_carry_any_bytes_and_all_bookkeeping(protocol: str) -> None:
    async with connected(protocol) as (_, client):
        lease = await client.lease_grant(60, lease_id=2**62)
        assert (await client.put(BYTES, BYTES, lease=lease.lease_id, prev_kv=True)).prev is None
        second = await client.put(BYTES, "text", prev_kv=True, ignore_lease=True)
        assert second.prev is not None and (second.prev.value, second.prev.version) == (BYTES, 1)
        found = await client.get(BYTES)
        assert found is not None and found.text == "text"
        assert (found.key, found.lease, found.version, found.mod_revision) == (
            BYTES,
            2**62,
            2,
            second.revision,
        )
        assert await client.get("absent", consistency="serializable", max_staleness_s=1) is None


@BOTH
async def test_ranges_are_selected_sorted_counted_and_read_at_a_revision(protocol: str) -> None:
    async with connected(protocol) as (_, client):
        for name in ("a", "b", "c", "d"):
            await client.put(f"k/{name}", name)
        revision = (await client.put("k/b", "B")).revision
        newest = await client.range(prefix="k/", sort_by="mod", descending=True, limit=2, with_count=True)
        assert ([one.key for one in newest.kvs], newest.more, newest.count) == ([b"k/b", b"k/d"], True, 4)
        before = await client.range("k/b", "k/d", revision=revision - 1, keys_only=True)
        assert [(one.key, one.value) for one in before.kvs] == [(b"k/b", b""), (b"k/c", b"")]
        assert (await client.range("k/c", from_key=True, count_only=True)).count == 2
        assert len((await client.range(min_mod_revision=revision)).kvs) == 1
        assert [one.key async for one in client.scan(prefix="k/", page=1)] == [b"k/a", b"k/b", b"k/c", b"k/d"]


@BOTH
async def test_a_scan_stays_at_the_revision_of_its_first_page(protocol: str) -> None:
    async with connected(protocol) as (_, client):
        for name in ("a", "b", "c"):
            await client.put(name, "old")
        seen = []
        async for one in client.scan(page=1):
            seen.append((one.key, one.value))
            await client.put("c", "new")
            await client.put("b2", "new")
        assert seen == [(b"a", b"old"), (b"b", b"old"), (b"c", b"old")]


@BOTH
async def test_deletes_tell_what_was_there(protocol: str) -> None:
    async with connected(protocol) as (_, client):
        await client.put("a", "1")
        await client.put("b", "2")
        answer = await client.delete(prefix="", prev_kv=True)
        assert (answer.deleted, [one.text for one in answer.prev_kvs]) == (2, ["1", "2"])
        assert (await client.delete("a")).deleted == 0
        with pytest.raises(InvalidArgument, match="at least one byte"):
            await client.delete()


@BOTH
async def test_transactions_choose_nest_and_answer_in_kind(protocol: str) -> None:
    async with connected(protocol) as (_, client):
        await client.put("a", "1")
        inner = client.txn().if_(Version("a") > 5).then(Put("x")).else_(Get("a"), Get("none"))
        answer = await (
            client.txn()
            .if_(Value("a") == "1", Version("a") == 1, Mod("a") < 99, Create("a") != 0, LeaseOf("a") == 0)
            .then(
                Put("b", "2", prev_kv=True), Range(prefix=""), inner.as_step(), DeleteRange("a", prev_kv=True)
            )
            .commit()
        )
        put, listed, nested, deleted = answer.results
        assert answer.succeeded and put.prev is None  # type: ignore[union-attr]  # the kinds are what is tested
        assert [one.key for one in listed.kvs] == [b"a", b"b"]  # type: ignore[union-attr]  # the same
        assert not nested.succeeded and [one and one.text for one in nested.results] == ["1", None]  # type: ignore[union-attr]  # the same
        assert [one.text for one in deleted.prev_kvs] == ["1"]  # type: ignore[union-attr]  # the same
        reading = await client.txn().if_(Version("a") == 1).else_(Get("b")).commit()
        assert not reading.succeeded and reading.revision == answer.revision


@BOTH
async def test_leases_are_granted_kept_shown_listed_and_revoked(protocol: str) -> None:
    async with connected(protocol) as (_, client):
        lease = await client.lease_grant(60)
        await client.put("a", lease=lease.lease_id)
        assert await client.lease_keep_alive(lease.lease_id, 999) == (60, 0)
        shown = await client.lease_time_to_live(lease.lease_id, with_keys=True)
        assert 58 < shown.remaining_s <= 60 and shown.keys == (b"a",)
        assert await client.leases() == (lease.lease_id,)
        assert await client.lease_revoke(lease.lease_id) == 1
        assert (await client.lease_time_to_live(lease.lease_id)).remaining_s == -1
        assert await client.get("a") is None


@BOTH
async def test_the_machines_refusals_have_classes_of_their_own(protocol: str) -> None:
    async with connected(protocol) as (_, client):
        revision = (await client.put("a", "1")).revision
        with pytest.raises(KeyNotFound):
            await client.put("none", ignore_value=True)
        with pytest.raises(LeaseNotFound):
            await client.put("a", lease=77)
        with pytest.raises(DuplicateKey):
            await client.txn().then(Put("a"), Put("a")).commit()
        with pytest.raises(FutureRevision):
            await client.range("a", revision=99)
        await client.put("a", "2")
        assert (await client.compact(revision + 1)).compacted == revision + 1
        with pytest.raises(Compacted) as caught:
            await client.range("a", revision=revision)
        assert caught.value.revision == revision + 1 and caught.value.certainly_not_applied


@BOTH
async def test_the_cluster_is_shown_and_changed(protocol: str) -> None:
    async with connected(protocol, 2) as (served, client):
        assert sorted(await client.endpoints()) == sorted(
            f"{protocol}://{address}" for address in served.endpoints(protocol)
        )
        assert [(one.node_id, one.leader) for one in await client.members()] == [(1, True), (2, False)]
        status = await client.status(served.doors[1].addr(protocol))
        assert (status.node_id, status.is_leader, status.leader_id) == (2, False, 1)
        assert (await client.health(served.doors[0].addr(protocol))).healthy
        down = await client.health("127.0.0.1:1")
        assert not down.healthy and "127.0.0.1:1" in down.problems[0]
        assert await client.add_learner(3, "127.0.0.1:9") == 42
        assert await client.promote(2) == 43
        assert await client.remove(2) == 44
        assert await client.transfer_leader() == 2
        for door in served.doors:
            door.node.script.append(RequestRefused("would_lose_quorum", "no"))
        with pytest.raises(ChangeRefused) as caught:
            await client.remove(1)
        assert caught.value.code == "would_lose_quorum"


# -- what goes wrong


@BOTH
async def test_an_increment_whose_answer_is_lost_counts_once(protocol: str) -> None:
    async with connected(protocol, 2) as (served, client):
        assert await client.increment("n", 5) == 5
        served.doors[0].node.script.extend(["", "lose"])
        assert await client.increment("n", -7) == -2
        found = await client.get("n")
        assert found is not None and (found.text, found.version) == ("-2", 2)
        assert served.machine.sessions[-1].request_id == served.machine.sessions[-2].request_id


@BOTH
async def test_what_is_too_large_is_refused_and_does_not_hurt_others(protocol: str) -> None:
    async with connected(protocol) as (_, client):
        huge = [Put(f"k{number}", bytes(1 << 20)) for number in range(20)]
        refusals = await asyncio.gather(
            client.txn().then(*huge).commit(),
            *(client.put(f"small/{number}", "v") for number in range(20)),
            return_exceptions=True,
        )
        # A stream may break under it before the server's word arrives: then it is not certain, and says why.
        assert isinstance(refusals[0], TooLarge | UnknownOutcome)
        assert "too_large" in str(refusals[0])
        assert not (await client.range(prefix="k")).kvs
        assert not [one for one in refusals[1:] if isinstance(one, BaseException)]
        assert all(one.version == 1 for one in (await client.range(prefix="small/")).kvs)


@BOTH
async def test_an_increment_tells_what_is_no_number(protocol: str) -> None:
    async with connected(protocol) as (_, client):
        await client.put("n", "many")
        with pytest.raises(InvalidArgument, match="decimal"):
            await client.increment("n")


@BOTH
async def test_a_hint_is_followed_to_the_leader(protocol: str) -> None:
    async with connected(protocol, 2) as (served, client):
        for door in served.doors:
            door.node.leader_id = 2
        served.doors[0].node.script.append(served.not_leader(2))
        await client.put("a", "1")
        before = served.doors[0].node.asked
        await client.put("a", "2")
        assert served.doors[0].node.asked == before, "later calls go to the leader at once"


@BOTH
async def test_a_node_that_is_gone_is_replaced_by_another_one(protocol: str) -> None:
    async with connected(protocol, 2) as (served, client):
        await client.put("a", "1")
        for door in served.doors:
            door.node.leader_id = 2
        await served.doors[0].stop()
        assert (await client.put("a", "2", prev_kv=True)).prev is not None


@BOTH
async def test_a_change_without_an_answer_is_unknown_and_a_read_is_not(protocol: str) -> None:
    async with connected(protocol, timeout_s=0.4) as (served, client):
        served.doors[0].node.script.extend(["hang"] * 2)
        with pytest.raises(UnknownOutcome) as unknown:
            await client.put("a", "1")
        assert not unknown.value.certainly_not_applied
        served.doors[0].node.script.extend(["hang"] * 2)
        with pytest.raises(Unavailable) as late:
            await client.get("a")
        assert late.value.certainly_not_applied


@BOTH
async def test_a_change_that_was_only_refused_is_certainly_not_applied(protocol: str) -> None:
    async with connected(protocol, timeout_s=0.4) as (served, client):
        served.doors[0].node.script.extend([RequestRefused("not_leader", "an election")] * 99)
        with pytest.raises(NotLeader) as caught:
            await client.put("a", "1")
        assert caught.value.certainly_not_applied


@BOTH
async def test_a_session_that_ended_is_only_the_callers_business_when_something_is_unknown(
    protocol: str,
) -> None:
    async with connected(protocol) as (served, client):
        ended = CommandRejected("session_expired", "an hour of silence")
        served.doors[0].node.script.append(ended)
        await client.put("a", "1")
        assert served.machine.sessions[-1].client_id.endswith(b".2")
        served.doors[0].node.script.extend(["lose", ended])
        with pytest.raises(SessionExpired) as caught:
            await client.put("a", "2")
        assert isinstance(caught.value, UnknownOutcome)
        served.doors[0].node.script.extend(["lose", CommandRejected("request_forgotten", "too old")])
        with pytest.raises(RequestForgotten):
            await client.put("a", "3")


@BOTH
async def test_changes_that_run_together_are_all_carried_out_once(protocol: str) -> None:
    async with connected(protocol, 2) as (served, client):
        served.doors[0].node.script.extend(["lose", "", "lose", served.not_leader(1)] * 5)
        answers = await asyncio.gather(*(client.put(f"k{number}", "v") for number in range(100)))
        assert len({answer.revision for answer in answers}) == 100
        assert all(one.version == 1 for one in (await client.range(prefix="k")).kvs)


async def test_nobody_there_is_unavailable_and_says_where() -> None:
    async with AsyncClient(["127.0.0.1:1"], timeout_s=0.3) as client:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
            await client.get("a")


@pytest.mark.parametrize("given", ["grpc", "http"])
async def test_any_port_is_recognised_and_grpc_spoken_where_it_is_served(given: str) -> None:
    async with serving(2) as served, AsyncClient(served.doors[1].addr(given)) as client:
        await client.put("a", "1")
        endpoints = await client.endpoints()
        assert sorted(endpoints) == sorted(f"grpc://{address}" for address in served.endpoints("grpc"))


@BOTH
async def test_a_call_that_is_cancelled_leaves_nothing_behind(protocol: str) -> None:
    async with connected(protocol) as (served, client):
        served.doors[0].node.script.append("hang")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.get("a"), 0.05)
        assert not client._engine._calls
        await client.put("a", "1")


async def test_a_closed_client_says_so() -> None:
    async with serving() as served:
        client = AsyncClient(served.endpoints("grpc"))
        await client.put("a", "1")
        await client.close()
        await client.close()
        with pytest.raises(Unavailable, match="closed"):
            await client.get("a")


def test_deadlines_are_a_kind_of_unavailable() -> None:
    assert issubclass(DeadlineExceeded, Unavailable)


async def test_a_node_with_too_much_work_is_left_alone_as_long_as_it_says_over_http() -> None:
    async with serving() as served:
        (door,) = served.doors
        door.node.script.append(RequestRefused("overloaded", "later", retry_after_ms=2500))
        door.node.script.append(RequestRefused("not_leader", "another one"))
        connection = HttpConnection(door.http_addr, 2.0, ClusterGuard())
        found = []
        for _ in range(2):
            answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
            connection.begin(Request(operation=kv.Put(key=b"k")), None, 5.0, answered.set_result)
            outcome = await answered
            assert isinstance(outcome, Refusal), outcome
            found.append((outcome.code, outcome.retry_after_us))
        await connection.close()
    assert found == [("overloaded", 3_000_000), ("not_leader", 0)], (
        "whole seconds; elsewhere one goes at once"
    )
