"""The order of a mix: memories keep their share at every moment, and new examples are all seen."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example, Mix
from holdfast.data.order import order


def example(supervised: int) -> Example:
    """An example of that many supervised tokens."""
    return Example((5,) * (supervised + 1), (-100,) + (5,) * supervised)


def examples(sizes: list[int]) -> list[Example]:
    return [example(size) for size in sizes]


def flat(lists: list[list[int]]) -> list[int]:
    return [index for visits in lists for index in visits]


SIZES = st.lists(st.integers(0, 30), min_size=1, max_size=25).filter(any)
SEEDS = st.integers(0, 2**31)


@settings(deadline=None, max_examples=150)
@given(new=SIZES, old=SIZES, ratio=st.floats(0.01, 0.9), epochs=st.sampled_from([0.5, 1, 1.7, 3]), seed=SEEDS)
def test_a_memory_is_never_further_than_one_example_from_its_share(new, old, ratio, epochs, seed):
    mix = Mix(tuple(examples(new))).with_memory("old", examples(old), ratio)
    largest = max(*new, *old)
    total = memory = 0
    for index in flat(order(mix, epochs=epochs, seed=seed)):
        visited = mix.examples[index]
        total += visited.supervised
        memory += visited.supervised if visited.source else 0
        assert abs(memory - ratio * total) <= largest + 1e-6


@settings(deadline=None, max_examples=100)
@given(
    new=SIZES,
    olds=st.lists(SIZES, max_size=3),
    epochs=st.floats(0.1, 4),
    seed=SEEDS,
)
def test_every_pass_visits_each_example_once_before_any_again(new, olds, epochs, seed):
    mix = Mix(tuple(examples(new)))
    for k, old in enumerate(olds):
        mix = mix.with_memory(f"m{k}", examples(old), 0.2)
    lists = order(mix, epochs=epochs, seed=seed)
    assert len(lists) == -(-epochs // 1)
    visits = flat(lists)
    for source in range(len(olds) + 1):
        members = [i for i, e in enumerate(mix.examples) if e.source == source]
        seen = [i for i in visits if i in set(members)]
        for at in range(0, len(seen), len(members)):
            part = seen[at : at + len(members)]
            assert len(set(part)) == len(part)
    wanted = max(1, round(epochs * len(new)))
    visited_new = sum(mix.examples[i].source == 0 for i in visits)
    if olds:
        assert len({len(visits) for visits in lists}) == 1
        # What was added to make the epochs equal is less than one slot for each of them.
        assert wanted <= visited_new < wanted + len(lists)
    else:
        assert visited_new == len(visits) == wanted


def test_without_memories_an_epoch_is_a_fresh_permutation_and_the_last_may_be_a_part():
    mix = Mix(tuple(examples([1] * 40)))
    first, second, third = order(mix, epochs=2.25, seed=3)
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second
    assert len(third) == len(set(third)) == 10
    assert third == order(mix, epochs=3, seed=3)[2][:10]


def test_a_fraction_of_an_epoch_is_its_first_part():
    mix = Mix(tuple(examples([1] * 10)))
    assert order(mix, epochs=0.3, seed=0) == [order(mix, epochs=1, seed=0)[0][:3]]
    assert [len(part) for part in order(mix, epochs=0.001, seed=0)] == [1]


def test_new_examples_come_in_the_same_order_with_and_without_memories():
    alone = Mix(tuple(examples([3, 1, 4, 1, 5, 9, 2, 6])))
    mixed = alone.with_memory("old", examples([2, 7]), 0.3)
    with_memory = [i for i in flat(order(mixed, epochs=1, seed=5)) if i < 8]
    assert with_memory == flat(order(alone, epochs=1, seed=5))


def test_the_same_seed_gives_the_same_order_and_another_another():
    mix = Mix(tuple(examples([2] * 30))).with_memory("old", examples([3] * 30), 0.5)
    assert order(mix, epochs=2, seed=1) == order(mix, epochs=2, seed=1)
    assert order(mix, epochs=2, seed=1) != order(mix, epochs=2, seed=2)
    olds = [[i for i in flat(order(mix, epochs=1, seed=seed)) if i >= 30] for seed in (1, 2)]
    assert olds[0] != olds[1]


def test_a_memory_of_equal_size_has_a_permutation_of_its_own():
    mix = Mix(tuple(examples([1] * 30))).with_memory("old", examples([1] * 30), 0.5)
    visits = flat(order(mix, epochs=1, seed=1))
    new, old = [i for i in visits if i < 30], [i - 30 for i in visits if i >= 30]
    assert new[: len(old)] != old


def test_equal_examples_at_half_and_half_alternate_beginning_with_a_new_one():
    mix = Mix(tuple(examples([1] * 4))).with_memory("old", examples([1] * 4), 0.5)
    (visits,) = order(mix, epochs=1, seed=0)
    assert [mix.examples[i].source for i in visits] == [0, 1, 0, 1, 0, 1, 0]


def test_several_memories_keep_their_shares():
    mix = Mix(tuple(examples([5] * 600)))
    for name, sizes, ratio in (("a", [3] * 20, 0.3), ("b", [50] * 20, 0.1), ("c", [1] * 20, 0.05)):
        mix = mix.with_memory(name, examples(sizes), ratio)
    visits = flat(order(mix, epochs=1, seed=0))
    tokens = Counter()
    for index in visits:
        tokens[mix.examples[index].source] += mix.examples[index].supervised
    for source, ratio in enumerate((0.55, 0.3, 0.1, 0.05)):
        assert tokens[source] / sum(tokens.values()) == pytest.approx(ratio, abs=100 / sum(tokens.values()))


def test_a_memory_that_is_used_up_begins_again_in_another_order():
    mix = Mix(tuple(examples([1] * 90))).with_memory("old", examples([1] * 10), 0.5)
    old = [i for i in flat(order(mix, epochs=1, seed=0)) if i >= 90]
    turns = [old[at : at + 10] for at in range(0, 80, 10)]
    assert all(sorted(turn) == list(range(90, 100)) for turn in turns)
    assert all(a != b for a, b in pairwise(turns))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 0}, "epochs=0: give a number above 0 (passes over the new examples)."),
        ({"epochs": float("nan")}, "epochs=nan: give a number above 0 (passes over the new examples)."),
        ({"seed": -1}, "seed=-1: give a whole number from 0."),
        ({"mix": Mix(())}, "the new examples hold no token to learn from; give rows with completions or text."),
        (
            {"mix": Mix((example(1),)).with_memory("old", [example(0)], 0.1)},
            "old holds no token to learn from; give rows with completions or text.",
        ),
        (
            {"mix": Mix((example(1),)).with_memory("old", [example(1)], 0.0)},
            "memory old has ratio=0.0: give a number above 0 and below 1 (of the tokens).",
        ),
        (
            {"mix": Mix((example(1),)).with_memory("a", [example(1)], 0.5).with_memory("b", [example(1)], 0.75)},
            "the ratios of the memories add up to 1.25: leave a share for new examples.",
        ),
        (
            {"mix": Mix((example(1), Example((1, 2), (1, 2), source=1, origin="f:2")))},
            "f:2: has source 1, but the mix has 0 memories; add memories with Mix.with_memory.",
        ),
    ],
)
def test_what_cannot_be_ordered_says_so(change, said):
    settings = {"mix": Mix((example(1),)), "epochs": 1, "seed": 0, **change}
    with pytest.raises(HoldfastError) as caught:
        order(settings.pop("mix"), **settings)
    assert str(caught.value) == said
