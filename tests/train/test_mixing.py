"""Memories in a trainer: the order of the mix is what the trainer visits, epoch after epoch."""

from __future__ import annotations

import functools
import math

import datasets
import pytest
import torch
import transformers
import trl

from holdfast.core.batches import collate
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.run import SOURCE
from holdfast.data.order import order
from holdfast.train.attach import attach
from holdfast.train.mixing import as_trained
from tests import tiny
from tests.train.retrace import furthest, trainer_for
from tests.train.watching import watching

MEMORY = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(9, seed=3)]
MEMORY_LEARNED = [Example(row["input_ids"], row["input_ids"]) for row in tiny.rows(9, seed=3)]
RATIO = 0.25


class _Spy:
    """Notes what comes out of a collator."""

    def __init__(self, collate):
        self.collate = collate
        self.rows = []

    def __call__(self, rows):
        self.rows += [(row[SOURCE], tuple(row["input_ids"])) for row in rows]
        return self.collate(rows)


def visited(folder, recipe="Rehearsal('old', ratio=0.25) + BaseKL()", **changes):
    trainer = trainer_for(tiny.tiny(), folder, tiny.rows(20), micro=2, **{"num_train_epochs": 3, **changes})
    attach(trainer, recipe, memories={"old": MEMORY})
    trainer.data_collator = spy = _Spy(trainer.data_collator)
    trainer.train()
    return trainer, spy.rows


def test_a_trainer_visits_the_order_of_the_mix_in_every_epoch(tmp_path):
    trainer, rows = visited(tmp_path)
    mix = trainer.holdfast_mix
    expected = [i for epoch in order(mix, epochs=3, seed=5) for i in epoch]
    assert rows == [(mix.examples[i].source, tuple(mix.examples[i].input_ids)) for i in expected]
    third = len(rows) // 3
    assert rows[:third] != rows[third : 2 * third] != rows[2 * third :]


def test_every_new_example_is_seen_in_every_epoch_and_the_share_is_kept_at_every_step(tmp_path):
    _, rows = visited(tmp_path)
    new = [ids for source, ids in rows if source == 0]
    assert set(new) == {tuple(row["input_ids"]) for row in tiny.rows(20)}
    assert 60 <= len(new) <= 62
    lengths = {tuple(e.input_ids): e.supervised for e in (*MEMORY, *(Example(**row) for row in tiny.rows(20)))}
    old = total = 0
    for source, ids in rows:
        total += lengths[ids]
        old += lengths[ids] * (source > 0)
        assert abs(old - RATIO * total) <= max(lengths.values())


@pytest.mark.parametrize("steps", [4, 25])
def test_max_steps_ends_the_run_there(tmp_path, steps):
    trainer, rows = visited(tmp_path, max_steps=steps)
    assert trainer.state.global_step == steps
    assert math.isclose(sum(source > 0 for source, _ in rows) / len(rows), RATIO, abs_tol=0.15)


@pytest.mark.parametrize("recipe", ["MaskTheTarget()", "SDFT() + BaseKL(on='memory') + Rehearsal('old', ratio=0.3)"])
@pytest.mark.parametrize("strategy", ["random", "sequential", "group_by_length", "batch_rebalance"])
def test_a_dataset_of_examples_trains_as_one_of_rows(tmp_path, strategy, recipe):
    ends, rows = [], tiny.rows(20)
    examples = [Example(tuple(row["input_ids"]), tuple(row["labels"]), origin="facts.jsonl") for row in rows]
    for data, collator in ((rows, tiny.collate), (examples, functools.partial(collate, pad_id=0))):
        trainer = trainer_for(tiny.tiny(), tmp_path, data, micro=2, accumulate=2, train_sampling_strategy=strategy)
        trainer.data_collator, trainer.processing_class = collator, tiny.tokenizer()
        attach(trainer, recipe, memories={"old": MEMORY}).train()
        ends.append(trainer.model)
    assert furthest(*ends) == 0.0
    assert furthest(ends[0], tiny.tiny()) > 1e-4


def test_a_collator_of_examples_that_does_not_pad_is_refused(tmp_path):
    examples = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(12)]
    trainer = trainer_for(tiny.tiny(), tmp_path, examples, micro=2)
    trainer.data_collator = lambda rows: {"input_ids": torch.tensor([row.input_ids for row in rows]),
                                          "labels": torch.tensor([row.labels for row in rows])}  # fmt: skip
    with pytest.raises(HoldfastError, match=r"does not pad: it fails on rows of .* data_collator=functools.partial"):
        attach(trainer, "Rehearsal('old', ratio=0.3)", memories={"old": MEMORY})


def test_two_memories_keep_their_own_shares(tmp_path):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(60), micro=4)
    other = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(9, seed=4)]
    recipe = "Rehearsal('old', ratio=0.2) + Rehearsal('other', ratio=0.1)"
    attach(trainer, recipe, memories={"old": MEMORY, "other": other})
    trainer.data_collator = spy = _Spy(trainer.data_collator)
    trainer.train()
    lengths = {tuple(e.input_ids): e.supervised for e in trainer.holdfast_mix.examples}
    tokens = [sum(lengths[ids] for source, ids in spy.rows if source == s) for s in (0, 1, 2)]
    assert tokens[1] / sum(tokens) == pytest.approx(0.2, abs=0.03)
    assert tokens[2] / sum(tokens) == pytest.approx(0.1, abs=0.03)


def test_memory_rows_longer_than_every_new_row_stay_whole(tmp_path):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(20, longest=6), micro=2)
    trainer.processing_class = tiny.tokenizer()
    rows = [{"text": " ".join(f"t{3 + (i + j) % 50}" for j in range(20))} for i in range(6)]
    attach(trainer, "Rehearsal('old', ratio=0.3)", memories={"old": rows})
    assert all(len(e.input_ids) > 20 for e in trainer.holdfast_mix.examples if e.source)


def test_what_is_logged_is_the_mean_over_the_steps_since_the_last_line(tmp_path):
    every, _ = visited(tmp_path / "a", logging_steps=1)
    third, _ = visited(tmp_path / "b", logging_steps=3)
    one = [row for row in every.state.log_history if "task_loss" in row]
    three = [row for row in third.state.log_history if "task_loss" in row]
    assert three[0]["task_loss"] == pytest.approx(sum(row["task_loss"] for row in one[:3]) / 3, rel=1e-6)
    shares = [row.get("memory_share", 0.0) for row in one[:3]]
    assert three[0]["memory_share"] == pytest.approx(sum(shares) / 3, rel=1e-6)


def masked_prompts(rows):
    """A collator that says itself what is learned: the last three tokens of a row."""
    batch = tiny.collate([{**row, "labels": row["input_ids"]} for row in rows])
    ends = batch["attention_mask"].sum(1, keepdim=True)
    places = torch.arange(batch["input_ids"].shape[1])[None]
    batch["labels"][(places < ends - 3) | (places >= ends)] = -100
    return batch


def test_the_share_is_of_what_the_collator_says_is_learned(tmp_path):
    data = [{"input_ids": row["input_ids"]} for row in tiny.rows(60, longest=30)]
    memory = [Example(row["input_ids"], row["input_ids"]) for row in tiny.rows(30, seed=3, longest=8)]
    trainer = trainer_for(tiny.tiny(), tmp_path, data, micro=4)
    trainer.data_collator = masked_prompts
    attach(trainer, "Rehearsal('old', ratio=0.3)", memories={"old": memory}).train()
    shares = [row["memory_share"] for row in trainer.state.log_history if "memory_share" in row]
    assert sum(shares) / len(shares) == pytest.approx(0.3, abs=0.02)


def test_padding_that_rows_bring_along_is_not_learned_and_does_not_count(tmp_path):
    words = tiny.tokenizer()
    texts = [" ".join(f"t{i}" for i in row["input_ids"] if i > 3) for row in tiny.rows(40)]
    data = [dict(words(text, padding="max_length", max_length=40)) for text in texts]
    for row in data:
        row.pop("token_type_ids", None)
    collate = transformers.DataCollatorForLanguageModeling(words, mlm=False)
    found = as_trained(data, collate)
    assert [len(example.input_ids) for example in found] == [sum(row["attention_mask"]) for row in data]
    assert not any(label == -100 for example in found for label in example.labels)
    trainer = trainer_for(tiny.tiny(), tmp_path, data, micro=4)
    trainer.data_collator = collate
    attach(trainer, "Rehearsal('old', ratio=0.25)", memories={"old": MEMORY_LEARNED}).train()
    shares = [row["memory_share"] for row in trainer.state.log_history if "memory_share" in row]
    assert sum(shares) / trainer.state.global_step == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    "recipe", ["FLOW()", "LowPerplexity(threshold=1000)", "Train(teacher='cache') + MaskTheTarget()"]
)
@pytest.mark.parametrize("kind", ["the end is padding", "left"])
def test_what_was_looked_at_beforehand_is_met_again_whatever_the_collator_does(tmp_path, recipe, kind):
    words = tiny.tokenizer()
    if kind == "left":
        words.padding_side = "left"
    else:
        words.pad_token = words.eos_token
    data = [{"input_ids": [*row["input_ids"], words.eos_token_id]} for row in tiny.rows(12)]
    trainer = trainer_for(tiny.tiny(), tmp_path, data, micro=4)
    trainer.data_collator = transformers.DataCollatorForLanguageModeling(words, mlm=False)
    trainer.processing_class = words
    attach(trainer, f"{recipe} + Rehearsal('old', ratio=0.2)", memories={"old": MEMORY_LEARNED}).train()
    assert trainer.state.global_step > 1


def test_padding_on_the_left_is_padding_on_the_right(tmp_path):
    ends = []
    for side in ("left", "right"):
        words = tiny.tokenizer()
        words.padding_side = side
        trainer = trainer_for(tiny.tiny(), tmp_path, [{"input_ids": r["input_ids"]} for r in tiny.rows(12)], micro=4)
        trainer.data_collator = transformers.DataCollatorForLanguageModeling(words, mlm=False)
        attach(trainer, "MaskTheTarget()").train()
        ends.append(trainer.model)
    assert furthest(*ends) < 1e-7


@pytest.mark.parametrize(
    "recipe",
    ["FLOW() + AGEM('old')", "FLOW() + ConflictDecay('old')", "LowPerplexity(threshold=1000) + EWC(memory='old')"],
)
def test_a_gradient_on_old_examples_goes_with_what_numbers_the_new_ones(tmp_path, recipe):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(12), micro=4)
    attach(trainer, recipe, memories={"old": MEMORY}).train()
    assert trainer.state.global_step == 3


def test_new_examples_keep_an_order_that_is_asked_for(tmp_path):
    _, rows = visited(tmp_path, train_sampling_strategy="sequential", num_train_epochs=2)
    new = [ids for source, ids in rows if source == 0]
    given = [tuple(row["input_ids"]) for row in tiny.rows(20)]
    assert new[:40] == given * 2
    assert {source for source, _ in rows} == {0, 1}


def test_a_strategy_that_gives_way_is_said(tmp_path, caplog):
    with caplog.at_level("WARNING", "holdfast"):
        visited(tmp_path, train_sampling_strategy="group_by_length", num_train_epochs=1)
    assert "replaces train_sampling_strategy='group_by_length'" in caplog.text


def test_the_tokenizer_of_a_processor_is_taken(tmp_path):
    class Processor:
        tokenizer = tiny.tokenizer()

    (tmp_path / "old.jsonl").write_text('{"text": "t5 t6 t7 t8"}\n' * 4)
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(12), micro=4)
    trainer.processing_class = Processor()
    attach(trainer, f"Rehearsal('{tmp_path}/old.jsonl', ratio=0.2)", **watching(f"{tmp_path}/old.jsonl", nll=5))
    assert trainer.holdfast_mix.names


@pytest.mark.parametrize("recipe", ["Rehearsal('old', ratio=0.2)", "FLOW() + Rehearsal('old', ratio=0.2)"])
@pytest.mark.parametrize("form", [{"packing": True}, {"padding_free": True, "max_length": None}, {}])
def test_rows_that_are_padded_to_a_multiple_are_read_without_their_padding(tmp_path, recipe, form):
    config = trl.SFTConfig(
        output_dir=str(tmp_path), report_to="none", use_cpu=True, bf16=False, per_device_train_batch_size=4,
        pad_to_multiple_of=8, **{"max_length": 24, **form},
    )  # fmt: skip
    data = datasets.Dataset.from_list([{"input_ids": row["input_ids"]} for row in tiny.rows(24)])
    model = tiny.tiny(dtype=torch.float32)
    trainer = trl.SFTTrainer(model=model, args=config, train_dataset=data, processing_class=tiny.tokenizer())
    attach(trainer, recipe, memories={"old": MEMORY}).train()
    assert trainer.state.global_step > 1


@pytest.mark.parametrize(
    "recipe", ["Rehearsal('old', ratio=0.2)", "FLOW()", "Train(teacher='cache') + MaskTheTarget()"]
)
def test_a_collator_that_takes_one_row_at_a_time_is_given_one(tmp_path, recipe):
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(8), micro=1)
    trainer.data_collator = transformers.default_data_collator
    attach(trainer, recipe, memories={"old": MEMORY}).train()
    assert trainer.state.global_step >= 8


def pads_ids_alone(rows):
    return {**tiny.collate(rows), "labels": torch.tensor([row["labels"] for row in rows])}


class _Stacks:
    def __call__(self, rows):
        return {name: torch.stack([torch.tensor(row[name]) for row in rows]) for name in rows[0]}


@pytest.mark.parametrize(
    ("collator", "name"),
    [
        (transformers.default_data_collator, "default_data_collator"),
        (transformers.DefaultDataCollator(), "DefaultDataCollator"),
        (transformers.DataCollatorWithPadding(tiny.tokenizer()), "DataCollatorWithPadding"),
        (pads_ids_alone, "pads_ids_alone"),
        (_Stacks(), "_Stacks"),
    ],
)
@pytest.mark.parametrize("even", [True, False])
def test_a_collator_that_does_not_pad_is_refused_with_one_that_does(tmp_path, collator, name, even):
    rows = tiny.rows(12)
    rows = [row for row in tiny.rows(200) if len(row["input_ids"]) == 9][:12] if even else rows
    trainer = trainer_for(tiny.tiny(), tmp_path, rows, micro=2)
    trainer.data_collator = collator
    with pytest.raises(HoldfastError) as refused:
        attach(trainer, "Rehearsal('old', ratio=0.3)", memories={"old": MEMORY})
    assert f"The trainer's collator ({name}) does not pad: it fails on rows of " in str(refused.value)
    assert "give the trainer one that pads, data_collator=DataCollatorForSeq2Seq(tokenizer)" in str(refused.value)
    trainer.data_collator = transformers.DataCollatorForSeq2Seq(tiny.tokenizer())
    attach(trainer, "Rehearsal('old', ratio=0.3)", memories={"old": MEMORY}).train()
    assert trainer.state.global_step >= 6


def test_without_labels_the_collator_that_makes_them_is_named(tmp_path):
    rows = [{"input_ids": row["input_ids"]} for row in tiny.rows(12)]

    def making_labels(rows):
        return {name: torch.tensor([row["input_ids"] for row in rows]) for name in ("input_ids", "labels")}

    trainer = trainer_for(tiny.tiny(), tmp_path, rows, micro=2)
    trainer.data_collator = making_labels
    with pytest.raises(HoldfastError, match=r"data_collator=DataCollatorForLanguageModeling\(tokenizer, mlm=False\)"):
        attach(trainer, "Rehearsal('old', ratio=0.3)", memories={"old": MEMORY_LEARNED})
    trainer.data_collator = transformers.DataCollatorForLanguageModeling(tiny.tokenizer(), mlm=False)
    attach(trainer, "Rehearsal('old', ratio=0.3)", memories={"old": MEMORY_LEARNED}).train()
    assert trainer.state.global_step >= 6


def test_a_column_that_old_examples_have_not_is_no_reason_where_padding_is(tmp_path):
    trainer = trainer_for(tiny.tiny(), tmp_path, [{**row, "weight": 1.0} for row in tiny.rows(12)], micro=2)
    trainer.args.remove_unused_columns = False
    trainer.data_collator = transformers.default_data_collator
    with pytest.raises(HoldfastError, match=r"\(default_data_collator\) does not pad"):
        attach(trainer, "Rehearsal('old', ratio=0.3)", memories={"old": MEMORY})


def test_a_collator_that_does_not_pad_is_kept_where_all_rows_are_of_one_length(tmp_path):
    rows = [row for row in tiny.rows(200) if len(row["input_ids"]) == 9]
    trainer = trainer_for(tiny.tiny(), tmp_path, rows[:8], micro=2)
    trainer.data_collator = transformers.default_data_collator
    old = [Example(row["input_ids"], row["labels"]) for row in rows[8:12]]
    attach(trainer, "Rehearsal('old', ratio=0.3)", memories={"old": old}).train()
    assert trainer.state.global_step >= 4


@pytest.mark.parametrize(("learns_all", "asked"), [(False, 8), (True, 40)])
def test_a_collator_that_keeps_labels_is_not_asked_about_every_row(learns_all, asked):
    calls = []

    def collate(rows):
        calls.append(rows)
        batch = tiny.collate(rows)
        return {**batch, "labels": batch["input_ids"]} if learns_all else batch

    found = as_trained(tiny.rows(40), collate)
    assert len(calls) == asked
    assert all(example.labels == (example.input_ids if learns_all else row["labels"])
               for example, row in zip(found, tiny.rows(40), strict=True))  # fmt: skip


@pytest.mark.parametrize("form", ["torch", "numpy"])
def test_old_rows_have_the_form_of_the_rows_beside_them(tmp_path, form):
    """Collators of transformers pad tensors, arrays and lists, each among themselves."""
    rows = [{**row, "attention_mask": [1] * len(row["input_ids"])} for row in tiny.rows(24)]
    plain = datasets.Dataset.from_list(rows)
    ends = []
    for data in (plain, plain.with_format(form)):
        trainer = trainer_for(tiny.tiny(), tmp_path, data, micro=4)
        trainer.data_collator = transformers.DataCollatorForSeq2Seq(tiny.tokenizer())
        attach(trainer, "Rehearsal('old', ratio=0.3)", memories={"old": MEMORY}).train()
        ends.append(trainer.model)
    assert furthest(*ends) == 0.0
