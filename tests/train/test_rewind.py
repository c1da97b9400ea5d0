"""A run that is put back goes on like one that never went further: weights, optimizer and what methods remember."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
import transformers

from holdfast.core.mix import Example
from holdfast.methods.schedules.finch import finch
from holdfast.probes import suite
from holdfast.probes.likelihood import DocumentScore
from holdfast.train import checkpoint, rewind
from holdfast.train.attach import attach
from holdfast.train.guard_state import GuardState
from tests import tiny
from tests.train.retrace import batches_of, furthest, trainer_for
from tests.train.watching import by_group, watching

pytestmark = pytest.mark.matrix(2)

KEPT = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(5, seed=9)]
BACK_AT_3 = (1.0, 1.1, 1.1, 9.0, *[1.1] * 9)  # the start, then after each step: the third goes back to the second


@pytest.fixture
def looks(monkeypatch):
    def script(*nats):
        rest = list(nats)
        monkeypatch.setattr(
            suite, "nll_of_groups", by_group(lambda model, examples, **_: [DocumentScore("a", 10 * rest.pop(0), 10)])
        )

    return script


def trainer_of(folder, recipe, start, **changes):
    changes = {"optim": "adamw_torch", "learning_rate": 0.01, **changes}
    trainer = trainer_for(copy.deepcopy(start), folder, tiny.rows(48), micro=8, **changes)
    return attach(trainer, recipe, **watching(KEPT, nll=0.5, every=1))


def loop(model, batches, *, decay=None, left_out=2):
    """AdamW by hand on the batches but one, at half the rate after it; with `decay`, at Finch's."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    mean = None
    for index, (batch,) in enumerate(batches):
        if index == left_out:
            continue
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())
        mean = float(loss) if mean is None else (decay or 0.0) * mean + (1 - (decay or 0.0)) * float(loss)
        factor = 1.0 if decay is None else finch(mean)
        optimizer.param_groups[0]["lr"] = 0.01 * factor * (0.5 if index > left_out else 1.0)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model


@pytest.mark.parametrize(("recipe", "decay"), [(None, None), ("Finch(decay=0.9)", 0.9)])
def test_it_goes_on_as_if_it_had_never_gone_further(tmp_path, looks, recipe, decay):
    start = tiny.tiny()
    looks(*BACK_AT_3)
    trainer = trainer_of(tmp_path, recipe, start)
    batches = batches_of(trainer)
    trainer.train()
    assert trainer.holdfast_guard.summary()["spent_at"] == [3]
    assert trainer.state.global_step == len(batches) == 6
    expected = loop(copy.deepcopy(start), batches, decay=decay)
    assert furthest(trainer.model, expected) < 1e-5  # transformers takes its own loss in float32
    assert furthest(loop(copy.deepcopy(start), batches, decay=decay, left_out=-1), expected) > 1e-2


def test_where_it_goes_back_to_the_start_everything_begins_anew(tmp_path, looks):
    start = tiny.tiny()
    looks(1.0, 9.0, *[1.1] * 9)
    trainer = trainer_of(tmp_path, "Finch(decay=0.9)", start)
    batches = batches_of(trainer)
    trainer.train()
    assert trainer.holdfast_guard.summary()["spent_at"] == [1]
    assert furthest(trainer.model, loop(copy.deepcopy(start), batches, decay=0.9, left_out=0)) < 1e-5


class _StopAt(transformers.TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


def guarded(trainer):
    return {"guard": trainer.holdfast_guard.state.tensors()}


@pytest.mark.parametrize("stop", [2, 3])
@pytest.mark.parametrize("recipe", [None, "Finch() + MoFO()", "EMA(decay=0.5)", "AdaLoRA(rank=1, start=3, every=1)"])
def test_a_run_that_is_resumed_before_or_after_going_back_ends_the_same(tmp_path, looks, recipe, stop):
    start, saved = tiny.tiny(dtype=torch.float32), {"save_strategy": "steps", "save_steps": 1}
    looks(*BACK_AT_3)
    whole = trainer_of(tmp_path / "whole", recipe, start, **saved)
    whole.train()
    looks(*BACK_AT_3[: stop + 1])
    first = trainer_of(tmp_path / "cut", recipe, start, **saved)
    first.add_callback(_StopAt(stop))
    first.train()
    looks(*BACK_AT_3[stop + 1 :])
    second = trainer_of(tmp_path / "cut", recipe, start, **saved)
    second.train(resume_from_checkpoint=True)
    assert second.state.global_step == 6
    assert furthest(whole.model, second.model) == 0.0
    one, other = (checkpoint.flatten(trainer.holdfast.state | guarded(trainer)) for trainer in (whole, second))
    assert one.keys() == other.keys() > set()
    assert all(torch.allclose(t, other[name], rtol=0, atol=0, equal_nan=True) for name, t in one.items())


def trained(optimizer_class, steps=3, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 3)
    optimizer = optimizer_class(layer.parameters(), **settings)
    step(layer, optimizer, steps)
    return layer, optimizer


def step(layer, optimizer, times=1):
    for i in range(times):
        optimizer.zero_grad()
        layer(torch.full((2, 4), 1.0 + i)).pow(2).sum().backward()
        optimizer.step()


class Prodigal(torch.optim.SGD):
    """Keeps what it knows in its group, as Prodigy and schedule-free optimizers do."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["d"] = group.get("d", 1.0) * 0.5
            group["k"] = group.get("k", 0) + 1
            group["warm"] = group["k"] < 3
            for p in group["params"]:
                self.state[p]["seen"] = self.state[p].get("seen", 0) + 1
                p.data.sub_(p.grad, alpha=0.01 * group["d"] * self.state[p]["seen"])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.AdamW, {"lr": 0.1, "amsgrad": True}),
        (torch.optim.SGD, {"lr": 0.01, "momentum": 0.9}),
        (torch.optim.Adafactor, {"lr": 0.1}),
        (torch.optim.RMSprop, {"lr": 0.01}),
        (transformers.Adafactor, {"lr": 0.1, "relative_step": False, "scale_parameter": False}),
        (Prodigal, {"lr": 0.1}),
    ],
)
def test_an_optimizer_takes_the_same_steps_again(kind, settings, tmp_path):
    layer, optimizer = trained(kind, **settings)
    weights, kept = copy.deepcopy(layer.state_dict()), rewind.optimizer_state(optimizer)
    checkpoint.save_tensors(tmp_path / "kept.safetensors", checkpoint.flatten(kept))
    step(layer, optimizer, 2)
    once = copy.deepcopy(layer.state_dict())
    step(layer, optimizer, 3)
    import safetensors.torch

    kept = checkpoint.unflatten(safetensors.torch.load_file(tmp_path / "kept.safetensors"))
    layer.load_state_dict(weights)
    rewind.restore_optimizer(optimizer, kept)
    step(layer, optimizer, 2)
    assert all(torch.equal(t, once[name]) for name, t in layer.state_dict().items())


def test_the_rates_of_groups_do_not_go_back():
    layer, optimizer = trained(torch.optim.AdamW, lr=0.1)
    kept = rewind.optimizer_state(optimizer)
    optimizer.param_groups[0] |= {"lr": 0.05, "initial_lr": 0.07}
    rewind.restore_optimizer(optimizer, kept)
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["initial_lr"]) == (0.05, 0.07)
    assert layer.weight in optimizer.state


class Lists(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        for p in self.param_groups[0]["params"]:
            self.state[p]["history"] = [p.detach().clone()]


def test_an_optimizer_that_keeps_something_else_begins_anew_and_that_is_said(tmp_path, looks, caplog):
    assert rewind.optimizer_state(trained(Lists, lr=0.1)[1]) is None
    looks(*BACK_AT_3)
    trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(48), micro=8)
    trainer.optimizer = Lists(trainer.model.parameters(), lr=0.01)
    with caplog.at_level(logging.WARNING, "holdfast"):
        attach(trainer, None, **watching(KEPT, nll=0.5, every=1)).train()
    said = [m for m in caplog.messages if "the optimizer starts afresh" in m]
    assert said == [
        "Lists holds state that the guard cannot copy: when the model goes back, the optimizer starts afresh."
    ]


def test_what_methods_remember_is_put_back_and_what_they_did_not_remember_yet_is_dropped(tmp_path):
    state = {"0.A": {"still": torch.zeros(2), "moves": torch.zeros(2), "late": torch.zeros(2)}, "1.B": {}}
    checkpoint.save_start(tmp_path, state)
    marks = checkpoint.mark(state)
    still = state["0.A"]["still"]
    state["0.A"]["moves"] = torch.ones(2)
    kept = rewind.remembered(state, marks)
    assert list(checkpoint.flatten(kept)) == ["0.A/moves"]  # nothing more takes memory
    state["0.A"]["moves"], state["0.A"]["new"] = torch.full((2,), 5.0), torch.ones(1)
    state["0.A"]["late"].add_(7.0)  # in place
    rewind.restore(state, kept, marks, tmp_path)
    assert {name: t.tolist() for name, t in state["0.A"].items()} == {
        "still": [0.0, 0.0], "moves": [1.0, 1.0], "late": [0.0, 0.0]
    }  # fmt: skip
    assert state["0.A"]["still"] is still
    state["0.A"]["moves"].add_(1.0)
    rewind.restore(state, kept, marks, tmp_path)
    assert state["0.A"]["moves"].tolist() == [1.0, 1.0]


def test_the_guard_keeps_its_own_state_and_a_checkpoint_holds_it_under_its_own_key(tmp_path, looks):
    import safetensors.torch

    looks(*BACK_AT_3)
    trainer = trainer_of(tmp_path, "Finch()", tiny.tiny(dtype=torch.float32), save_strategy="steps", save_steps=4)
    trainer.train()
    assert list(trainer.holdfast.state) == ["0.Finch"]
    saved = safetensors.torch.load_file(tmp_path / "checkpoint-4" / "holdfast.safetensors")
    assert {name.split("/")[0] for name in saved} == {"0.Finch", "guard"}
    assert saved["guard/looks"].shape == (4, 6)
    state = trainer.holdfast_guard.state
    again = GuardState()
    again.resume(checkpoint.unflatten(checkpoint.flatten({"guard": state.tensors()}))["guard"])
    one, other = (checkpoint.flatten(own.tensors()) for own in (state, again))
    assert one.keys() == other.keys()
    assert all(torch.allclose(t, other[name], rtol=0, atol=0, equal_nan=True) for name, t in one.items())
    again.resume({})
    assert (again.asked, again.best, len(again.looks), again.tensors()) == (None, None, 0, {})


def test_a_checkpoint_holds_the_most_promising_model_of_a_run_without_a_look_inside_the_budget():
    again = GuardState()
    again.resume(GuardState(asked=5, promising={"w": torch.arange(3.0)}, promising_look=2).tensors())
    assert again.promising_look == 2
    assert torch.equal(again.promising["w"], torch.arange(3.0))
    again.resume(GuardState(asked=5).tensors())
    assert again.promising is None


def test_looks_of_an_older_checkpoint_get_the_share_of_a_whole_change():
    again, row = GuardState(), [10.0, 0.4, float("nan"), 0.0, 55.0]
    again.resume({**GuardState(asked=5).tensors(), "looks": torch.tensor([row], dtype=torch.float64)})
    assert again.looks[0, -1] == 1.0
    assert again.looks[0, :-1].tolist() == pytest.approx(row, nan_ok=True)
