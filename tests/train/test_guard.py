"""The guard: when it stops a training, what it logs, and that it leaves everything else alone."""

from __future__ import annotations

import logging
import math

import pytest
import torch
import transformers

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.probes.likelihood import DocumentScore, document_nll
from holdfast.train import guard
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import furthest, trainer_for

KEPT = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(5, seed=9)]
NEVER = 1e9


def model():
    made = tiny.tiny("gpt2", dtype=torch.float32)
    for module in made.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.2
    return made


def trainer_of(folder, recipe=None, budget=None, start=None, **changes):
    changes = {"micro": 2, "accumulate": 2, "num_train_epochs": 2, **changes}
    trainer = trainer_for(start or model(), folder, tiny.rows(20), **changes)
    return trainer if recipe is None and budget is None else attach(trainer, recipe, budget)


@pytest.fixture
def looks(monkeypatch):
    """Puts a script in the place of the likelihood of the kept texts: nats per token at the start and at each look."""

    def script(*nats):
        rest = list(nats)
        monkeypatch.setattr(guard, "document_nll", lambda model, examples: [DocumentScore("a", 10 * rest.pop(0), 10)])
        return rest

    return script


def changes(trainer):
    return {row["step"]: row["kept_nll_change"] for row in trainer.state.log_history if "kept_nll_change" in row}


def test_it_stops_after_two_looks_over_the_budget_in_a_row_and_not_after_one(tmp_path, looks, caplog):
    looks(1.0, 1.6, 1.4, 1.6, 1.7)
    trainer = trainer_of(tmp_path, budget=Budget(nll=0.5, keep=KEPT, every=1))
    with caplog.at_level(logging.WARNING, "holdfast"):
        trainer.train()
    assert (trainer.state.global_step, trainer.state.max_steps) == (4, 10)
    assert changes(trainer) == pytest.approx({1: 0.6, 2: 0.4, 3: 0.6, 4: 0.7})
    assert [record.getMessage() for record in caplog.records if record.name == "holdfast"] == [
        "Step 4: the kept texts have lost 0.700 nats per token, over the budget of 0.500 at two looks in a row;"
        " training stops here."
    ]


def test_exactly_the_budget_is_kept(tmp_path, looks):
    looks(1.0, *[1.5] * 10)
    trainer = trainer_of(tmp_path, budget=Budget(nll=0.5, keep=KEPT, every=1))
    trainer.train()
    assert trainer.state.global_step == 10


@pytest.mark.parametrize(("every", "seen"), [(3, [3, 6, 9, 10]), (5, [5, 10]), (50, [10])])
def test_it_looks_every_so_many_steps_and_at_the_end(tmp_path, looks, every, seen):
    rest = looks(1.0, *[1.1] * 10)
    trainer = trainer_of(tmp_path, budget=Budget(nll=0.5, keep=KEPT, every=every))
    trainer.train()
    assert list(changes(trainer)) == seen
    assert len(rest) == 10 - len(seen)


def test_the_change_that_it_logs_is_that_of_the_model(tmp_path):
    start = model()

    def nll(model):
        scores = document_nll(model, KEPT)
        return sum(score.nats for score in scores) / sum(score.tokens for score in scores)

    before = nll(start)
    trainer = trainer_of(tmp_path, budget=Budget(nll=NEVER, keep=KEPT, every=4), start=start)
    trainer.train()
    assert changes(trainer)[10] == pytest.approx(nll(trainer.model) - before, rel=1e-6)


def test_a_likelihood_that_is_no_number_stops_and_does_not_raise(tmp_path, monkeypatch):
    values = iter([1.0, math.inf, math.inf])

    def likelihood(model, examples):
        value = next(values)
        if not math.isfinite(value):
            raise HoldfastError("the likelihood of a document is not finite.")
        return [DocumentScore("a", value, 1)]

    monkeypatch.setattr(guard, "document_nll", likelihood)
    trainer = trainer_of(tmp_path, budget=Budget(nll=0.5, keep=KEPT, every=1))
    trainer.train()
    assert trainer.state.global_step == 2
    assert changes(trainer) == {}


def test_a_start_that_is_no_number_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(guard, "document_nll", lambda *_: [DocumentScore("a", math.nan, 1)])
    trainer = trainer_of(tmp_path, budget=Budget(nll=0.5, keep=KEPT))
    with pytest.raises(HoldfastError, match="the model's likelihood of the kept texts is no number at the start"):
        trainer.train()


@pytest.mark.parametrize("recipe", [None, "Finch() + MaskTheTarget()", "LoRA(rank=2, dropout=0.3) + BaseKL()"])
def test_with_a_budget_that_is_never_spent_training_is_the_same_in_every_bit(tmp_path, recipe):
    plain = trainer_of(tmp_path / "plain", recipe)
    plain.train()
    torch.rand(3)
    watched = trainer_of(tmp_path / "watched", recipe, Budget(nll=NEVER, keep=KEPT, every=1))
    watched.train()
    assert furthest(plain.model, watched.model) == 0.0
    losses = [[row["loss"] for row in t.state.log_history if "loss" in row] for t in (plain, watched)]
    assert losses[0] == losses[1]


def test_alone_it_leaves_training_as_it_was_until_the_stop(tmp_path, looks):
    looks(1.0, 2.0, 2.0)
    stopped = trainer_of(tmp_path / "stopped", budget=Budget(nll=0.5, keep=KEPT, every=2))
    stopped.train()
    assert stopped.state.global_step == 4
    plain = trainer_of(tmp_path / "plain", max_steps=4)
    plain.train()
    assert furthest(plain.model, stopped.model) == 0.0


class _Modes(transformers.TrainerCallback):
    """Notes the mode of every module, torch's random state and the gradients after the guard has looked."""

    def __init__(self):
        self.seen = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        grads = [None if p.grad is None else float(p.grad.abs().sum()) for p in model.parameters()]
        self.seen.append(([m.training for m in model.modules()], torch.get_rng_state().tolist(), grads))


def test_modes_random_state_and_gradients_are_left_as_they_were(tmp_path):
    seen = []
    for budget in (None, Budget(nll=NEVER, keep=KEPT, every=1)):
        trainer = trainer_of(tmp_path / str(budget is None), "Finch()", budget)
        trainer.add_callback(modes := _Modes())
        trainer.train()
        seen.append(modes.seen)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("strategy", ["steps", "no"])
def test_where_it_stops_a_checkpoint_is_kept_if_any_are(tmp_path, looks, strategy):
    looks(1.0, 2.0, 2.0)
    budget = Budget(nll=0.5, keep=KEPT, every=1)
    trainer = trainer_of(tmp_path, budget=budget, save_strategy=strategy, save_steps=500)
    trainer.train()
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == (["checkpoint-2"] if strategy == "steps" else [])


class _StopAt(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == 3


@pytest.mark.parametrize("recipe", [None, "Finch()"])
def test_a_resumed_run_goes_on_comparing_with_the_start(tmp_path, looks, recipe):
    every = {"save_strategy": "steps", "save_steps": 1}
    looks(1.0, 1.1, 1.1, 1.9)  # the third look is over the budget
    first = trainer_of(tmp_path, recipe, Budget(nll=0.5, keep=KEPT, every=1), **every)
    first.add_callback(_StopAt())
    first.train()
    rest = looks(1.8, 99.0)  # over it too, as measured from the first start: the second in a row
    second = trainer_of(tmp_path, recipe, Budget(nll=0.5, keep=KEPT, every=1), **every)
    second.train(resume_from_checkpoint=True)
    assert second.state.global_step == 4
    assert changes(second)[4] == pytest.approx(0.8)
    assert rest == [99.0]


@pytest.mark.parametrize("nll", [0, -1.0, math.nan, math.inf, "much", True])
def test_a_budget_is_a_number_above_zero(nll):
    with pytest.raises(HoldfastError, match=r"^Budget\(nll=.*\): give a number above 0 \(nats per token"):
        Budget(nll=nll, keep=KEPT)


@pytest.mark.parametrize("every", [0, -3, 2.5, None, "often", True])
def test_looks_are_whole_steps_apart(every):
    with pytest.raises(HoldfastError, match=r"^Budget\(every=.*\): give a whole number of steps, at least 1\."):
        Budget(nll=1.0, keep=KEPT, every=every)


def test_texts_that_are_not_tokenised_need_a_tokenizer(tmp_path):
    with pytest.raises(HoldfastError, match="give the trainer processing_class=tokenizer"):
        trainer_of(tmp_path, budget=Budget(nll=1.0, keep=[{"text": "t3 t4"}]))


def test_texts_are_tokenised_by_the_trainers_tokenizer(tmp_path):
    trainer = trainer_for(model(), tmp_path, tiny.rows(8), max_steps=2)
    trainer.processing_class = tiny.tokenizer()
    attach(trainer, budget=Budget(nll=NEVER, keep=[{"text": "t5 t6 t7"}, {"text": "t8 t9"}], every=1))
    trainer.train()
    assert len(changes(trainer)) == 2


@pytest.mark.parametrize("keep", [[Example([5, 6], [-100, -100])], [Example([5, 6], [5, -100])]])
def test_texts_without_a_token_to_score_are_refused_at_once(tmp_path, keep):
    with pytest.raises(HoldfastError, match=r"Budget\(keep=\.\.\.\) has no token to score"):
        trainer_of(tmp_path, budget=Budget(nll=1.0, keep=keep))


def test_a_budget_that_is_refused_leaves_the_trainer_alone(tmp_path):
    trainer = trainer_for(model(), tmp_path, tiny.rows(8))
    kept, dataset = trainer.model, trainer.train_dataset
    trainer.processing_class = tiny.tokenizer()
    with pytest.raises(HoldfastError, match="no such file"):
        attach(trainer, "Train(lr=9.0) + LoRA(rank=2)", Budget(nll=1.0, keep="nowhere.txt"))
    assert type(trainer) is transformers.Trainer
    assert trainer.model is kept
    assert trainer.train_dataset is dataset
    assert trainer.args.learning_rate == 0.05
    assert all(p.requires_grad for p in kept.parameters())
