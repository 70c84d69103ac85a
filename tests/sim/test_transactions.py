"""What clients did and saw, as transactions."""

import json
from dataclasses import replace
from typing import Any

from ferrite.core.kv import Batch, KeyValue, Put, Range, RangeResult, Txn, TxnResult
from ferrite.core.kv import Operation as Command
from ferrite.core.kv import PutResult as Written
from ferrite.sim import Cluster, swarm
from ferrite.sim.cycles.check import check_transactions
from ferrite.sim.history import FAIL, INFO, OK, History, Operation
from ferrite.sim.transactions import to_transactions


def entry(key: bytes, value: bytes, revision: int) -> KeyValue:
    return KeyValue(key=key, value=value, create_revision=revision, mod_revision=revision, version=1)


class Told:
    """A history that is told one operation after the other."""

    def __init__(self) -> None:
        self.history = History()
        self.now_us = 0

    def ended(self, kind: str, command: Command | None, outcome: str, revision: int = 0) -> Operation:
        self.now_us += 10
        operation = self.history.invoke("client", kind, b"", command, request_id=1, now_us=self.now_us)
        operation.revision = revision
        self.history.complete(operation, outcome, self.now_us + 5)
        return operation

    def put(self, key: bytes, value: bytes, outcome: str = OK, revision: int = 0) -> None:
        self.ended("put", Put(key=key, value=value), outcome, revision)

    def read(self, *entries: KeyValue) -> None:
        self.ended("list", None, OK).entries = entries

    def rows(self) -> list[list[Any]]:
        """(type, value) of each line that is no begin."""
        lines = map(json.loads, to_transactions(self.history.operations).splitlines())
        return [[line["type"], line["value"]] for line in lines if line["type"] != "invoke"]

    def anomaly(self) -> str:
        found = check_transactions(to_transactions(self.history.operations)).anomaly
        return found.name if found else ""


def test_a_read_of_a_version_is_one_of_all_versions_up_to_it() -> None:
    told = Told()
    told.put(b"a", b"one", revision=2)
    told.put(b"a", b"two", revision=4)
    told.read(entry(b"a", b"two", 4))
    assert told.rows()[-1] == ["ok", [["r", "a", ["one@2", "two@4"]]]]
    assert told.anomaly() == ""


def test_the_branch_that_ran_is_what_a_transaction_did() -> None:
    told = Told()
    inner = Txn(success=(Put(key=b"b", value=b"q"),))
    command = Txn(
        success=(Put(key=b"c", value=b"no"),), failure=(Put(key=b"a", value=b"p"), Range(key=b"a"), inner)
    )
    nested = TxnResult(revision=3, succeeded=True, results=(Written(revision=3),))
    found = RangeResult(revision=3, entries=(entry(b"a", b"p", 3),), more=False)
    told.ended("txn", command, OK, 3).result = TxnResult(
        revision=3, succeeded=False, results=(Written(revision=3), found, nested)
    )
    assert told.rows() == [["ok", [["append", "a", "p@3"], ["r", "a", ["p@3"]], ["append", "b", "q@3"]]]]
    assert told.anomaly() == ""


def test_an_unknown_write_that_was_seen_happened_and_one_that_was_not_is_left_out() -> None:
    told = Told()
    told.put(b"a", b"seen", INFO)
    told.put(b"a", b"never", INFO)
    told.read(entry(b"a", b"seen", 5))
    assert told.rows() == [["info", [["append", "a", "seen@5"]]], ["ok", [["r", "a", ["seen@5"]]]]]


def test_a_version_that_may_be_of_several_unknown_writes_is_nobodys() -> None:
    told = Told()
    told.put(b"a", b"known", revision=2)
    told.put(b"a", b"same", INFO)
    told.put(b"a", b"same", INFO)
    told.read(entry(b"a", b"same", 5))
    assert told.rows()[1:] == [["ok", [["r", "a", ["known@2"]]]]]


def test_a_refused_write_that_was_seen_is_an_aborted_read() -> None:
    told = Told()
    told.put(b"a", b"refused", FAIL)
    told.read(entry(b"a", b"refused", 5))
    assert told.anomaly() == "G1a"


def test_a_value_that_nobody_wrote_is_a_garbage_read() -> None:
    told = Told()
    told.put(b"a", b"one", revision=2)
    told.read(entry(b"a", b"other", 2))
    assert told.anomaly() == "garbage-read"


def test_a_read_of_the_past_is_not_held_to_real_time() -> None:
    told = Told()
    told.put(b"a", b"one", revision=2)
    told.put(b"a", b"two", revision=3)
    told.read(entry(b"a", b"one", 2))
    assert told.anomaly() == "G-single-realtime"
    told.history.operations[-1].query = Range(key=b"a", revision=2)
    assert told.anomaly() == ""


def test_a_batch_that_was_applied_in_two_halves_is_seen_by_a_read_between_them() -> None:
    told = Told()
    told.put(b"b", b"old", revision=2)
    halves = Batch(operations=(Put(key=b"a", value=b"p"), Put(key=b"b", value=b"q")))
    told.now_us += 10
    batch = told.history.invoke("other", "batch", b"", halves, request_id=1, now_us=told.now_us)
    told.read(entry(b"a", b"p", 3), entry(b"b", b"old", 2))
    batch.revision = 3
    told.history.complete(batch, OK, told.now_us + 10)
    assert told.anomaly() == "G-single"


def test_the_transactions_of_a_run_with_faults_are_strictly_serializable() -> None:
    options = swarm(3, seconds=2)
    cluster = Cluster(
        3, replace(options, clients=replace(options.clients, list_ppm=300_000, batch_ppm=300_000))
    )
    assert cluster.run().violation is None
    text = to_transactions(cluster.history.operations)
    assert check_transactions(text).anomaly is None
    several = [
        row for row in map(json.loads, text.splitlines()) if len({key for _, key, _ in row["value"]}) > 1
    ]
    assert len(several) > 10
