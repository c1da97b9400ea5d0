"""What linear layers read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.run import Run
from holdfast.methods.activations import input_axis, linear_layers, second_moments
from holdfast.methods.selection.lora import LoRA
from holdfast.train.trainer_view import TrainerView
from tests import tiny
from tests.train.retrace import trainer_for

DATA = tiny.rows(7, seed=3)
EXAMPLES = [Example(row["input_ids"], row["labels"]) for row in DATA]


def run_of(folder, model):
    return TrainerView(trainer_for(model, folder, DATA), {}).run()


def gathered(model):
    """Inputs of every layer, row by row and so without padding, and their moments in numpy."""
    rows = {}
    handles = [
        layer.register_forward_hook(
            lambda _layer, inputs, _out, name=name: rows.setdefault(name, []).append(inputs[0].detach().numpy())
        )
        for name, layer in linear_layers(model).items()
    ]
    with torch.no_grad():
        for row in DATA:
            model.eval()(input_ids=torch.tensor([row["input_ids"]]))
    for handle in handles:
        handle.remove()
    flat = {name: np.concatenate([x.reshape(-1, x.shape[-1]) for x in found]) for name, found in rows.items()}
    return {name: np.einsum("ti,tj->ij", x, x) / len(x) for name, x in flat.items()}


@pytest.mark.parametrize("backbone", tiny.BACKBONES)
@pytest.mark.parametrize("size", [1, 3])
def test_they_are_the_moments_of_the_rows_one_by_one(tmp_path, backbone, size):
    # Gemma's attention is in float32 whatever the weights are.
    model = tiny.tiny(backbone)
    expected, found = gathered(model), second_moments(run_of(tmp_path, model), EXAMPLES, size=size)
    assert found.keys() == expected.keys() == set(linear_layers(model))
    for name, moment in found.items():
        np.testing.assert_allclose(
            moment.numpy(), expected[name], atol=1e-6 * np.abs(expected[name]).max(), err_msg=name
        )
        weight = linear_layers(model)[name].weight
        assert moment.shape[0] == moment.shape[1] == weight.shape[input_axis(linear_layers(model)[name])]


@pytest.mark.parametrize("backbone", ["gpt2", "llama"])
def test_with_a_fresh_adapter_they_are_those_of_the_bare_model_under_the_same_names(tmp_path, backbone):
    plain = second_moments(run_of(tmp_path, tiny.tiny(backbone)), EXAMPLES)
    adapted = LoRA(rank=2).shape_model(Run(tiny.tiny(backbone), None, 0, 0))
    found = second_moments(run_of(tmp_path, adapted), EXAMPLES)
    assert found.keys() == plain.keys()
    for name, moment in found.items():
        torch.testing.assert_close(moment, plain[name], rtol=0, atol=1e-12)


def test_packed_examples_are_not_looked_at_across_their_borders(tmp_path):
    model = tiny.tiny()
    ids = [i for row in DATA for i in row["input_ids"]]
    packed = [Example(ids, ids, lengths=tuple(len(row["input_ids"]) for row in DATA))]
    plain, found = (second_moments(run_of(tmp_path, model), which) for which in (EXAMPLES, packed))
    for name, moment in found.items():
        torch.testing.assert_close(moment, plain[name], rtol=0, atol=1e-9)


def test_the_model_is_left_as_it_was_and_layers_of_one_input_share_one_matrix(tmp_path):
    model = tiny.tiny().train()
    run = run_of(tmp_path, model)  # a trainer begins by setting the seed
    before = torch.random.get_rng_state()
    found = second_moments(run, "new", wanted=lambda name: name.endswith(("_proj",)))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(module.training and not module._forward_pre_hooks for module in model.modules())
    assert not any(p.grad is not None for p in model.parameters())
    layer = "model.layers.1.self_attn"
    assert found[f"{layer}.q_proj"] is found[f"{layer}.v_proj"]
    assert found[f"{layer}.q_proj"] is not found[f"{layer}.o_proj"]
    assert "lm_head" not in found
    bfloat16 = second_moments(run_of(tmp_path, tiny.tiny(dtype=torch.bfloat16)), EXAMPLES)
    assert {moment.dtype for moment in bfloat16.values()} == {torch.float32}


def test_nothing_to_look_at_is_said(tmp_path):
    with pytest.raises(HoldfastError, match="no examples from which to compute"):
        second_moments(run_of(tmp_path, tiny.tiny()), [])
    broken = tiny.tiny()
    broken.model.layers[0].mlp.up_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(HoldfastError, match="is not finite on these examples; use bf16"):
        second_moments(run_of(tmp_path, broken), EXAMPLES)
