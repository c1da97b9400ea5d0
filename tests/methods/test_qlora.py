"""The adapter that QLoRA puts on a model in four bits; left out, visibly, where bitsandbytes is not installed."""

from __future__ import annotations

import importlib.util

import peft
import pytest
import torch

from holdfast.core.adapters import adapted
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.core.run import Run, Step
from holdfast.methods.losses.base_kl import BaseKL
from holdfast.methods.losses.mask_the_target import MaskTheTarget
from holdfast.methods.schedules.train import Train
from holdfast.methods.selection.qlora import QLoRA, _in_four_bits
from holdfast.train.attach import attach
from tests.tiny import collate, rows, tiny
from tests.train.retrace import trainer_for

BATCH = collate(rows(4, seed=5))
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


def logits(model):
    model.eval()
    with torch.no_grad():
        return model(input_ids=BATCH["input_ids"], attention_mask=BATCH["attention_mask"]).logits


def shaped(method, model):
    return method.shape_model(Run(model, Mix(()), 0, 0))


def quantised():
    return shaped(QLoRA(), tiny(dtype=torch.float32)).unload()


@needs_bitsandbytes
def test_a_weight_in_four_bits_has_at_most_sixteen_values_in_each_block_and_is_near():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = torch.nn.Linear(64, 32)
    made = _in_four_bits(layer)
    weight = made(torch.eye(64)).detach().T - layer.bias[:, None].detach()
    error = (weight - layer.weight.detach()).norm() / layer.weight.norm()
    assert 0.01 < float(error) < 0.15
    assert all(len(block.mul(1e4).round().unique()) <= 16 for block in weight)
    assert made.weight.numel() == 64 * 32 // 2


@needs_bitsandbytes
@pytest.mark.parametrize("leash", [MaskTheTarget(), BaseKL()], ids=repr)
def test_the_base_seen_through_the_teacher_is_the_quantised_model(tmp_path, leash):
    base = tiny(dtype=torch.float32)
    untouched = logits(quantised())
    trainer = trainer_for(base, tmp_path, rows(24), optim="adamw_torch", learning_rate=0.02, micro=4)
    attach(trainer, QLoRA(rank=2) + leash)
    for _ in range(2):
        with trainer.holdfast_teacher.base(trainer.model):
            assert torch.equal(logits(trainer.model), untouched)
        if not trainer.state.global_step:
            assert torch.equal(logits(trainer.model), untouched)
            trainer.train()
    assert float((logits(trainer.model) - untouched).abs().max()) > 1e-2
    assert all(p.dtype == torch.float32 for p in trainable(trainer.model).values())
    trainer.model.save_pretrained(tmp_path / "shipped")
    again = peft.PeftModel.from_pretrained(quantised(), tmp_path / "shipped")
    torch.testing.assert_close(logits(again), logits(trainer.model), rtol=0, atol=1e-5)


@needs_bitsandbytes
def test_every_linear_layer_but_the_head_is_quantised_and_those_that_are_asked_for_are_adapted():
    model = shaped(QLoRA(rank=2, targets="mlp"), tiny())
    kinds = {name: type(module).__name__ for name, module in model.named_modules()}
    packed = {name for name, module in model.named_modules() if hasattr(getattr(module, "weight", None), "quant_state")}
    assert len([name for name in packed if "base_layer" in name]) == 6
    assert len([name for name, kind in kinds.items() if kind == "Linear4bit" and name.endswith("_proj")]) == 14
    assert len(adapted(model)) == 6
    assert kinds["base_model.model.lm_head"] == "Linear"


@needs_bitsandbytes
def test_a_merged_weight_is_refused_before_training(tmp_path):
    base = tiny(dtype=torch.float32)
    with pytest.raises(HoldfastError, match="the weights of this model are quantised; ship the adapter as it is"):
        attach(trainer_for(base, tmp_path, rows(8)), Train(ship="merged") + QLoRA())


@needs_bitsandbytes
@pytest.mark.parametrize(
    ("backbone", "targets"), [("gpt2", "all-linear"), ("mixtral", "all-linear"), ("llama", "nope")]
)
def test_what_cannot_be_had_is_refused_and_the_model_stays_as_it_was(backbone, targets):
    base = tiny(backbone, dtype=torch.float32)
    before, names = logits(base), list(base.state_dict())
    with pytest.raises(HoldfastError, match=r"QLoRA\("):
        shaped(QLoRA(targets=targets), base)
    assert list(base.state_dict()) == names
    assert torch.equal(logits(base), before)
    assert not getattr(base, "is_loaded_in_4bit", False)


@needs_bitsandbytes
def test_a_model_in_four_bits_is_taken_as_it_is():
    base = quantised()
    before = logits(base)
    assert torch.equal(logits(shaped(QLoRA(rank=2), base)), before)


@pytest.mark.parametrize(("clip", "norm"), [(0.3, 0.3), (7.0, 5.0), (0.0, 5.0)])
def test_the_gradient_is_clipped_to_the_norm_over_all_parameters(clip, norm):
    params = {name: torch.nn.Parameter(torch.zeros(1)) for name in "ab"}
    params["a"].grad, params["b"].grad = torch.tensor([3.0]), torch.tensor([-4.0])
    QLoRA(clip=clip).edit_grads({}, Step(0, 1, {}, params))
    assert [float(p.grad) for p in params.values()] == pytest.approx([3.0 * norm / 5, -4.0 * norm / 5], rel=1e-4)


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_without_bitsandbytes_it_says_how_to_get_it():
    with pytest.raises(HoldfastError, match=r"QLoRA\(\) needs bitsandbytes: pip install 'holdfast\[gpu\]'"):
        shaped(QLoRA(), tiny())


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_a_model_in_eight_bits_is_refused_and_stays_as_it_is(dtype):
    model = tiny(dtype=torch.float32)
    layer = model.model.layers[0].mlp.up_proj
    layer.weight = torch.nn.Parameter(layer.weight.detach().to(dtype), requires_grad=False)
    kinds = [type(module) for module in model.modules()]
    with pytest.raises(HoldfastError, match=f"{str(dtype).removeprefix('torch.')} codes already"):
        shaped(QLoRA(), model)
    assert [type(module) for module in model.modules()] == kinds
