"""The controller at work on a trainer: its factors reach the loss, the rate and the shares, and it resumes."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import transformers

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.run import SOURCE
from holdfast.core.teacher import evaluating
from holdfast.probes import suite
from holdfast.probes.likelihood import DocumentScore
from holdfast.recipe import parse
from holdfast.train.attach import attach
from holdfast.train.controller import Control, Tick, after, controlled, shares
from holdfast.train.course import COLUMNS, SIGNALS, TICKS
from holdfast.train.full_loop import FullLoop, tokens
from tests import tiny
from tests.train.retrace import batches_of, furthest, trainer_for
from tests.train.watching import by_group, watching

KEPT = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(5, seed=9)]
MEMORY = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(7, seed=3)]
REHEARSED = "Rehearsal('old', ratio=0.4) + BaseKL(on='memory')"


def trainer_of(folder, recipe=REHEARSED, on_spent="steer", every=2, start=None, **changes):
    changes = {"micro": 2, "accumulate": 2, "num_train_epochs": 2, **changes}
    trainer = trainer_for(start or tiny.tiny("llama", dtype=torch.float64), folder, tiny.rows(20), **changes)
    memories = {"old": MEMORY} if recipe and "old" in recipe else None
    return attach(trainer, recipe, memories=memories, **watching(KEPT, nll=0.5, every=every, on_spent=on_spent))


@pytest.fixture
def looks(monkeypatch):
    """Puts a script in the place of the likelihood of the kept texts: nats per token at the start and at each look."""

    def script(*nats):
        rest = list(nats)
        monkeypatch.setattr(
            suite, "nll_of_groups", by_group(lambda model, examples, **_: [DocumentScore("a", 10 * rest.pop(0), 10)])
        )

    return script


class Rates(transformers.TrainerCallback):
    """Notes the learning rate, the penalty's factor and the weights at each step."""

    def __init__(self, trainer):
        self.trainer, self.seen = trainer, []

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        session = self.trainer.holdfast
        self.seen.append((self.trainer.optimizer.param_groups[0]["lr"], session.hold, session.weights))


def course_of(trainer):
    return trainer.holdfast_guard.summary()["course"]


def test_an_overdrawn_budget_raises_the_penalty_and_the_share_of_old_and_lowers_the_rate(tmp_path, looks):
    looks(1.0, *[1.49] * 60)
    trainer = trainer_of(tmp_path, every=1, num_train_epochs=3)
    trainer.add_callback(rates := Rates(trainer))
    trainer.train()
    last = course_of(trainer)[-1]
    assert last["strength"] > 1
    assert last["old_share"] > 0.4
    assert last["rate"] < 1
    assert rates.seen[0] == (0.05, 1.0, None)
    lr, hold, (new, old) = rates.seen[-1]
    then = course_of(trainer)[-2]
    assert (lr, hold) == pytest.approx((0.05 * then["rate"], then["strength"]))
    assert old * 0.4 == pytest.approx(then["old_share"])
    assert new * 0.6 == pytest.approx(1 - then["old_share"])


def test_an_unused_budget_lets_the_run_loose(tmp_path, looks):
    looks(1.0, *[1.0] * 10)
    trainer = trainer_of(tmp_path)
    trainer.train()
    last = course_of(trainer)[-1]
    assert last["strength"] < 1
    assert last["old_share"] < 0.4
    assert last["rate"] > 1


def test_the_course_has_a_tick_for_each_look_and_each_interval_with_signals(tmp_path, looks):
    looks(1.0, *[1.2] * 10)
    trainer = trainer_of(tmp_path, every=4)
    trainer.train()
    course = course_of(trainer)
    assert [row["step"] for row in course] == list(range(1, trainer.state.max_steps + 1)), "fewer steps than ticks"
    assert [row["step"] for row in course if "used" in row][:2] == [4, 8]
    assert all(row["task_nll"] > 0 for row in course)
    old = [row for row in course if "kl" in row]  # a small step may hold no old token
    assert all(row["kl"] >= 0 and row["old_nll"] > 0 for row in old)
    assert len(old) > len(course) / 2
    assert all(0 < row["quality"] <= 1 for row in course)
    assert course[0]["kl"] == pytest.approx(0.0, abs=1e-9), "the first step trains the base itself"


def test_the_signals_are_the_means_over_the_tokens_of_a_step(tmp_path, looks):
    looks(1.0, *[1.2] * 10)
    trainer = trainer_of(tmp_path, max_steps=1, num_train_epochs=1)
    model, batches = copy.deepcopy(trainer.model), []
    inner = trainer.data_collator

    def collate(rows):
        batches.append(copy.deepcopy(batch := inner(rows)))
        return batch

    trainer.data_collator = collate
    trainer.train()
    with torch.no_grad(), evaluating(model):
        toks = [tokens(model, None, batch) for batch in batches[:2]]
    new = torch.cat([tok.source_N == 0 for tok in toks])
    nll, quality = (torch.cat([getattr(tok, name) for tok in toks]) for name in ("nll_N", "typicality_N"))
    row = course_of(trainer)[0]
    assert SOURCE in batches[0]
    assert bool((~new).any())
    assert row["task_nll"] == pytest.approx(float(nll[new].mean()))
    assert row["old_nll"] == pytest.approx(float(nll[~new].mean()))
    assert row["quality"] == pytest.approx(float(quality[new].mean()))


@pytest.mark.parametrize("weights", [None, (0.5, 1.75)])
def test_weights_of_new_and_old_tokens_scale_the_task_loss_alone(tmp_path, weights):
    trainer = trainer_of(tmp_path, start=(start := tiny.tiny("llama", dtype=torch.float64)))
    session, recipe = trainer.holdfast, trainer.holdfast.recipe
    batch = trainer.data_collator([trainer.train_dataset[0], trainer.train_dataset[21]])
    session.begin_step(0, 1)
    session.hold, session.weights = 3.0, weights
    source, inputs = batch[SOURCE], {name: value for name, value in batch.items() if name != SOURCE}
    sums = session.forward(start, inputs, source, {}, session.hold, None, session.weights)
    tok = tokens(start, start, batch)
    new, old = weights or (1.0, 1.0)
    factors = torch.tensor([new if source == 0 else old for source in tok.source_N], dtype=torch.float64)
    expected = (factors * tok.nll_N + 3.0 * recipe.token_loss({}, tok)).sum()
    assert float(sums.loss) == pytest.approx(float(expected), rel=1e-12)
    assert bool((tok.source_N == 0).any())
    assert bool((tok.source_N != 0).any())


class Factors(transformers.TrainerCallback):
    """Sets the factors that a controller would set, at each step."""

    def __init__(self, trainer):
        self.session = trainer.holdfast

    def on_step_begin(self, args, state, control, **kwargs):
        self.session.hold, self.session.weights = 3.0, (0.5, 1.75)


def test_a_trainer_with_such_factors_ends_where_the_loop_ends(tmp_path):
    start = tiny.tiny("llama")
    trainer = trainer_for(copy.deepcopy(start), tmp_path, tiny.rows(24), micro=4, accumulate=2)
    attach(trainer, REHEARSED, memories={"old": MEMORY})
    trainer.add_callback(Factors(trainer))
    steps = batches_of(trainer)
    trainer.train()
    recipe = parse("BaseKL(on='memory')")
    model = copy.deepcopy(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    loop = FullLoop(model, start.eval(), recipe, {}, optimizer, hold=3.0, weights=(0.5, 1.75))
    loop.train(steps)
    assert furthest(trainer.model, model) < 1e-11
    plain = copy.deepcopy(start)
    FullLoop(plain, start, recipe, {}, torch.optim.SGD(plain.parameters(), lr=0.05)).train(steps)
    assert furthest(plain, model) > 1e-6


def test_with_the_rate_alone_it_takes_all_of_the_pressure(tmp_path, looks):
    looks(1.0, *[1.49] * 60)
    trainer = trainer_of(tmp_path, None, every=1, num_train_epochs=3)
    trainer.train()
    last = course_of(trainer)[-1]
    assert not {"strength", "old_share", "kl"} & set(last)
    assert last["rate"] == pytest.approx(
        2 ** -controlled(trainer.holdfast_guard.course.ticks.all(), trainer.state.max_steps).pressure
    )
    assert last["rate"] < 0.7


def test_a_spent_budget_goes_back_and_the_run_goes_on_held_back(tmp_path, looks, caplog):
    looks(1.0, 1.1, 2.5, *[1.1] * 10)
    trainer = trainer_of(tmp_path)
    trainer.train()
    summary = trainer.holdfast_guard.summary()
    assert summary["rewinds"] == 1
    assert summary["spent_at"] == [4]
    assert "training continues, held back more" in caplog.text
    assert "went back once" in summary["sentence"]


class _StopAt(transformers.TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


@pytest.mark.parametrize("stop", [3, 4])
@pytest.mark.parametrize("recipe", [REHEARSED, "Finch()"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path, recipe, stop):
    saving = {"save_strategy": "steps", "save_steps": 1, "every": 2, "learning_rate": 0.4}
    start = tiny.tiny("llama", dtype=torch.float64)
    whole = trainer_of(tmp_path / "whole", recipe, start=copy.deepcopy(start), **saving)
    whole.train()
    first = trainer_of(tmp_path / "parts", recipe, start=copy.deepcopy(start), **saving)
    first.add_callback(_StopAt(stop))
    first.train()
    second = trainer_of(tmp_path / "parts", recipe, start=copy.deepcopy(start), **saving)
    second.train(resume_from_checkpoint=True)
    assert course_of(second) == course_of(whole)
    assert {row["rate"] for row in course_of(whole)} != {1.0}
    assert furthest(whole.model, second.model) == 0.0


def test_a_second_training_begins_without_the_factors_of_the_first(tmp_path, looks):
    looks(1.0, *[1.3] * 10, 1.0, *[1.3] * 10)
    trainer = trainer_of(tmp_path)
    trainer.train()
    assert course_of(trainer)[-1]["rate"] != 1
    trainer.add_callback(rates := Rates(trainer))
    trainer.train()
    assert rates.seen[0] == (pytest.approx(0.05), 1.0, None)


def test_a_term_that_is_no_penalty_is_not_raised(tmp_path):
    with pytest.raises(HoldfastError, match=r"Guard\(on_spent='steer'\) raises all terms"):
        trainer_of(tmp_path, "AdaLoRA(rank=2, start=3)")


def test_the_factors_follow_from_the_ticks(tmp_path, looks):
    looks(1.0, *[1.3] * 10)
    trainer = trainer_of(tmp_path)
    trainer.train()
    ticks = trainer.holdfast_guard.course.ticks.all()
    now = Control()
    for row, tick in zip(course_of(trainer), ticks, strict=True):
        now = after(now, tick, trainer.state.max_steps)
        assert row["strength"] == now.strength
        assert row["old_share"] == shares(0.4, now.odds)[0]
    assert tuple(vars(Tick(1))) == COLUMNS
    assert set(SIGNALS) < set(COLUMNS)
    assert len(ticks) < TICKS
    assert math.isfinite(now.estimate)
