"""Leases: in cluster time, ended by a Tick only."""

import pytest

from ferrite.core.kv import (
    CommandErrorCode,
    CommandFailed,
    CommandResult,
    Get,
    GetResult,
    LeaseGrant,
    LeaseGrantResult,
    LeaseKeepAlive,
    LeaseKeepAliveResult,
    LeaseRevoke,
    LeaseTimeToLive,
    LeaseTimeToLiveResult,
    ListLeases,
    ListLeasesResult,
    Put,
    ReadLimits,
    StateMachine,
    Tick,
    Txn,
)
from ferrite.core.kv.leases import LEASE_KEYS_MAX, LEASES_ENDED_TOGETHER
from tests.core.kv.helpers import IDENTITY, SECOND_US, Machine, command, put


def refused(result: CommandResult) -> CommandErrorCode:
    assert isinstance(result, CommandFailed), result
    return result.code


def host_with(*keys: bytes, ttl_s: int = 5) -> Machine:
    host = Machine()
    host.apply(command(LeaseGrant(lease_id=7, ttl_s=ttl_s)))
    if keys:
        host.apply(*(command(Put(key=key, value=b"v", lease=7)) for key in keys))
    return host


def there(host: Machine, key: bytes) -> bool:
    found = host.machine.read(Get(key=key))
    assert isinstance(found, GetResult)
    return found.entry is not None


def test_a_lease_ends_with_the_first_tick_at_its_deadline_and_not_before() -> None:
    host = host_with(b"a", b"b")
    host.apply(command(Tick(), time_us=5 * SECOND_US - 1))
    host.apply(put(b"x", time_us=9 * SECOND_US))
    assert there(host, b"a")
    applied = host.apply(command(Tick(), time_us=9 * SECOND_US))
    assert [(at.revision, [change.key for change in at.changes]) for at in applied.changes] == [
        (5, [b"a", b"b"])
    ], "all its keys at one revision, in order"
    assert not there(host, b"a")
    assert (host.machine.lease_count, host.machine.next_deadline_us) == (0, 0)


def test_a_lease_without_keys_ends_without_a_revision() -> None:
    host = host_with()
    host.apply(command(Tick(), time_us=5 * SECOND_US))
    assert (host.machine.lease_count, host.machine.revision) == (0, 1)


def test_a_keep_alive_gives_the_whole_time_again() -> None:
    host = host_with(b"a")
    kept = host.result(command(LeaseKeepAlive(lease_ids=(7, 8)), time_us=4 * SECOND_US))
    assert kept == LeaseKeepAliveResult(revision=2, ttls_s=(5, 0))
    host.apply(command(Tick(), time_us=9 * SECOND_US - 1))
    assert there(host, b"a")
    assert host.machine.next_deadline_us == 9 * SECOND_US, "a Tick that found nothing made the bound exact"
    host.apply(command(Tick(), time_us=9 * SECOND_US))
    assert not there(host, b"a")
    assert host.result(command(LeaseKeepAlive(lease_ids=(7,)))) == LeaseKeepAliveResult(
        revision=3, ttls_s=(0,)
    )


def test_a_key_put_again_leaves_its_lease() -> None:
    host = host_with(b"a", b"b")
    host.apply(command(LeaseGrant(lease_id=8, ttl_s=60)))
    host.apply(put(b"a"), command(Put(key=b"b", value=b"", lease=8)))
    host.apply(command(LeaseRevoke(lease_id=7)))
    assert there(host, b"a")
    assert there(host, b"b")
    host.apply(command(LeaseRevoke(lease_id=8)))
    assert not there(host, b"b")


@pytest.mark.parametrize(
    "ttl_s, granted", [(-(2**63), 2), (0, 2), (1, 2), (2, 2), (9_000_000_000, 9_000_000_000)]
)
def test_the_shortest_time_is_two_seconds(ttl_s: int, granted: int) -> None:
    assert Machine().result(command(LeaseGrant(lease_id=1, ttl_s=ttl_s))) == LeaseGrantResult(
        revision=1, lease_id=1, ttl_s=granted
    )


def test_leases_that_cannot_be_granted() -> None:
    host = host_with()
    for operation, code in (
        (LeaseGrant(lease_id=7, ttl_s=5), CommandErrorCode.LEASE_EXISTS),
        (LeaseGrant(lease_id=0, ttl_s=5), CommandErrorCode.INVALID),
        (LeaseGrant(lease_id=1, ttl_s=9_000_000_001), CommandErrorCode.INVALID),
        (LeaseRevoke(lease_id=0), CommandErrorCode.LEASE_NOT_FOUND),
        (Put(key=b"k", lease=9), CommandErrorCode.LEASE_NOT_FOUND),
        (Put(key=b"k", lease=9, ignore_value=True), CommandErrorCode.LEASE_NOT_FOUND),
        (Txn(success=(Put(key=b"k", lease=9, ignore_value=True),)), CommandErrorCode.KEY_NOT_FOUND),
    ):
        assert refused(host.result(command(operation))) == code
    assert host.machine.revision == 1


def test_one_tick_ends_a_bounded_number_of_leases_the_first_due_first() -> None:
    host = Machine()
    count = LEASES_ENDED_TOGETHER + 3
    host.apply(*(command(LeaseGrant(lease_id=count - n, ttl_s=2 + n)) for n in range(count)))
    host.apply(command(Tick(), time_us=1000 * SECOND_US))
    listed = host.machine.read(ListLeases())
    assert listed == ListLeasesResult(revision=1, lease_ids=(1, 2, 3), more=False)
    assert host.machine.next_deadline_us == (2 + count - 3) * SECOND_US
    host.apply(command(Tick(), time_us=1000 * SECOND_US))
    assert host.machine.lease_count == 0


def test_the_time_left_of_a_lease_that_is_due_is_none() -> None:
    host = host_with(b"b", b"a")
    ask = LeaseTimeToLive(lease_id=7, with_keys=True)
    assert host.result(command(ask, time_us=2 * SECOND_US)) == LeaseTimeToLiveResult(
        revision=3, remaining_us=3 * SECOND_US, granted_ttl_s=5, keys=(b"a", b"b")
    )
    late = host.result(command(LeaseTimeToLive(lease_id=7), time_us=20 * SECOND_US))
    assert late == LeaseTimeToLiveResult(revision=3, remaining_us=0, granted_ttl_s=5)
    gone = host.result(command(LeaseTimeToLive(lease_id=8)))
    assert gone == LeaseTimeToLiveResult(revision=3, remaining_us=-1)


def test_a_lease_with_more_keys_than_an_answer_holds_says_so() -> None:
    host = host_with(*(b"%d" % number for number in range(LEASE_KEYS_MAX)))
    ask = command(LeaseTimeToLive(lease_id=7, with_keys=True))
    result = host.result(ask)
    assert isinstance(result, LeaseTimeToLiveResult)
    assert len(result.keys) == LEASE_KEYS_MAX
    host.apply(command(Put(key=b"x", lease=7)))
    assert refused(host.result(ask)) == CommandErrorCode.INVALID


def test_leases_are_listed_page_by_page() -> None:
    host = Machine()
    host.apply(*(command(LeaseGrant(lease_id=n, ttl_s=9)) for n in (2**63 - 1, 5, 3, 256)))
    machine = StateMachine(host.store, IDENTITY, read_limits=ReadLimits(list_keys_max=2))
    assert machine.read(ListLeases()) == ListLeasesResult(revision=1, lease_ids=(3, 5), more=True)
    assert machine.read(ListLeases(after=5)) == ListLeasesResult(
        revision=1, lease_ids=(256, 2**63 - 1), more=False
    )
    assert machine.read(ListLeases(after=2**63 - 1)) == ListLeasesResult(revision=1, lease_ids=(), more=False)
