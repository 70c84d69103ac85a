"""Streams learn once that the server wants to stop."""

from ferrite.io.grpc.drain import Drain


def test_those_who_listen_are_told_and_those_who_left_are_not() -> None:
    drain, heard = Drain(), list[str]()
    with drain.calls(lambda: heard.append("left")):
        pass
    with drain.calls(lambda: heard.append("first")), drain.calls(lambda: heard.append("second")):
        drain.begin()
    assert (heard, drain.begun) == (["first", "second"], True)


def test_whoever_comes_later_is_told_at_once() -> None:
    drain, heard = Drain(), list[str]()
    drain.begin()
    with drain.calls(lambda: heard.append("late")):
        assert heard == ["late"]
