"""The adapter that VeRA puts on a model."""

from __future__ import annotations

import numpy
import pytest
import torch

from holdfast.core.adapters import adapted
from holdfast.core.mix import Mix
from holdfast.core.params import trainable
from holdfast.core.run import Run
from holdfast.methods.selection.vera import VeRA
from tests.tiny import tiny


def shaped(method, backbone="llama", seed=0):
    return method.shape_model(Run(tiny(backbone), Mix(()), seed, 0))


@pytest.mark.parametrize("backbone", ["llama", "gpt2"])
def test_the_weight_is_the_formula_with_one_pair_of_projections_for_all_layers(backbone):
    model = shaped(VeRA(rank=5), backbone)
    with torch.no_grad():
        for p in trainable(model).values():
            p.add_(torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(p.numel())))
    pair = [getattr(model.base_model, f"vera_{x}")["default"].double().numpy() for x in "AB"]
    for one in adapted(model):
        layer = one.layers[0]
        b, d = (getattr(layer, f"vera_lambda_{x}")["default"].detach().numpy() for x in "bd")
        change = b[:, None] * pair[1][: len(b)] @ numpy.diag(d) @ pair[0][:, : layer.in_features]
        found = (one.tuned() - one.param.detach()).numpy()
        numpy.testing.assert_allclose(found.T if backbone == "gpt2" else found, change, rtol=1e-5, atol=1e-7)


def test_only_the_vectors_are_trained_and_begin_as_they_are_said_to():
    model = shaped(VeRA(rank=5, initial=0.3))
    for name, p in trainable(model).items():
        torch.testing.assert_close(p.detach(), torch.full_like(p, 0.3 if "lambda_d" in name else 0.0))
        assert p.numel() == 5 or "lambda_b" in name
    assert len(trainable(model)) == 28


def test_the_projections_come_from_the_seed_of_the_run():
    one, same, other = (shaped(VeRA(rank=5), seed=seed).base_model.vera_A["default"] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_dropout_acts_in_training():
    layers = [one.layers[0] for one in adapted(shaped(VeRA(dropout=0.5)))]
    assert {layer.vera_dropout["default"].p for layer in layers} == {0.5}
