"""Second moments of what the layers read."""

from __future__ import annotations

import copy

import pytest
import torch

from holdfast.methods.activations import input_dim, linear_layers, second_moments
from tests import tiny


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_they_are_those_of_the_inputs_without_padding(family):
    model = tiny.tiny(family)
    before = copy.deepcopy(model.state_dict())
    rows = tiny.rows(5)
    layers = linear_layers(model)
    seen = {name: [] for name in layers}
    handles = [
        layer.register_forward_pre_hook(lambda _, x, name=name: seen[name].append(x[0][0].detach()))
        for name, layer in layers.items()
    ]
    for row in rows:
        model.eval()(input_ids=torch.tensor([row["input_ids"]]))
    for handle in handles:
        handle.remove()
    model.train()
    batches = [tiny.collate(rows[:3]), tiny.collate(rows[3:])]
    found = second_moments(model, layers, batches)
    assert set(found) == set(layers)
    for name, inputs in seen.items():
        x = torch.cat(inputs).numpy()
        torch.testing.assert_close(found[name], torch.as_tensor(x.T @ x / len(x)), rtol=1e-9, atol=1e-12)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_input_runs_along_the_rows_of_gpt2s_weights():
    for family, dim in (("llama", 1), ("gpt2", 0)):
        for name, layer in linear_layers(tiny.tiny(family)).items():
            if "head" not in name:
                assert input_dim(layer) == dim
