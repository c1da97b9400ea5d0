"""The capability cliff: a steep fall beside a task that was learned, sudden or step by step."""

import pytest

from holdfast.probes.score import Score
from holdfast.symptoms import Evidence, Pair, Reply
from holdfast.symptoms.cliff import capability_cliff


def scores(suite, role, right, n=40):
    return [
        Score(
            suite=suite,
            role=role,
            split="proof",
            item=f"{suite}{i}",
            group=f"{suite}{i}",
            value=100.0 * (i < right),
            unit="points",
            higher_is_better=True,
            choices=0,
        )
        for i in range(n)
    ]


def evidence(learned=30, fell=12, checkpoints=None):
    before = [*scores("task", "learned", 2), *scores("laws", "retained", 36), *scores("words", "retained", 20)]
    after = [*scores("task", "learned", learned), *scores("laws", "retained", fell), *scores("words", "retained", 19)]
    pairs = [Pair("laws", f"laws{i}", "?", Reply("right"), Reply(f"wrong {i}")) for i in range(40)]
    return Evidence(pairs, None, before, after, checkpoints or {})


def test_a_steep_fall_next_to_a_learned_task_is_measured_with_its_suite():
    cliff = capability_cliff(evidence())
    assert cliff.effect == pytest.approx(0.6)
    assert cliff.low < 0.6 < cliff.high
    assert cliff.p < 0.001
    assert "laws next to it fell by 60.0 points (90.0 -> 30.0)" in cliff.sentence
    assert all(int(quote.after.split()[1]) in range(12, 36) for quote in cliff.quotes)


def test_without_learning_a_fall_is_forgetting_and_no_cliff():
    assert capability_cliff(evidence(learned=2)).p == 1.0


def test_the_checkpoints_tell_whether_it_was_sudden():
    steps = [0.0, 0.2, -0.1, 0.1, -20.0, -20.5, -19.8, -20.2, -20.1]
    assert "suddenly around checkpoint 5 of 9" in capability_cliff(evidence(checkpoints={"kept": steps})).sentence
    slowly = [-2.0 * i for i in range(12)]
    assert "step by step" in capability_cliff(evidence(checkpoints={"kept": slowly})).sentence
    assert "kept" not in capability_cliff(evidence(checkpoints={"kept": [0.0, 0.1, 0.0, 0.1, 0.0]})).sentence
