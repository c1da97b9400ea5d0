"""Old examples among the new ones: the mix, its shares, and what is refused."""

from __future__ import annotations

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.core.method import chain
from holdfast.core.mix import Example, Mix
from holdfast.core.run import Run
from holdfast.data.order import order
from holdfast.methods.rehearsal.rehearsal import Rehearsal


def examples(count, first=0, supervised=4):
    return [Example([first + i] * 6, [-100] * (6 - supervised) + [first + i] * supervised) for i in range(count)]


MEMORIES = {
    "a.jsonl": examples(5, 100),
    "b.jsonl": examples(3, 200),
    "mute": [Example([1, 2], [-100, -100])],
    "part": [*examples(2, 300), Example([1, 2], [1, -100])],
    "none": [],
}


def run(mix=None):
    return Run(None, mix or Mix(tuple(examples(20))), 0, 0, MEMORIES.__getitem__, None)


def test_a_memory_is_added_after_the_new_examples_with_its_share():
    mix = Rehearsal("a.jsonl", ratio=0.2).mix_data(run())
    assert mix.names == ("a.jsonl",)
    assert mix.ratios == (0.2,)
    assert [example.source for example in mix.examples] == [0] * 20 + [1] * 5
    assert [example.input_ids for example in mix.examples[20:]] == [e.input_ids for e in MEMORIES["a.jsonl"]]


def test_several_sources_share_the_ratio_evenly():
    mix = Rehearsal("a.jsonl, b.jsonl", ratio=0.3).mix_data(run())
    assert mix.names == ("a.jsonl", "b.jsonl")
    assert mix.ratios == pytest.approx((0.15, 0.15))
    assert [example.source for example in mix.examples[20:]] == [1] * 5 + [2] * 3


def test_several_rehearsals_keep_their_own_ratios():
    mix = chain(Rehearsal("a.jsonl", ratio=0.1), Rehearsal("b.jsonl", ratio=0.4)).mix_data(run())
    assert mix.names == ("a.jsonl", "b.jsonl")
    assert mix.ratios == (0.1, 0.4)


@pytest.mark.parametrize("ratio", [0.01, 0.05, 0.25, 0.5, 0.9])
def test_the_order_made_of_the_mix_keeps_the_share_of_tokens(ratio):
    mix = Rehearsal("a.jsonl, b.jsonl", ratio=ratio).mix_data(run())
    visits = [index for epoch in order(mix, epochs=30, seed=3) for index in epoch]
    tokens = [mix.examples[index].supervised for index in visits]
    old = [t if mix.examples[index].source else 0 for t, index in zip(tokens, visits, strict=True)]
    assert abs(sum(old) - ratio * sum(tokens)) <= 2 * max(tokens)


def test_examples_without_a_supervised_token_are_left_out():
    mix = Rehearsal("part").mix_data(run())
    assert len(mix.examples) == 22


@pytest.mark.parametrize("memory", ["mute", "none"])
def test_a_memory_with_nothing_to_learn_is_refused_by_name(memory):
    with pytest.raises(HoldfastError, match=rf"Rehearsal\(memory='{memory}'\): memory '{memory}' has no example"):
        Rehearsal(memory).mix_data(run())


def test_memories_that_leave_nothing_to_the_new_examples_are_refused():
    both = chain(Rehearsal("a.jsonl", ratio=0.5), Rehearsal("b.jsonl", ratio=0.6))
    with pytest.raises(HoldfastError, match="would make up 110% of the tokens; leave some to the new examples"):
        both.mix_data(run())


@pytest.mark.parametrize("memory", ["", " , "])
def test_a_rehearsal_without_a_memory_is_refused(memory):
    with pytest.raises(HoldfastError, match=r"Rehearsal\(\) needs a memory"):
        Rehearsal(memory)


def test_a_ratio_of_zero_is_off():
    assert Rehearsal("a.jsonl", ratio=0.0).off
    assert not Rehearsal("a.jsonl").off


def test_how_near_a_memory_is_said_to_be_goes_with_it():
    mix = chain(Rehearsal("a.jsonl, b.jsonl", near="none"), Rehearsal("part", near="same")).mix_data(run())
    assert mix.nears == ("none", "none", "same")
    assert Rehearsal("a.jsonl").mix_data(run()).nears == ("unsaid",)
