"""Validation items in parts, and what their answers say of the budget."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from holdfast.bench.heal.steering import record_of
from holdfast.bench.heal.validation import LEFT, ROOM, Validation, glanced
from holdfast.bench.measured.verdict import verdict
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.rows import Turn
from holdfast.probes.changes import changes
from holdfast.probes.items import Item
from holdfast.probes.score import Score
from holdfast.probes.suite import Suite


def items(suite, count, group=lambda i: f"{i}"):
    turns = (Turn("user", "Well?", False),)
    return tuple(Item(f"{suite}-{i}", suite, f"{suite} {group(i)}", turns, check={"exact": "x"}) for i in range(count))


SUITES = [
    Suite("facts", "retained", items("facts", 400)),
    Suite("pairs", "retained", items("pairs", 240, lambda i: f"{i // 6}")),
    Suite("task", "learned", items("task", 100)),
]


def scores(suites, right, copies=1):
    """Returns scores of the items of suites, or of so many copies of each item in groups of their own."""
    return [
        Score(
            suite=suite.name,
            role=suite.role,
            split="watch",
            item=f"{item.id} {copy}",
            group=f"{item.group} {copy}",
            value=100.0 * right(suite.name, i),
            unit="points",
            higher_is_better=True,
        )
        for copy in range(copies)
        for suite in suites
        for i, item in enumerate(suite.items)
    ]


def answers(name, i):
    return name != "task"


def validation(tmp_path, budget, suites=SUITES, right=answers, test=()):
    return Validation(suites, scores(suites, right), budget, tmp_path / "search.jsonl", test)


def fill(on, edit, strength, right, left=0.5):
    on.add(edit, strength, scores(on.suites, right), left)


def test_a_glance_is_of_a_quarter_of_each_suite_and_keeps_groups_together():
    quarter = glanced(SUITES)
    assert [suite.name for suite in quarter] == ["facts", "pairs", "task"]
    for whole, part in zip(SUITES, quarter, strict=True):
        assert len(whole) / 4 <= len(part) <= len(whole) / 4 + 5
        inside = {item.group for item in part.items}
        assert inside.isdisjoint(item.group for item in whole.items if item not in part.items)
    backwards = [dataclasses.replace(suite, items=suite.items[::-1]) for suite in SUITES]
    for first, last in zip(quarter, glanced(backwards), strict=True):
        assert {item.id for item in first.items} == {item.id for item in last.items}


def test_a_suite_with_one_item_is_glanced_at():
    (only,) = glanced([Suite("one", "retained", items("one", 1))])
    assert len(only) == 1


def test_windows_of_a_document_stay_together():
    texts = [Example([1, 2], [1, 2], origin=f"text {n // 3}", content=f"digest {n // 3}") for n in range(30)]
    (quarter,) = glanced([Suite("texts", "retained", texts=tuple(texts))])
    assert len(quarter.texts) == 9


def worse(name, i):
    return (i % 20 != 0 and name != "task") or (name == "task" and i % 4 == 0)


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_the_share_of_the_budget_is_that_of_the_loss_at_the_bound_of_the_verdict_on_the_test_items(tmp_path, copies):
    test = scores(SUITES, answers, copies)
    on = validation(tmp_path, Budget(points=20), test=test)
    assert on.weight == 1.0
    fill(on, "scale", 0.5, worse)
    (mean,) = verdict(changes(test, scores(SUITES, worse, copies)), Budget(points=20)).means
    reading = on.reading("scale", 0.5)
    # groups of copies show a little more of the design effect than the originals do
    assert reading.spent == pytest.approx(mean.most / 20, rel=0.04)
    assert reading.gain == 25.0


def test_unknown_test_items_count_as_twice_the_validation_items(tmp_path):
    known = validation(tmp_path / "known", Budget(points=20), test=scores(SUITES, answers, 2))
    unknown = validation(tmp_path / "unknown", Budget(points=20))
    for on in (known, unknown):
        fill(on, "scale", 0.5, worse)
    assert known.reading("scale", 0.5) == unknown.reading("scale", 0.5)


def test_a_model_at_the_budget_on_validation_items_is_kept_by_half_of_the_verdicts_on_test_items(tmp_path):
    """The share is 1 where "kept" is as likely as not: 150 verdicts on twice as many items, drawn anew."""
    suites = [Suite(f"s{n}", "retained", items(f"s{n}", 100)) for n in range(10)]
    on = validation(tmp_path, Budget(points=5), suites)
    fill(on, "scale", 0.5, lambda name, i: i % 25 != 0)
    budget = Budget(points=5 * on.reading("scale", 0.5).spent)
    generator, kept = np.random.default_rng(0), 0
    base = scores(suites, answers, 2)
    for _ in range(150):
        after = [dataclasses.replace(score, value=100.0 * (generator.random() >= 0.04)) for score in base]
        kept += verdict(changes(base, after), budget).word == "kept"
    assert 0.38 < kept / 150 < 0.62


def test_with_few_items_for_the_budget_a_part_of_the_room_counts(tmp_path):
    on = validation(tmp_path, Budget(points=1))
    assert on.weight < ROOM
    assert on.nothing == pytest.approx(LEFT)
    more = validation(tmp_path, Budget(points=1), test=scores(SUITES, answers, 20))
    assert more.weight == 1.0


def test_a_model_that_certainly_forgot_one_suite_is_outside_even_if_the_mean_is_inside(tmp_path):
    suites = [Suite(f"s{n}", "retained", items(f"s{n}", 200)) for n in range(12)]
    on = validation(tmp_path, Budget(points=20), suites)
    fill(on, "scale", 0.5, lambda name, i: name != "s0" or i % 2 == 0)
    assert on.reading("scale", 0.5).spent == 1.01
    every = validation(tmp_path / "every", Budget(points=10, claim="every"), suites)
    fill(every, "scale", 0.5, lambda name, i: name != "s0" or i % 2 == 0)
    assert every.reading("scale", 0.5).spent > 4


def test_without_items_of_the_task_the_change_that_is_left_is_the_gain(tmp_path):
    on = validation(tmp_path, Budget(points=20), SUITES[:1])
    assert not on.learns
    fill(on, "scale", 0.5, lambda name, i: True, left=0.4)
    assert on.reading("scale", 0.5).gain == 0.4


def test_answers_are_read_again_from_the_file(tmp_path):
    on = validation(tmp_path, Budget(points=20))
    fill(on, "scale", 0.5, lambda name, i: i % 9 != 0)
    again = validation(tmp_path, Budget(points=20))
    assert again.reading("scale", 0.5) == on.reading("scale", 0.5)
    assert again.has("scale", 0.5)
    assert not again.has("ties", 0.25)
    assert again.change_left("scale", 0.5) == 0.5


def test_what_steered_is_recorded_by_its_content(tmp_path):
    record = record_of(SUITES, None, ())
    assert len(record) == 740
    assert all(record.has_item(item) for suite in SUITES for item in suite.items)
    assert {thing.use for thing in record.things} == {"keep", "learn"}
    record.write(tmp_path)
    other = record_of(SUITES[:1], None, (str(tmp_path),))
    assert len(other) == 740
    (tmp_path / "holdfast_watched.json").write_text("{}")
    with pytest.raises(HoldfastError, match="cannot be read"):
        record_of(SUITES[:1], None, (str(tmp_path),))
