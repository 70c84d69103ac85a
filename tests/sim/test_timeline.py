from ferrite.sim.timeline import Timeline


def test_things_happen_in_the_order_of_time_then_of_scheduling() -> None:
    timeline, seen = Timeline(), list[tuple[int, str]]()
    for time_us, name in ((5, "c"), (3, "a"), (5, "d"), (3, "b")):
        timeline.at(time_us, lambda name=name: seen.append((timeline.now_us, name)))
    timeline.run_until(10)
    assert seen == [(3, "a"), (3, "b"), (5, "c"), (5, "d")]
    assert timeline.now_us == 10


def test_the_past_cannot_be_changed() -> None:
    timeline, seen = Timeline(), list[int]()
    timeline.run_until(100)
    timeline.at(50, lambda: seen.append(timeline.now_us))
    timeline.run_until(200)
    assert seen == [100]


def test_nothing_beyond_the_bound_happens() -> None:
    timeline, seen = Timeline(), list[int]()
    timeline.after(11, lambda: seen.append(1))
    timeline.run_until(10)
    assert (seen, timeline.next_us) == ([], 11)
