"""Profiles: options that belong together, so that one region of states is visited again and again.

What a seed draws freely is a mix, and a mix seldom comes near a state that needs five things at once: a diverged log that
meets a snapshot, a change of members in the middle of an election. A profile strengthens what leads there, upon a cluster that is
calm but for a part of what was drawn. All run at the quickest pace: ten times the elections in the same simulated time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ferrite.sim.dice import Stream
from ferrite.sim.options import ClientOptions, DiskOptions, FaultOptions, KvOptions, NetworkOptions, Options

MS: Final = 1000
"""Microseconds of a millisecond."""

Profile = Callable[[Options, Stream], Options]

KEPT_PPM: Final = 300_000
"""The share of seeds in which a part of what was drawn freely stays: with all of it a cluster is seldom well enough to get
where a profile leads.
"""


LEASE_RATE: Final = 10
"""So much quicker than the rest the clocks run where leases live: two seconds of a run are twenty of theirs."""
INTERRUPTED_PPM: Final = 400_000
"""The share of seeds with changes of members in which these are interrupted."""


def calm(drawn: Options, dice: Stream) -> Options:
    """Take most of the faults and of the slowness away that a seed drew."""
    kept = [dice.chance(KEPT_PPM) for _ in range(4)]
    network = NetworkOptions(delay_min_us=50, delay_mean_us=dice.pick((200, 1 * MS, 3 * MS)))
    disk = DiskOptions(sync_min_us=50, sync_mean_us=dice.pick((100, 1 * MS, 4 * MS)), apply_mean_us=50)
    return replace(
        drawn,
        network=drawn.network if kept[0] else network,
        disk=drawn.disk if kept[1] else disk,
        faults=drawn.faults if kept[2] else FaultOptions(down_mean_us=drawn.faults.down_mean_us),
        clients=drawn.clients if kept[3] else ClientOptions(timeout_us=200 * MS, think_mean_us=20 * MS),
    )


def _elections(drawn: Options, dice: Stream) -> Options:
    """Candidates against each other: short reigns, voters that restart within a campaign, votes that arrive late."""
    low_us = drawn.replica.election_timeout_min_us
    return replace(
        drawn,
        # A narrow span of timeouts, and many candidates of one term.
        replica=replace(drawn.replica, election_timeout_max_us=low_us * dice.pick((11, 15, 20)) // 10),
        network=replace(
            drawn.network,
            delay_mean_us=dice.pick((300, 3 * MS, 10 * MS)),
            slow_ppm=dice.pick((0, 30_000, 100_000)),
            slow_mean_us=dice.pick((30 * MS, 100 * MS)),
            replay_ppm=dice.pick((0, 200_000)),
        ),
        disk=replace(drawn.disk, sync_mean_us=dice.pick((200, 4 * MS, 15 * MS))),
        faults=replace(
            drawn.faults,
            crash_every_us=dice.pick((0, 60 * MS, 150 * MS)),
            crash_leader_ppm=dice.pick((0, 400_000)),
            crash_loop_ppm=0,
            down_mean_us=dice.pick((2 * MS, 10 * MS, 150 * MS)),
            pause_every_us=dice.pick((0, 300 * MS)),
            pause_mean_us=250 * MS,
            short_reigns_every_us=dice.pick((0, 500 * MS, 2_000 * MS)),
            transfer_every_us=dice.pick((0, 100 * MS)),
        ),
    )


def _snapshots(drawn: Options, dice: Stream) -> Options:
    """Short logs, small chunks, slow installations, and frames that come twice, while leaders change."""
    return replace(
        drawn,
        replica=replace(
            drawn.replica,
            flush_entries=dice.pick((3, 5, 10)),
            log_entries_max=dice.pick((3, 8)),
            log_retention_entries=0,
            snapshot_chunk_bytes=dice.pick((256, 512, 4096)),
        ),
        network=replace(
            drawn.network, duplicate_ppm=dice.pick((0, 50_000, 200_000)), loss_ppm=dice.pick((0, 0, 50_000))
        ),
        disk=replace(
            drawn.disk,
            flush_mean_us=1 * MS,
            snapshot_mean_us=dice.pick((1 * MS, 20 * MS, 100 * MS)),
            snapshot_rot_ppm=dice.pick((0, 20_000, 100_000)),
            snapshot_lost_ppm=dice.pick((0, 0, 10_000)),
        ),
        faults=replace(
            drawn.faults,
            crash_every_us=dice.pick((0, 400 * MS)),
            down_mean_us=dice.pick((10 * MS, 100 * MS, 300 * MS)),
            partition_every_us=dice.pick((0, 300 * MS)),
            partition_mean_us=200 * MS,
            lonely_leader_every_us=dice.pick((0, 600 * MS)),
        ),
        clients=replace(
            drawn.clients,
            clients=10,
            keys=30,
            think_mean_us=dice.pick((10 * MS, 40 * MS)),
            get_ppm=200_000,
            value_bytes=dice.pick((16, 300)),
        ),
    )


def _diverged(drawn: Options, dice: Stream) -> Options:
    """Leaders that go on alone with most of the writers, while the others cut their logs behind them."""
    short = dice.chance(600_000)
    replica = replace(drawn.replica, append_entries_max=dice.pick((1, 4, 1024)))
    if short:
        replica = replace(replica, flush_entries=3, log_entries_max=3, log_retention_entries=0)
    return replace(
        drawn,
        nodes=max(3, drawn.nodes),
        replica=replica,
        disk=replace(
            drawn.disk, sync_mean_us=dice.pick((200, 4 * MS)), flush_mean_us=1 * MS, snapshot_mean_us=1 * MS
        ),
        faults=replace(
            drawn.faults,
            lonely_leader_every_us=dice.pick((400 * MS, 800 * MS)),
            short_reigns_every_us=dice.pick((0, 1_500 * MS)),
            crash_every_us=dice.pick((0, 1_000 * MS)),
            # Where logs are short a snapshot mends them, and no repair is lost.
            lost_repair_every_us=0 if short else dice.pick((0, 300 * MS)),
        ),
        clients=replace(
            drawn.clients,
            clients=20,
            think_mean_us=dice.pick((150 * MS, 300 * MS)),
            timeout_us=dice.pick((10 * MS, 50 * MS)),
            get_ppm=100_000,
        ),
    )


def _sleepers(drawn: Options, dice: Stream) -> Options:
    """Leaders that sleep over an election and are read when they wake."""
    return replace(
        drawn,
        nodes=max(3, drawn.nodes),
        network=replace(
            drawn.network, replay_ppm=dice.pick((1_000, 200_000)), slow_ppm=dice.pick((0, 30_000))
        ),
        disk=replace(drawn.disk, sync_mean_us=dice.pick((200, 4 * MS, 30 * MS))),
        faults=replace(
            drawn.faults,
            sleeper_every_us=dice.pick((300 * MS, 600 * MS)),
            pause_every_us=dice.pick((0, 300 * MS)),
            pause_mean_us=250 * MS,
        ),
        clients=replace(
            drawn.clients,
            clients=6,
            keys=dice.pick((1, 4)),
            think_mean_us=dice.pick((40 * MS, 100 * MS)),
            timeout_us=dice.pick((20 * MS, 100 * MS)),
            get_ppm=700_000,
            serializable_ppm=0,
        ),
    )


def _members(drawn: Options, dice: Stream) -> Options:
    """Changes of members one upon the other, with requests that expire, while leaders fall."""
    nodes = dice.pick((1, 2, 3, 3, 4))
    changing = replace(
        drawn,
        nodes=nodes,
        spares=dice.pick((1, 2, 3)),
        disk=replace(drawn.disk, sync_mean_us=dice.pick((200, 5 * MS, 20 * MS))),
        faults=replace(
            drawn.faults,
            membership_every_us=dice.pick((30 * MS, 60 * MS, 150 * MS)),
            request_timeout_us=dice.pick((60 * MS, 300 * MS, 1_000 * MS)),
            transfer_every_us=dice.pick((0, 150 * MS)),
            pause_every_us=dice.pick((0, 150 * MS)),
            pause_mean_us=dice.pick((150 * MS, 300 * MS)),
            partition_every_us=dice.pick((0, 200 * MS)),
            partition_mean_us=dice.pick((100 * MS, 300 * MS)),
            crash_every_us=dice.pick((0, 300 * MS)),
            down_mean_us=dice.pick((10 * MS, 200 * MS)),
            short_reigns_every_us=dice.pick((0, 1_000 * MS)),
        ),
    )
    return _interrupted(changing, dice) if dice.chance(INTERRUPTED_PPM) else changing


def _interrupted(drawn: Options, dice: Stream) -> Options:
    """Leaders fall inside joint configurations. But for that little goes wrong, else it seldom comes to one."""
    return replace(
        drawn,
        nodes=dice.pick((2, 3, 3, 4, 5)),
        spares=dice.pick((1, 2)),
        faults=replace(
            drawn.faults,
            interrupted_change_every_us=dice.pick((100 * MS, 200 * MS)),
            membership_every_us=dice.pick((60 * MS, 150 * MS)),
            request_timeout_us=dice.pick((300 * MS, 1_000 * MS)),
            pause_every_us=0,
            partition_every_us=0,
            crash_every_us=0,
            short_reigns_every_us=0,
        ),
    )


def _restarts(drawn: Options, dice: Stream) -> Options:
    """Quick restarts, and frames of incarnations and terms that are over."""
    return replace(
        drawn,
        network=replace(
            drawn.network,
            replay_ppm=dice.pick((100_000, 500_000)),
            slow_ppm=dice.pick((0, 30_000)),
            slow_mean_us=dice.pick((50 * MS, 300 * MS)),
        ),
        faults=replace(
            drawn.faults,
            crash_every_us=dice.pick((150 * MS, 400 * MS)),
            crash_leader_ppm=dice.pick((0, 400_000)),
            down_mean_us=dice.pick((5 * MS, 20 * MS)),
            transfer_every_us=dice.pick((0, 150 * MS)),
            rolling_restart_every_us=dice.pick((0, 400 * MS)),
        ),
    )


def _damage(drawn: Options, dice: Stream) -> Options:
    """A disk that rots or forgets."""
    forgets = dice.chance(600_000)
    return replace(
        drawn,
        nodes=max(3, drawn.nodes),
        faults=replace(
            drawn.faults,
            disk_damage_every_us=0 if forgets else dice.pick((300 * MS, 1_000 * MS, 3_000 * MS)),
            forgetful_voter_every_us=300 * MS if forgets else 0,
            lonely_leader_every_us=dice.pick((0, 700 * MS)),
            crash_every_us=dice.pick((0, 500 * MS)),
            down_mean_us=dice.pick((20 * MS, 200 * MS)),
            lost_repair_every_us=0 if forgets else 300 * MS,
        ),
    )


def _leases(drawn: Options, dice: Stream) -> Options:
    """Leases that are kept alive and left to end, while leaders change; history that is compacted, and a store that is full."""
    # Clocks run at ten times the speed of everything else, and all that the nodes time is as slow as it is at the pace of others.
    return replace(
        drawn,
        clock_rate_ppm=LEASE_RATE * 1_000_000,
        replica=replace(
            drawn.replica,
            heartbeat_interval_us=drawn.replica.heartbeat_interval_us * LEASE_RATE,
            election_timeout_min_us=drawn.replica.election_timeout_min_us * LEASE_RATE,
            election_timeout_max_us=drawn.replica.election_timeout_max_us * LEASE_RATE,
        ),
        disk=replace(drawn.disk, sync_mean_us=dice.pick((100, 1 * MS)), apply_mean_us=50),
        faults=replace(
            drawn.faults,
            crash_every_us=dice.pick((0, 400 * MS)),
            down_mean_us=dice.pick((20 * MS, 200 * MS)),
            pause_every_us=dice.pick((0, 300 * MS)),
            pause_mean_us=dice.pick((150 * MS, 400 * MS)),
            transfer_every_us=dice.pick((0, 200 * MS)),
            sleeper_every_us=dice.pick((0, 600 * MS)),
        ),
        clients=replace(drawn.clients, clients=dice.pick((3, 6)), think_mean_us=15 * MS, get_ppm=200_000),
        kv=KvOptions(
            counter_ppm=dice.pick((0, 200_000)),
            txn_ppm=dice.pick((0, 200_000)),
            delete_range_ppm=dice.pick((0, 50_000)),
            lease_ppm=dice.pick((300_000, 700_000)),
            compact_ppm=dice.pick((0, 30_000)),
            range_ppm=300_000,
            lease_ttl_s=dice.pick((2, 2, 4)),
            kept_ppm=dice.pick((300_000, 800_000)),
            housekeeping=True,
            quota_bytes=dice.pick((0, 1_500, 4_000)),
            keep_revisions=dice.pick((0, 10, 40)),
            session_ttl_s=dice.pick((0, 1, 2)),
        ),
    )


PROFILES: Final[dict[str, Profile]] = {
    "elections": _elections,
    "snapshots": _snapshots,
    "diverged": _diverged,
    "sleepers": _sleepers,
    "members": _members,
    "restarts": _restarts,
    "damage": _damage,
    "leases": _leases,
}
"""Name -> what it makes of the options that a seed drew freely."""
