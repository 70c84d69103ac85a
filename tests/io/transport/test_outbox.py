"""What waits for a peer, what is said of it, and the options of it all."""

from ferrite.io.transport import TransportOptions, transport_options
from ferrite.io.transport.outbox import Outbox
from ferrite.io.transport.quiet import Quiet
from tests.io.grpc.fakes import make_config
from tests.io.transport.fakes import beat, chunk


def test_the_lanes_of_an_outbox_are_bounded_apart() -> None:
    outbox = Outbox(bytes_max=10_000, messages_max=3)
    assert outbox.put(chunk(20_000))  # alone: it may pass, or it never would
    assert not outbox.put(chunk(1))
    assert [outbox.put(beat(number)) for number in range(4)] == [True, True, True, False]
    assert len(outbox) == 4
    assert [type(message).__name__ for message in outbox.take(100)] == ["Heartbeat"] * 3 + ["InstallSnapshot"]
    assert (len(outbox), outbox.bulk_bytes) == (0, 0)


def test_an_outbox_cuts_frames_at_the_target() -> None:
    outbox = Outbox(bytes_max=10**6, messages_max=100)
    for number in range(5):
        outbox.put(chunk(400, number))
    assert [len(outbox.take(1000)) for _ in range(4)] == [2, 2, 1, 0]
    outbox.put(chunk(1))
    assert outbox.clear() == 1
    assert (len(outbox), outbox.bulk_bytes) == (0, 0)


def test_the_same_thing_is_said_once_a_minute() -> None:
    now = [0.0]
    quiet = Quiet(lambda: now[0])
    said = []
    for second in range(0, 150, 10):
        now[0] = second
        said.append(quiet.may_speak("a"))
    assert [index * 10 for index, spoke in enumerate(said) if spoke] == [0, 60, 120]
    assert quiet.may_speak("b")


def test_the_configuration_sets_the_options() -> None:
    config = make_config(
        network__connect_timeout=123, network__retry_delay=45, network__keep_alive_interval=6000
    )
    assert transport_options(config.network) == TransportOptions(
        connect_timeout_ms=123,
        retry_delay_ms=45,
        keep_alive_interval_ms=6000,
        stall_timeout_ms=6000,
        compression=False,
        message_bytes_max=4 * 2**20,
    )
