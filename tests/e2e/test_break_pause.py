"""A leader that was stopped for seconds, as by a hypervisor, while the others went on."""

import signal
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.cluster import Answer, wait_for
from tests.e2e.conftest import MakeCluster

READERS = 6


def test_a_leader_that_was_paused_answers_no_read_with_what_was_overwritten_meanwhile(
    make_cluster: MakeCluster,
) -> None:
    """Half of the reads are asked while it stands still, half right after it goes on."""
    cluster = make_cluster(3).start()
    paused = cluster.leader()
    paused.write("register", "old")
    cluster.wait_level()
    other = cluster.followers()[0]
    paused.signal(signal.SIGSTOP)

    def overwritten() -> bool:
        body = {"Set": {"key": "register", "value": "new"}, "timeout_ms": 2000}
        return other.ask("POST", "/write", body).status == 200

    def read() -> Answer:
        return paused.ask("POST", "/read", {"key": "register", "timeout_ms": 4000}, timeout_s=20)

    wait_for("the others elect a leader and write", overwritten, 20)
    with ThreadPoolExecutor(max_workers=READERS) as pool:
        reads = [pool.submit(read) for _ in range(READERS // 2)]
        paused.signal(signal.SIGCONT)
        reads += [pool.submit(read) for _ in range(READERS // 2)]
        answers = [one.result() for one in reads]
    assert {answer.body["value"] for answer in answers if answer.status == 200} == {"new"}, answers
