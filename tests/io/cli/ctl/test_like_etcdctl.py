"""The same words give the same bytes as etcdctl 3.4's, but for ids, and exit codes that fail where its fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, free_port, wait_for
from tests.io.cli.ctl.conftest import QUICK, Ctl

pytestmark = pytest.mark.skipif(
    shutil.which("etcd") is None or shutil.which("etcdctl") is None,
    reason="etcd and etcdctl are not installed (Debian: etcd-server, etcd-client); they are what this compares with",
)
COMMAND_TIMEOUT_S = 20
FORMATS = ("simple", "fields", "json")
# Their values are ids, or count elections: of their own on both sides.
ID_FIELD = re.compile(r'^("(?:ClusterID|MemberID|RaftTerm)") : \d+$', re.MULTILINE)
ID_JSON = re.compile(r'"(cluster_id|member_id|raft_term)":\d+,?')
Words = tuple[str, ...]


@dataclass
class Side:
    """One of the two: how it is run, and the leases it granted."""

    run: Any
    leases: list[str] = field(default_factory=list)

    def said(self, words: Words, stdin: bytes) -> tuple[bool, str]:
        """Whether it succeeded, and its output with the ids taken out."""
        code, out = self.run(
            tuple(word.format(*self.leases) if "{" in word else word for word in words), stdin
        )
        text = out.decode("utf-8", "surrogateescape")
        if "granted with TTL" in text and words[:2] == ("lease", "grant"):
            self.leases.append(text.split()[1])
        for number, lease in enumerate(self.leases):
            text = text.replace(lease, f"<lease {number}>").replace(str(int(lease, 16)), f"<lease {number}>")
        return code == 0, ID_JSON.sub("", ID_FIELD.sub(r"\1 : <id>", text))


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fresh etcd's address."""
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    directory = tmp_path_factory.mktemp("etcd")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "etcd", "--data-dir", str(directory / "data"), "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_for("etcd answers", lambda: run_etcdctl(client, ("get", "k"), b"")[0] == 0, 20)
        yield client
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fresh Ferrite node's address: revisions must be the same as the fresh etcd's."""
    with Cluster(tmp_path_factory.mktemp("fresh"), 1, settings=QUICK) as found:
        found.start()
        found.leader()
        yield found.nodes[1].grpc_addr


def run_etcdctl(address: str, words: Words, stdin: bytes) -> tuple[int, bytes]:
    """Its exit code and output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCDCTL")}
    ran = subprocess.run(
        ["etcdctl", "--endpoints", address.removeprefix("http://"), *words],
        env=environment | {"ETCDCTL_API": "3"}, input=stdin, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False,
    )  # fmt: skip
    return ran.returncode, ran.stdout


@pytest.fixture
def sides(run_ctl: Ctl, etcd: str, fresh: str) -> tuple[Side, Side]:
    def run_ferritectl(words: Words, stdin: bytes) -> tuple[int, bytes]:
        ran = run_ctl("--endpoints", fresh, "--command-timeout", f"{COMMAND_TIMEOUT_S}s", *words, stdin=stdin)
        return ran.code, ran.out

    return Side(run=lambda words, stdin: run_etcdctl(etcd, words, stdin)), Side(run=run_ferritectl)


BINARY = b'a\x01\x7f\xff\xc3\xa9\xe2\x80\x8b\xf0\x9f\x98\x80"\\\t\xff\n'
TXN = b"""value("a") = "2"
version("a") > "0"
create("nosuch") = "0"

put a "3\\n\\"x\\"" --prev-kv
get a
del nosuch
del b --prev-kv
get "" --prefix --keys-only --limit 1

get a

"""
STORY: list[tuple[Words, bytes]] = [
    (("put", "a", "1"), b""),
    (("put", "a", "2", "--prev-kv"), b""),
    (("put", "b"), BINARY),
    (("put", "c c", "--", "-dash"), b""),
    (("put", "a", "--ignore-value", "--prev-kv"), b""),
    (("put", "nosuch", "--ignore-value"), b""),
    (("get", "a"), b""),
    (("get", "nosuch"), b""),
    (("get", "", "--prefix"), b""),
    (("get", "b", "--hex"), b""),
    (("get", "b", "--from-key", "--keys-only"), b""),
    (("get", "a", "c", "--order", "DESCEND"), b""),
    (("get", "", "--prefix", "--sort-by", "MODIFY", "--limit", "2"), b""),
    (("get", "", "--prefix", "--sort-by", "VERSION", "--order", "DESCEND", "--limit", "1"), b""),
    (("get", "a", "--rev", "2"), b""),
    (("get", "a", "--rev", "100000"), b""),
    (("get", "a", "--consistency", "s"), b""),
    (("get", "a", "b", "--prefix"), b""),
    (("txn",), TXN),
    (("txn",), TXN),
    (("txn",), b"\n\n\n"),
    (("txn",), b"nonsense\n"),
    (("del", "b"), b""),
    (("del", "c c", "--prev-kv"), b""),
    (("lease", "list"), b""),
    (("lease", "timetolive", "77"), b""),
    (("lease", "revoke", "77"), b""),
    (("lease", "keep-alive", "--once", "77"), b""),
    (("put", "x", "y", "--lease", "77"), b""),
    (("put", "a", "z", "--lease", "nothex"), b""),
    (("del", "", "--prefix"), b""),
]


@pytest.mark.parametrize("form", FORMATS)
def test_keys_transactions_and_refusals_print_the_same(sides: tuple[Side, Side], form: str) -> None:
    for words, stdin in STORY:
        told = tuple(side.said((*words[:1], "-w", form, *words[1:]), stdin) for side in sides)
        assert told[1] == told[0], words


@pytest.mark.parametrize("form", FORMATS)
def test_leases_print_the_same(sides: tuple[Side, Side], form: str) -> None:
    story: list[Words] = [
        ("lease", "grant", "1000"),
        ("put", "leased", "v", "--lease", "{0}"),
        ("get", "leased", "-w", form),
        ("lease", "list", "-w", form),
        ("lease", "keep-alive", "--once", "{0}", "-w", form),
        ("lease", "revoke", "{0}", "-w", form),
        ("get", "leased", "-w", form),
        ("lease", "revoke", "{0}"),
        ("lease", "timetolive", "{0}", "-w", form),
    ]
    for words in story:
        told = tuple(side.said(words, b"") for side in sides)
        assert told[1] == told[0], words


@pytest.mark.parametrize("form", FORMATS)
def test_a_leases_time_prints_the_same_but_for_the_seconds_left(sides: tuple[Side, Side], form: str) -> None:
    for side in sides:
        side.said(("lease", "grant", "1000"), b"")
        side.said(("put", "leased", "v", "--lease", "{0}"), b"")
    told = [side.said(("lease", "timetolive", "{0}", "--keys", "-w", form), b"") for side in sides]
    left = re.compile(r'(remaining\(|"TTL" : |"ttl":)\d+')
    assert left.sub(r"\1", told[1][1]) == left.sub(r"\1", told[0][1])
    for side in sides:
        assert side.said(("lease", "revoke", "{0}"), b"")[0]


def test_a_grant_has_the_same_json(sides: tuple[Side, Side]) -> None:
    grants = [json.loads(side.run(("lease", "grant", "1000", "-w", "json"), b"")[1]) for side in sides]
    assert list(grants[0]) == list(grants[1])
    for side, grant in zip(sides, grants, strict=True):
        assert side.said(("lease", "revoke", f"{grant['ID']:x}"), b"")[0]


def test_a_compaction_prints_the_same(sides: tuple[Side, Side]) -> None:
    for words in (
        ("compaction", "2"),
        ("compaction", "2"),
        ("get", "a", "--rev", "1"),
        ("compaction", "999999"),
    ):
        told = tuple(side.said(words, b"") for side in sides)
        assert told[1] == told[0], words
