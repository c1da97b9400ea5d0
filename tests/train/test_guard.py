"""The guard: when it stops a training, what it logs, and that it leaves everything else alone."""

from __future__ import annotations

import copy
import logging
import math

import pytest
import torch
import transformers

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method
from holdfast.core.mix import Example
from holdfast.probes import suite
from holdfast.probes.likelihood import DocumentScore, document_nll
from holdfast.train import looks as looks_module
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import arguments, furthest, trainer_for
from tests.train.watching import by_group, watching

KEPT = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(5, seed=9)]
NEVER = 1e9


def model():
    made = tiny.tiny("gpt2", dtype=torch.float32)
    for module in made.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.2
    return made


def trainer_of(folder, recipe=None, budget=None, start=None, keep=None, learn=None, guard=None, **changes):
    changes = {"micro": 2, "accumulate": 2, "num_train_epochs": 2, **changes}
    trainer = trainer_for(start or model(), folder, tiny.rows(20), **changes)
    if recipe is None and budget is None:
        return trainer
    return attach(trainer, recipe, budget, keep=keep, learn=learn, guard=guard)


@pytest.fixture
def looks(monkeypatch):
    """Puts a script in the place of the likelihood of the kept texts: nats per token at the start and at each look."""

    def script(*nats):
        rest = list(nats)
        monkeypatch.setattr(
            suite, "nll_of_groups", by_group(lambda model, examples, **_: [DocumentScore("a", 10 * rest.pop(0), 10)])
        )
        return rest

    return script


def changes(trainer):
    return {row["step"]: row["kept_nll_change"] for row in trainer.state.log_history if "kept_nll_change" in row}


def test_it_stops_when_the_smoothed_loss_is_over_the_budget_and_not_at_one_look(tmp_path, looks, caplog):
    looks(1.0, 1.6, 1.4, 1.6, 1.7)  # smoothed losses: .30, .35, .475, .5875
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=1, on_spent="stop"))
    with caplog.at_level(logging.WARNING, "holdfast"):
        trainer.train()
    assert (trainer.state.global_step, trainer.state.max_steps) == (4, 10)
    assert changes(trainer) == pytest.approx({1: 0.6, 2: 0.4, 3: 0.6, 4: 0.7})
    used = [row["budget_used"] for row in trainer.state.log_history if "budget_used" in row]
    assert used == pytest.approx([0.6, 0.7, 0.95, 1.175])
    assert [record.getMessage() for record in caplog.records if record.name == "holdfast"] == [
        "Step 4: the kept suites have lost 0.700 nats per token, and the budget of 0.5 nats per token is spent;"
        " training stops here.",
        "The guard stopped the training at step 4 of 10, where the budget was spent, and the model is the one that"
        " spent it: lower the learning rate (Train(lr=...)), add old examples (Rehearsal(...)), or allow more"
        " (Budget(nll=1)).",
    ]


def test_exactly_the_budget_is_kept(tmp_path, looks):
    looks(1.0, *[1.5] * 10)
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=1, on_spent="stop"))
    trainer.train()
    assert trainer.state.global_step == 10


@pytest.mark.parametrize(("every", "seen"), [(3, [3, 6, 9, 10]), (5, [5, 10]), (50, [10]), (None, [10])])
def test_it_looks_every_so_many_steps_and_at_the_end(tmp_path, looks, every, seen):
    rest = looks(1.0, *[1.1] * 10)
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=every))
    trainer.train()
    assert list(changes(trainer)) == seen
    assert len(rest) == 10 - len(seen)


def test_the_change_that_it_logs_is_that_of_the_model(tmp_path):
    start = model()

    def nll(model):
        scores = document_nll(model, KEPT)
        return sum(score.nats for score in scores) / sum(score.tokens for score in scores)

    before = nll(start)
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=NEVER, every=4), start=start)
    trainer.train()
    assert changes(trainer)[10] == pytest.approx(nll(trainer.model) - before, rel=1e-6)


def test_a_likelihood_that_is_no_number_stops_and_does_not_raise(tmp_path, monkeypatch):
    values = iter([1.0, math.inf])

    def likelihood(model, examples, **_):
        value = next(values)
        if not math.isfinite(value):
            raise HoldfastError("the likelihood of a document is not finite.")
        return [DocumentScore("a", value, 1)]

    monkeypatch.setattr(suite, "nll_of_groups", by_group(likelihood))
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=1, on_spent="stop"))
    trainer.train()
    assert trainer.state.global_step == 1
    assert changes(trainer) == {}
    assert trainer.holdfast_guard.summary()["looks"] == [{"step": 1, "nats_lost": None, "beyond": True}]


def test_a_start_that_is_no_number_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "nll_of_groups", by_group(lambda *_, **__: [DocumentScore("a", math.nan, 1)]))
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5))
    with pytest.raises(
        HoldfastError,
        match=r"attach\(keep=...\), the model at the start: Score of .a. in .texts.: nan is not a measurement",
    ):
        trainer.train()


@pytest.mark.parametrize("recipe", [None, "Finch() + MaskTheTarget()", "LoRA(rank=2, dropout=0.3) + BaseKL()"])
def test_with_a_budget_that_is_never_spent_training_is_the_same_in_every_bit(tmp_path, recipe):
    plain = trainer_of(tmp_path / "plain", recipe)
    plain.train()
    torch.rand(3)
    watched = trainer_of(tmp_path / "watched", recipe, **watching(KEPT, nll=NEVER, every=1))
    watched.train()
    assert furthest(plain.model, watched.model) == 0.0
    losses = [[row["loss"] for row in t.state.log_history if "loss" in row] for t in (plain, watched)]
    assert losses[0] == losses[1]


def test_alone_it_leaves_training_as_it_was_until_the_stop(tmp_path, looks):
    looks(1.0, 1.6, 1.9)
    stopped = trainer_of(tmp_path / "stopped", **watching(KEPT, nll=0.5, every=2, on_spent="stop"))
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
    for watched in ({}, watching(KEPT, nll=NEVER, every=1)):
        trainer = trainer_of(tmp_path / str(not watched), "Finch()", **watched)
        trainer.add_callback(modes := _Modes())
        trainer.train()
        seen.append(modes.seen)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("strategy", ["steps", "no"])
def test_where_it_stops_a_checkpoint_is_kept_if_any_are(tmp_path, looks, strategy):
    looks(1.0, 1.6, 1.9)
    budget = watching(KEPT, nll=0.5, every=1, on_spent="stop")
    trainer = trainer_of(tmp_path, **budget, save_strategy=strategy, save_steps=500)
    trainer.train()
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == (["checkpoint-2"] if strategy == "steps" else [])


class _StopAt(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == 3


@pytest.mark.parametrize("recipe", [None, "Finch()"])
def test_a_resumed_run_goes_on_comparing_with_the_start(tmp_path, looks, recipe):
    every = {"save_strategy": "steps", "save_steps": 1}
    looks(1.0, 1.1, 1.1, 1.9)  # smoothed losses: .05, .075, .4875
    first = trainer_of(tmp_path, recipe, **watching(KEPT, nll=0.5, every=1, on_spent="stop"), **every)
    first.add_callback(_StopAt())
    first.train()
    rest = looks(1.8, 99.0)  # as measured from the first start .8, and smoothed .64
    second = trainer_of(tmp_path, recipe, **watching(KEPT, nll=0.5, every=1, on_spent="stop"), **every)
    second.train(resume_from_checkpoint=True)
    assert second.state.global_step == 4
    assert changes(second)[4] == pytest.approx(0.8)
    assert rest == [99.0]


@pytest.mark.parametrize("nll", [0, -1.0, math.nan, math.inf, "much", True])
def test_a_budget_is_a_number_above_zero(nll):
    with pytest.raises(
        HoldfastError, match=r"^Budget\(nll=.*\): give a number above 0 \(nats per token that may be lost\)"
    ):
        watching(KEPT, nll=nll)


@pytest.mark.parametrize("every", [0, -3, 2.5, "often", True])
def test_looks_are_whole_steps_apart(every):
    with pytest.raises(HoldfastError, match=r"^Guard\(every=.*\): give a whole number of steps, at least 1\."):
        watching(KEPT, nll=1.0, every=every)


def test_texts_that_are_not_tokenised_need_a_tokenizer(tmp_path):
    with pytest.raises(HoldfastError, match="give the trainer processing_class=tokenizer"):
        trainer_of(tmp_path, **watching([{"text": "t3 t4"}], nll=1.0))


def test_texts_are_tokenised_by_the_trainers_tokenizer(tmp_path):
    trainer = trainer_for(model(), tmp_path, tiny.rows(8), max_steps=2)
    trainer.processing_class = tiny.tokenizer()
    attach(trainer, **watching([{"text": "t5 t6 t7"}, {"text": "t8 t9"}], nll=NEVER, every=1))
    trainer.train()
    assert len(changes(trainer)) == 2


@pytest.mark.parametrize("keep", [[Example([5, 6], [-100, -100])], [Example([5, 6], [5, -100])]])
def test_texts_without_a_token_to_score_are_refused_at_once(tmp_path, keep):
    with pytest.raises(HoldfastError, match=r"attach\(keep=\.\.\.\) has no token to score"):
        trainer_of(tmp_path, **watching(keep, nll=1.0))


def test_a_budget_that_is_refused_leaves_the_trainer_alone(tmp_path):
    trainer = trainer_for(model(), tmp_path, tiny.rows(8))
    kept, dataset = trainer.model, trainer.train_dataset
    trainer.processing_class = tiny.tokenizer()
    with pytest.raises(HoldfastError, match="no such file"):
        attach(trainer, "Train(lr=9.0) + LoRA(rank=2)", **watching("nowhere.txt", nll=1.0))
    assert type(trainer) is transformers.Trainer
    assert trainer.model is kept
    assert trainer.train_dataset is dataset
    assert trainer.args.learning_rate == 0.05
    assert all(p.requires_grad for p in kept.parameters())


class _Weights(transformers.TrainerCallback):
    """Keeps the weights and the learning rate after every step, as the guard left them, and the weights before it."""

    def __init__(self):
        self.after, self.after_update, self.rates = {}, {}, {}

    def on_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.after_update[state.global_step + 1] = weights(model)

    def on_step_end(self, args, state, control, model=None, optimizer=None, **kwargs):
        self.after[state.global_step] = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.rates[state.global_step] = optimizer.param_groups[0]["lr"]


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("recipe", [None, "Finch()", "LoRA(rank=2)"])
def test_a_spent_budget_goes_back_to_the_best_learner_at_half_the_rate(tmp_path, looks, recipe):
    looks(1.0, 1.1, 3.0, 1.1, 1.2, *[1.3] * 6)
    trainer = trainer_of(tmp_path, recipe, **watching(KEPT, nll=0.5, every=2))
    trainer.add_callback(watch := _Weights())
    trainer.train()
    assert trainer.state.global_step == 10
    assert same(watch.after[4], watch.after[2])
    assert not same(watch.after[5], watch.after[4])
    if recipe is None:
        assert [watch.rates[step] for step in (2, 4, 6, 10)] == pytest.approx([0.05, 0.025, 0.025, 0.025])
    summary = trainer.holdfast_guard.summary()
    assert (summary["spent_at"], summary["model_of"], summary["every"]) == ([4], None, 2)
    assert same(weights(trainer.model), watch.after[10])


def test_the_rate_after_a_rewind_is_half_that_of_the_schedule(tmp_path, looks):
    budget = watching(KEPT, nll=0.5, every=2)
    rates = []
    for script in ([1.0, 3.0, *[1.1] * 9], [1.0] * 12):
        looks(*script)
        trainer = trainer_of(tmp_path, "Train(lr=0.05) + Cosine()", **budget)
        trainer.add_callback(watch := _Weights())
        trainer.train()
        rates.append([watch.rates[step] for step in range(3, 11)])
    assert rates[0] == pytest.approx([rate / 2 for rate in rates[1]])


def test_after_the_last_rewind_training_ends_with_the_model_it_went_back_to(tmp_path, looks, caplog):
    looks(1.0, 1.1, *[9.0] * 9)
    start = model()
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=1), start=start)
    trainer.add_callback(watch := _Weights())
    with caplog.at_level(logging.WARNING, "holdfast"):
        trainer.train()
    assert trainer.state.global_step == 6
    assert same(weights(trainer.model), watch.after[1])
    assert caplog.messages[-2].endswith("is spent; back to the model of step 1, where training ends.")
    assert caplog.messages[-1].startswith(
        "The guard went back 5 times and ships the model of step 1, the best learner seen inside the budget: lower the"
    )
    assert caplog.messages[-1] == trainer.holdfast_guard.summary()["sentence"]
    assert trainer.holdfast_guard.summary()["model_of"] == 1


def test_where_no_look_was_inside_the_budget_the_model_is_that_of_the_start(tmp_path, looks):
    looks(1.0, *[9.0] * 9)  # whatever is pulled back, too
    start = model()
    before = weights(start)
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=5), start=start)
    trainer.train()
    assert same(weights(trainer.model), before)
    assert trainer.holdfast_guard.summary()["model_of"] == 0


def test_where_no_look_was_inside_the_budget_the_model_is_pulled_back_until_one_is(tmp_path, looks, caplog):
    left = looks(1.0, 1.9, 1.6, 1.4)  # at the end 1.8 of the budget, then 1.2, then 0.8 of it
    start = model()
    before = weights(start)
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=10), start=start)
    trainer.add_callback(watch := _Weights())
    with caplog.at_level(logging.WARNING, "holdfast"):
        trainer.train()
    share = (0.8 / 1.8) ** 0.5 * (0.8 / 1.2) ** 0.5
    assert left == []
    last = watch.after[10]
    for name, p in weights(trainer.model).items():
        torch.testing.assert_close(p, before[name] + share * (last[name] - before[name]))
    summary = trainer.holdfast_guard.summary()
    assert (summary["model_of"], summary["rewinds"]) == (None, 0)
    assert [row.get("share", 1.0) for row in summary["looks"]] == pytest.approx([1.0, (0.8 / 1.8) ** 0.5, share])
    assert f"ships {share:.0%} of the change of the weights, which is inside the budget" in summary["sentence"]
    assert caplog.messages[-1] == summary["sentence"]


def test_after_the_last_rewind_the_most_promising_model_is_pulled_back(tmp_path, monkeypatch):
    # What is kept and what is learned: at the start, at five looks that spend the budget, and after one pull.
    script = iter([1.0, -0.9, 3.0, -0.2, 2.5, -0.5, 2.5, -0.6, 2.6, -0.7, 2.6, -0.7, 1.4, -0.4])

    def likelihood(model, examples, **_):
        return [DocumentScore("a", abs(next(script)), 1)]

    monkeypatch.setattr(suite, "nll_of_groups", by_group(likelihood))
    start = model()
    before = weights(start)
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, learn=KEPT[:2], every=1), start=start)
    trainer.add_callback(watch := _Weights())
    trainer.train()
    share = (0.8 / 4.0) ** 0.5  # of the model of step 1, which lost most and learned most
    last = watch.after_update[1]
    for name, p in weights(trainer.model).items():
        torch.testing.assert_close(p, before[name] + share * (last[name] - before[name]))
    assert next(script, None) is None
    assert trainer.holdfast_guard.summary()["learned"]["shipped"] == pytest.approx(-0.4)


def test_the_model_kept_is_the_one_that_learned_most_inside_the_budget(tmp_path, monkeypatch):
    # What is kept and what is learned, at the start and at each look.
    script = iter([1.0, -0.9, 1.1, -0.7, 1.1, -0.2, 1.1, -0.4, 1.1, -0.5, 1.1, -0.6])

    def likelihood(model, examples, **_):
        return [DocumentScore("a", abs(next(script)), 1)]

    monkeypatch.setattr(suite, "nll_of_groups", by_group(likelihood))
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, learn=KEPT[:2], every=2))
    trainer.add_callback(watch := _Weights())
    trainer.train()
    assert same(weights(trainer.model), watch.after[4])
    assert [look["learned"] for look in trainer.holdfast_guard.summary()["looks"]] == [-0.7, -0.2, -0.4, -0.5, -0.6]
    summary = trainer.holdfast_guard.summary()
    assert summary["model_of"] == 4
    assert summary["learned"] == {"start": -0.9, "most": -0.2, "shipped": -0.2, "share": 1.0}
    assert summary["sentence"] == (
        "The guard ships the model of step 4, the best learner seen inside the budget, and kept 100% of what was"
        " learned."
    )


def test_a_penalty_is_raised_and_let_out_through_the_factor_on_added_terms(tmp_path, looks):
    looks(1.0, 3.0, 3.0, *[1.0] * 9)
    trainer = trainer_of(tmp_path, "MaskTheTarget()", **watching(KEPT, nll=0.5, every=1, on_spent="hold"))
    trainer.train()
    holds = {row["step"]: row["hold"] for row in trainer.state.log_history if "hold" in row}
    assert [holds[step] for step in range(1, 11)] == [2, 4, 4, 4, 2, 1, 1, 1, 1, 1]  # smoothed 2, 3, 1.5, .75, .375 ...
    assert trainer.holdfast.hold == 1


def test_a_raised_penalty_changes_the_training(tmp_path, looks):
    ends = []
    for script in ([1.0, *[3.0] * 11], [1.0] * 12):
        looks(*script)
        trainer = trainer_of(
            tmp_path, "MaskTheTarget(strength=0.1)", **watching(KEPT, nll=0.5, every=1, on_spent="hold")
        )
        trainer.train()
        ends.append(trainer.model)
    assert furthest(*ends) > 1e-4


def test_to_hold_without_a_penalty_is_refused_and_leaves_the_trainer_alone(tmp_path):
    with pytest.raises(
        HoldfastError, match=r"raises the recipe's penalties to the base model, and it has none: add MaskTheTarget"
    ):
        trainer_of(tmp_path, "Finch()", **watching(KEPT, nll=0.5, on_spent="hold"))


def test_a_log_says_it_once_and_changes_nothing(tmp_path, looks, caplog):
    looks(1.0, *[9.0] * 11)
    logged = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=1, on_spent="log"))
    with caplog.at_level(logging.WARNING, "holdfast"):
        logged.train()
    plain = trainer_of(tmp_path)
    plain.train()
    assert furthest(plain.model, logged.model) == 0.0
    assert [message.rsplit("; ", 1)[-1] for message in caplog.messages[:-1]] == ["training continues."]
    assert caplog.messages[-1].startswith("The guard found the budget spent at 10 of 10 looks and did nothing")


def test_two_choosers_of_the_model_are_refused(tmp_path):
    changes = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 2}
    changes |= {"save_strategy": "steps", "save_steps": 2}
    trainer = transformers.Trainer(
        model=model(), args=arguments(tmp_path, **changes), train_dataset=tiny.rows(8), eval_dataset=tiny.rows(4)
    )
    with pytest.raises(HoldfastError, match=r"load_best_model_at_end and Guard\(on_spent='rewind'\) both choose"):
        attach(trainer, **watching(KEPT, nll=0.5))


def test_a_look_that_fails_is_left_out_and_training_goes_on(tmp_path, monkeypatch, caplog):
    calls = []

    def likelihood(model, examples, **_):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return [DocumentScore("a", 1.0, 1)]

    monkeypatch.setattr(suite, "nll_of_groups", by_group(likelihood))
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=2))
    with caplog.at_level(logging.WARNING, "holdfast"):
        trainer.train()
    assert [look.step for look in trainer.holdfast_guard.looks] == [2, 6, 8, 10]
    assert caplog.messages == [
        "Step 4: the guard could not look (out of memory); training continues.",
        "The guard looked 4 times and had nothing to do. One more look failed.",
    ]


def test_the_pace_is_set_from_the_time_of_steps_and_looks(tmp_path, monkeypatch, caplog):
    clock = [0.0]
    monkeypatch.setattr(looks_module.time, "monotonic", lambda: clock[0])

    def likelihood(model, examples, **_):
        clock[0] += 2.0  # a look takes two seconds, a step one
        return [DocumentScore("a", 1.0, 1)]

    class Tick(transformers.TrainerCallback):
        def on_substep_end(self, *args, **kwargs):
            clock[0] += 1.0

    monkeypatch.setattr(suite, "nll_of_groups", by_group(likelihood))
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, share=0.1), num_train_epochs=12)
    trainer.add_callback(Tick())
    with caplog.at_level(logging.INFO, "holdfast"):
        trainer.train()
    assert [look.step for look in trainer.holdfast_guard.looks] == [30, 60]
    assert "The guard looks every 30 steps (a look takes as long as 2.0 steps)." in caplog.messages
    assert trainer.holdfast_guard.seconds == 6.0 < 0.1 * clock[0]


class Halved(Method):
    """Ships the mean of base and tuned."""

    def edit_weights(self, state, name, base, tuned):
        return (base + tuned) / 2


def test_what_is_judged_is_the_model_that_would_ship(tmp_path, monkeypatch):
    start = model()
    before = weights(start)
    judged = {}

    def likelihood(asked, examples, **_):
        judged[len(judged)] = weights(asked)
        return [DocumentScore("a", 1.0, 1)]

    monkeypatch.setattr(suite, "nll_of_groups", by_group(likelihood))
    trainer = trainer_of(tmp_path, Halved(), **watching(KEPT, nll=0.5, every=5), start=start)
    trainer.add_callback(watch := _Weights())
    trainer.train()
    for look, step in ((1, 5), (2, 10)):
        halved = {name: (before[name] + tuned) / 2 for name, tuned in watch.after[step].items()}
        assert all(torch.allclose(judged[look][name], halved[name]) for name in halved)
    assert same(weights(trainer.model), judged[2])


LEASHED = "LoRA(rank=2, dropout=0.3) + MaskTheTarget()"


@pytest.mark.parametrize(
    ("recipe", "on_spent"), [(None, "rewind"), ("Finch()", "rewind"), (LEASHED, "rewind"), (LEASHED, "hold")]
)
def test_a_resumed_run_acts_as_if_it_had_not_been_interrupted(tmp_path, looks, recipe, on_spent):
    script = [1.0, 1.1, 3.0, 1.1, 3.0, 1.2, 1.3, 1.3, 3.5, 1.4, 1.3]
    budget = watching(KEPT, nll=0.5, every=1, on_spent=on_spent)
    saved = {"save_strategy": "steps", "save_steps": 1}
    looks(*script)
    whole = trainer_of(tmp_path / "whole", recipe, **budget, **saved)
    whole.train()
    looks(*script[:4])
    first = trainer_of(tmp_path / "cut", recipe, **budget, **saved)
    first.add_callback(_StopAt())
    first.train()
    assert first.state.global_step == 3
    looks(*script[4:])
    second = trainer_of(tmp_path / "cut", recipe, **budget, **saved)
    second.train(resume_from_checkpoint=True)
    assert furthest(whole.model, second.model) == 0.0
    asked, again = ({**one.holdfast_guard.summary(), "seconds": 0} for one in (whole, second))
    assert asked == again
    assert asked["spent_at"]


def test_a_checkpoint_of_another_guard_is_refused(tmp_path):
    saved = {"save_strategy": "steps", "save_steps": 1}
    first = trainer_of(tmp_path, None, **watching(KEPT, nll=NEVER, every=1), **saved)
    first.add_callback(_StopAt())
    first.train()
    second = trainer_of(tmp_path, None, **watching(KEPT[:3], nll=NEVER, every=1), **saved)
    with pytest.raises(HoldfastError, match="The guard of the checkpoint asked other questions than this one"):
        second.train(resume_from_checkpoint=True)


def shipped_at(folder, looks, steps, recipe, **changes):
    """The model that a run of so many steps ships, none of its looks beyond the budget."""
    looks(*[1.0] * 12)
    trainer = trainer_of(folder, recipe, **watching(KEPT, nll=0.5, every=1), max_steps=steps, **changes)
    trainer.train()
    return trainer.model


@pytest.mark.parametrize("recipe", ["EMA(decay=0.5)", "EMA(decay=0.5) + WiSEFT(alpha=0.5)"])
def test_with_an_average_the_model_that_is_shipped_is_that_of_the_step_it_went_back_to(tmp_path, looks, recipe):
    looks(1.0, 1.1, 1.1, *[9.0] * 9)
    start = model()
    trainer = trainer_of(tmp_path, recipe, **watching(KEPT, nll=0.5, every=1), start=copy.deepcopy(start))
    trainer.train()
    assert trainer.holdfast_guard.summary()["model_of"] == 2
    expected = shipped_at(tmp_path, looks, 2, recipe, start=copy.deepcopy(start))
    assert furthest(trainer.model, expected) == 0.0
    assert furthest(trainer.model, start) > 0.0


def test_a_run_with_an_average_that_is_resumed_goes_back_to_the_same_model(tmp_path, looks):
    script = [1.0, 1.1, 1.1, 1.1, *[9.0] * 9]
    budget, saved = watching(KEPT, nll=0.5, every=1), {"save_strategy": "steps", "save_steps": 1}
    looks(*script)
    whole = trainer_of(tmp_path / "whole", "EMA(decay=0.5)", **budget, **saved)
    whole.train()
    looks(*script[:4])
    first = trainer_of(tmp_path / "cut", "EMA(decay=0.5)", **budget, **saved)
    first.add_callback(_StopAt())
    first.train()
    looks(*script[4:])
    second = trainer_of(tmp_path / "cut", "EMA(decay=0.5)", **budget, **saved)
    second.train(resume_from_checkpoint=True)
    assert furthest(whole.model, second.model) == 0.0


class _Break(transformers.TrainerCallback):
    """Leaves weights that are no numbers at the second step."""

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step == 2:
            with torch.no_grad():
                next(model.parameters()).fill_(math.nan)


def test_weights_that_are_no_numbers_spend_the_budget_whatever_they_answer(tmp_path, looks):
    looks(*[1.0] * 12)
    trainer = trainer_of(tmp_path)
    trainer.add_callback(_Break())
    attach(trainer, **watching(KEPT, nll=0.5, every=1))
    trainer.train()
    summary = trainer.holdfast_guard.summary()
    assert summary["spent_at"] == [2]
    assert summary["looks"][1] == {"step": 2, "nats_lost": None, "beyond": True}
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_an_answer_that_is_no_number_is_not_taken_for_nothing_lost(tmp_path, looks):
    looks(1.0, math.nan, *[1.0] * 10)
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=1, on_spent="log"))
    trainer.train()
    assert trainer.holdfast_guard.summary()["spent_at"][0] == 1
    assert trainer.holdfast_guard.summary()["looks"][0]["nats_lost"] is None


def test_where_only_what_is_learned_has_no_likelihood_the_look_counts(tmp_path, monkeypatch):
    calls = []

    def likelihood(model, examples, **_):
        calls.append(1)
        if len(calls) == 4:  # at the first look, of what is learned
            raise HoldfastError("the likelihood of a document is not finite.")
        return [DocumentScore("a", 1.0, 1)]

    monkeypatch.setattr(suite, "nll_of_groups", by_group(likelihood))
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, learn=KEPT[:2], every=5))
    trainer.train()
    summary = trainer.holdfast_guard.summary()
    assert [("learned" in look) for look in summary["looks"]] == [False, True]
    assert summary["failed"] == 0


def test_what_cannot_be_learned_from_the_start_is_refused_by_name(tmp_path, monkeypatch):
    calls = []

    def likelihood(model, examples, **_):
        calls.append(1)
        if len(calls) == 2:
            raise HoldfastError("the likelihood of a document is not finite.")
        return [DocumentScore("a", 1.0, 1)]

    monkeypatch.setattr(suite, "nll_of_groups", by_group(likelihood))
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, learn=KEPT[:2]))
    with pytest.raises(HoldfastError, match=r"attach\(learn=...\), the model at the start: the likelihood"):
        trainer.train()
