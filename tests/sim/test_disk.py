import pytest

from ferrite.core.disk import DiskError
from ferrite.sim.dice import Dice
from ferrite.sim.disk import SECTOR_BYTES, PowerLost, SimDisk

SEEDS = range(40)


def disk_of(seed: int) -> SimDisk:
    return SimDisk(Dice(seed).stream("disk"))


def written(disk: SimDisk, data: bytes) -> SimDisk:
    disk.create("log", 8 * SECTOR_BYTES)
    disk.write("log", 0, data)
    return disk


def test_what_was_synced_survives_every_power_loss() -> None:
    for seed in SEEDS:
        disk = written(disk_of(seed), b"a" * 1000)
        disk.sync("log")
        disk.write("log", 2048, b"b" * 512)
        disk.power_loss()
        assert disk.read("log", 0, 1000) == b"a" * 1000


def test_unsynced_writes_are_lost_kept_or_torn_at_sectors() -> None:
    outcomes = set()
    for seed in SEEDS:
        disk = written(disk_of(seed), b"x" * (4 * SECTOR_BYTES))
        disk.power_loss()
        sectors = tuple(disk.read("log", at * SECTOR_BYTES, SECTOR_BYTES) for at in range(4))
        assert all(sector in (bytes(SECTOR_BYTES), b"x" * SECTOR_BYTES) for sector in sectors)
        outcomes.add(sum(1 for sector in sectors if any(sector)))
    assert {0, 4} < outcomes


def test_a_killed_process_loses_nothing_and_makes_nothing_durable() -> None:
    lost = 0
    for seed in SEEDS:
        disk = written(disk_of(seed), b"x" * SECTOR_BYTES)
        disk.process_killed()
        assert disk.read("log", 0, SECTOR_BYTES) == b"x" * SECTOR_BYTES
        disk.power_loss()
        lost += disk.read("log", 0, SECTOR_BYTES) == bytes(SECTOR_BYTES)
    assert lost


def test_after_a_failed_sync_the_page_is_clean_but_not_durable() -> None:
    lost = 0
    for seed in SEEDS:
        disk = written(disk_of(seed), b"x" * SECTOR_BYTES)
        disk.syncs_fail = True
        with pytest.raises(DiskError, match="input/output error"):
            disk.sync("log")
        disk.syncs_fail = False
        disk.sync("log")
        assert disk.read("log", 0, SECTOR_BYTES) == b"x" * SECTOR_BYTES
        disk.power_loss()
        lost += disk.read("log", 0, SECTOR_BYTES) == bytes(SECTOR_BYTES)
    assert lost


def test_a_full_disk_refuses_new_files_and_says_so() -> None:
    disk = disk_of(1)
    disk.is_full = True
    with pytest.raises(DiskError) as refused:
        disk.create("log", 4096)
    assert refused.value.disk_full


def test_names_are_durable_when_the_call_returned() -> None:
    disk = written(disk_of(1), b"")
    disk.rename("log", "new")
    disk.create("gone", 10)
    disk.remove("gone")
    disk.power_loss()
    assert disk.list() == ("new",)


def test_power_goes_off_in_the_middle_of_the_operation_asked_for() -> None:
    names = set()
    for seed in SEEDS:
        disk = disk_of(seed)
        disk.lose_power_after(1)
        disk.create("first", 512)
        with pytest.raises(PowerLost):
            disk.create("second", 512)
        disk.power_loss()
        names.add(tuple(sorted(disk.list())))
        disk.create("third", 512)
    assert names == {("first",), ("first", "second")}


def test_wrong_names_are_refused() -> None:
    disk = written(disk_of(1), b"")
    with pytest.raises(DiskError, match="exists already"):
        disk.create("log", 1)
    with pytest.raises(DiskError, match="does not exist"):
        disk.read("other", 0, 1)
