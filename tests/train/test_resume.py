"""A run that was interrupted and resumed ends where the uninterrupted one ends."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
import transformers

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.train import checkpoint
from holdfast.train.attach import attach
from tests import tiny
from tests.acting import Acting
from tests.train.retrace import furthest, trainer_for

pytestmark = pytest.mark.matrix(2)

MEMORY = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(7, seed=3)]


class _StopAt(transformers.TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            control.should_training_stop = True


def run(folder, recipe, *, stop=None, resume=False, **changes):
    model = tiny.tiny("gpt2", dtype=torch.float32)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.2
    trainer = trainer_for(
        model,
        folder,
        tiny.rows(20),
        **{
            "micro": 2,
            "accumulate": 2,
            "num_train_epochs": 3,
            "save_strategy": "steps",
            "save_steps": 1,
            "optim": "adamw_torch",
            "learning_rate": 0.01,
            **changes,
        },
    )
    attach(trainer, recipe, memories={"old": MEMORY})
    if stop:
        trainer.add_callback(_StopAt(stop))
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.mark.parametrize("stop", [2, 6, 9])
@pytest.mark.parametrize(
    "recipe",
    [
        "Finch(decay=0.5) + MaskTheTarget() + Rehearsal('old', ratio=0.3)",
        "LoRA(rank=2, dropout=0.3) + BaseKL() + Cosine() + Rehearsal('old', ratio=0.2)",
    ],
)
def test_resumed_equals_uninterrupted_in_every_bit(tmp_path, recipe, stop):
    whole = run(tmp_path / "whole", recipe)
    run(tmp_path / "parts", recipe, stop=stop)
    resumed = run(tmp_path / "parts", recipe, resume=True)
    assert resumed.state.global_step == whole.state.global_step
    assert furthest(whole.model, resumed.model) == 0.0
    for name, tensor in checkpoint.flatten(whole.holdfast.state).items():
        assert torch.equal(tensor, checkpoint.flatten(resumed.holdfast.state)[name])
    tail = [row["task_loss"] for row in whole.state.log_history if "task_loss" in row and row["step"] > stop]
    assert tail == [row["task_loss"] for row in resumed.state.log_history if "task_loss" in row and row["step"] > stop]


def test_state_that_a_method_changes_is_resumed(tmp_path):
    whole = run(tmp_path / "whole", Acting())
    run(tmp_path / "parts", Acting(), stop=5)
    resumed = run(tmp_path / "parts", Acting(), resume=True)
    assert whole.holdfast.state["0.Acting"]["seen"] == resumed.holdfast.state["0.Acting"]["seen"] > 0
    assert furthest(whole.model, resumed.model) == 0.0


def test_an_unfinished_checkpoint_is_passed_over(tmp_path):
    run(tmp_path, "Finch()", stop=4)
    (tmp_path / "checkpoint-4" / "holdfast.json").unlink()
    assert checkpoint.last_checkpoint(tmp_path).name == "checkpoint-3"


def test_another_recipe_is_refused_by_name(tmp_path):
    run(tmp_path, "Finch()", stop=2)
    with pytest.raises(HoldfastError, match=r"checkpoint-2 was made with another recipe \(Finch\(\)\) than this run's"):
        run(tmp_path, "Finch(decay=0.5)", resume=True)


def test_another_starting_model_is_refused(tmp_path):
    run(tmp_path, "Finch()", stop=2)
    model = tiny.tiny("gpt2", seed=1, dtype=torch.float32)
    trainer = attach(trainer_for(model, tmp_path, tiny.rows(20), num_train_epochs=3), "Finch()")
    with pytest.raises(HoldfastError, match="another starting model; build it"):
        trainer.train(resume_from_checkpoint=True)


def test_nothing_to_resume_from_is_said(tmp_path):
    with pytest.raises(HoldfastError, match="no finished checkpoint"):
        run(tmp_path, "Finch()", resume=True)


def test_a_state_file_that_was_swapped_is_refused(tmp_path):
    run(tmp_path / "one", Acting(), stop=2)
    start = tmp_path / "one" / "holdfast" / "state.safetensors"
    checkpoint.save_start(tmp_path / "one", {"0.Acting": {"seen": torch.ones(3)}})
    assert start.exists()
    with pytest.raises(HoldfastError, match="is not the one that"):
        run(tmp_path / "one", Acting(), resume=True)
    shutil.rmtree(tmp_path / "one")


def test_flatten_and_unflatten_are_inverse():
    state = {"0.A": {"x": torch.ones(2), "y": {"z": torch.zeros(1)}}}
    back = checkpoint.unflatten(checkpoint.flatten(state))
    assert torch.equal(back["0.A"]["y"]["z"], state["0.A"]["y"]["z"])
    assert copy.deepcopy(list(checkpoint.flatten(back))) == ["0.A/x", "0.A/y/z"]


def test_a_tensor_that_takes_the_memory_of_the_one_it_replaces_is_saved(tmp_path):
    checkpoint.save_start(tmp_path, {})
    for value in range(1, 50):
        state = {"0.A": {"x": torch.zeros(2)}}
        marks = checkpoint.mark(state)
        del state["0.A"]["x"]
        state["0.A"]["x"] = torch.full((2,), float(value))  # often at the very place that was just freed
        checkpoint.save_changed(tmp_path, tmp_path, state, marks, {})
        saved, _ = checkpoint.load(tmp_path, tmp_path, {})
        assert torch.equal(saved["0.A"]["x"], state["0.A"]["x"])
