import json

import pytest

from ferrite.sim.linearizability import history as reader
from ferrite.sim.linearizability.check import check_history
from ferrite.sim.linearizability.history import NEVER, HistoryInvalid, read_history
from ferrite.sim.linearizability.values import freeze, thaw

INVOKE = '{"process":1,"type":"invoke","f":"write","value":3}'
OK = '{"process":1,"type":"ok","f":"write","value":3}'


@pytest.mark.parametrize(
    "line, message",
    [
        ("{", "line 2: no JSON"),
        ("[1]", "line 2: list instead of an object"),
        (b"\xff{}", "line 2: byte 0 is no UTF-8"),
        ('{"process":1.5,"type":"ok"}', "line 2: process is 1.5"),
        ('{"process":true,"type":"ok"}', "line 2: process is True"),
        ('{"process":1,"type":"done"}', "line 2: type is 'done'"),
        ('{"process":2,"type":"ok","f":"write"}', "line 2: ok of process 2, which has nothing open"),
        ('{"process":1,"type":"ok","f":"read"}', "line 2: ok of 'read'; process 1 invoked 'write'"),
        ('{"process":1,"type":"ok","f":"write","key":"a"}', "line 2: ok for key 'a'"),
        ('{"process":1,"type":"ok","f":"write","revision":-1}', "line 2: revision is -1"),
        ('{"process":1,"type":"ok","f":"write","existed":1}', "line 2: existed is 1"),
        ('{"process":2,"type":"invoke","value":1}', "line 2: f is None"),
        (
            '{"process":2,"type":"invoke","f":"write","value":NaN}',
            "line 2: no JSON value that can be compared",
        ),
        (
            '{"process":2,"type":"invoke","f":"write","value":' + "[" * 100 + "]" * 100 + "}",
            "line 2: value is nested deeper than 64",
        ),
        (
            '{"process":1,"type":"ok","f":"write","value":4}',
            "line 2: write of 4 is ok; 3 was invoked on line 1",
        ),
        (
            '{"process":2,"type":"invoke","f":"increment","value":1}',
            "line 2: 'increment' is no operation of cas-register",
        ),
        ('{"process":2,"type":"invoke","f":"cas","value":1}', "line 2: cas of 1; expected"),
        (INVOKE, "line 2: process 1 invokes again while its write of line 1 is open"),
    ],
)
def test_damage_is_refused_with_its_line_and_what_was_expected(line: str | bytes, message: str) -> None:
    with pytest.raises(HistoryInvalid) as refused:
        check_history([INVOKE, line], model="cas-register")
    assert str(refused.value).startswith(message)


def test_a_line_longer_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LINE_CHARACTERS_MAX", 20)
    with pytest.raises(HistoryInvalid, match="line 1: 51 characters"):
        read_history(INVOKE)


def test_more_operations_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "OPERATIONS_MAX", 1)
    with pytest.raises(HistoryInvalid, match="line 3: more than 1 operations"):
        read_history(f"{INVOKE}\n{OK}\n{INVOKE}")


def test_names_instead_of_numbers_are_no_clients() -> None:
    assert read_history('{"process":"nemesis","type":"info","f":"kill"}\n' + INVOKE)[0].invoke == 2


def test_what_failed_did_not_happen_but_a_cas_is_kept_for_the_model() -> None:
    rows = [INVOKE, '{"process":1,"type":"fail","f":"write","value":3}']
    rows += [row.replace("write", "cas").replace("3", "[1,2]") for row in rows]
    assert [one.f for one in read_history("\n".join(rows))] == ["cas"]


def test_an_operation_without_return_or_with_info_has_an_unknown_outcome() -> None:
    rows = [INVOKE, '{"process":1,"type":"info","f":"write","value":null}', INVOKE]
    assert [one.ret for one in read_history("\n".join(rows))] == [NEVER, NEVER]


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "1", [1, [True]], {"b": [1], "a": {}}])
def test_a_frozen_value_thaws_to_itself(value: object) -> None:
    assert json.dumps(thaw(freeze(value)), sort_keys=True) == json.dumps(value, sort_keys=True)


def test_true_and_one_are_different_values() -> None:
    assert freeze(True) != freeze(1) and freeze([True]) != freeze([1])
