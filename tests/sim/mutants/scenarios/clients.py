"""Stories of programs that use the shipped client library."""

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
        library_ppm=1_000_000,
        library_tasks=2,
        library_rate_ppm=10_000_000,
        pause_ppm=20_000,
    ),
    kv=KvOptions(counter_ppm=1_000_000),
)


def programs_count_while_leaders_fall() -> None:
    """Two programs of two tasks each count; leaders are killed, answers lost, programs stand still and crash."""
    for seed in (5, 6, 7):
        violation = Cluster(seed, COUNTING).run().violation
        if violation is not None:
            raise violation
