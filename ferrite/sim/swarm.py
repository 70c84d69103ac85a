"""The options of a seed: which faults there are, and how strong.

Swarm testing (Groce 2012): a run with few fault types at full strength reaches states that a mix of all hides. So each fault
type is off in about half of the seeds, and drawn over its range otherwise. Two of three seeds then follow a profile, which
strengthens what belongs together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ferrite.core import ReplicaConfig
from ferrite.sim.bounds import NODES_MAX
from ferrite.sim.dice import Stream, seeded
from ferrite.sim.options import ClientOptions, DiskOptions, FaultOptions, KvOptions, NetworkOptions, Options
from ferrite.sim.profiles import PROFILES, calm

SECONDS: Final = 2
"""Simulated time with faults of a default seed: twice as many seeds find more than seeds twice as long."""

EVENTS_MAX: Final = 500_000
"""Honest seeds have 150,000 events at most."""
DEEP_CHECK_EVERY: Final = 1_500
"""Steps of a node; also at the end of each run."""
PROFILED_PPM: Final = 660_000
"""The share of seeds that follow a profile."""
PACES: Final = (5, 10)
"""How much quicker than the defaults timeouts, delays and faults are."""
QUICKEST: Final = PACES[-1]
LIBRARY_RATE_PPM: Final = QUICKEST * 1_000_000
"""The library's seconds pass as quickly as elections do."""


def swarm(seed: int, *, nodes: int = 0, seconds: int = SECONDS) -> Options:
    """Return the options of a seed. `nodes` 0 draws 1 to 5 voters, mostly 3."""
    name = profile_of(seed)
    options = _free(seed, pace=QUICKEST if name else 0, nodes=nodes, seconds=seconds)
    if name:
        dice = seeded(seed, "profile", name)
        options = PROFILES[name](calm(options, dice), dice)
    options = replace(options, kv=_watched(options.kv, seeded(seed, "swarm", "watchers")))
    chosen = nodes or options.nodes
    options = replace(options, nodes=chosen, spares=min(options.spares, NODES_MAX - chosen))
    return _with_libraries(options, seed)


def _with_libraries(options: Options, seed: int) -> Options:
    """In every seed some clients are the shipped library's, whatever else it follows."""
    dice = seeded(seed, "swarm", "library")
    share, tasks = dice.pick((500_000, 500_000, 1_000_000)), dice.pick((1, 3))
    pause_ppm, pause_mean_us = _some(dice, 10_000, 50_000), dice.pick((20_000, 200_000))
    if options.kv.session_ttl_s:
        # Others cannot go on in another session; and it takes a long sleep to have one end with a retry in hand.
        share, pause_ppm, pause_mean_us = 1_000_000, 50_000, 200_000
        options = replace(options, clients=_outliving_sessions(options.clients))
    clients = replace(
        options.clients,
        shipped_ppm=share,
        shipped_tasks=tasks,
        shipped_rate_ppm=LIBRARY_RATE_PPM,
        pause_ppm=pause_ppm,
        pause_mean_us=pause_mean_us,
    )
    return replace(options, clients=clients)


def _outliving_sessions(clients: ClientOptions) -> ClientOptions:
    """Calls that are carried out unheard, and not over when their session has ended: it ends after 100 ms to 250 ms of a run."""
    return replace(clients, timeout_us=600_000, answer_lost_ppm=50_000)


def profile_of(seed: int) -> str:
    """Return the name of the profile that a seed follows; "" for none."""
    dice = seeded(seed, "profile")
    return dice.pick(tuple(PROFILES)) if dice.chance(PROFILED_PPM) else ""


def _free(seed: int, *, pace: int, nodes: int, seconds: int) -> Options:
    dice = seeded(seed, "swarm")
    drawn = dice.pick((3, 3, 3, 3, 3, 5, 5, 4, 2, 1))
    spares = dice.pick((0, 0, 1, 2)) if drawn > 1 else 2
    pace = dice.pick(PACES) if pace == 0 else pace
    return Options(
        nodes=nodes or drawn,
        spares=min(spares, NODES_MAX - (nodes or drawn)),
        seconds=seconds,
        batch_events_max=dice.pick((1, 4, 16, 64)),
        events_max=EVENTS_MAX,
        deep_check_every=DEEP_CHECK_EVERY,
        core_only=dice.chance(500_000),
        replica=_replica(dice, seed, pace),
        network=_network(dice, pace),
        disk=_disk(dice, pace),
        faults=_faults(dice, seed, pace),
        clients=_clients(dice, pace),
        kv=_kv(seeded(seed, "swarm", "kv")),
    )


def _some(dice: Stream, *choices: int) -> int:
    """0 in half of the seeds, else one of the choices."""
    choice = dice.pick(choices)
    return choice if dice.chance(500_000) else 0


def _seldom(dice: Stream, *choices: int) -> int:
    """0 in five of six seeds, else one of the choices."""
    choice = dice.pick(choices)
    return choice if dice.chance(166_000) else 0


def _replica(dice: Stream, seed: int, pace: int) -> ReplicaConfig:
    small = dice.chance(600_000)
    config = ReplicaConfig(
        seed=seed,
        # A quick cluster has more elections in the same simulated time.
        heartbeat_interval_us=100_000 // pace,
        election_timeout_min_us=1_000_000 // pace,
        election_timeout_max_us=2_000_000 // pace,
        append_entries_max=dice.pick((1, 4, 1024)),
        inflight_messages_max=dice.pick((1, 4, 64)),
        apply_entries_max=dice.pick((1, 8, 1024)),
        snapshot_chunk_bytes=dice.pick((512, 4096, 1 << 16)),
    )
    if not small:
        return config
    # Short logs: flushes, cuts, loads from disk and snapshots happen all the time.
    return replace(
        config,
        cache_bytes_max=dice.pick((0, 512, 4096)),
        flush_entries=dice.pick((5, 20, 60)),
        flush_interval_us=dice.pick((500_000, 5_000_000)),
        log_entries_max=dice.pick((10, 40, 100)),
        log_retention_entries=dice.pick((0, 5, 20)),
    )


def _network(dice: Stream, pace: int) -> NetworkOptions:
    return NetworkOptions(
        delay_min_us=dice.pick((50, 500, 5_000)) // pace,
        delay_mean_us=dice.pick((200, 2_000, 30_000)) // pace,
        slow_ppm=_some(dice, 2_000, 20_000),
        slow_mean_us=dice.pick((300_000, 3_000_000)) // pace,
        loss_ppm=_some(dice, 10_000, 100_000, 250_000),
        duplicate_ppm=_some(dice, 20_000, 200_000),
        replay_ppm=_some(dice, 10_000, 100_000),
        flip_ppm=_some(dice, 5_000, 50_000),
        queue_frames_max=_seldom(dice, 2, 10),
        unreachable_ppm=dice.pick((0, 300_000, 1_000_000)),
        codec_every=dice.pick((1, 8)),
    )


def _disk(dice: Stream, pace: int) -> DiskOptions:
    return DiskOptions(
        sync_min_us=dice.pick((50, 500)),
        sync_mean_us=dice.pick((200, 2_000, 40_000)) // pace,
        sync_error_ppm=_some(dice, 500, 3_000),
        full_ppm=_some(dice, 5_000),
        read_error_ppm=_seldom(dice, 500, 3_000),
        apply_mean_us=dice.pick((20, 500, 20_000)) // pace,
        apply_stall_ppm=_some(dice, 20_000, 200_000),
        flush_mean_us=dice.pick((1_000, 200_000)),
        snapshot_lost_ppm=_some(dice, 10_000),
        snapshot_rot_ppm=_some(dice, 10_000),
    )


def _faults(dice: Stream, seed: int, pace: int) -> FaultOptions:
    return FaultOptions(
        crash_every_us=_some(dice, 500_000, 2_000_000, 5_000_000) // pace,
        power_loss_ppm=dice.pick((0, 700_000, 1_000_000)),
        crash_in_step_ppm=dice.pick((0, 500_000, 1_000_000)),
        crash_all_ppm=dice.pick((0, 50_000, 300_000)),
        crash_loop_ppm=dice.pick((0, 100_000)),
        down_mean_us=dice.pick((50_000, 1_500_000, 4_000_000)) // pace,
        pause_every_us=_some(dice, 2_000_000, 6_000_000) // pace,
        pause_mean_us=dice.pick((300_000, 2_500_000)) // pace,
        partition_every_us=_some(dice, 1_000_000, 2_000_000, 6_000_000) // pace,
        partition_mean_us=dice.pick((1_000_000, 4_000_000)) // pace,
        clog_every_us=_seldom(dice, 1_000_000, 4_000_000) // pace,
        slow_link_every_us=_seldom(dice, 2_000_000) // pace,
        stop_every_us=_some(dice, 5_000_000) // pace,
        disk_stall_every_us=_seldom(dice, 2_000_000) // pace,
        disk_damage_every_us=_seldom(dice, 3_000_000),
        drift_ppm=_seldom(dice, 10_000, 200_000),
        clock_jump_every_us=_seldom(dice, 2_000_000) // pace,
        late_timer_ppm=_seldom(dice, 20_000, 200_000),
        slow_cpu_us=_seldom(dice, 300, 3_000),
        equal_jitter=dice.chance(50_000),
        reconfigure_ppm=_seldom(dice, 300_000),
        lonely_leader_every_us=_seldom(dice, 4_000_000) // pace,
        sleeper_every_us=_seldom(dice, 4_000_000) // pace,
        short_reigns_every_us=_seldom(dice, 8_000_000) // pace,
        # Of a later day: drawn from dice of its own, so that all others stay as they were.
        interrupted_change_every_us=_seldom(seeded(seed, "swarm", "interrupted_change"), 4_000_000) // pace,
        transfer_every_us=_some(dice, 1_000_000, 3_000_000) // pace,
        membership_every_us=_some(dice, 500_000, 1_500_000, 4_000_000) // pace,
    )


def _clients(dice: Stream, pace: int) -> ClientOptions:
    return ClientOptions(
        clients=dice.pick((1, 4, 4, 10)),
        keys=dice.pick((1, 4, 30)),
        hot_key_ppm=_seldom(dice, 800_000),
        think_mean_us=dice.pick((10_000, 50_000, 200_000)),
        burst_every_us=_seldom(dice, 2_000_000),
        timeout_us=dice.pick((300_000, 2_000_000)) // pace,
        get_ppm=dice.pick((100_000, 400_000, 700_000)),
        twice_ppm=_seldom(dice, 200_000),
        answer_lost_ppm=_some(dice, 50_000),
        crash_ppm=_seldom(dice, 50_000),
        equal_value_ppm=_seldom(dice, 300_000),
        value_bytes=dice.pick((16, 64, 700)),
    )


def _kv(dice: Stream) -> KvOptions:
    """In half of the seeds: what comes on top of single keys."""
    if dice.chance(500_000):
        return KvOptions()
    compact_ppm = _some(dice, 20_000, 100_000)
    return KvOptions(
        counter_ppm=_some(dice, 100_000, 300_000),
        txn_ppm=_some(dice, 100_000, 400_000),
        delete_range_ppm=_some(dice, 100_000),
        compact_ppm=compact_ppm,
        range_ppm=_some(dice, 200_000, 600_000),
        housekeeping=compact_ppm > 0,
    )


def _watched(kv: KvOptions, dice: Stream) -> KvOptions:
    """Every seed has watches, whatever its profile."""
    return replace(
        kv,
        watchers=dice.pick((1, 2, 3)),
        watch_queue_bytes=dice.pick((300, 4_000)),
        history_bytes=dice.pick((1, 1_000)),
    )
