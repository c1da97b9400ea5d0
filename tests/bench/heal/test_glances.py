"""Glances: what is read of a quarter of the items, and what it says between the base and the tuned model."""

from __future__ import annotations

import math

import pytest
import torch

from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.heal.glances import glances_of
from holdfast.bench.heal.search import Glance
from holdfast.core.mix import Example
from holdfast.data.rows import Turn
from holdfast.probes.items import Item
from holdfast.probes.likelihood import document_nll
from holdfast.probes.score import Answers, Said, Score
from holdfast.probes.suite import Suite
from tests import tiny

SPEC = HealSpec(base="b", tuned="t", budget={"points": 2}, max_length=32).resolved()


def item(suite, number, **fields):
    return Item(f"{number}", suite, f"{number}", (Turn("user", f"t{20 + number} t21 ", False),), **fields)


def answers(suite, role, right):
    scores = [
        Score(
            suite=suite,
            role=role,
            split="watch",
            item=f"{n}",
            group=f"{n}",
            value=100.0 * (n in right),
            unit="points",
            higher_is_better=True,
        )
        for n in range(6)
    ]
    return scores, [Said(suite, f"{n}", "", f"t{40 + n}", "") for n in range(6)]


@pytest.fixture
def made(tmp_path):
    check = {"lacks": "x"}
    suites = [
        Suite("old", "retained", tuple(item("old", n, check=check) for n in range(6))),
        Suite(
            "task",
            "learned",
            (*(item("task", n, check=check) for n in range(5)), item("task", 5, answer="t50", check=check)),
        ),
        Suite(
            "texts", "retained", texts=(Example([1, 20, 21], [1, 20, 21], origin="a"), Example([1, 22], [-100, -100]))
        ),
    ]
    base, tuned = answers("old", "retained", {0, 2}), answers("task", "learned", {1})
    return glances_of(suites, Answers(*base), Answers(*tuned), tiny.tokenizer(), tmp_path / "glances.jsonl", SPEC)


def test_only_right_answers_are_read_and_an_item_says_its_own(made):
    old, task = made.kept["old"], made.learned["task"]
    assert [tuple(example.input_ids) for example in old] == [(20, 21, 40, 2), (22, 21, 42, 2)]
    assert len(task) == 2, "one that the tuned model answers, and one that names its answer"
    assert any(50 in example.input_ids for example in task)
    assert [example.origin for example in made.kept["texts"]] == ["a"], "a text without a token to score is left out"


def test_the_base_is_at_0_and_the_tuned_model_at_1(made):
    base, tuned = (tiny.tiny("llama", seed=seed).float() for seed in (0, 1))
    made.take(base, "base", 0.0, 0.0)
    made.take(tuned, "tuned", 1.0, 1.0)
    with torch.no_grad():
        for p, q in zip(base.parameters(), tuned.parameters(), strict=True):
            p.lerp_(q, 0.5)
    made.take(base, "scale", 0.5, 0.5)
    nats = made.book.nats
    kept = [nats[key][0] for key in (("base", 0.0), ("tuned", 1.0), ("scale", 0.5))]
    wanted = []
    for model in (tiny.tiny("llama", seed=0).float(), tuned, base):
        means = []
        for examples in made.kept.values():
            scores = document_nll(model, examples)
            means.append(sum(score.nats / score.tokens for score in scores) / len(scores))
        wanted.append(sum(means) / len(means))
    assert kept == pytest.approx(wanted)
    drifts, ways = kept[1] > kept[0], nats["base", 0.0][1] > nats["tuned", 1.0][1]
    assert made.book.glance("base", 0.0) == Glance(0.0, 0.0)
    assert made.book.glance("tuned", 1.0) == Glance(1.0, 1.0)
    glance = made.book.glance("scale", 0.5)
    assert glance.drift == (pytest.approx((kept[2] - kept[0]) / (kept[1] - kept[0])) if drifts else 0.25)
    assert math.isfinite(glance.way) if ways else glance.way == 0.5


def test_glances_are_read_again_from_the_file(made, tmp_path):
    made.take(tiny.tiny("llama").float(), "base", 0.0, 0.0)
    again = type(made)(made.kept, made.learned, tmp_path / "glances.jsonl", made.how)
    assert again.book.has("base", 0.0)
    assert not again.book.has("tuned", 1.0)
    assert again.book.nats == made.book.nats


def test_without_items_of_the_task_the_change_that_is_left_is_the_way(made, tmp_path):
    none = type(made)(made.kept, {}, tmp_path / "none.jsonl", made.how)
    for edit, strength, seed in (("base", 0.0, 0), ("tuned", 1.0, 1), ("scale", 0.3, 2)):
        none.take(tiny.tiny("llama", seed=seed).float(), edit, strength, strength)
    assert none.book.glance("scale", 0.3).way == 0.3
