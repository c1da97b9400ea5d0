"""What a guard asks: which items, how many of each suite, and what it makes of the answers."""

from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.bench.given.load import load_model, load_tokenizer
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.ground.names import BASE, items
from holdfast.probes.suites import Item
from holdfast.train import panel
from holdfast.train.panel import TEXTS, Panel, Score, learned, losses, panel_of


def item(number, suite="a", **fields):
    return Item(id=str(number), suite=suite, group=str(number), **(fields or {"choices": ("yes", "no")}))


def answers(suite, values):
    return [Score(suite, f"{suite}{i}", float(value)) for i, value in enumerate(values)]


def test_items_are_those_of_the_watched_side_alone(tmp_path):
    made = [item(number) for number in range(100)]
    path = tmp_path / "suite.jsonl"
    path.write_text("".join(json.dumps(one.to_dict()) + "\n" for one in made))
    watched = [one.id for one in made if one.split == "watch"]
    assert 10 < len(watched) < 50
    for source in (made, str(path), [str(path)]):
        assert [one.id for one in panel_of(source, object(), 64, "keep").items] == watched


def test_several_sources_of_items_and_texts_are_one_panel(tmp_path):
    tokenizer = load_tokenizer(BASE)
    text = tmp_path / "general.txt"
    text.write_text("The cat sees the dog.\n\nThe dog sees the cat.\n")
    found = panel_of(["ground:facts/watch", "ground:sums/watch", str(text)], tokenizer, 64, "keep")
    assert {one.suite for one in found.items} == {"facts", "sums"}
    assert len(found.examples) >= 1
    assert found.units == {"points", "nats"}
    assert found.only({"nats": 1}).items == []
    assert len(found.only({"points": 1}).examples) == 0


def test_what_cannot_be_watched_is_refused():
    proof = [one for one in map(item, range(50)) if one.split == "proof"]
    with pytest.raises(HoldfastError, match=r"Budget\(keep=...\): none of the 20 items is on the watched side"):
        panel_of(proof[:20], object(), 64, "keep")
    with pytest.raises(HoldfastError, match="needs a tokenizer"):
        panel_of("ground:facts", None, 64, "keep")


@pytest.mark.parametrize("side", ["watch", "proof"])
def test_of_a_few_items_on_one_side_all_are_watched_and_none_is_left(side, caplog):
    few = [one for one in map(item, range(50)) if one.split == side][:5]
    assert panel_of(few, object(), 64, "keep").items == few
    (said,) = caplog.messages
    assert said.startswith("Budget(keep=...): the 5 items are too few to have two sides. The guard watches them all")
    assert len(panel_of([*map(item, range(19))], object(), 64, "keep").items) < 19, "a few on two sides are parted"


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(0, 10), st.integers(1, 60))
def test_thinning_takes_as_much_of_each_suite_as_can_be(sizes, texts, most):
    whole = Panel(
        [item(f"{s}-{i}", suite=f"suite {s}") for s, size in enumerate(sizes) for i in range(size)],
        [Example([1, i], [1, i]) for i in range(texts)],
    )
    thin = whole.thinned(most)
    counts = [sum(one.suite == f"suite {s}" for one in thin.items) for s in range(len(sizes))] + [len(thin.examples)]
    given_ = [*sizes, texts]
    assert all(count <= size for count, size in zip(counts, given_, strict=True))
    assert sum(counts) == min(sum(given_), max(most, sum(size > 0 for size in given_)))
    cut = [count for count, size in zip(counts, given_, strict=True) if count < size]
    assert not cut or max(counts) - min(cut) <= 1
    assert [one.id for one in thin.items] == [one.id for one in whole.items if one in thin.items], "in their order"
    assert len(set(map(id, thin.items))) == len(thin.items)


def test_the_mean_of_suites_counts_each_the_same():
    before = answers("a", [1] * 10) + answers("b", [1] * 2)
    after = answers("a", [1] * 9 + [0]) + answers("b", [1, 0])
    assert losses(before, after, Budget(points=2))[0] == {"points": pytest.approx((10 + 50) / 2)}


def test_with_the_claim_on_every_suite_the_worst_counts_less_its_error():
    before = answers("a", [1] * 100) + answers("b", [1] * 4)
    after = answers("a", [0] * 16 + [1] * 84) + answers("b", [1, 1, 1, 0])
    lost, _ = losses(before, after, Budget(points=2, claim="every"))
    assert lost["points"] == pytest.approx(max(16 - 4, 25 - 25))


def test_a_suite_is_beyond_the_budget_only_for_certain():
    steady = [answers(name, [1] * 40) for name in "abcd"]
    before = [*itertools.chain(*steady)]
    for wrong, said in ((3, False), (20, True)):
        after = [*answers("a", [0] * wrong + [1] * (40 - wrong)), *itertools.chain(*steady[1:])]
        assert losses(before, after, Budget(points=2))[1] is said


def test_texts_count_by_token_and_only_in_units_with_a_limit():
    before = [Score(TEXTS, "0", 10.0, 10), Score(TEXTS, "1", 30.0, 30)]
    after = [Score(TEXTS, "0", 14.0, 10), Score(TEXTS, "1", 30.0, 30)]
    both = (before + answers("a", [1, 1]), after + answers("a", [1, 0]))
    assert losses(*both, Budget(nll=1)) == ({"nats": pytest.approx(0.1)}, False)
    assert losses(*both, Budget(nll=1, points=5))[0] == {"nats": pytest.approx(0.1), "points": pytest.approx(50)}


def test_what_is_learned_is_right_answers_or_else_likelihood():
    assert learned(answers("a", [1, 1, 0, 1])) == 75
    assert learned([Score(TEXTS, "0", 10.0, 4), Score(TEXTS, "1", 2.0, 2)]) == -2
    assert math.isnan(learned([]))


def test_the_base_of_the_ground_is_asked_as_its_suites_say_and_left_as_it_was():
    model, tokenizer = load_model(BASE), load_tokenizer(BASE)
    model.train()
    asked = [*items("facts/watch")[:6], *items("agreement/watch")[:4], *items("text/watch")[:2]]
    found = Panel(asked, [Example([5, 6, 7], [5, 6, 7])], tokenizer).ask(model)
    assert [score.suite for score in found] == [TEXTS, *["facts"] * 6, *["agreement"] * 4, *["text"] * 2]
    assert all(score.value in (0.0, 1.0) and not score.tokens for score in found[1:11])
    assert all(score.tokens > 0 for score in (found[0], *found[11:]))
    assert sum(score.value for score in found[1:11]) >= 8, "the base knows them"
    assert all(module.training for module in model.modules())


def test_two_panels_have_two_fingerprints():
    few, more = Panel([item(1)]), Panel([item(1), item(2)])
    assert few.fingerprint == Panel([item(1)]).fingerprint != more.fingerprint
    assert few.fingerprint < 2**63, "it is kept as a 64-bit integer"


def test_the_chat_template_is_left_out_where_it_is_wanted(monkeypatch):
    given_ = []
    monkeypatch.setattr(panel, "ask", lambda model, tokenizer, items, raw: given_.append(raw) or [])
    for raw in (True, False):
        Panel([item(1)], raw=raw).ask(None)
    assert given_ == [True, False]
