"""A suite can be asked and split, and its scores say what the model did."""

from __future__ import annotations

import dataclasses
import math

import pytest
from torch import nn

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.ground.names import BASE, items
from holdfast.probes import suite as suite_module
from holdfast.probes.answers import Answer
from holdfast.probes.items import Item, split_of
from holdfast.probes.score import Score, level, proof
from holdfast.probes.suite import Asker, Suite, ask_together, suites_of


def item(number, name="a", **fields):
    return Item(id=str(number), suite=name, group=str(number), **(fields or {"choices": ("yes", "no")}))


def score(value, unit="points", **changes):
    same = {"suite": "a", "role": "retained", "split": "proof", "item": "1", "group": "1"}
    return Score(**{**same, "value": value, "unit": unit, "higher_is_better": unit == "points", **changes})


def test_the_base_of_the_ground_is_asked_as_its_items_say_and_left_as_it_was():
    model, tokenizer = load_model(BASE), load_tokenizer(BASE)
    model.train()
    asked = (*items("facts/watch")[:6], *items("agreement/watch")[:4], *items("text/watch")[:2])
    mixed = Suite("mixed", "learned", asked, (Example([5, 6, 7], [5, 6, 7]),))
    steps = []
    answers = mixed.ask(model, Asker(tokenizer), lambda done, total: steps.append((done, total)))
    scores = answers.scores
    assert [one.unit for one in scores] == ["nats", *["points"] * 10, *["nats"] * 2]
    assert {(one.suite, one.role) for one in scores} == {("mixed", "learned")}
    assert {one.value for one in scores[1:11]} <= {0.0, 100.0}
    assert sum(one.value for one in scores[1:11]) >= 800, "the base knows them"
    assert [one.weight for one in scores[1:11]] == [1.0] * 10
    assert all(one.weight > 1 for one in (scores[0], *scores[11:]))
    assert [one.choices for one in scores[7:11]] == [len(one.choices) for one in asked[6:10]]
    assert [one.item for one in answers.said] == [one.id for one in asked[:10]]
    assert steps[-1] == (13, 13)
    assert steps == sorted(steps)
    assert all(module.training for module in model.modules())


def test_it_is_split_by_the_groups_of_its_items_and_documents():
    texts = tuple(Example([1, i, w], [1, i, w], f"file:{i}") for i in range(40) for w in range(2))
    whole = Suite("a", "retained", tuple(map(item, range(40))), texts)
    watch, rest = whole.side("watch"), whole.side("proof")
    assert whole.splits().count("watch") == len(watch.items) + len({text.origin for text in watch.texts})
    assert {one.id for one in (*watch.items, *rest.items)} == {one.id for one in whole.items}
    assert all(split_of(text.origin) == "proof" for text in rest.texts)
    assert len(watch) + len(rest) == len(whole) == 120
    assert {*watch.splits()} == {"watch"}


def test_its_units_are_those_of_its_parts():
    text = item(3, text="so it is", choices=())
    whole = Suite("a", "retained", (item(1), text), (Example([1, 2], [1, 2]),))
    assert whole.units() == {"points", "nats"}
    assert whole.only({"points"}) == Suite("a", "retained", (item(1),))
    assert whole.only({"nats"}) == Suite("a", "retained", (text,), whole.texts)


def test_items_are_gathered_by_the_name_of_their_suite():
    first, second, third = item(1, "b"), item(2, "a"), item(3, "b")
    assert suites_of([first, second, third], "transfer") == [
        Suite("b", "transfer", (first, third)),
        Suite("a", "transfer", (second,)),
    ]


def test_an_asker_says_how_items_are_put_to_the_model(monkeypatch):
    given = []

    def asked(model, tokenizer, items, **how):
        given.append((tokenizer, how))
        return [Answer(one, "choice", 1.0) for one in items]

    monkeypatch.setattr(suite_module, "ask", asked)
    Suite("a", "retained", (item(1),)).ask(nn.Identity(), Asker("tok", raw=True, batch_tokens=7))
    assert given == [("tok", {"raw": True, "batch_tokens": 7, "progress": None})]


def ground_suites():
    """Suites of all forms, items that stand in two suites, and texts of one origin in two suites."""
    texts = tuple(Example([5, 6, 7 + k], [5, 6, 7 + k], f"file:{k // 2}") for k in range(6))
    facts, agreement = items("facts/watch")[:9], items("agreement/watch")[:7]
    opened = items("open/watch")[:8]
    renamed = dataclasses.replace(facts[0], choices=(*reversed(facts[0].choices),)) if facts[0].choices else facts[0]
    return [
        Suite("facts", "retained", tuple(facts), texts[:4]),
        Suite("agreement", "transfer", tuple(agreement)),
        Suite("again", "learned", (*facts[3:5], *opened[:2], renamed)),
        Suite("texts", "retained", tuple(items("text/watch")[:3]), texts[2:]),
        Suite("open", "retained", tuple(opened)),
        Suite("none", "retained"),
    ]


def test_suites_asked_together_get_the_answers_of_one_after_the_other():
    model, tokenizer = load_model(BASE).float(), load_tokenizer(BASE)
    suites, steps = ground_suites(), []
    for tokens in (None, 300):
        asker = Asker(tokenizer, batch_tokens=tokens)
        together = ask_together(model, suites, asker, lambda done, total: steps.append((done, total)))
        assert steps == sorted(steps)
        assert steps[-1] == (sum(map(len, suites)),) * 2
        steps.clear()
        for found, suite in zip(together, suites, strict=True):
            alone = suite.ask(model, asker)
            assert [one.said for one in found.said] == [one.said for one in alone.said]
            assert [one.tokens for one in found.said] == [one.tokens for one in alone.said]
            for one, other in zip(found.scores, alone.scores, strict=True):
                assert dataclasses.replace(one, value=other.value) == other
                assert one.value == pytest.approx(other.value, rel=1e-5)
                assert one.unit == "nats" or one.value == other.value


def test_an_item_of_two_suites_is_asked_once_and_another_of_its_name_for_itself(monkeypatch):
    rounds = []

    def asked(model, tokenizer, items, **how):
        rounds.append([(one.id, one.choices) for one in items])
        return [Answer(one, "choice", float(one.choices[0] == "yes"), said=one.choices[0]) for one in items]

    monkeypatch.setattr(suite_module, "ask", asked)
    other = item(1, choices=("no", "yes"))
    suites = [
        Suite("a", "retained", (item(1), item(2))),
        Suite("b", "learned", (item(2), other)),
        Suite("c", "transfer"),
    ]
    told = []
    found = ask_together(nn.Identity(), suites, Asker("tok"), lambda *done: told.append(done))
    assert rounds == [[("1", ("yes", "no")), ("2", ("yes", "no"))], [("1", ("no", "yes"))]]
    assert [[score.value for score in answers.scores] for answers in found] == [[100.0, 100.0], [100.0, 0.0], []]
    assert [[one.said for one in answers.said] for answers in found] == [["yes", "yes"], ["yes", "no"], []]
    with pytest.raises(HoldfastError, match="a/1: is given twice"):
        ask_together(nn.Identity(), [Suite("a", "retained", (item(1), item(1)))], Asker("tok"))


def test_the_level_is_right_answers_or_else_likelihood():
    assert level([score(100.0), score(100.0), score(0.0), score(50.0), score(9.0, "nats", weight=3)]) == 62.5
    assert level([score(10.0, "nats", weight=4), score(2.0, "nats", weight=2)]) == -2
    assert math.isnan(level([]))


def test_what_was_watched_is_no_proof():
    seen, kept, alone = score(1.0, split="watch"), score(1.0), score(1.0, split="watch", suite="b")
    assert proof([seen, kept, alone], {"a"}) == [kept, alone]
    assert proof([seen, kept], ()) == [seen, kept]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"value": math.inf}, "Score of '1' in 'a': inf is not a measurement"),
        ({"weight": 0.0}, "a weight of 0.0 counts nothing"),
        ({"choices": 1}, "1 choices; give 0 for a generated answer"),
    ],
)
def test_a_score_that_measures_nothing_is_refused(change, sentence):
    with pytest.raises(HoldfastError, match=sentence):
        score(**{"value": 1.0, **change})
