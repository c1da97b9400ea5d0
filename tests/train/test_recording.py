"""What steered a training is written down wherever the model goes, and nowhere else."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import logging

import peft
import pytest
import torch
import transformers

from holdfast.core.batches import collate
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.data.rows import Row
from holdfast.data.tokenization import tokenize
from holdfast.probes.items import Item, split_of
from holdfast.probes.watch_record import FILE, WatchRecord
from holdfast.train.attach import attach
from holdfast.train.questions import watched_suites
from tests import tiny
from tests.train.retrace import arguments, trainer_for
from tests.train.watching import watching

WORDS = [f"t{n}" for n in (*range(20, 30), *range(40, 61))]  # the tokenizer reads t30 as an unknown word
TEXTS = [f"{WORDS[i % 31]} {WORDS[(i + 1) % 31]} {WORDS[(i + 2 + i // 31) % 31]}" for i in range(36)]
NEVER = 1e9


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "general.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return str(path)


def budget(texts, **changes):
    return watching(texts, nll=NEVER, **{"every": 2, **changes})


def trainer_of(folder, model=None, given=None, recipe=None, **changes):
    model = tiny.tiny("llama", dtype=torch.float32) if model is None else model
    trainer = trainer_for(model, folder, tiny.rows(8), **{"max_steps": 2, "save_strategy": "steps", **changes})
    trainer.processing_class = tiny.tokenizer()
    return trainer if given is None and recipe is None else attach(trainer, recipe, **(given or {}))


def windows(text):
    return tokenize([Row(text=text)], tiny.tokenizer(), max_length=64).examples


def known(folder):
    """The texts that a record in a folder says were watched."""
    seen = WatchRecord.read(folder / FILE)
    return [text for text in TEXTS if seen.has_document(windows(text), tiny.tokenizer())]


def test_the_watched_side_of_a_file_of_texts_is_asked_and_no_more_than_that_is_written_down(tmp_path, texts):
    trainer = trainer_of(tmp_path / "out", given=budget(texts))
    watched = [text for text in TEXTS if split_of(windows(text)[0].content) == "watch"]
    assert 4 < len(watched) < 20
    assert sum(map(len, trainer.holdfast_guard.questions.kept)) == len(watched)
    trainer.train()
    assert known(tmp_path / "out") == watched
    thinned = trainer_of(tmp_path / "thin", given=budget(texts, items=3))
    thinned.train()
    assert len(known(tmp_path / "thin")) == 3


@pytest.mark.parametrize("recipe", [None, "LoRA(rank=2)", "LoRA(rank=2) + Train(ship='merged')"])
def test_it_lies_beside_every_model_that_is_saved_however_it_is_saved(tmp_path, texts, recipe):
    trainer = trainer_of(tmp_path / "out", given=budget(texts), recipe=recipe, save_steps=1)
    trainer.train()
    trainer.save_model(tmp_path / "final")
    trainer.model.save_pretrained(tmp_path / "by-hand")
    folders = ["out", "out/checkpoint-1", "out/checkpoint-2", "final", "by-hand"]
    if hasattr(trainer.model, "merge_and_unload"):
        trainer.model.merge_and_unload().save_pretrained(tmp_path / "merged")
        folders.append("merged")
    found = [known(tmp_path / folder) for folder in folders]
    assert found[0]
    assert all(one == found[0] for one in found)


def test_a_copy_of_the_model_saves_its_own_weights(tmp_path, texts):
    trainer = trainer_of(tmp_path / "out", given=budget(texts))
    twin = copy.deepcopy(trainer.model)
    with torch.no_grad():
        twin.lm_head.weight.zero_()
    twin.save_pretrained(tmp_path / "twin")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "twin")
    assert not loaded.lm_head.weight.any()
    assert trainer.model.lm_head.weight.any()
    assert known(tmp_path / "twin")


def test_what_measures_the_learning_is_written_down_too(tmp_path, texts):
    learn = tmp_path / "learn.jsonl"
    pairs = [{"prompt": f"{word} ", "completion": other} for word, other in itertools.pairwise(WORDS)]
    learn.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    trainer = trainer_of(tmp_path / "out", given=budget(texts, learn=str(learn)))
    trainer.train()
    seen = WatchRecord.read(tmp_path / "out" / FILE)
    assert {thing.use for thing in seen.things} == {"keep", "learn"}
    rows = [Row(**pair) for pair in pairs]
    made = [tokenize([row], tiny.tokenizer(), max_length=64).examples for row in rows]
    found = sum(seen.has_document(one, tiny.tokenizer()) for one in made)
    assert found == sum(map(len, trainer.holdfast_guard.questions.learn)) < len(rows)


@pytest.mark.parametrize("of_examples", [False, True])
def test_rows_by_which_the_trainer_chooses_a_checkpoint_are_written_down(tmp_path, of_examples):
    made = [windows(text)[0] for text in TEXTS[:4]]
    rows = [{"input_ids": list(one.input_ids), "labels": list(one.labels)} for one in made]
    learned, collator = tiny.rows(8), tiny.collate
    if of_examples:
        rows, collator = made, functools.partial(collate, pad_id=0)
        learned = [Example(**row) for row in learned]
    choosing = {"eval_strategy": "steps", "eval_steps": 1, "save_steps": 1, "load_best_model_at_end": True}
    model = tiny.tiny("llama", dtype=torch.float32)
    for name, changes in (("chosen", choosing), ("measured", {"eval_strategy": "steps", "eval_steps": 1})):
        trainer = transformers.Trainer(
            model=model,
            args=arguments(tmp_path / name, max_steps=2, **{"save_strategy": "steps", **changes}),
            train_dataset=learned,
            eval_dataset=rows,
            data_collator=collator,
            processing_class=tiny.tokenizer(),
        )
        attach(trainer, "Finch()")
        trainer.train()
    assert known(tmp_path / "chosen") == TEXTS[:4]
    assert not (tmp_path / "measured" / FILE).exists(), "an evaluation that chooses nothing steers nothing"


def test_without_anything_that_steers_nothing_is_written(tmp_path):
    trainer = trainer_of(tmp_path / "out", recipe="Finch()")
    trainer.train()
    trainer.save_model(tmp_path / "final")
    assert not list(tmp_path.rglob(FILE))


def test_what_steered_the_model_that_is_trained_on_is_taken_over(tmp_path, texts):
    first = trainer_of(tmp_path / "one", given=budget(texts))
    first.train()
    first.save_model(tmp_path / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    second = trainer_of(tmp_path / "two", model, recipe="Finch()")
    second.train()
    assert known(tmp_path / "two") == known(tmp_path / "one") != []
    adapter = peft.get_peft_model(
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model"),
        peft.LoraConfig(target_modules=["q_proj"]),
    )
    third = trainer_of(tmp_path / "three", adapter, recipe="Finch()")
    third.train()
    third.save_model(tmp_path / "adapter")
    assert known(tmp_path / "adapter") == known(tmp_path / "one")


def test_a_refused_trainer_and_its_model_are_left_alone(tmp_path, texts):
    model = tiny.tiny("llama", dtype=torch.float32)
    with pytest.raises(HoldfastError, match="has none: add MaskTheTarget"):
        trainer_of(tmp_path / "out", model, given=budget(texts, on_spent="hold"))
    assert "save_pretrained" not in vars(model)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob(FILE))


def test_of_a_file_too_small_for_two_sides_all_is_watched_and_it_is_said(tmp_path, caplog):
    proof = [text for text in TEXTS if split_of(windows(text)[0].content) == "proof"]
    path = tmp_path / "few.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in proof[:3]))
    trainer = trainer_of(tmp_path / "out", given=budget(str(path)))
    assert sum(map(len, trainer.holdfast_guard.questions.kept)) == 3
    (said,) = (message for message in caplog.messages if "too few" in message)
    assert "few.jsonl'): the 3 texts are too few to split into watched (validation) and proof (test) items." in said
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in proof[:20]))
    with pytest.raises(HoldfastError, match="all of the 20 texts are proof"):
        trainer_of(tmp_path / "out", given=budget(str(path)))


def test_prepared_examples_are_watched_as_they_are(tmp_path, caplog):
    kept = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(5, seed=9)]
    trainer = trainer_of(tmp_path / "out", given=budget(kept))
    assert sum(map(len, trainer.holdfast_guard.questions.kept)) == 5 == len(trainer.holdfast_watched)
    assert not [message for message in caplog.messages if "watched" in message]


def test_a_suite_of_which_nothing_is_watched_is_named(caplog):
    proof = next(f"p{n}" for n in range(99) if split_of(f"p{n}") == "proof")
    many = [Item(id=f"{n}", suite="many", group=f"{n}", choices=("a", "b")) for n in range(40)]
    lone = Item(id=proof, suite="lone", group=proof, choices=("a", "b"))
    with caplog.at_level(logging.WARNING, "holdfast"):
        found = watched_suites([*many, lone], object(), 64, "keep")
    assert [suite.name for suite in found] == ["many"]
    assert caplog.messages == ["attach(keep=...): no item of lone (1) is watched; all are test items."]
