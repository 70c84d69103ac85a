"""One history for every anomaly, as short as it gets, and what the checker says of it."""

import pytest

from ferrite.sim.cycles.anomaly import MEANINGS
from ferrite.sim.cycles.check import Verdict, check_transactions
from ferrite.sim.linearizability.history import HistoryInvalid
from tests.sim.cycles.generate import Row, as_text


def steps(text: str, *, known: bool) -> list[object]:
    """`ax1 rx12`: append 1 to x, then read [1 2] of x. Where reads are not known they are null."""
    return [
        ["append", word[1], int(word[2:])]
        if word[0] == "a"
        else ["r", word[1], [int(digit) for digit in word[2:]] if known else None]
        for word in text.split()
    ]


def history(*events: str) -> list[Row]:
    """`0 ax1` begins a transaction of process 0; `0 ok`, `0 fail`, `0 info` end it."""
    rows: list[Row] = []
    begun: dict[int, str] = {}
    for event in events:
        process, _, rest = event.partition(" ")
        number = int(process)
        kind = rest if rest in ("ok", "fail", "info") else "invoke"
        if kind == "invoke":
            begun[number] = rest
        value = steps(begun[number], known=kind == "ok")
        rows.append({"process": number, "type": kind, "f": "txn", "value": value})
    return rows


def one_after_another(*texts: str) -> list[Row]:
    return history(
        *(event for number, text in enumerate(texts) for event in (f"{number} {text}", f"{number} ok"))
    )


def at_once(*texts: str) -> list[Row]:
    return history(
        *(f"{number} {text}" for number, text in enumerate(texts)),
        *(f"{number} ok" for number in range(len(texts))),
    )


def check(rows: list[Row]) -> Verdict:
    return check_transactions(as_text(rows))


ANOMALIES: dict[str, list[Row]] = {
    "internal": one_after_another("ax1 rx"),
    "garbage-read": one_after_another("ax1", "rx12"),
    "duplicate-elements": one_after_another("ax1", "rx11"),
    "G1a": history("0 ax1", "0 fail", "1 rx1", "1 ok"),
    "dirty-update": history("0 ax1", "0 fail", "1 ax2", "1 ok", "2 rx12", "2 ok"),
    "G1b": at_once("ax1 ax2", "rx1"),
    "incompatible-order": at_once("ax1", "ax2", "rx12", "rx21"),
    "G0": at_once("ax1 ay1", "ax2 ay2", "rx12", "ry21"),
    "G1c": at_once("ax1 ry1", "ay1 rx1"),
    "G-single": at_once("ax1 ay1", "rx1 ry"),
    "G2-item": at_once("rx ay1", "ry ax1"),
    "G0-process": history("0 ax1", "0 ok", "0 ax2", "0 ok", "1 rx21", "1 ok"),
    "G1c-process": history("0 rx1", "0 ok", "0 ax1", "0 ok"),
    "G-single-process": history("0 ax1", "0 ok", "0 rx", "0 ok"),
    "G0-realtime": one_after_another("ax1", "ax2", "rx21"),
    "G1c-realtime": one_after_another("rx1", "ax1"),
    "G-single-realtime": one_after_another("ax1", "rx"),
    "G2-item-process": history(
        *("2 ax1", "3 ay1", "0 rx1", "0 ok", "0 ry", "0 ok"),
        *("1 ry1", "1 ok", "1 rx", "1 ok"),
    ),
    "G2-item-realtime": history("2 ax1 ry", "3 ay1", "3 ok", "1 rx", "1 ok", "2 ok"),
}


@pytest.mark.parametrize("name", ANOMALIES)
def test_each_anomaly_is_found_and_called_by_its_name(name: str) -> None:
    anomaly = check(ANOMALIES[name]).anomaly
    assert anomaly is not None
    assert anomaly.name == name


def test_there_is_a_history_for_every_anomaly_that_is_told_of() -> None:
    assert MEANINGS.keys() <= ANOMALIES.keys()


VALID: dict[str, list[Row]] = {
    "nothing": [],
    "reads_of_null_are_empty": [
        {"process": 0, "type": "invoke", "f": "txn", "value": [["r", "x", None]]},
        {"process": 0, "type": "ok", "f": "txn", "value": [["r", "x", None]]},
    ],
    "an_append_that_nobody_reads": one_after_another("rx", "ax1", "ax2"),
    "an_append_between_two_reads_of_its_own": one_after_another("ax1 ax2", "rx12 ax3 rx123 ax4", "rx1234"),
    "overlapping_transactions_in_the_other_order": at_once("ax1 ay1 rx21", "ax2 ry"),
    "an_unknown_outcome_that_took_effect": history("0 ax1 ay1", "0 info", "1 rx1 ry1", "1 ok"),
    "an_unknown_outcome_that_took_effect_late": history("0 ax1", "0 info", "1 rx", "1 ok", "2 rx1", "2 ok"),
    "an_unknown_outcome_that_never_took_effect": history("0 ax1", "0 info", "1 rx", "1 ok"),
    "one_that_never_returned": history("0 ax1", "1 rx1", "1 ok"),
    "one_that_failed": history("0 ax1", "0 fail", "1 rx", "1 ok"),
}


@pytest.mark.parametrize("name", VALID)
def test_a_right_history_has_no_anomaly(name: str) -> None:
    verdict = check(VALID[name])
    assert verdict.anomaly is None, verdict.text()


def test_an_unknown_outcome_takes_effect_as_a_whole_or_not_at_all() -> None:
    anomaly = check(history("0 ax1 ay1", "0 info", "1 rx1 ry", "1 ok")).anomaly
    assert anomaly is not None
    assert anomaly.name == "G-single"


def test_a_read_that_may_be_old_is_not_held_to_real_time() -> None:
    rows = one_after_another("ax1 ay1", "rx ry")
    rows[2]["linearizable"] = False
    assert check(rows).anomaly is None


def test_but_such_a_read_sees_a_transaction_as_a_whole_or_not_at_all() -> None:
    rows = one_after_another("ax1 ay1", "rx1 ry")
    rows[2]["linearizable"] = False
    anomaly = check(rows).anomaly
    assert anomaly is not None
    assert anomaly.name == "G-single"


def test_an_acknowledged_append_that_is_lost_is_a_cycle() -> None:
    anomaly = check(one_after_another("ax1", "ax2", "rx1")).anomaly
    assert anomaly is not None
    assert anomaly.reasons == [
        "T3 returned (line 4) before T5 was invoked (line 5)",
        'T5 read [1] of "x" before T3 appended 2, which no read found',
    ]


def test_a_lost_update_is_a_cycle_though_nobody_read_either_update() -> None:
    anomaly = check(at_once("rx ax1", "rx ax2")).anomaly
    assert anomaly is not None
    assert anomaly.reasons == [
        'T1 read [] of "x" before T2 appended 2, which no read found',
        'T2 read [] of "x" before T1 appended 1',
    ]


def test_every_edge_of_a_cycle_has_its_reason() -> None:
    assert check(ANOMALIES["G-single"]).text() == (
        "not strictly serializable: G-single: read skew: a transaction saw part of another and missed the rest\n"
        "  the transactions:\n"
        '    T1 = process 0 (lines 1-3): append 1 to "x", append 1 to "y"\n'
        '    T2 = process 1 (lines 2-4): read "x" -> [1], read "y" -> []\n'
        "  the cycle: each of these has to come before the next one, and the last before the first:\n"
        '    T1 appended 1 to "x" before T2 read [1] of it\n'
        '    T2 read [] of "y" before T1 appended 1, which no read found\n'
        "  (2 transactions on 2 keys, model list-append, checker cycles)"
    )


def test_the_simplest_cycle_is_shown_among_several() -> None:
    rows = [*at_once("ax1 ay1", "rx1 ry"), *one_after_another("az1", "rz")]
    anomaly = check(rows).anomaly
    assert anomaly is not None
    assert anomaly.name == "G-single"
    assert len(anomaly.transactions) == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            one_after_another("ax1", "ax1"),
            r"line 3: 1 is appended to \"x\" again \(first on line 1\); expected",
        ),
        (one_after_another("ax1 ax1"), r"line 1: 1 is appended to \"x\" again"),
        (
            [{"process": 0, "type": "invoke", "f": "txn", "value": [["w", "x", 1]]}],
            r'line 1: \["w", "x", 1\] is no micro-operation; expected \["append", key, element\]',
        ),
        ([{"process": 0, "type": "invoke", "f": "txn", "value": 3}], "line 1: 3 is no list"),
        ([{"process": 0, "type": "invoke", "f": "read", "value": []}], "line 1: 'read' is no operation"),
        (
            [{"process": 0, "type": kind, "f": "txn", "value": [["r", "x", 7]]} for kind in ("invoke", "ok")],
            "line 2: a read returned 7; expected the list of its key, or null",
        ),
        (
            [*history("0 ax1"), *history("0 ax2", "0 ok")[1:]],
            "line 2: the transaction of line 1 returned with other micro-operations",
        ),
    ],
)
def test_a_damaged_history_is_refused_with_the_line(rows: list[Row], message: str) -> None:
    with pytest.raises(HistoryInvalid, match=message):
        check(rows)
