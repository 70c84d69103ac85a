"""scripts/bench.py believes what generators say only as far as it was done, and compares with the better peer."""

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from scripts.benchmark import bars, generators, machine, measure, payloads, plot, report, revision, stores
from scripts.benchmark.cells import Cell, Door, Figures, Load, Measured, NotASuccess, Operation
from tests.e2e.differential.etcd import message
from tests.house.tree import ROOT

WRK = """Running 2s test @ http://127.0.0.1:8001/write
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    38.86ms   12.10ms  80.97ms   71.20%
  2056 requests in 2.01s, 301.17KB read
Requests/sec:   1021.83

RESULT {"operations": 2056, "duration_us": 2012085, "bytes": 308398, "p50_us": 63249, "p99_us": 106098, "max_us": 192475,\
 "errors": {"connect": 0, "read": 0, "write": 0, "status": STATUS_ERRORS, "timeout": 0}}
"""
H2LOAD = """starting benchmark...
finished in 2.00s, 3.00 req/s, 1.04KB/s
requests: 3 total, 4 started, 3 done, 3 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 3 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.21KB (1234) total, 123B (123) headers (space savings 81.23%), 831B (831) data
                     min         max         mean         sd        +/- sd
time for request:      210us      5.03ms       692us       350us    80.00%
"""
LOG = "1000000\t200\t400\n1000500\t200\t900\n1500000\t200\t500000\n"


def load(operations: int, *, answer_bytes: int = 0) -> Load:
    return Load(
        operations=operations,
        failed=0,
        duration_s=1.0,
        p50_us=1000,
        p99_us=2000,
        max_us=3000,
        answer_bytes=answer_bytes,
    )


def measured(per_s: int, *, p50_us: float = 1000, fsyncs: int | None = None) -> Measured:
    return Measured(
        operations=per_s,
        duration_s=1.0,
        p50_us=p50_us,
        p99_us=2000,
        max_us=3000,
        leader_cpu_s=0.5,
        followers_cpu_s=(0.25, 0.125),
        generator_cpu_s=0.1,
        others_cpu_s=0.4,
        fsyncs=fsyncs,
    )


def cell(door: Door, operation: Operation, clients: int) -> Cell:
    return Cell(door=door, operation=operation, clients=clients)


# -- what generators say


def test_wrk_is_read_from_the_line_of_its_script() -> None:
    found = generators.parse_wrk(WRK.replace("STATUS_ERRORS", "0"))
    assert (found.operations, found.failed, found.duration_s) == (2056, 0, 2.012085)
    assert (found.p50_us, found.p99_us, found.answer_bytes) == (63249, 106098, 308398)


def test_errors_that_wrk_counted_are_no_operations() -> None:
    found = generators.parse_wrk(WRK.replace("STATUS_ERRORS", "56"))
    assert (found.operations, found.failed, found.complaint) == (2000, 56, "56 errors of kind status")


def test_h2load_is_read_from_its_log_of_requests() -> None:
    found = generators.parse_h2load(H2LOAD, LOG)
    assert (found.operations, found.failed, found.answer_bytes) == (3, 0, 831)
    assert found.duration_s == 1.0  # from the first start to the last end
    assert (found.p50_us, found.p99_us) == (900, 500_000)


def test_requests_that_h2load_lost_are_counted_as_failed() -> None:
    found = generators.parse_h2load(H2LOAD, LOG + "1600000\t-1\t7\n1600000\t503\t7\n")
    assert (found.operations, found.failed) == (3, 2)
    assert "2 of 5" in found.complaint


@pytest.mark.parametrize("output", ["", "unable to connect to 127.0.0.1:1"])
def test_a_generator_that_says_no_result_gives_no_figure(output: str) -> None:
    for parse in (
        generators.parse_wrk,
        generators.parse_python,
        lambda text: generators.parse_h2load(text, LOG),
    ):
        with pytest.raises(NotASuccess, match="said no result"):
            parse(output)
    with pytest.raises(NotASuccess, match="no answer with status 200"):
        generators.parse_h2load(H2LOAD, "1000000\t503\t7\n")


def test_a_generator_that_fails_gives_its_output() -> None:
    with pytest.raises(NotASuccess, match=r"(?s)ended with 3.*not today"):
        generators.run([[sys.executable, "-c", "print('not today'); raise SystemExit(3)"]], 1)


def test_several_generators_count_together_and_the_slowest_gives_the_latencies() -> None:
    slow = Load(
        operations=10,
        failed=1,
        duration_s=2.0,
        p50_us=9,
        p99_us=10,
        max_us=11,
        answer_bytes=1,
        complaint="lost",
    )
    found = measure.together([load(100, answer_bytes=2), slow])
    assert (found.operations, found.duration_s, found.failed, found.answer_bytes) == (210, 2.0, 1, 3)
    assert (found.p50_us, found.complaint) == (1000, "lost")


def test_clients_are_dealt_evenly_and_a_node_without_any_is_left_alone() -> None:
    assert measure.shares_of(256, measure.targets("all", 1)) == [(1, 86), (0, 85), (2, 85)]
    assert measure.shares_of(1, measure.targets("all", 0)) == [(0, 1)]
    assert measure.targets("follower", 0) == [1]


# -- what is believed


def test_writes_count_only_when_the_revision_grew_by_as_many() -> None:
    measure.judge_writes(load(1000), clients=64, grown=1000)
    measure.judge_writes(load(1000), clients=64, grown=1064)
    with pytest.raises(NotASuccess, match="the revision grew by 999"):
        measure.judge_writes(load(1000), clients=64, grown=999)
    with pytest.raises(NotASuccess, match="grew by 2000"):
        measure.judge_writes(load(1000), clients=64, grown=2000)


def test_reads_count_only_when_their_answers_are_long_enough() -> None:
    measure.judge_reads(load(10, answer_bytes=2770), 277)
    with pytest.raises(NotASuccess, match="2769 bytes of answers instead of 2770"):
        measure.judge_reads(load(10, answer_bytes=2769), 277)


def test_the_same_bytes_are_the_same_request_to_etcd() -> None:
    put = message("PutRequest").FromString(payloads.put_message("k", "v"))
    assert (put.key, put.value, put.lease, put.prev_kv) == (b"k", b"v", 0, False)
    get = message("RangeRequest").FromString(payloads.get_message("k"))
    assert get == message("RangeRequest")(key=b"k")  # linearizable: nothing else is set


def test_json_for_etcd_carries_the_same_key_and_value() -> None:
    assert stores.etcd_body("write", "k", "v") == b'{"key": "aw==", "value": "dg=="}'
    assert stores.etcd_value({"kvs": [{"value": "dg=="}]}) == "v"
    assert stores.etcd_value({"header": {}}) is None


def test_the_syncs_of_etcd_are_found_among_its_metrics() -> None:
    text = b"# TYPE x\netcd_disk_wal_fsync_duration_seconds_sum 1.5\netcd_disk_wal_fsync_duration_seconds_count 1.2e+03\n"
    assert stores.etcd_fsyncs(text) == 1200
    assert stores.etcd_fsyncs(b"") is None


# -- how it is told


def two_stores() -> Figures:
    figures = Figures()
    for clients, ours, theirs in ((16, 300, 100), (64, 500, 200), (256, 600, 400)):
        for per_s in (ours - 10, ours, ours + 20):
            figures.add("Ferrite", cell("grpc", "write", clients), measured(per_s, fsyncs=per_s // 10))
        figures.add("etcd old", cell("grpc", "write", clients), measured(theirs // 2))
        figures.add("etcd new", cell("grpc", "write", clients), measured(theirs))
    for store, p50_us in (("Ferrite", 900), ("etcd old", 1200), ("etcd new", 1000)):
        figures.add(store, cell("grpc", "read", 1), measured(1, p50_us=p50_us))
    return figures


def test_a_figure_is_the_median_of_its_runs_with_their_spread() -> None:
    found = two_stores().of("Ferrite", cell("grpc", "write", 16))
    assert found is not None
    assert (found.runs, found.per_s, found.spread, found.fsyncs_per_operation) == (3, 300, 0.05, 0.1)
    assert two_stores().of("Ferrite", cell("http", "write", 16)) is None


def test_a_bar_is_held_against_the_better_peer_and_at_every_number_of_clients() -> None:
    judged = bars.judge(two_stores(), "Ferrite", {"etcd": ["etcd old", "etcd new"]})
    writes = next(one for one in judged if one.bar.title == "grpc write / etcd gRPC put")
    assert writes.ratios == {16: 3.0, 64: 2.5, 256: 1.5}
    assert (writes.worst, writes.verdict) == (1.5, "must")


def test_latency_is_better_when_lower() -> None:
    judged = bars.judge(two_stores(), "Ferrite", {"etcd": ["etcd old", "etcd new"]})
    latency = next(one for one in judged if one.bar.latency)
    assert (latency.ratios, latency.verdict) == ({1: 0.9}, "must")


def test_a_bar_without_both_sides_is_not_shown() -> None:
    assert bars.judge(two_stores(), "Ferrite", {}) == []


def outcome() -> report.Outcome:
    figures = two_stores()
    figures.failures.append("etcd new: http-write-16: [no figure]")
    stores = ["Ferrite", "etcd old", "etcd new"]
    return report.Outcome(figures=figures, stores=stores, machine={"cores": 2}, options={"runs": 3})


def test_the_table_has_a_row_for_each_store_and_the_ratio_to_the_better_one() -> None:
    out = StringIO()
    report.print_all(Console(file=out, width=report.WIDTH), outcome())
    lines = [line.split() for line in out.getvalue().splitlines()]
    at_64 = "grpc-write-64 Ferrite 500 3% 1.00 2.00 0.5 0.2 + 0.1 0.1 0.4 0.100 2.50"
    new_at_64 = "etcd new 200 1.00 2.00 0.5 0.2 + 0.1 0.1 0.4 ?"
    assert at_64.split() in lines
    assert new_at_64.split() in lines
    assert "FAILED etcd new: http-write-16: [no figure]" in out.getvalue()


def test_another_revision_is_compared_before_any_peer() -> None:
    stores = ["Ferrite", "Ferrite 1a2b3c4", "etcd 3"]
    assert report.Outcome(figures=Figures(), stores=stores, machine={}, options={}).compared == stores[1:2]


def test_the_json_has_every_run_and_tells_the_same_again() -> None:
    told = outcome().as_json()
    runs = [one for one in told["cells"] if one["store"] == "Ferrite" and one["clients"] == 64]
    assert [(one["run"], one["per_s"], one["fsyncs"]) for one in runs] == [
        (1, 490, 49),
        (2, 500, 50),
        (3, 520, 52),
    ]
    assert report.Outcome.from_json(json.loads(json.dumps(told))).as_json() == told


def test_the_page_shows_every_figure_and_loads_nothing(tmp_path: Path) -> None:
    page = plot.write(tmp_path / "new", outcome())[0].read_text()
    assert "<title>etcd new, 64: 200/s</title>" in page
    assert "<title>Ferrite, 256: 600/s</title>" in page
    assert "http:" not in page and "https:" not in page and "<script" not in page


def test_the_scale_ends_at_an_easy_number_above_the_highest_bar() -> None:
    for highest, top in ((1, 1), (7, 8), (999, 1000), (1001, 2000), (41_669, 60_000)):
        panel = plot.Panel(title="", clients=(1,), series={"x": {1: (0, 0, highest)}})
        assert panel.top == top


# -- the command


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/bench.py"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_rows_are_listed_and_chosen_by_name() -> None:
    assert bench("--list", "--only", "read-64", "--only", "http-*-1").stdout.split() == [
        "http-write-1", "http-write-16", "http-read-1", "http-read-16", "http-read-64", "grpc-read-64", "client-read-64",
    ]  # fmt: skip


def test_a_pattern_that_matches_no_row_is_refused_with_the_rows() -> None:
    done = bench("--only", "thrift")
    assert (done.returncode, "no row matches thrift" in done.stderr) == (2, True)
    assert "grpc-write-256" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--stores", "consul"), "unknown: consul; expected some of ferrite, etcd, pysyncobj"),
        (("--clients", "1,none"), "expected whole numbers from 1"),
        (("--set", "raft"), "expected section.key=value"),
        (("--runs", "-1"), "at least 1"),
    ],
)
def test_a_wrong_option_is_refused_with_what_was_expected(arguments: tuple[str, ...], complaint: str) -> None:
    done = bench(*arguments)
    assert (done.returncode, complaint in done.stderr) == (2, True), done.stderr


def test_an_earlier_result_is_told_again_and_anything_else_refused(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps(outcome().as_json()))
    assert "grpc-write-256" in bench("--from", str(file)).stdout
    file.write_text("{}")
    done = bench("--from", str(file))
    assert (done.returncode, "is no result of --json" in done.stderr) == (2, True)


def test_an_unknown_revision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(revision.UnknownRevision, match="is no revision"):
        revision.short_name("no-such-revision")


# -- the machine


def test_work_of_this_process_is_seen_in_its_own_time_and_in_the_machines() -> None:
    own_s, all_s = machine.cpu_s(os.getpid()), machine.busy_s()
    while machine.cpu_s(os.getpid()) < own_s + 0.05:
        sum(range(10_000))
    assert machine.busy_s() > all_s


def test_the_file_system_of_a_place_is_known() -> None:
    assert machine.file_system(Path("/proc/self")) == "proc"
