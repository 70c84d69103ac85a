from ferrite.sim.dice import PPM, Dice


def test_the_same_name_gives_the_same_numbers_whatever_else_was_drawn() -> None:
    one, other = Dice(7), Dice(7)
    other.stream("disk", 1).bits(64)
    assert [one.stream("net", 1, 2).bits(32) for _ in range(5)] == [
        other.stream("net", 1, 2).bits(32) for _ in range(5)
    ]


def test_other_names_and_other_seeds_give_other_numbers() -> None:
    drawn = {
        Dice(seed).stream("net", *link).bits(64) for seed in range(10) for link in ((1, 2), (2, 1), (12,))
    }
    assert len(drawn) == 30


def test_exponential_has_its_mean_and_its_tail() -> None:
    stream = Dice(1).stream("x")
    drawn = [stream.exponential(1000) for _ in range(20_000)]
    assert 950 < sum(drawn) / len(drawn) < 1100
    assert min(drawn) >= 0
    assert max(drawn) > 5000


def test_chance_is_parts_per_million() -> None:
    stream = Dice(2).stream("x")
    assert not any(stream.chance(0) for _ in range(1000))
    assert all(stream.chance(PPM) for _ in range(1000))
    assert 200 < sum(stream.chance(250_000) for _ in range(1000)) < 300


def test_subset_keeps_the_order_and_the_size() -> None:
    stream = Dice(3).stream("x")
    for _ in range(50):
        chosen = stream.subset([1, 2, 3, 4, 5], 3)
        assert chosen == sorted(chosen)
        assert len(set(chosen)) == 3
