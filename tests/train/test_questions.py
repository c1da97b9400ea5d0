"""What a guard asks: which items, how many of each suite, and what it makes of the answers."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import Guard
from holdfast.core.mix import Example
from holdfast.general.names import KINDS
from holdfast.ground.names import BASE
from holdfast.probes.items import Item
from holdfast.probes.suite import Asker, Suite, suites_of, units_of
from holdfast.suites.default import GENERAL, GROUND
from holdfast.suites.named import items_of
from holdfast.train.attach import attach
from holdfast.train.questions import Questions, kept_of, thinned, watched_suites
from tests import tiny
from tests.train.retrace import trainer_for


def item(number, suite="a", **fields):
    return Item(id=str(number), suite=suite, group=str(number), **(fields or {"choices": ("yes", "no")}))


def test_items_are_those_of_the_watched_side_alone(tmp_path):
    made = [item(number) for number in range(100)]
    path = tmp_path / "suite.jsonl"
    path.write_text("".join(json.dumps(one.to_dict()) + "\n" for one in made))
    watched = [one.id for one in made if one.split == "watch"]
    assert 10 < len(watched) < 50
    for source in (made, str(path), [str(path)]):
        (suite,) = watched_suites(source, object(), 64, "keep")
        assert [one.id for one in suite.items] == watched


def test_several_sources_of_items_and_texts_are_several_suites(tmp_path):
    tokenizer = load_tokenizer(BASE)
    text = tmp_path / "general.txt"
    text.write_text("The cat sees the dog.\n\nThe dog sees the cat.\n")
    suites = watched_suites(["ground:facts/watch", "ground:sums/watch", str(text)], tokenizer, 64, "keep")
    assert [suite.name for suite in suites] == ["texts", "facts", "sums"]
    assert len(suites[0].texts) >= 1
    assert units_of(suites) == {"points", "nats"}
    assert not any(suite.only({"nats": 1}).items for suite in suites)
    assert not any(suite.only({"points": 1}).texts for suite in suites)
    assert {suite.role for suite in watched_suites("ground:facts/watch", tokenizer, 64, "learn")} == {"learned"}


def test_what_cannot_be_watched_is_refused():
    proof = [one for one in map(item, range(50)) if one.split == "proof"]
    with pytest.raises(HoldfastError, match=r"attach\(keep=...\): all of the 20 items are proof"):
        watched_suites(proof[:20], object(), 64, "keep")
    with pytest.raises(HoldfastError, match="needs a tokenizer"):
        watched_suites("ground:facts", None, 64, "keep")


@pytest.mark.parametrize("side", ["watch", "proof"])
def test_of_a_few_items_on_one_side_all_are_watched_and_none_is_left(side, caplog):
    few = [one for one in map(item, range(50)) if one.split == side][:5]
    assert watched_suites(few, object(), 64, "keep") == suites_of(few, "retained")
    (said,) = caplog.messages
    assert said.startswith(
        "attach(keep=...): the 5 items are too few to split into watched (validation) and proof (test) items."
    )
    (parted,) = watched_suites([*map(item, range(19))], object(), 64, "keep")
    assert len(parted) < 19, "a few on two sides are parted"


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(0, 10), st.integers(1, 60))
def test_thinning_takes_as_much_of_each_suite_as_can_be(sizes, texts, most):
    whole = [
        Suite(f"suite {s}", "retained", tuple(item(f"{s}-{i}", suite=f"suite {s}") for i in range(size)))
        for s, size in enumerate(sizes)
    ]
    whole.append(Suite("texts", "retained", texts=tuple(Example([1, i], [1, i]) for i in range(texts))))
    thin = {suite.name: suite for suite in thinned(whole, most)}
    counts = [len(thin.get(suite.name, ())) for suite in whole]
    given_ = [*sizes, texts]
    assert all(count <= size for count, size in zip(counts, given_, strict=True))
    assert sum(counts) == min(sum(given_), max(most, sum(size > 0 for size in given_)))
    cut = [count for count, size in zip(counts, given_, strict=True) if count < size]
    assert not cut or max(counts) - min(cut) <= 1
    for suite in whole:
        left = thin.get(suite.name, Suite(suite.name, "retained"))
        assert [one for one in suite.items if one in left.items] == [*left.items], "in their order"
        assert len(set(map(id, left.items + left.texts))) == len(left)


def test_two_questions_have_two_fingerprints():
    few, more, texts = (
        Questions((Suite("a", "retained", items, texts),), (), Asker())
        for items, texts in (((item(1),), ()), ((item(1), item(2)), ()), ((item(1),), (Example([5], [5]),)))
    )
    assert few.fingerprint == Questions((Suite("a", "retained", (item(1),)),), (), Asker()).fingerprint
    assert len({few.fingerprint, more.fingerprint, texts.fingerprint}) == 3
    assert few.fingerprint < 2**63, "it is kept as a 64-bit integer"


def test_of_whole_suites_the_watched_side_is_asked():
    whole = Suite(
        "a", "retained", tuple(map(item, range(60))), tuple(Example([1, i], [1, i], f"{i}") for i in range(60))
    )
    (asked,) = watched_suites([whole], None, 64, "keep")
    assert asked == whole.side("watch")
    assert watched_suites(whole, None, 64, "keep") == [asked]
    assert watched_suites([whole.side("proof")], None, 64, "keep") == []


def test_a_guard_asks_as_its_settings_say(tmp_path):
    trainer = trainer_for(tiny.tiny(dtype=torch.float32), tmp_path, tiny.rows(8))
    trainer.processing_class = tiny.tokenizer()
    kept = [Suite("a", "retained", tuple(map(item, range(60))))]
    for guard, asker in ((Guard(), (False, None)), (Guard(raw=True, batch_tokens=33), (True, 33))):
        made = Questions.of(trainer, Budget(points=2), guard, kept, None).asker
        assert (made.tokenizer, made.raw, made.batch_tokens) == (trainer.processing_class, *asker)


def trainer_with(model, folder, tokenizer=None):
    trainer = trainer_for(model, folder, tiny.rows(8))
    trainer.processing_class = tokenizer
    return trainer


def test_a_guard_without_anything_to_watch_asks_general(tmp_path, caplog):
    trainer = trainer_with(tiny.tiny("llama"), tmp_path, load_tokenizer(BASE))
    attach(trainer, budget=Budget(points=2))
    assert caplog.messages[0].startswith(f"{GENERAL} is kept by default: 60 plain questions")
    assert "attach(keep=...) names others" in caplog.messages[0]
    kept = trainer.holdfast_guard.questions.kept
    assert [suite.name for suite in kept] == [f"general/{kind}" for kind in KINDS]
    watched = {(item.suite, item.id) for item in items_of(GENERAL) if item.split == "watch"}
    assert {(item.suite, item.id) for suite in kept for item in suite.items} == watched


def test_the_base_of_the_proving_ground_is_asked_its_own_suites(tmp_path):
    trainer = trainer_with(load_model(BASE), tmp_path, load_tokenizer(BASE))
    assert kept_of(trainer, Budget(points=2), None) == GROUND
    assert kept_of(trainer, Budget(points=2), "mine.jsonl") == "mine.jsonl"
    assert kept_of(trainer, None, None) is None


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (Budget(points=2), "processing_class=tokenizer, so that it asks general:900"),
        (Budget(nll=0.1), r"needs something to watch: give attach\(keep='texts.txt'\)"),
    ],
)
def test_without_a_tokenizer_or_with_a_budget_of_nats_something_must_be_named(tmp_path, budget, message):
    with pytest.raises(HoldfastError, match=message):
        attach(trainer_with(tiny.tiny("llama"), tmp_path), budget=budget)
