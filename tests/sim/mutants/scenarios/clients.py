"""Stories of programs that use the shipped client library."""

from dataclasses import replace

from ferrite.core import ReplicaConfig
from ferrite.sim import ClientOptions, Cluster, FaultOptions, Options
from ferrite.sim.options import KvOptions

COUNTING = Options(
    seconds=3,
    replica=ReplicaConfig(
        heartbeat_interval_us=10_000, election_timeout_min_us=100_000, election_timeout_max_us=200_000
    ),
    faults=FaultOptions(crash_every_us=400_000, crash_leader_ppm=1_000_000, down_mean_us=100_000),
    clients=ClientOptions(
        clients=4,
        think_mean_us=10_000,
        timeout_us=100_000,
        get_ppm=0,
        answer_lost_ppm=100_000,
        crash_ppm=20_000,
        shipped_ppm=1_000_000,
        shipped_tasks=2,
        shipped_rate_ppm=10_000_000,
        pause_ppm=20_000,
    ),
    kv=KvOptions(counter_ppm=1_000_000),
)


EXPIRING = replace(
    COUNTING,
    seconds=4,
    clock_rate_ppm=10_000_000,  # a second of the session's life is a tenth of the run's
    replica=ReplicaConfig(),
    clients=replace(COUNTING.clients, pause_ppm=50_000, pause_mean_us=200_000, timeout_us=300_000),
    kv=replace(COUNTING.kv, session_ttl_s=1),
)


def programs_count_while_leaders_fall() -> None:
    """Two programs of two tasks each count; leaders are killed, answers lost, programs stand still and crash."""
    _count(COUNTING)


def programs_sleep_over_the_end_of_their_sessions() -> None:
    """The same, with sessions that end while a program stands still over a change that may have been carried out."""
    _count(EXPIRING)


def _count(options: Options) -> None:
    for seed in (5, 6, 7):
        violation = Cluster(seed, options).run().violation
        if violation is not None:
            raise violation
