import asyncio
import threading
from collections.abc import AsyncIterator
from typing import get_args

import pytest

from ferrite.core import (
    Entry,
    Index,
    InvariantViolated,
    NodeId,
    RefusalCode,
    RequestId,
    StopCode,
    Term,
    actions,
    events,
    messages,
)
from ferrite.core.kv import Get
from ferrite.io.node import ROUNDS_PER_TURN_MAX, Served, now_us
from ferrite.io.state_store import StoreStalled
from tests.io.node_fakes import FAR_US, INSTALLED, SNAPSHOT, Rig, announce

ENTRY = Entry(Term(1), b"payload")
APPLY = actions.Apply(first_index=Index(5), entries=(ENTRY, ENTRY))


def unreachable(peer: int) -> events.PeerUnreachable:
    return events.PeerUnreachable(peer=NodeId(peer))


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.until(lambda: rig.replica.steps)
    rig.replica.steps.clear()
    yield rig
    await rig.node.close()


def proposal(rig: Rig) -> tuple[RequestId, events.ProposalReceived]:
    request = rig.node.next_request()
    return request, events.ProposalReceived(request=request, command=b"c", deadline_us=now_us() + FAR_US)


# ------------------------------------------------------------------------------------------------ turns


async def test_what_arrives_in_one_turn_is_decided_in_one_step(rig: Rig) -> None:
    rig.node.post(unreachable(2))
    rig.node.post(unreachable(3))
    await rig.until(lambda: rig.replica.steps)
    assert rig.replica.steps == [[unreachable(2), unreachable(3)]]


async def test_events_of_other_threads_arrive_on_the_loop(rig: Rig) -> None:
    thread = threading.Thread(target=rig.node.post_threadsafe, args=([unreachable(2)],))
    thread.start()
    thread.join()
    await rig.until(lambda: rig.replica.steps)
    assert rig.replica.steps == [[unreachable(2)]]


async def test_what_performing_reports_is_decided_in_the_same_turn(rig: Rig) -> None:
    rig.orders(APPLY)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert rig.replica.steps == [[unreachable(9)], [events.Applied(applied_index=Index(6))]]


async def test_a_turn_ends_although_every_step_gives_new_events(rig: Rig) -> None:
    turns = 0

    def other_work() -> None:
        nonlocal turns
        turns = len(rig.replica.steps)

    rig.replica.answer = lambda _: [APPLY] if len(rig.replica.steps) < 5 * ROUNDS_PER_TURN_MAX else []
    rig.node.post(unreachable(9))
    asyncio.get_running_loop().call_soon(other_work)
    await rig.until(lambda: len(rig.replica.steps) >= 5 * ROUNDS_PER_TURN_MAX)
    assert 0 < turns <= ROUNDS_PER_TURN_MAX


async def test_a_step_is_made_at_the_deadline_without_any_event() -> None:
    rig = Rig()
    rig.replica.deadline_us = now_us() + 5_000
    await rig.until(lambda: len(rig.replica.steps) >= 2)
    assert rig.replica.steps[1] == []
    await rig.node.close()


async def test_a_deadline_that_moves_forward_is_met(rig: Rig) -> None:
    rig.replica.deadline_us = now_us() + 5_000
    rig.node.post(unreachable(2))
    await rig.until(lambda: [] in rig.replica.steps)


async def test_the_recorder_sees_events_and_actions_of_every_step(rig: Rig) -> None:
    rig.record.clear()
    rig.orders(APPLY)
    await rig.told(events.Applied)
    assert rig.record[0] == ([unreachable(9)], [APPLY])


async def test_there_is_a_performer_for_every_action(rig: Rig) -> None:
    assert set(rig.node._perform) == set(get_args(actions.Action))


# ------------------------------------------------------------------------------------------------ orders


async def test_log_orders_reach_the_log_in_their_order(rig: Rig) -> None:
    persist = actions.Persist(write_seq=1, first_index=Index(1), entries=(ENTRY,))
    load = actions.LoadEntries(first_index=Index(1), end_index=Index(2), bytes_max=10)
    discard = actions.DiscardLog(first_index=Index(1))
    rig.orders(persist, load, discard)
    await rig.until(lambda: len(rig.log.orders) == 3)
    assert rig.log.orders == [persist, ("load", 1, 2, 10), ("discard", 1)]


async def test_what_is_applied_is_noted_as_committed(rig: Rig) -> None:
    rig.orders(APPLY)
    await rig.told(events.Applied)
    assert rig.log.committed == [6]


async def test_a_stalled_store_is_reported_and_nothing_else_happens(rig: Rig) -> None:
    rig.state.error = StoreStalled("write stall")
    rig.orders(APPLY)
    assert await rig.told(events.ApplyStalled) == events.ApplyStalled(first_index=Index(5))
    assert rig.log.committed == []


async def test_any_other_error_of_the_store_is_a_storage_failure(rig: Rig) -> None:
    rig.state.error = Exception("IO error: No space left on device")
    rig.orders(APPLY)
    failed = await rig.told(events.StorageFailed)
    assert isinstance(failed, events.StorageFailed)
    assert failed.disk_full
    assert "No space left" in failed.detail


async def test_messages_of_one_step_to_one_peer_travel_together(rig: Rig) -> None:
    first, second = messages.TimeoutNow(term=Term(1)), messages.ReadIndex(term=Term(1), context=1)
    rig.orders(
        actions.Send(to=NodeId(2), message=first),
        actions.Send(to=NodeId(3), message=first),
        actions.Send(to=NodeId(2), message=second),
    )
    await rig.until(lambda: rig.transport.calls)
    assert rig.transport.calls == [(2, (first, second)), (3, (first,))]


async def test_the_transport_knows_a_new_peer_before_the_first_message_to_it(rig: Rig) -> None:
    message = messages.TimeoutNow(term=Term(1))
    rig.orders(
        actions.Send(to=NodeId(2), message=message), announce(1), actions.Send(to=NodeId(3), message=message)
    )
    await rig.until(lambda: len(rig.transport.calls) == 3)
    assert rig.transport.calls == [(2, (message,)), ("peers", (1, 2, 3)), (3, (message,))]


async def test_peers_are_updated_only_when_the_membership_changed(rig: Rig) -> None:
    rig.orders(announce(1), announce(2), announce(2, node_ids=(1, 2)))
    await rig.until(lambda: len(rig.transport.calls) == 2)
    assert rig.transport.calls == [("peers", (1, 2, 3)), ("peers", (1, 2))]


async def test_a_flush_reports_its_index(rig: Rig) -> None:
    rig.orders(actions.FlushState())
    assert await rig.told(events.StateFlushed) == events.StateFlushed(applied_index=Index(12))


async def test_a_failed_flush_is_a_storage_failure(rig: Rig) -> None:
    rig.state.error = Exception("Corruption: bad block")
    rig.orders(actions.FlushState())
    failed = await rig.told(events.StorageFailed)
    assert isinstance(failed, events.StorageFailed)
    assert failed.corrupt


async def test_a_snapshot_is_saved_and_reported(rig: Rig) -> None:
    rig.orders(actions.SaveSnapshot())
    assert await rig.told(events.SnapshotSaved) == events.SnapshotSaved(snapshot=SNAPSHOT)


async def test_a_snapshot_that_cannot_be_built_is_lost(rig: Rig) -> None:
    rig.snapshots.error = OSError("disk on fire")
    rig.orders(actions.SaveSnapshot())
    lost = await rig.told(events.SnapshotLost)
    assert isinstance(lost, events.SnapshotLost)
    assert "disk on fire" in lost.detail


@pytest.mark.parametrize("offset, data, done", [(0, b"0123", False), (8, b"89", True)])
async def test_a_piece_of_a_snapshot_is_read_and_sent(rig: Rig, offset: int, data: bytes, done: bool) -> None:
    order = actions.SendSnapshot(to=NodeId(2), term=Term(4), snapshot=SNAPSHOT, offset=offset, length_max=4)
    rig.orders(order)
    await rig.until(lambda: rig.transport.calls)
    message = messages.InstallSnapshot(term=Term(4), snapshot=SNAPSHOT, offset=offset, data=data, done=done)
    assert rig.transport.calls == [(2, (message,))]


async def test_a_piece_that_cannot_be_read_names_the_lost_snapshot(rig: Rig) -> None:
    rig.snapshots.error = OSError("gone")
    rig.orders(actions.SendSnapshot(to=NodeId(2), term=Term(4), snapshot=SNAPSHOT, offset=0, length_max=4))
    lost = await rig.told(events.SnapshotLost)
    assert isinstance(lost, events.SnapshotLost)
    assert lost.snapshot_id == SNAPSHOT.snapshot_id


@pytest.mark.parametrize("refused", [None, "sha-256 differs"])
async def test_received_pieces_are_stored_before_the_install_that_follows(
    rig: Rig, refused: str | None
) -> None:
    rig.snapshots.refused = refused
    rig.orders(
        actions.StoreChunk(snapshot=SNAPSHOT, offset=0, data=b"01234"),
        actions.StoreChunk(snapshot=SNAPSHOT, offset=5, data=b"56789"),
        actions.InstallSnapshot(snapshot=SNAPSHOT),
    )
    installed = await rig.told(events.SnapshotInstalled)
    assert rig.snapshots.done == [("store", 0, b"01234"), ("store", 5, b"56789"), "install"]
    assert installed == events.SnapshotInstalled(
        snapshot_id=SNAPSHOT.snapshot_id,
        installed=refused is None,
        state=None if refused else INSTALLED,
        detail=refused or "",
    )


# ------------------------------------------------------------------------------------------------ requests


async def test_request_numbers_grow(rig: Rig) -> None:
    assert [rig.node.next_request() for _ in range(3)] == [1, 2, 3]


async def test_a_reply_completes_its_request_and_no_other(rig: Rig) -> None:
    (first, event), (second, other) = proposal(rig), proposal(rig)
    waiting, answered = rig.node.ask(first, event), rig.node.ask(second, other)
    rig.orders(actions.Reply(request=second, result=41))
    assert await answered == actions.Reply(request=second, result=41)
    assert not waiting.done()
    assert rig.node.waiting_count == 1


async def test_reads_are_evaluated_when_they_are_served(rig: Rig) -> None:
    request = rig.node.next_request()
    query = Get(key=b"k")
    asked = rig.node.ask(request, events.ReadRequested(request=request, deadline_us=now_us() + FAR_US), query)
    rig.orders(actions.ServeRead(requests=(request,), read_index=Index(1)))
    assert isinstance(await asked, Served)
    assert rig.state.reads == [query]


async def test_clients_that_went_away_hurt_nobody(rig: Rig) -> None:
    (first, event), (second, other) = proposal(rig), proposal(rig)
    read = rig.node.next_request()
    gone = [
        rig.node.ask(first, event),
        rig.node.ask(read, events.ReadRequested(request=read, deadline_us=now_us() + FAR_US), Get(key=b"k")),
    ]
    there = rig.node.ask(second, other)
    for future in gone:
        future.cancel()
    rig.orders(
        actions.Reply(request=first, result=1),
        actions.ServeRead(requests=(read,), read_index=Index(1)),
        actions.Abandon(request=second, detail="deadline"),
    )
    assert await there == actions.Abandon(request=second, detail="deadline")
    assert rig.state.reads == []
    assert rig.node.waiting_count == 0
    assert not rig.node.stopped


async def test_a_read_that_the_store_cannot_answer_is_refused_and_reported(rig: Rig) -> None:
    request = rig.node.next_request()
    asked = rig.node.ask(
        request, events.ReadRequested(request=request, deadline_us=now_us() + FAR_US), Get(key=b"k")
    )
    rig.state.error = Exception("Corruption: block checksum mismatch")
    rig.orders(actions.ServeRead(requests=(request,), read_index=Index(1)))
    outcome = await asked
    assert isinstance(outcome, actions.Refuse)
    assert outcome.code is RefusalCode.STORAGE_FAILED
    await rig.told(events.StorageFailed)


# ------------------------------------------------------------------------------------------------ the end


async def test_nothing_is_performed_after_a_stop_and_waiting_clients_learn_that_nobody_knows(
    rig: Rig,
) -> None:
    request, event = proposal(rig)
    waiting = rig.node.ask(request, event)
    persist = actions.Persist(write_seq=1, first_index=Index(1))
    rig.orders(actions.Stop(code=StopCode.DISK_ERROR, detail="fsync failed"), persist)
    assert isinstance(await waiting, actions.Abandon)
    assert rig.stops == [(11, "fsync failed")]
    assert rig.log.orders == []
    rig.node.post(unreachable(2))
    await asyncio.sleep(0.01)
    assert unreachable(2) not in rig.replica.seen
    late = rig.node.next_request()
    refused = await rig.node.ask(late, events.ProposalReceived(request=late, command=b"", deadline_us=0))
    assert isinstance(refused, actions.Refuse)
    assert refused.code is RefusalCode.SHUTTING_DOWN


@pytest.mark.parametrize("error", [InvariantViolated("commit index went back"), KeyError("a bug")])
async def test_an_impossible_state_stops_the_node_with_70(
    rig: Rig, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(facts: list[events.Event]) -> list[actions.Action]:
        raise error

    rig.replica.answer = broken
    rig.node.post(unreachable(2))
    await rig.until(lambda: rig.stops)
    [(code, detail)] = rig.stops
    assert code == 70
    assert str(error) in detail
    assert rig.node.stopped


async def test_listeners_hear_announcements_until_they_leave(rig: Rig) -> None:
    heard: list[int] = []
    leave = rig.node.listen(lambda announced: heard.append(announced.leader))
    rig.orders(announce(2))
    await rig.until(lambda: heard)
    leave()
    rig.orders(announce(3))
    await rig.until(lambda: rig.node.announced is not None and rig.node.announced.leader == 3)
    assert heard == [2]
