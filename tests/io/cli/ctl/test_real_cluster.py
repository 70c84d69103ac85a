"""The main commands against three real nodes."""

import json
import signal

import pytest

from tests.e2e.cluster import Cluster, Node
from tests.io.cli.ctl.conftest import Ctl
from tests.io.cli.ctl.processes import end, read_line, start_ctl


@pytest.fixture
def endpoints(cluster: Cluster) -> str:
    return ",".join(node.http_addr for node in cluster.nodes.values())


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_put_get_del_and_their_revisions(
    ctl: Ctl, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    nodes = cluster.nodes.values()
    addresses = [node.grpc_addr if protocol == "grpc" else node.http_addr for node in nodes]
    monkeypatch.setenv("FERRITECTL_ENDPOINTS", ",".join(addresses))
    monkeypatch.setenv("FERRITECTL_PROTOCOL", protocol)
    assert ctl("put", f"{protocol}/a", "1").out == b"OK\n"
    assert ctl("put", f"{protocol}/a", "2", "--prev-kv").text == f"OK\n{protocol}/a\n1\n"
    assert ctl("put", f"{protocol}/b", stdin=b"\x00\xff").out == b"OK\n"
    found = json.loads(ctl("get", f"{protocol}/", "--prefix", "-w", "json").text)
    assert [kv["version"] for kv in found["kvs"]] == [2, 1]
    assert found["count"] == 2
    old = str(found["kvs"][0]["create_revision"])
    assert ctl("get", f"{protocol}/a", "--print-value-only", "--rev", old).out == b"1\n"
    assert ctl("get", f"{protocol}/b", "--print-value-only").out == b"\x00\xff\n"
    assert ctl("get", f"{protocol}/", "--prefix", "--count-only", "--consistency", "s").code == 0
    assert ctl("del", f"{protocol}/", "--prefix").out == b"2\n"
    assert ctl("get", f"{protocol}/a").out == b""


def test_more_keys_than_one_answer_has_are_all_printed(ctl: Ctl) -> None:
    big = b"x" * 900_000
    for number in range(6):
        assert ctl("put", f"big/{number}", stdin=big).code == 0
    printed = ctl("get", "big/", "--prefix", "--order", "DESCEND", "--print-value-only")
    assert printed.out == (big + b"\n") * 6
    assert ctl("del", "big/", "--prefix").out == b"6\n"


def test_a_transaction_takes_one_branch(ctl: Ctl) -> None:
    text = b'create("seat") = "0"\n\nput seat "alice \\"x\\""\n\nget seat\n'
    assert ctl("txn", stdin=text).out == b"SUCCESS\n\nOK\n"
    assert ctl("txn", stdin=text).out == b'FAILURE\n\nseat\nalice "x"\n'
    assert ctl("txn", "-i", stdin=b"\ndel seat --prev-kv\n\n").text == 'SUCCESS\n\n1\nseat\nalice "x"\n'


def test_a_lease_takes_its_keys_along(ctl: Ctl) -> None:
    lease = ctl("lease", "grant", "300").text.split()[1]
    assert ctl("put", "leased", "v", "--lease", lease).code == 0
    assert "attached keys([leased])" in ctl("lease", "timetolive", lease, "--keys").text
    assert lease in ctl("lease", "list").text.splitlines()
    assert ctl("lease", "keep-alive", "--once", lease).text == f"lease {lease} keepalived with TTL(300)\n"
    assert ctl("lease", "revoke", lease).text == f"lease {lease} revoked\n"
    assert ctl("get", "leased").out == b""
    again = ctl("lease", "revoke", lease)
    assert (again.code, again.err) == (1, f"Error: lease_not_found: there is no lease {lease} (any more)\n")


def test_compacted_history_cannot_be_read_or_watched(ctl: Ctl) -> None:
    for _ in range(2):
        ctl("put", "history", "x")
    header = json.loads(ctl("get", "history", "-w", "json").text)["header"]
    revision = header["revision"]
    assert ctl("compact", str(revision)).text == f"compacted revision {revision}\n"
    for words in (["get", "history", "--rev", str(revision - 1)], ["compact", str(revision)]):
        ran = ctl(*words)
        assert ran.code == 1
        assert ran.err.startswith("Error: compacted: ")
    assert ctl("watch", "history", "--rev", "1").code == 5
    assert ctl("get", "history", "--rev", str(revision + 1000)).err.startswith("Error: future_revision: ")


def test_the_cluster_shows_itself_and_moves_its_leader(ctl: Ctl, cluster: Cluster) -> None:
    members = json.loads(ctl("member", "list", "-w", "json").text)["members"]
    assert [member["ID"] for member in members] == [1, 2, 3]
    assert ctl("endpoint", "health", "--cluster").text.count("is healthy") == 3
    statuses = json.loads(ctl("endpoint", "status", "-w", "json").text)
    (leader,) = [
        one["Status"]["header"]["member_id"] for one in statuses if one["Status"]["role"] == "leader"
    ]
    target = 1 + leader % 3
    assert ctl("move-leader", str(target)).text == f"Leadership transferred from {leader} to {target}\n"
    assert cluster.leader().node_id == target
    assert ctl("move-leader", "77").code == 1


def test_a_member_is_added_and_removed(
    ctl: Ctl, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    node = Node(node_id=4, directory=tmp_path_factory.mktemp("node4"))
    node.start()
    try:
        added = ctl("member", "add", "4", "--peer-urls", f"http://{node.http_addr}", "--learner")
        assert (added.code, added.err) == (0, "")
        assert added.text.startswith("Member 4 added to cluster ")
        assert [line.split(", ")[5] for line in ctl("member", "list").text.splitlines()] == [
            "false", "false", "false", "true",
        ]  # fmt: skip
        assert ctl("member", "remove", "4").text.startswith("Member 4 removed from cluster ")
        assert len(ctl("member", "list").text.splitlines()) == 3
        assert ctl("member", "remove", "4").err.startswith("Error: unknown_member: ")
    finally:
        node.kill()


def test_a_watch_shows_changes_until_it_is_interrupted(ctl: Ctl, endpoints: str) -> None:
    revision = json.loads(ctl("put", "watched", "1", "-w", "json").text)["header"]["revision"]
    process = start_ctl("watch", "watched", "--rev", str(revision), "--prev-kv", endpoints=endpoints)
    assert [read_line(process) for _ in range(3)] == ["PUT", "watched", "1"]
    ctl("del", "watched")
    assert [read_line(process) for _ in range(5)] == ["DELETE", "watched", "1", "watched", ""]
    process.send_signal(signal.SIGINT)
    assert end(process) == (5, "", "Error: interrupted\n")


def test_an_interactive_watch_follows_lines_and_tells_how_far_it_is(ctl: Ctl, endpoints: str) -> None:
    process = start_ctl("watch", "-i", endpoints=endpoints)
    assert process.stdin is not None
    revision = json.loads(ctl("put", "line/0", "x", "-w", "json").text)["header"]["revision"]
    process.stdin.write(f'watch "line/" --prefix --rev {revision}\nnonsense\nprogress\n'.encode())
    process.stdin.flush()
    lines = {read_line(process) for _ in range(4)}
    assert {"PUT", "line/0", "x"} < lines
    assert any(line.startswith("progress notify: ") for line in lines)
    process.stdin.close()
    process.stdin = None
    code, _, err = end(process)
    assert code == 3
    assert err.splitlines() == [
        "nonsense: no such request; expected watch or progress",
        "Error: the input ended, and the watches with it",
    ]


def test_a_lock_is_held_while_its_program_runs_and_tells_it_the_token(ctl: Ctl) -> None:
    # The program is our child: it writes where it is told, not to what pytest captures.
    checks = 'case "$FERRITE_LOCK_KEY" in job/*) ;; *) exit 9;; esac; test "$FERRITE_LOCK_TOKEN" -gt 1 || exit 8; exit 7'
    ran = ctl("lock", "job", "--", "sh", "-c", checks)
    assert (ran.code, ran.err) == (7, "Error: sh ended with code 7\n")
    assert ctl("lock", "job", "true").code == 0
    assert ctl("get", "job/", "--prefix").out == b""
    assert ctl("lock", "job", "/nonexistent/program").code == 3


def test_a_lock_passes_on_when_its_holder_is_interrupted(ctl: Ctl, endpoints: str) -> None:
    first = start_ctl("lock", "gate", endpoints=endpoints)
    key, _, token = [read_line(first) for _ in range(3)]
    assert key.startswith("gate/")
    second = start_ctl("lock", "gate", endpoints=endpoints)
    first.send_signal(signal.SIGINT)
    assert end(first) == (0, "", "")
    second_key, _, second_token = [read_line(second) for _ in range(3)]
    assert second_key != key
    assert int(second_token.removeprefix("token ")) > int(token.removeprefix("token "))
    second.send_signal(signal.SIGTERM)
    assert end(second)[0] == 0
    assert ctl("get", "gate/", "--prefix").out == b""


def test_an_election_is_won_and_heard_of(ctl: Ctl, endpoints: str) -> None:
    leader = start_ctl("elect", "office", "me", endpoints=endpoints)
    key, proposal, token = [read_line(leader) for _ in range(3)]
    assert (key.startswith("office/"), proposal) == (True, "me")
    assert int(token.removeprefix("token ")) > 1
    listener = start_ctl("elect", "-l", "office", endpoints=endpoints)
    assert [read_line(listener), read_line(listener)] == [key, "me"]
    listener.send_signal(signal.SIGINT)
    assert end(listener)[0] == 5
    leader.send_signal(signal.SIGINT)
    assert end(leader)[0] == 0


def test_check_perf_judges_and_cleans_up(ctl: Ctl) -> None:
    ran = ctl("check", "perf", "--duration", "500ms", "--prefix", "perf/")
    verdicts = ran.text.splitlines()
    assert [line.split(": ")[1].split()[0] for line in verdicts[:3]] == ["Throughput", "Slowest", "Stddev"]
    assert verdicts[-1] == ("PASS" if ran.code == 0 else "FAIL")
    assert ctl("get", "perf/", "--prefix", "--count-only").out == b"0\n"
    ctl("put", "perf/mine", "x")
    refused = ctl("check", "perf", "--duration", "500ms", "--prefix", "perf/")
    assert refused.code == 1
    assert "has 1 keys" in refused.err


def test_nobody_at_the_endpoints_is_exit_code_2(ctl: Ctl) -> None:
    ran = ctl("get", "k", "--endpoints", "127.0.0.1:1", "--command-timeout", "300ms")
    assert (ran.code, ran.out) == (2, b"")
    assert "127.0.0.1:1 cannot be reached" in ran.err
    assert ran.err.count("\n") == 1


def test_a_reader_that_goes_away_ends_the_command_quietly(ctl: Ctl, endpoints: str) -> None:
    revision = json.loads(ctl("put", "pipe", "1", "-w", "json").text)["header"]["revision"]
    with start_ctl("watch", "pipe", "--rev", str(revision), endpoints=endpoints) as process:
        assert read_line(process) == "PUT"
        assert process.stdout is not None
        process.stdout.close()
        ctl("put", "pipe", "2")
        assert process.wait(20) == 1
        assert process.stderr is not None
        assert process.stderr.read() == b""
