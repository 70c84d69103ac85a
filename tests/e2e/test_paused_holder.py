"""A lock's holder that was paused beyond its lease, as by a hypervisor, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from ferrite import Client
from ferrite.client import Put
from tests.e2e.cluster import Node
from tests.e2e.conftest import MakeCluster

TTL_S = 2
TREE = Path(__file__).parents[2]
HOLDER = """
import sys
from ferrite import Client
from ferrite.client import FerriteError, Put

with Client(sys.argv[1].split(",")) as client, client.lock("name", ttl_s=int(sys.argv[2])) as lock:
    print(lock.token, flush=True)
    sys.stdin.readline()
    try:
        print("written at", lock.write(Put("x", "late")).revision)
    except FerriteError as error:
        print(type(error).__name__, error)
"""


@contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A python in a process group of its own; ended with the block, also when it is stopped."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True, env={**os.environ, "PYTHONPATH": str(TREE)},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None, "it has a pipe"
    return process.stdout.readline()


def test_the_fenced_write_of_a_process_that_was_paused_beyond_its_lease_is_refused(
    make_cluster: MakeCluster,
) -> None:
    nodes = make_cluster(3).start().nodes.values()
    endpoints = [node.http_addr for node in nodes]
    with Client(endpoints) as client, _process("-c", HOLDER, ",".join(endpoints), str(TTL_S)) as paused:
        old_token = int(_line(paused))
        paused.send_signal(signal.SIGSTOP)
        with client.lock("name", wait_s=30) as lock:
            assert lock.token > old_token
            lock.write(Put("x", "in time"))
            paused.send_signal(signal.SIGCONT)
            said, complained = paused.communicate("now\n", timeout=30)
            assert said.startswith("LeaseLost lease_lost: "), said + complained
            assert f"not held with token {old_token} any more" in said
            assert "nothing was written" in said
            found = client.get("x")
        assert found is not None
        assert (found.text, found.version) == ("in time", 1)


def test_ferritectl_ends_the_program_of_a_lock_that_was_lost_while_it_was_paused(
    make_cluster: MakeCluster,
) -> None:
    """Its own write, fenced by the key and the token that it was given, is refused as well."""
    (node,) = make_cluster(1).start().nodes.values()
    program = "echo $FERRITE_LOCK_KEY $FERRITE_LOCK_TOKEN; exec sleep 600"
    lock = ("lock", "name", f"--ttl={TTL_S}", "--", "sh", "-c", program)
    with Client(node.http_addr) as client, _ferritectl(node, *lock) as paused:
        key, token = _line(paused).split()
        os.killpg(paused.pid, signal.SIGSTOP)
        with client.lock("name", wait_s=30) as held:
            held.write(Put("x", "in time"))
            with _ferritectl(node, "txn", "-w", "json") as late:
                said, complained = late.communicate(
                    f'create("{key}") = "{token}"\n\nput x late\n\n\n', timeout=30
                )
            answer = json.loads(said)
            assert (late.returncode, answer.get("succeeded", False)) == (0, False), complained
            os.killpg(paused.pid, signal.SIGCONT)
            _, complained = paused.communicate(timeout=30)
            assert paused.returncode == 5
            assert f"'{key}' was lost" in complained
            found = client.get("x")
        assert found is not None
        assert found.text == "in time"


def _ferritectl(node: Node, *arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
    code = "import sys; from ferrite.io.cli.ctl import main; sys.exit(main())"
    return _process("-c", code, "--endpoints", node.http_addr, *arguments)
