"""Optimizers that step inside backward: what acts around the step is refused, and the rest works."""

from __future__ import annotations

import pytest
import torch
import transformers

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.train.attach import attach
from tests import tiny
from tests.acting import Acting
from tests.train.retrace import trainer_for
from tests.train.watching import watching

OLD = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(5, seed=3)]
OPTIMS = [name.value for name in transformers.training_args.OptimizerNames]
INSIDE = [name for name in OPTIMS if name.endswith("layerwise") or "lomo" in name]
AROUND = [
    "MoFO()", "LISA()", "Finch()", "Cosine()", "WSD()", "TokenQuality()", "LayerwiseDecay()",
    "LoRA(rank=2) + LoRAPlus()", "AGEM('old')", "OrthogonalProjection('old')", "ConflictDecay('old')", "EMA()",
    "AdaLoRA()", "OSF()",
]  # fmt: skip


def layerwise(folder, optim=INSIDE[0], **changes):
    trainer = trainer_for(tiny.tiny(dtype=torch.float32), folder, tiny.rows(16), **changes)
    trainer.args.optim = transformers.training_args.OptimizerNames(optim)
    return trainer


def refused(folder, recipe, make=layerwise, **watched):
    with pytest.raises(HoldfastError) as error:
        attach(make(folder), recipe, **watched, memories={"old": OLD})
    return str(error.value)


@pytest.mark.parametrize("optim", INSIDE)
def test_every_such_optimizer_of_the_trainer_is_known(tmp_path, optim):
    assert len(INSIDE) >= 6
    assert refused(tmp_path, "MoFO()", make=lambda folder: layerwise(folder, optim)) == (
        f"MoFO() acts around the optimizer's step, and optim={optim!r} takes it inside backward;"
        " use an optimizer that steps after backward."
    )


@pytest.mark.parametrize("recipe", [*AROUND, Acting()], ids=repr)
def test_what_acts_around_the_step_is_refused(tmp_path, recipe):
    assert "acts around the optimizer's step, and optim='galore_adamw_layerwise'" in refused(tmp_path, recipe)


@pytest.mark.parametrize(
    "recipe", ["BaseL2()", "FreezeBottom()", "MaskTheTarget()", "WiSEFT()", "TALR()", "Rehearsal('old')"]
)
def test_what_does_not_is_attached(tmp_path, recipe):
    attach(layerwise(tmp_path), recipe, memories={"old": OLD})


def test_a_guard_that_would_put_the_optimizer_back_is_refused(tmp_path):
    said = refused(tmp_path, None, **watching(OLD, nll=0.5))
    assert said.startswith("Guard(on_spent='rewind') changes the optimizer's learning rate, and optim=")
    attach(layerwise(tmp_path), None, **watching(OLD, nll=0.5, on_spent="stop"))


def stepping_by_hooks(folder):
    """As torchtune and others do: each parameter has an optimizer of its own, which a hook calls."""
    model = tiny.tiny(dtype=torch.float32)
    for p in model.parameters():
        own = torch.optim.SGD([p], lr=0.1)
        p.register_post_accumulate_grad_hook(lambda p, own=own: (own.step(), own.zero_grad()))
    return trainer_for(model, folder, tiny.rows(16))


def applied_in_backward(folder):
    from torch.distributed.optim import _apply_optimizer_in_backward

    model = tiny.tiny(dtype=torch.float32)
    _apply_optimizer_in_backward(torch.optim.SGD, model.parameters(), {"lr": 0.1})
    return trainer_for(model, folder, tiny.rows(16))


class AdaLomo(torch.optim.SGD):
    """Stands for that of lomo_optim, which a user may pass."""


def a_users_own(folder):
    model = tiny.tiny(dtype=torch.float32)
    trainer = trainer_for(model, folder, tiny.rows(16))
    trainer.optimizer = AdaLomo(model.parameters(), lr=0.1)
    return trainer


@pytest.mark.parametrize("make", [stepping_by_hooks, applied_in_backward])
def test_optimizers_in_hooks_are_found(tmp_path, make):
    assert refused(tmp_path, "Cosine()", make=make) == (
        "Cosine() acts around the optimizer's step, and hooks on the model's parameters run inside backward, where an"
        " optimizer may step; use an optimizer that steps after backward."
    )
    attach(make(tmp_path), "BaseL2()")


def test_one_that_was_passed_is_found_by_its_class(tmp_path):
    assert "and AdaLomo takes it inside backward" in refused(tmp_path, "Finch()", make=a_users_own)


def test_deepspeed_leaves_rates_and_losses_and_refuses_what_reads_gradients_after_the_step(tmp_path):
    def deep(folder):
        trainer = trainer_for(tiny.tiny(dtype=torch.float32), folder, tiny.rows(16))
        trainer.is_deepspeed_enabled = True
        return trainer

    for recipe in ("AdaLoRA()", "LISA()", "MoFO()"):
        assert "which DeepSpeed takes inside backward; use DDP." in refused(tmp_path, recipe, make=deep)
    attach(deep(tmp_path), "LoRA(rank=2) + TALR() + Finch()")
