"""The recipe `auto` on an attached trainer: the plan's choice by size, a guard that steers, and refusals."""

from __future__ import annotations

import logging

import pytest
import trl

from holdfast.bench.plan.advice import advise
from holdfast.bench.plan.situation import Situation
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import Guard
from holdfast.core.mix import Example
from holdfast.methods.rehearsal.prompt_rehearsal import PromptRehearsal
from holdfast.methods.rehearsal.refusal_rehearsal import RefusalRehearsal
from holdfast.recipe import parse
from holdfast.train.attach import attach
from holdfast.train.auto import auto_recipe
from holdfast.train.settings import train_of
from tests import tiny
from tests.train.retrace import trainer_for

KEPT = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(5, seed=9)]
MEMORY = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(7, seed=3)]
BUDGET = Budget(nll=0.5)


@pytest.mark.parametrize("chat", [False, True])  # which makes no difference
@pytest.mark.parametrize("is_adapter", [False, True])
@pytest.mark.parametrize("parameters", [3_000_000, 270_000_000, 999_999_999, 10**9, 7 * 10**9, 13 * 10**9, 10**12])
def test_the_choice_is_that_of_a_plan_that_knows_the_size_alone(parameters, is_adapter, chat):
    advice = advise(Situation(parameters=parameters, is_adapter=is_adapter, chat=chat))
    for old in ((), ("old",), ("a", "b")):
        planned, ours = parse(advice.recipe(old)), auto_recipe(parameters, is_adapter, old)
        assert ours.methods[1:] == planned.methods[1:]
        assert train_of(ours).lr == train_of(planned).lr
        assert (RefusalRehearsal() in ours.parts()) == (parameters >= 100_000_000)
        assert (PromptRehearsal() in ours.parts()) == (parameters >= 100_000_000 and not old)


def test_it_trains_with_the_recipe_and_a_guard_that_steers_and_says_so(tmp_path, caplog):
    trainer = trainer_for(tiny.tiny("llama"), tmp_path, tiny.rows(20), num_train_epochs=1)
    with caplog.at_level(logging.WARNING, "holdfast"):
        attach(trainer, "auto", BUDGET, keep=KEPT, guard=Guard(every=1), memories={"old": MEMORY})
    assert trainer.holdfast_recipe == auto_recipe(sum(p.numel() for p in trainer.model.parameters()), False, ["old"])
    assert "Recipe auto: Train(lr=0.00025)" in caplog.text
    assert "on_spent=steer" in caplog.text
    assert trainer.args.learning_rate == 2.5e-4
    trainer.train()
    summary = trainer.holdfast_guard.summary()
    assert summary["on_spent"] == "steer"
    assert len(summary["course"]) == trainer.state.global_step
    assert "the penalty to the base model at" in summary["sentence"]


def test_it_works_on_an_sft_trainer_as_it_is(tmp_path):
    rows = [{name: row[name] for name in ("input_ids", "labels")} for row in tiny.rows(16)]
    import datasets

    args = trl.SFTConfig(
        str(tmp_path), use_cpu=True, bf16=False, report_to="none", save_strategy="no", max_steps=3, disable_tqdm=True,
        per_device_train_batch_size=4, logging_steps=1,
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        tiny.tiny("llama"), args, train_dataset=datasets.Dataset.from_list(rows), processing_class=tiny.tokenizer()
    )
    attach(trainer, "auto", BUDGET, keep=KEPT, guard=Guard(every=1), memories={"old": MEMORY})
    trainer.train()
    assert [row["step"] for row in trainer.holdfast_guard.summary()["course"]] == [1, 2, 3]


@pytest.mark.parametrize(("given", "does"), [("rewind", "steer"), ("log", "log"), ("stop", "stop"), ("hold", "hold")])
def test_a_guard_that_would_go_back_steers_and_another_stays_what_the_user_chose(tmp_path, given, does):
    trainer = trainer_for(tiny.tiny("llama"), tmp_path, tiny.rows(20))
    attach(trainer, "auto", BUDGET, keep=KEPT, guard=Guard(on_spent=given), memories={"old": MEMORY})
    assert trainer.holdfast_guard.guard.on_spent == does


def test_without_a_budget_it_is_refused_with_the_mend(tmp_path):
    trainer = trainer_for(tiny.tiny("llama"), tmp_path, tiny.rows(20))
    with pytest.raises(HoldfastError, match=r"there is none: give budget=Budget\(points=2\), or name a recipe"):
        attach(trainer, "auto", keep=KEPT)
    assert type(trainer).__name__ == "Trainer"
