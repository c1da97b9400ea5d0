"""Tests of the number format in which a model computes while it is asked."""

import pytest
import torch

from holdfast.core import precision
from holdfast.core.errors import HoldfastError
from holdfast.core.narrow_linear import keep_narrow
from holdfast.core.precision import check_precision, computing_in


def model():
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8))
    layers[1].weight = layers[0].weight  # tied
    layers.register_buffer("scale", torch.ones(8))
    return layers


def test_sixteen_bits_compute_in_rounded_weights_and_leave_the_wide_ones():
    tuned = model()
    wide = {name: p.detach().clone() for name, p in tuned.named_parameters()}
    places = {name: p.data_ptr() for name, p in tuned.named_parameters()}
    x = torch.randn(3, 8)
    with computing_in(tuned, "bf16"):
        assert {p.dtype for p in tuned.parameters()} == {torch.bfloat16}
        assert tuned[1].weight is tuned[0].weight
        assert tuned.scale.dtype == torch.float32
        rounded = {name: p.detach().float() for name, p in tuned.named_parameters()}
        narrow = tuned(x.bfloat16())
    assert {name: p.data_ptr() for name, p in tuned.named_parameters()} == places
    for name, weights in wide.items():
        assert torch.equal(dict(tuned.named_parameters())[name], weights)
        assert torch.equal(rounded[name], weights.bfloat16().float())
    assert torch.allclose(narrow.float(), tuned(x), atol=0.05)
    assert not torch.equal(narrow.float(), tuned(x))


def test_float32_changes_nothing():
    tuned = model()
    with computing_in(tuned, "fp32"):
        assert {p.dtype for p in tuned.parameters()} == {torch.float32}


def narrow_model():
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)).bfloat16()
    keep_narrow(layers, {})
    return layers


def test_float32_widens_frozen_sixteen_bit_weights_while_the_model_is_asked():
    tuned, x = narrow_model(), torch.randn(3, 8)
    narrow, kept = tuned(x), [layer.weight.data_ptr() for layer in tuned]
    with computing_in(tuned, "fp32"):
        assert {p.dtype for p in tuned.parameters()} == {torch.float32}
        assert torch.equal(tuned(x), narrow)
    assert [layer.weight.data_ptr() for layer in tuned] == kept
    assert {layer.weight.dtype for layer in tuned} == {torch.bfloat16}


@pytest.mark.parametrize("why", ["memory", "spread"])
def test_frozen_weights_stay_narrow_without_the_memory_or_spread_over_processes(monkeypatch, why):
    tuned = narrow_model()
    if why == "memory":
        monkeypatch.setattr(precision, "free_memory", lambda: (2 * 4 * 2 * 64, "in memory"))
    else:
        tuned[1].weight.ds_id = 1
    with computing_in(tuned, "fp32"):
        assert {layer.weight.dtype for layer in tuned} == {torch.bfloat16}


def test_weights_return_after_an_error():
    tuned = model()
    wide = tuned[0].weight.detach().clone()
    with pytest.raises(ZeroDivisionError), computing_in(tuned, "bf16"):
        raise ZeroDivisionError
    assert torch.equal(tuned[0].weight, wide)


def test_spread_weights_compute_under_autocast():
    tuned = model()
    tuned[0].weight.ds_id = 1  # as DeepSpeed marks the weights that it spreads
    with computing_in(tuned, "bf16"):
        assert tuned[0].weight.dtype == torch.float32
        assert tuned(torch.randn(2, 8)).dtype == torch.bfloat16


def test_half_precision_needs_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(HoldfastError, match="needs a GPU; use bf16"):
        check_precision("fp16")
    check_precision("bf16")
