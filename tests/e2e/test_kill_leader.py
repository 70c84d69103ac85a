from pathlib import Path

from tests.e2e.cluster import Cluster
from tests.e2e.kill_leader import torture


def test_no_acknowledged_write_is_lost_or_applied_twice_when_the_leader_is_killed(tmp_path: Path) -> None:
    """The short version of scripts/test-cluster.sh; how quick it was is judged there, on a quiet machine."""
    with Cluster(tmp_path) as cluster:
        report = torture(cluster, kills=2, clients=8, progress=print)
    faults = {name: found for name, found in report.checks.items() if found and "median" not in name}
    assert not faults, report.as_text()
    assert len(report.gaps_s) == 2
    assert report.acknowledged > 50
