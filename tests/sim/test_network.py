from ferrite.core import FrameError, NodeId, decode_frame, encode_frame, messages
from ferrite.core.values import Term
from ferrite.sim.dice import Dice
from ferrite.sim.faults.links import draw_shape
from ferrite.sim.faults.plan import FaultPlan
from ferrite.sim.network import Deliver, Network, bytes_of, damaged, links_between
from ferrite.sim.options import NetworkOptions
from ferrite.sim.timeline import Timeline

A, B, C = NodeId(1), NodeId(2), NodeId(3)


def network_of(timeline: Timeline, seed: int, options: NetworkOptions, deliver: Deliver) -> Network:
    plan = FaultPlan(seed, lambda: timeline.now_us)
    return Network(timeline, Dice(seed), plan, options, deliver)


def arrivals(
    options: NetworkOptions, count: int = 200, seed: int = 1, extra: bool = False
) -> list[tuple[int, bytes]]:
    timeline, seen = Timeline(), list[tuple[int, bytes]]()
    network = network_of(
        timeline, seed, options, lambda _a, _b, frame, _row: seen.append((timeline.now_us, bytes_of(frame)))
    )
    for number in range(count):
        network.send(A, B, b"%d" % number)
        if extra:
            network.send(C, B, b"other")
    timeline.run_until(60_000_000)
    return [item for item in seen if item[1] != b"other"]


def test_a_perfect_network_delivers_everything_once_and_may_reorder() -> None:
    seen = arrivals(NetworkOptions(delay_min_us=10, delay_mean_us=100))
    assert sorted(int(frame) for _, frame in seen) == list(range(200))
    assert [int(frame) for _, frame in seen] != list(range(200))
    assert all(time_us >= 10 for time_us, _ in seen)


def test_traffic_on_another_link_changes_nothing_on_this_one() -> None:
    options = NetworkOptions(loss_ppm=200_000, duplicate_ppm=200_000, replay_ppm=100_000)
    assert arrivals(options) == arrivals(options, extra=True)
    assert arrivals(options) != arrivals(options, seed=2)


def test_frames_are_lost_duplicated_and_replayed_as_often_as_asked() -> None:
    assert 100 < len(arrivals(NetworkOptions(loss_ppm=300_000))) < 180
    assert 250 < len(arrivals(NetworkOptions(duplicate_ppm=500_000))) < 350
    assert len(arrivals(NetworkOptions(replay_ppm=500_000))) > 250


def test_a_blocked_link_loses_also_what_is_under_way_and_blocks_are_counted() -> None:
    timeline, seen = Timeline(), list[bytes]()
    network = network_of(
        timeline, 1, NetworkOptions(), lambda _a, _b, frame, _row: seen.append(bytes_of(frame))
    )
    network.send(A, B, b"under way")
    network.block(links_between([A], [B]))
    network.block([(A, B)])
    network.unblock(links_between([A], [B]))
    timeline.run_until(1_000_000)
    network.send(A, B, b"blocked once more")
    network.send(B, A, b"free")
    timeline.run_until(2_000_000)
    assert seen == [b"free"]


def test_a_held_link_keeps_everything_and_lets_it_go_in_one_burst() -> None:
    timeline, seen = Timeline(), list[tuple[int, bytes]]()
    network = network_of(
        timeline,
        1,
        NetworkOptions(),
        lambda _a, _b, frame, _row: seen.append((timeline.now_us, bytes_of(frame))),
    )
    network.hold((A, B))
    for number in range(3):
        network.send(A, B, b"%d" % number)
    timeline.run_until(1_000_000)
    assert not seen
    network.release((A, B))
    timeline.run_until(2_000_000)
    assert sorted(frame for _, frame in seen) == [b"0", b"1", b"2"]
    assert len({time_us for time_us, _ in seen}) == 1


def test_a_full_queue_drops_any_frame_not_always_the_newest() -> None:
    seen = [int(frame) for _, frame in arrivals(NetworkOptions(queue_frames_max=10))]
    assert len(seen) == 10
    assert max(seen) > 100
    assert min(seen) < 190


def test_damaged_frames_are_always_noticed_by_their_crc() -> None:
    header = messages.Header(
        cluster_id=bytes(16),
        source=A,
        source_instance=bytes(16),
        source_boot=1,
        target=B,
        target_instance=bytes(16),
    )
    frame = encode_frame(header, [messages.TimeoutNow(term=Term(3))])
    stream = Dice(1).stream("flip")
    for _ in range(300):
        changed = damaged(frame, stream)
        assert changed != frame
        try:
            decode_frame(changed)
        except FrameError:
            continue
        raise AssertionError(f"damaged frame was taken: {changed!r}")


def test_a_partition_always_cuts_something_and_never_a_node_from_itself() -> None:
    nodes = [NodeId(number) for number in range(1, 6)]
    shapes = set()
    for seed in range(200):
        shape, links = draw_shape(nodes, NodeId(2), Dice(seed).stream("partition"))
        shapes.add(shape)
        assert links
        assert all(a != b for a, b in links)
    assert shapes == {"split", "single", "leader", "one-way", "ring", "star", "chain", "poor", "graph"}
