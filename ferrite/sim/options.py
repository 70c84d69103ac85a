"""What a run is made of: sizes, speeds and fault probabilities. `swarm.py` draws a choice of them for a seed.

Probabilities are parts per million (`_ppm`), times are microseconds (`_us`), `_mean_us` are means of exponentials;
an interval of 0 switches its fault off.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final

from ferrite.core import ReplicaConfig

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
    """1 to 32 bits of a frame are flipped, or its end is cut off; the CRC must notice."""
    queue_frames_max: int = 0
    """Frames under way on a link above which any one of them is dropped; 0: no bound."""
    codec_every: int = 8
    """Every so many-th frame of a link travels as the bytes that the codec makes of it, and so does every frame that is damaged
    or replayed. The others are handed over as the immutable messages they are: to encode and decode all of them is a third of
    the cost of a run. 1: all are bytes.
    """
    unreachable_ppm: int = 500_000
    """A crash is reported to each other node as `PeerUnreachable`."""


@dataclass(slots=True, kw_only=True, frozen=True)
class DiskOptions:
    """The disk and the state store of every node."""

    sync_min_us: int = 100
    sync_mean_us: int = 400
    sync_error_ppm: int = 0
    full_ppm: int = 0
    read_error_ppm: int = 0
    """A latent sector error: a read fails, the next one may succeed."""
    apply_mean_us: int = 100
    apply_stall_ppm: int = 0
    flush_mean_us: int = 5_000
    load_mean_us: int = 200
    snapshot_mean_us: int = 10_000
    snapshot_lost_ppm: int = 0
    """A saved snapshot cannot be read when a piece of it is asked for."""
    snapshot_rot_ppm: int = 0
    """A piece of a snapshot has flipped bits on its way from the file: the receiver must notice."""


@dataclass(slots=True, kw_only=True, frozen=True)
class FaultOptions:
    """What happens to processes, links, clocks, disks and membership, as mean intervals over the whole cluster."""

    crash_every_us: int = 0
    power_loss_ppm: int = 700_000
    """The share of crashes in which un-synced writes are at stake; the others kill the process only."""
    crash_in_step_ppm: int = 500_000
    """The share of crashes that strike between two actions of one step, where persist-before-send bugs live."""
    crash_leader_ppm: int = 400_000
    crash_all_ppm: int = 30_000
    crash_loop_ppm: int = 50_000
    """The share of crashes after which the node crashes again and again, soon after each start."""
    down_mean_us: int = 1_500_000
    pause_every_us: int = 0
    pause_mean_us: int = 1_500_000
    stop_every_us: int = 0
    partition_every_us: int = 0
    partition_mean_us: int = 3_000_000
    clog_every_us: int = 0
    """Links freeze and let everything go at once afterwards."""
    clog_mean_us: int = 1_500_000
    slow_link_every_us: int = 0
    slow_link_mean_us: int = 100_000
    disk_stall_every_us: int = 0
    disk_stall_mean_us: int = 1_000_000
    disk_damage_every_us: int = 0
    """Bit rot, a misdirected write, a wiped or swapped disk, a lost tail: on one node a run at most, and it must refuse."""
    lonely_leader_every_us: int = 0
    """A leader is cut off with its writers, and the majority's leader may fall before the network is whole again."""
    sleeper_every_us: int = 0
    """A leader sleeps over an election; readers ask it meanwhile, and old answers arrive again."""
    short_reigns_every_us: int = 0
    """For a while each new leader falls soon after its election."""
    forgetful_voter_every_us: int = 0
    """A voter loses the tail that only it and the leader held, and the leader falls: on one node a run at most."""
    lost_repair_every_us: int = 0
    """A leader that was cut off is repaired when it returns, and its disk forgets the repair: on one node a run at most."""
    rolling_restart_every_us: int = 0
    """Leadership is handed over and back, then every follower restarts in turn and hears late frames first."""
    interrupted_change_every_us: int = 0
    """A change of voters loses its leader in the joint configuration, and the next leader is asked for another at once."""
    drift_ppm: int = 0
    """Clocks run fast or slow by up to this much, and change their rate now and then."""
    clock_jump_every_us: int = 0
    clock_jump_mean_us: int = 1_000_000
    late_timer_ppm: int = 0
    """A timer fires late, by `late_timer_mean_us` on average."""
    late_timer_mean_us: int = 300_000
    slow_cpu_us: int = 0
    """Each event costs one of the nodes so much time."""
    equal_jitter: bool = False
    """All nodes draw the same election timeouts."""
    reconfigure_ppm: int = 0
    """A node starts with other settings than it had."""
    transfer_every_us: int = 0
    membership_every_us: int = 0
    request_timeout_us: int = 3_000_000
    """How long an operator's request may take."""


@dataclass(slots=True, kw_only=True, frozen=True)
class ClientOptions:
    """Clients with sessions. Closed loop: one operation at a time each."""

    clients: int = 4
    keys: int = 8
    hot_key_ppm: int = 0
    """The share of operations on the first key."""
    think_mean_us: int = 50_000
    burst_every_us: int = 0
    """Clients rest for a while and then go on together, with this mean between bursts; 0: no bursts."""
    delay_mean_us: int = 500
    timeout_us: int = 2_000_000
    attempts_max: int = 6
    get_ppm: int = 400_000
    list_ppm: int = 30_000
    """The share of reads that list all keys."""
    delete_ppm: int = 150_000
    batch_ppm: int = 100_000
    serializable_ppm: int = 100_000
    """The share of reads that may be stale; half of them with a bound."""
    twice_ppm: int = 0
    """The share of attempts that are sent to two nodes at the same time."""
    answer_lost_ppm: int = 0
    """The connection breaks after the server acted."""
    crash_ppm: int = 0
    """The share of operations in whose middle the client crashes: its outcome is unknown, and a new client takes its place."""
    equal_value_ppm: int = 0
    """The share of writes whose value is no unique one."""
    value_bytes: int = 24


@dataclass(slots=True, kw_only=True, frozen=True)
class KvOptions:
    """What clients do beyond reading and writing single keys, and how the nodes keep house."""

    counter_ppm: int = 0
    """The share of writes that add one to a counter, by a transaction that compares."""
    txn_ppm: int = 0
    """The share of the remaining writes that are transactions over several keys."""
    delete_range_ppm: int = 0
    lease_ppm: int = 0
    compact_ppm: int = 0
    range_ppm: int = 0
    """The share of reads that are ranges: filtered, sorted, paged, at old revisions."""
    lease_ttl_s: int = 2
    kept_ppm: int = 600_000
    """The share of leases that their client keeps alive; the others are left to expire."""
    housekeeping: bool = False
    """Leaders propose Ticks, compactions and the space mode."""
    quota_bytes: int = 0
    """Of the keys' records; 0: none."""
    watchers: int = 0
    watch_queue_bytes: int = 4_000
    """What a node keeps for a watch that does not take it."""
    history_bytes: int = 1_000
    """Of one read of history for watches."""
    keep_revisions: int = 0
    """Leaders compact what is older; 0: only clients compact."""


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
    """States are compared by their fingerprints after every so many applies of a node, 0 for never; by their whole content (which
    costs a pass over the state) when a snapshot was installed, and at the end."""
    deep_check_every: int = 500
    """The checks that cost a pass over a log or a disk run after every so many steps of a node; 0 = at the end only."""
    clock_rate_ppm: int = 1_000_000
    """How fast all clocks of nodes and clients run, compared with links and disks: a lease of seconds fits into a short run."""
    core_only: bool = False
    """First only a quorum is healed and must converge, while the other nodes stay broken for good."""
    events_max: int = 3_000_000
    """Arrivals, timers and ends of disk operations of a whole run: above it something multiplies without end (L9)."""
    trace_lines: int = 0
    """The last so many notes of the trace are kept for a failure report."""
    trace_chunk: int = -1
    """The chunk of the trace whose notes are kept, to find where two runs part; -1: none."""
    replica: ReplicaConfig = field(default_factory=ReplicaConfig)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    disk: DiskOptions = field(default_factory=DiskOptions)
    faults: FaultOptions = field(default_factory=FaultOptions)
    clients: ClientOptions = field(default_factory=ClientOptions)
    kv: KvOptions = field(default_factory=KvOptions)

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
    if not 100_000 <= options.clock_rate_ppm <= 100_000_000:
        wrong.append(f"clock_rate_ppm is {options.clock_rate_ppm}; expected 100000 to 100000000")
    if options.network.codec_every < 1:
        wrong.append(f"codec_every is {options.network.codec_every}; expected 1 (every frame) or more")
    return wrong


def _bad_probabilities(options: Options) -> list[str]:
    wrong = []
    for part in (options.network, options.disk, options.faults, options.clients, options.kv):
        values: list[tuple[str, Any]] = [(f.name, getattr(part, f.name)) for f in fields(part)]
        for name, number in values:
            if number < 0 or (name.endswith("_ppm") and number > 1_000_000):
                wrong.append(
                    f"{name} is {number}; expected 0 to 1000000 parts per million, and no negative time"
                )
    return wrong
