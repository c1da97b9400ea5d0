"""The adapter that DoRA puts on a model."""

from __future__ import annotations

import numpy
import pytest
import torch

from holdfast.core.adapters import adapted
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.core.run import Run
from holdfast.methods.selection.dora import DoRA
from tests.tiny import tiny


def shaped(method, backbone="llama"):
    return method.shape_model(Run(tiny(backbone), Mix(()), 0, 0))


def moved(model):
    with torch.no_grad():
        for p in trainable(model).values():
            p.add_(0.1 * torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(p.numel())))
    return model


@pytest.mark.parametrize("backbone", ["llama", "gpt2"])
def test_the_weight_is_the_formula(backbone):
    model = moved(shaped(DoRA(rank=2, alpha=3.0), backbone))
    found = adapted(model)
    assert len(found) == (14 if backbone == "llama" else 8)
    for one in found:
        layer = one.layers[0]
        weight = one.param.detach().numpy()
        weight = weight.T if backbone == "gpt2" else weight
        a, b = (getattr(layer, f"lora_{x}")["default"].weight.detach().numpy() for x in "AB")
        m = layer.lora_magnitude_vector["default"].weight.detach().numpy()
        turned = weight + 3.0 / 2 * b @ a
        expected = m[:, None] * turned / numpy.linalg.norm(turned, axis=1, keepdims=True)
        tuned = one.tuned().numpy()
        numpy.testing.assert_allclose(tuned.T if backbone == "gpt2" else tuned, expected, rtol=1e-6, atol=1e-9)


def test_a_row_keeps_its_length_however_far_its_direction_goes():
    model = moved(shaped(DoRA(rank=2)))
    for one in adapted(model):
        lengths = one.layers[0].lora_magnitude_vector["default"].weight.detach().abs()
        torch.testing.assert_close(one.tuned().norm(dim=1), lengths, rtol=1e-6, atol=1e-9)
        assert not torch.allclose(lengths, one.param.norm(dim=1))


def test_lengths_and_both_factors_are_trained_and_nothing_else():
    kinds = {name.split(".")[-3 if name.endswith("default.weight") else -1] for name in trainable(shaped(DoRA()))}
    assert kinds == {"lora_A", "lora_B", "lora_magnitude_vector"}


def test_stacked_experts_are_refused_and_attention_is_not():
    with pytest.raises(HoldfastError, match="does not support these layers"):
        shaped(DoRA(), "mixtral")
    assert shaped(DoRA(targets="attention"), "mixtral")
