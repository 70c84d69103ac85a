"""What is printed, to the byte, in every form."""

import json

import pytest

from ferrite.client import (
    CompactAnswer,
    DeleteAnswer,
    Event,
    KeyValue,
    LeaseAnswer,
    LeaseTimeToLive,
    PutAnswer,
    RangeAnswer,
    WatchBatch,
)
from ferrite.io.cli.ctl.endpoint import human_size
from tests.io.cli.ctl.conftest import Ctl
from tests.io.cli.ctl.fake_client import KV, FakeClient

BINARY = KeyValue(key=b"\xffk", value=b"a\x00\n", create_revision=2, mod_revision=2, version=1, lease=26)
HEADER = '"ClusterID" : 255\n"MemberID" : 1\n"Revision" : 3\n"RaftTerm" : 4\n'
JSON_HEADER = {"cluster_id": 255, "member_id": 1, "revision": 3, "raft_term": 4}


def test_keys_and_values_go_out_as_the_bytes_they_are(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers["range"] = RangeAnswer(revision=3, kvs=(BINARY, KV), count=2)
    assert run_ctl("get", "k", "--prefix").out == b"\xffk\na\x00\n\nk\nv\n"
    assert run_ctl("get", "k", "--prefix", "--print-value-only").out == b"a\x00\n\nv\n"
    assert run_ctl("get", "k", "--prefix", "--hex").out == b"\\xff\\x6b\n\\x61\\x00\\x0a\n\\x6b\n\\x76\n"
    assert run_ctl("get", "k", "--prefix", "--count-only").out == b"2\n"


def test_the_fields_form_quotes_and_has_a_header(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers["range"] = RangeAnswer(revision=3, kvs=(BINARY,), count=2, more=True)
    assert run_ctl("get", "k", "--prefix", "--limit", "1", "-w", "fields").text == HEADER + (
        '"Key" : "\\xffk"\n"CreateRevision" : 2\n"ModRevision" : 2\n"Version" : 1\n"Value" : "a\\x00\\n"\n"Lease" : 26\n'
        '"More" : true\n"Count" : 2\n'
    )


def test_the_json_form_has_base64_and_leaves_zeros_out(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers["range"] = RangeAnswer(revision=3, kvs=(BINARY,), count=1)
    assert run_ctl("get", "k", "-w", "json").text == (
        '{"header":{"cluster_id":255,"member_id":1,"revision":3,"raft_term":4},"kvs":[{"key":"/2s=","create_revision":2,'
        '"mod_revision":2,"version":1,"value":"YQAK","lease":26}],"count":1}\n'
    )
    fake.answers["range"] = RangeAnswer(revision=3, kvs=(), count=0)
    assert json.loads(run_ctl("get", "k", "-w", "json").text) == {"header": JSON_HEADER}


def test_the_table_form_shows_keys_as_printable_text(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers["range"] = RangeAnswer(revision=3, kvs=(BINARY,), count=1)
    assert run_ctl("get", "k", "-w", "table").text == (
        "+-------+---------+-----------------+--------------+---------+------------------+\n"
        "|  KEY  |  VALUE  | CREATE REVISION | MOD REVISION | VERSION |      LEASE       |\n"
        "+-------+---------+-----------------+--------------+---------+------------------+\n"
        "| \\xffk | a\\x00\\n |               2 |            2 |       1 | 000000000000001a |\n"
        "+-------+---------+-----------------+--------------+---------+------------------+\n"
    )


def test_put_and_del_show_what_was_there(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers["put"] = PutAnswer(revision=3, prev=KV)
    fake.answers["delete"] = DeleteAnswer(revision=3, deleted=1, prev_kvs=(KV,))
    assert run_ctl("put", "k", "v", "--prev-kv").out == b"OK\nk\nv\n"
    assert run_ctl("del", "k", "--prev-kv").out == b"1\nk\nv\n"
    prev = (
        '"PrevKey" : "k"\n"PrevCreateRevision" : 2\n"PrevModRevision" : 3\n"PrevVersion" : 2\n"PrevValue" : "v"\n'
        '"PrevLease" : 0\n'
    )
    assert run_ctl("put", "k", "v", "-w", "fields").text == HEADER + prev
    assert run_ctl("del", "k", "-w", "fields").text == HEADER + '"Deleted" : 1\n' + prev
    kv = {"key": "aw==", "create_revision": 2, "mod_revision": 3, "version": 2, "value": "dg=="}
    assert json.loads(run_ctl("put", "k", "v", "-w", "json").text) == {"header": JSON_HEADER, "prev_kv": kv}
    deleted = json.loads(run_ctl("del", "k", "-w", "json").text)
    assert deleted == {"header": JSON_HEADER, "deleted": 1, "prev_kvs": [kv]}


def test_leases_are_hexadecimal_in_text_and_numbers_in_json(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers |= {
        "lease_grant": LeaseAnswer(lease_id=26, ttl_s=100), "lease_revoke": 0, "leases": (26, 27), "lease_keep_alive": (100,),
        "lease_time_to_live": LeaseTimeToLive(lease_id=26, remaining_s=98.9, granted_ttl_s=100, keys=(b"a", b"b")),
    }  # fmt: skip
    assert run_ctl("lease", "grant", "100").out == b"lease 000000000000001a granted with TTL(100s)\n"
    assert run_ctl("lease", "revoke", "1a").out == b"lease 000000000000001a revoked\n"
    assert (
        run_ctl("lease", "keep-alive", "--once", "1a").out
        == b"lease 000000000000001a keepalived with TTL(100)\n"
    )
    assert run_ctl("lease", "list").out == b"found 2 leases\n000000000000001a\n000000000000001b\n"
    assert run_ctl("lease", "timetolive", "1a", "--keys").text == (
        "lease 000000000000001a granted with TTL(100s), remaining(98s), attached keys([a b])\n"
    )
    assert json.loads(run_ctl("lease", "list", "-w", "json").text)["leases"] == [{"id": 26}, {"id": 27}]
    ttl = json.loads(run_ctl("lease", "timetolive", "1a", "--keys", "-w", "json").text)
    assert ttl == JSON_HEADER | {"id": 26, "ttl": 98, "granted-ttl": 100, "keys": ["YQ==", "Yg=="]}
    grant = json.loads(run_ctl("lease", "grant", "100", "-w", "json").text)
    assert grant == JSON_HEADER | {"ID": 26, "TTL": 100, "Error": ""}


def test_a_lease_that_is_gone_says_so(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers |= {
        "lease_time_to_live": LeaseTimeToLive(lease_id=26, remaining_s=-1),
        "lease_keep_alive": (0,),
    }
    assert run_ctl("lease", "timetolive", "1a").out == b"lease 000000000000001a already expired\n"
    gone = run_ctl("lease", "keep-alive", "1a")
    assert (gone.code, gone.out) == (0, b"lease 000000000000001a expired or revoked.\n")
    once = run_ctl("lease", "keep-alive", "1a", "--once")
    assert once.code == 1
    assert "no lease 000000000000001a" in once.err


def test_a_watch_prints_each_change_with_what_was_there(run_ctl: Ctl, fake: FakeClient) -> None:
    deleted = KeyValue(key=b"k", mod_revision=4)
    events = (Event(kind="put", kv=KV), Event(kind="delete", kv=deleted, prev_kv=KV))
    fake.answers["watch"] = [
        WatchBatch(revision=2),
        WatchBatch(revision=4, events=events),
    ]
    assert run_ctl("watch", "k").out == b"PUT\nk\nv\nDELETE\nk\nv\nk\n\n"
    fields = run_ctl("watch", "k", "-w", "fields").text
    assert fields.count('"Type" : PUT\n"Key" : "k"') == 1
    assert fields.count('"Type" : DELETE\n"PrevKey" : "k"') == 1
    watched = json.loads(run_ctl("watch", "k", "-w", "json").text)
    kv = {"key": "aw==", "create_revision": 2, "mod_revision": 3, "version": 2, "value": "dg=="}
    assert watched == {
        "Header": JSON_HEADER | {"revision": 4},
        "Events": [{"kv": kv}, {"type": 1, "kv": {"key": "aw==", "mod_revision": 4}, "prev_kv": kv}],
        "CompactRevision": 0,
        "Canceled": False,
        "Created": False,
    }


def test_members_show_who_leads_and_who_trails(run_ctl: Ctl, fake: FakeClient) -> None:
    assert run_ctl("member", "list").text == (
        "1, started, abababab, 127.0.0.1:9001, 127.0.0.1:8001 127.0.0.1:9001, false, true, 0\n"
        "2, unreachable, cdcdcdcd, 127.0.0.1:9002, 127.0.0.1:8002 127.0.0.1:9002, true, false, 7\n"
    )
    members = json.loads(run_ctl("member", "list", "-w", "json").text)["members"]
    assert [(one["ID"], one["isLearner"], one["trailsLeaderBy"]) for one in members] == [
        (1, False, 0),
        (2, True, 7),
    ]


def test_endpoint_status_has_etcdctls_columns(run_ctl: Ctl, fake: FakeClient) -> None:
    line = "127.0.0.1:8001, 1, 0.1.0, 20 kB, true, false, 4, 30, 28, \n"
    assert run_ctl("endpoint", "status").text == line
    table = run_ctl("endpoint", "status", "-w", "table").text.splitlines()[1]
    assert [column.strip() for column in table.strip("|").split("|")] == [
        "ENDPOINT", "ID", "VERSION", "DB SIZE", "IS LEADER", "IS LEARNER", "RAFT TERM", "RAFT INDEX", "RAFT APPLIED INDEX",
        "ERRORS",
    ]  # fmt: skip
    ((status,),) = [json.loads(run_ctl("endpoint", "status", "-w", "json").text)]
    assert status["Endpoint"] == "127.0.0.1:8001"
    assert status["Status"] == {
        "header": JSON_HEADER, "version": "0.1.0", "dbSize": 20480, "leader": 1, "raftIndex": 30, "raftTerm": 4,
        "raftAppliedIndex": 28, "isLearner": False, "role": "leader", "clusterId": "00000000000000ff" + "11" * 8,
        "compactRevision": 1, "errors": [],
    }  # fmt: skip


def test_compaction_and_leader_transfer_are_one_line(run_ctl: Ctl, fake: FakeClient) -> None:
    fake.answers |= {"compact": CompactAnswer(revision=9, compacted=5), "transfer_leader": 2}
    assert run_ctl("compact", "5").out == b"compacted revision 5\n"
    assert run_ctl("compaction", "5").out == b"compacted revision 5\n"
    assert run_ctl("move-leader", "2").out == b"Leadership transferred from 1 to 2\n"
    assert run_ctl("leader", "transfer").out == b"Leadership transferred from 1 to 2\n"


@pytest.mark.parametrize(
    "words",
    [
        ["put", "k", "v"], ["del", "k"], ["txn"], ["watch", "k"], ["compact", "3"], ["lease", "grant", "5"],
        ["lock", "name"], ["elect", "name", "me"], ["version"], ["check", "perf"], ["member", "remove", "2"],
    ],
)  # fmt: skip
def test_what_has_no_table_refuses_before_anything_is_sent(
    run_ctl: Ctl, fake: FakeClient, words: list[str]
) -> None:
    ran = run_ctl(*words, "-w", "table")
    assert ran.code == 3
    assert "has no table form" in ran.err
    assert fake.calls == []


@pytest.mark.parametrize(
    "size, text",
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (20_480, "20 kB"), (9_949, "9.9 kB"), (9_950, "10 kB"),
        (999_499, "999 kB"), (999_999, "1.0 MB"), (12_300_000_000, "12 GB"), (5 * 10**15, "5000 TB"),
    ],
)  # fmt: skip
def test_sizes_are_short(size: int, text: str) -> None:
    assert human_size(size) == text
