"""What a run is made of: sizes, speeds and fault probabilities. `swarm.py` draws a choice of them for a seed.

Probabilities are parts per million (`_ppm`), times are microseconds (`_us`), `_mean_us` are means of exponentials;
an interval of 0 switches its fault off.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ferrite.core import ReplicaConfig
from ferrite.sim.bounds import NODES_MAX, wrong_values


@dataclass(slots=True, kw_only=True, frozen=True)
class NetworkOptions:
    """Every directed link for itself: minimum plus exponential delay, and what may happen to a frame."""

    delay_min_us: int = 200
    """Every frame takes at least so long."""
    delay_mean_us: int = 800
    """The random part of a frame's delay, on top of the least."""
    slow_ppm: int = 0
    """A frame that takes `slow_mean_us` more: reordering over whole terms, packets of dead incarnations."""
    slow_mean_us: int = 3_000_000
    loss_ppm: int = 0
    """A frame is lost on its way."""
    duplicate_ppm: int = 0
    """A frame arrives a second time."""
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
    """A disk sync takes at least so long."""
    sync_mean_us: int = 400
    """The random part of what a sync takes."""
    sync_error_ppm: int = 0
    """A sync fails: nobody knows what is durable, and the node must stop."""
    full_ppm: int = 0
    """A write finds the disk full."""
    read_error_ppm: int = 0
    """A latent sector error: a read fails, the next one may succeed."""
    apply_mean_us: int = 100
    """What applying one batch of entries to the state takes."""
    apply_stall_ppm: int = 0
    """The state store pushes back: nothing of an order is applied, and it must be ordered again."""
    flush_mean_us: int = 5_000
    """What making the applied state durable takes."""
    load_mean_us: int = 200
    """What reading old entries back from the disk takes."""
    snapshot_mean_us: int = 10_000
    """What saving or installing a snapshot takes."""
    snapshot_lost_ppm: int = 0
    """A saved snapshot cannot be read when a piece of it is asked for."""
    snapshot_rot_ppm: int = 0
    """A piece of a snapshot has flipped bits on its way from the file: the receiver must notice."""


@dataclass(slots=True, kw_only=True, frozen=True)
class FaultOptions:
    """What happens to processes, links, clocks, disks and membership, as mean intervals over the whole cluster."""

    crash_every_us: int = 0
    """Between two crashes of a node."""
    power_loss_ppm: int = 700_000
    """The share of crashes in which un-synced writes are at stake; the others kill the process only."""
    crash_in_step_ppm: int = 500_000
    """The share of crashes that strike between two actions of one step, where persist-before-send bugs live."""
    crash_leader_ppm: int = 400_000
    """The share of crashes that strike the leader, when there is one."""
    crash_all_ppm: int = 30_000
    """The share of crashes that take all nodes down at once."""
    crash_loop_ppm: int = 50_000
    """The share of crashes after which the node crashes again and again, soon after each start."""
    down_mean_us: int = 1_500_000
    """How long a crashed node stays down."""
    pause_every_us: int = 0
    """Between two pauses: a process stands still, as under a debugger or a slow hypervisor."""
    pause_mean_us: int = 1_500_000
    """How long a pause lasts."""
    stop_every_us: int = 0
    """Between two orderly shutdowns of a node, which starts again later."""
    partition_every_us: int = 0
    """Between two partitions: links between nodes are cut."""
    partition_mean_us: int = 3_000_000
    """How long a partition lasts."""
    clog_every_us: int = 0
    """Links freeze and let everything go at once afterwards."""
    clog_mean_us: int = 1_500_000
    """How long links stay frozen."""
    slow_link_every_us: int = 0
    """Between two times that a link becomes slow."""
    slow_link_mean_us: int = 100_000
    """How much longer a frame takes on a slow link."""
    disk_stall_every_us: int = 0
    """Between two times that a disk answers nothing for a while."""
    disk_stall_mean_us: int = 1_000_000
    """How long a disk answers nothing."""
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
    """Between two leaps forward of a node's clock."""
    clock_jump_mean_us: int = 1_000_000
    """How far a clock leaps."""
    late_timer_ppm: int = 0
    """A timer fires late, by `late_timer_mean_us` on average."""
    late_timer_mean_us: int = 300_000
    """How late a late timer fires."""
    slow_cpu_us: int = 0
    """Each event costs one of the nodes so much time."""
    equal_jitter: bool = False
    """All nodes draw the same election timeouts."""
    reconfigure_ppm: int = 0
    """A node starts with other settings than it had."""
    transfer_every_us: int = 0
    """Between two orders to hand leadership over."""
    membership_every_us: int = 0
    """Between two changes of members that an operator asks for."""
    request_timeout_us: int = 3_000_000
    """How long an operator's request may take."""


@dataclass(slots=True, kw_only=True, frozen=True)
class ClientOptions:
    """Clients with sessions. Closed loop: one operation at a time each."""

    clients: int = 4
    """How many clients work at the same time."""
    keys: int = 8
    """How many keys they write and read: the fewer, the more they get into each other's way."""
    hot_key_ppm: int = 0
    """The share of operations on the first key."""
    think_mean_us: int = 50_000
    """How long a client rests between two operations."""
    burst_every_us: int = 0
    """Clients rest for a while and then go on together, with this mean between bursts; 0: no bursts."""
    delay_mean_us: int = 500
    """What a request, and its answer, takes between client and node."""
    timeout_us: int = 2_000_000
    """How long a client waits for an answer before it tries again elsewhere."""
    attempts_max: int = 6
    """How often a client tries an operation before it gives it up as unknown."""
    get_ppm: int = 400_000
    """The share of operations that read."""
    list_ppm: int = 30_000
    """The share of reads that list all keys."""
    delete_ppm: int = 150_000
    """The share of changes of a key that delete it; the others write."""
    batch_ppm: int = 100_000
    """The share of writes that change several keys at once."""
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
    """The length that values are filled up to."""
    shipped_ppm: int = 0
    """The share of clients that ask through the shipped client library; the others retry more rashly, by themselves."""
    shipped_tasks: int = 1
    """So many clients share one process and its session."""
    shipped_rate_ppm: int = 1_000_000
    """How fast the library's clock runs: its pauses are made for elections of seconds."""
    pause_ppm: int = 0
    """The share of the library's attempts before which its process stands still."""
    pause_mean_us: int = 200_000
    """How long it does."""


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
    session_ttl_s: int = 0
    """Sessions end after so much silence by the cluster's time; 0: the shipped hour. Only the library's clients can handle it."""
    history_bytes: int = 1_000
    """Of one read of history for watches."""
    keep_revisions: int = 0
    """Leaders compact what is older; 0: only clients compact."""


@dataclass(slots=True, kw_only=True, frozen=True)
class Options:
    """One run."""

    nodes: int = 3
    """Voters from the start."""
    spares: int = 0
    """Empty nodes that membership changes may take in."""
    seconds: int = 20
    """Simulated time with faults; healing and converging come on top."""
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
        wrong = [*wrong_values(self)]
        if self.nodes <= NODES_MAX < self.nodes + self.spares:
            wrong.append(
                f"spares is {self.spares}; expected at most {NODES_MAX - self.nodes}: "
                f"with nodes {self.nodes} that makes {NODES_MAX}"
            )
        if wrong:
            raise ValueError("; ".join(wrong))
