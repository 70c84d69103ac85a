"""What a run is made of: sizes, speeds and fault probabilities. `swarm` draws a choice of them for a seed.

Probabilities are parts per million (`_ppm`), times are microseconds (`_us`), `_mean_us` are means of exponentials;
an interval of 0 switches its fault off.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from ferrite.core import ReplicaConfig
from ferrite.sim.dice import Dice, Stream

NODES_MAX: Final = 9
"""More nodes than anybody deploys find no further bugs and cost quadratically."""
SECONDS_MAX: Final = 3600
"""An hour of simulated time: longer searches belong into more seeds."""


@dataclass(slots=True, kw_only=True, frozen=True)
class NetworkOptions:
    """Every directed link for itself: minimum plus exponential delay, and what may happen to a frame."""

    delay_min_us: int = 200
    delay_mean_us: int = 800
    slow_ppm: int = 0
    """A frame that takes `slow_mean_us` more: reordering over whole terms, packets of dead incarnations."""
    slow_mean_us: int = 3_000_000
    loss_ppm: int = 0
    duplicate_ppm: int = 0
    replay_ppm: int = 0
    """With each frame sent, one old frame of the link is sent again."""
    flip_ppm: int = 0
    """1 to 32 bits of a frame are flipped; the CRC must notice."""
    unreachable_ppm: int = 500_000
    """A crash is reported to each other node as `PeerUnreachable`."""

    def healed(self) -> NetworkOptions:
        """The same network without faults: delays stay."""
        return replace(self, slow_ppm=0, loss_ppm=0, duplicate_ppm=0, replay_ppm=0, flip_ppm=0)


@dataclass(slots=True, kw_only=True, frozen=True)
class DiskOptions:
    """The disk and the state store of every node."""

    sync_min_us: int = 100
    sync_mean_us: int = 400
    sync_error_ppm: int = 0
    full_ppm: int = 0
    apply_mean_us: int = 100
    apply_stall_ppm: int = 0
    flush_mean_us: int = 5_000
    load_mean_us: int = 200
    snapshot_mean_us: int = 10_000
    snapshot_lost_ppm: int = 0
    """A saved snapshot cannot be read when a piece of it is asked for."""


@dataclass(slots=True, kw_only=True, frozen=True)
class FaultOptions:
    """What happens to processes and links, as mean intervals over the whole cluster."""

    crash_every_us: int = 0
    power_loss_ppm: int = 700_000
    """The share of crashes in which un-synced writes are at stake; the others kill the process only."""
    crash_in_step_ppm: int = 500_000
    """The share of crashes that strike between two actions of one step, where persist-before-send bugs live."""
    crash_leader_ppm: int = 400_000
    crash_all_ppm: int = 30_000
    down_mean_us: int = 1_500_000
    pause_every_us: int = 0
    pause_mean_us: int = 1_500_000
    partition_every_us: int = 0
    partition_mean_us: int = 3_000_000
    stop_every_us: int = 0
    transfer_every_us: int = 0
    membership_every_us: int = 0


@dataclass(slots=True, kw_only=True, frozen=True)
class ClientOptions:
    """Closed-loop clients with sessions."""

    clients: int = 4
    keys: int = 8
    think_mean_us: int = 50_000
    delay_mean_us: int = 500
    timeout_us: int = 2_000_000
    attempts_max: int = 6
    get_ppm: int = 400_000
    delete_ppm: int = 150_000
    serializable_ppm: int = 100_000
    """The share of reads that may be stale."""
    value_bytes: int = 24


@dataclass(slots=True, kw_only=True, frozen=True)
class Options:
    """One run. `nodes` are the voters from the start; `spares` are empty nodes that membership changes may take in."""

    nodes: int = 3
    spares: int = 0
    seconds: int = 20
    settle_seconds: int = 120
    """How long after the last fault the cluster may take to converge, in simulated time."""
    batch_events_max: int = 16
    """Events of one step are a random number up to this; 1 is common."""
    state_hash_every: int = 64
    """The state hash is taken after every so many applies (it costs a pass over the state); 0 = at snapshots and at the end
    only."""
    trace_lines: int = 0
    """The last so many trace lines are kept for a failure report."""
    replica: ReplicaConfig = field(default_factory=ReplicaConfig)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    disk: DiskOptions = field(default_factory=DiskOptions)
    faults: FaultOptions = field(default_factory=FaultOptions)
    clients: ClientOptions = field(default_factory=ClientOptions)

    def __post_init__(self) -> None:
        """Refuse what cannot be run. Raises ValueError with all that is wrong."""
        wrong = [*_out_of_range(self), *_bad_probabilities(self)]
        if wrong:
            raise ValueError("; ".join(wrong))


def _out_of_range(options: Options) -> list[str]:
    wrong = []
    if not 1 <= options.nodes <= NODES_MAX:
        wrong.append(f"nodes is {options.nodes}; expected 1 to {NODES_MAX}")
    if not 0 <= options.spares <= NODES_MAX - options.nodes:
        wrong.append(
            f"spares is {options.spares}; with {options.nodes} nodes expected 0 to {NODES_MAX - options.nodes}"
        )
    if not 1 <= options.seconds <= SECONDS_MAX:
        wrong.append(f"seconds is {options.seconds}; expected 1 to {SECONDS_MAX}")
    return wrong


def _bad_probabilities(options: Options) -> list[str]:
    wrong = []
    for part in (options.network, options.disk, options.faults, options.clients):
        values: list[tuple[str, Any]] = [(f.name, getattr(part, f.name)) for f in fields(part)]
        for name, number in values:
            if number < 0 or (name.endswith("_ppm") and number > 1_000_000):
                wrong.append(
                    f"{name} is {number}; expected 0 to 1000000 parts per million, and no negative time"
                )
    return wrong


def swarm(seed: int, *, nodes: int = 0, seconds: int = 20) -> Options:
    """Return the options of a seed: each fault type is off in about half of the seeds, drawn over its range otherwise.

    `nodes` 0 draws 3 or 5. Swarm testing (Groce 2012): a run with few fault types at full strength reaches states that a mix
    of all hides.
    """
    dice = Dice(seed).stream("swarm")
    drawn = dice.pick((3, 3, 3, 5))
    count = nodes or drawn
    return Options(
        nodes=count,
        spares=dice.pick((0, 1, 2)),
        seconds=seconds,
        batch_events_max=dice.pick((1, 4, 16, 64)),
        replica=_replica(dice, seed),
        network=_network(dice),
        disk=_disk(dice),
        faults=_faults(dice),
        clients=_clients(dice),
    )


def _some(dice: Stream, *choices: int) -> int:
    """0 in half of the seeds, else one of the choices."""
    choice = dice.pick(choices)
    return choice if dice.chance(500_000) else 0


def _replica(dice: Stream, seed: int) -> ReplicaConfig:
    small = dice.chance(500_000)
    config = ReplicaConfig(
        seed=seed,
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


def _network(dice: Stream) -> NetworkOptions:
    return NetworkOptions(
        delay_min_us=dice.pick((50, 500, 5_000)),
        delay_mean_us=dice.pick((200, 2_000, 30_000)),
        slow_ppm=_some(dice, 2_000, 20_000),
        slow_mean_us=dice.pick((300_000, 3_000_000)),
        loss_ppm=_some(dice, 10_000, 100_000, 250_000),
        duplicate_ppm=_some(dice, 20_000, 200_000),
        replay_ppm=_some(dice, 10_000, 100_000),
        flip_ppm=_some(dice, 5_000, 50_000),
        unreachable_ppm=dice.pick((0, 300_000, 1_000_000)),
    )


def _disk(dice: Stream) -> DiskOptions:
    return DiskOptions(
        sync_min_us=dice.pick((50, 500)),
        sync_mean_us=dice.pick((200, 2_000, 40_000)),
        sync_error_ppm=_some(dice, 500, 3_000),
        full_ppm=_some(dice, 500),
        apply_mean_us=dice.pick((20, 500, 20_000)),
        apply_stall_ppm=_some(dice, 20_000, 200_000),
        flush_mean_us=dice.pick((1_000, 200_000)),
        snapshot_lost_ppm=_some(dice, 10_000),
    )


def _faults(dice: Stream) -> FaultOptions:
    return FaultOptions(
        crash_every_us=_some(dice, 500_000, 2_000_000, 5_000_000),
        power_loss_ppm=dice.pick((0, 700_000, 1_000_000)),
        crash_in_step_ppm=dice.pick((0, 500_000, 1_000_000)),
        crash_all_ppm=dice.pick((0, 50_000, 300_000)),
        down_mean_us=dice.pick((50_000, 1_500_000, 4_000_000)),
        pause_every_us=_some(dice, 2_000_000, 6_000_000),
        pause_mean_us=dice.pick((300_000, 2_500_000)),
        partition_every_us=_some(dice, 2_000_000, 6_000_000),
        partition_mean_us=dice.pick((1_000_000, 4_000_000)),
        stop_every_us=_some(dice, 5_000_000),
        transfer_every_us=_some(dice, 3_000_000),
        membership_every_us=_some(dice, 1_500_000, 4_000_000),
    )


def _clients(dice: Stream) -> ClientOptions:
    return ClientOptions(
        clients=dice.pick((1, 4, 10)),
        keys=dice.pick((1, 4, 30)),
        think_mean_us=dice.pick((5_000, 50_000, 200_000)),
        timeout_us=dice.pick((300_000, 2_000_000)),
        get_ppm=dice.pick((100_000, 400_000, 700_000)),
        value_bytes=dice.pick((16, 64, 700)),
    )
