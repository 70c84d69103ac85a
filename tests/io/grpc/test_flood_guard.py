"""What a client may send that moves nothing."""

from ferrite.io.grpc.flood_guard import IDLE_FRAMES_BURST, IDLE_FRAMES_PER_S, FloodGuard


def test_pings_at_their_interval_are_allowed_for_ever() -> None:
    guard = FloodGuard(0.9, 0.0)
    assert all(guard.allows_ping(second) for second in range(10_000))


def test_faster_pings_are_not() -> None:
    guard = FloodGuard(0.9, 0.0)
    assert [guard.allows_ping(ping / 10) for ping in range(5)] == [True, True, True, False, False]


def test_faster_pings_are_allowed_while_answers_flow() -> None:
    guard = FloodGuard(0.9, 0.0)
    for ping in range(1000):
        assert guard.allows_ping(ping / 10)
        guard.note_answer()


def test_other_frames_have_a_burst_and_a_rate() -> None:
    guard = FloodGuard(0.9, 0.0)
    assert all(guard.allows_idle_frame(0.0) for _ in range(IDLE_FRAMES_BURST))
    assert not guard.allows_idle_frame(0.0)
    steady = FloodGuard(0.9, 0.0)
    assert all(steady.allows_idle_frame(frame / IDLE_FRAMES_PER_S) for frame in range(10 * IDLE_FRAMES_BURST))
