"""The shift of a tuned model against the divergence and the likelihoods that other probes compute."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.probes.drift import drift
from holdfast.probes.likelihood import document_nll
from holdfast.probes.shift import Shift, ShiftReader
from tests import tiny


@pytest.fixture(scope="module", params=["llama", "gemma2"])
def models(request):
    return tiny.tiny(request.param, seed=0), tiny.tiny(request.param, seed=1)


def examples_of(rows):
    return [Example(row, [-100, *row[1:]], origin=f"{i}") for i, row in enumerate(rows)]


@given(st.lists(st.lists(st.integers(3, 60), min_size=2, max_size=12), min_size=1, max_size=5), st.integers(8, 64))
@settings(max_examples=15, deadline=None)
def test_it_agrees_with_the_probes_of_drift_and_likelihood(models, rows, batch_tokens):
    base, tuned = models
    examples = examples_of(rows)
    shifts = ShiftReader(base, examples, batch_tokens=batch_tokens).compare(tuned)
    parts = drift(base, tuned, examples), document_nll(base, examples), document_nll(tuned, examples)
    for kl, before, after in zip(*parts, strict=True):
        shift = shifts[kl.origin]
        assert shift.tokens == kl.tokens
        assert shift.kl == pytest.approx(kl.nats, rel=1e-4, abs=1e-5)
        assert shift.before == pytest.approx(before.nats, rel=1e-5)
        assert shift.after == pytest.approx(after.nats, rel=1e-5)
        assert shift.windows == 1
        assert shift.fall == pytest.approx(100 * (math.exp(-before.nats) - math.exp(-after.nats)), rel=1e-4, abs=1e-9)


def test_the_change_of_states_is_that_of_the_last_layer(models):
    base, tuned = models
    example = Example([5, 6, 7, 8, 9], [-100, -100, 7, -100, 9], origin="a")
    with torch.no_grad():
        old, new = (
            model(torch.tensor([example.input_ids]), output_hidden_states=True).hidden_states[-1][0, [1, 3]]
            for model in models
        )
    shift = ShiftReader(base, [example]).compare(tuned)["a"]
    assert shift.tokens == 2
    assert shift.change == pytest.approx(float((new - old).norm() / old.norm()), rel=1e-6)
    assert Shift().change is None


def test_a_model_does_not_shift_from_itself(models):
    base, _ = models
    shift = ShiftReader(base, examples_of([[5, 6, 7]])).compare(base)["0"]
    assert shift.kl == pytest.approx(0, abs=1e-6)
    assert shift.before == shift.after
    assert shift.change == 0


def test_the_base_reads_once_for_all_models(models):
    base, tuned = models
    sizes = []
    reader = ShiftReader(base, examples_of([[5, 6, 7], [8, 9, 10, 11]]))
    first = reader.compare(tuned)
    handle = base.model.register_forward_pre_hook(
        lambda _module, _args, inputs: sizes.append(inputs["input_ids"].numel()), with_kwargs=True
    )
    try:
        second = reader.compare(tuned)
    finally:
        handle.remove()
    assert first == second
    assert max(sizes, default=0) <= 1  # a head that caps its logits is called through the model, with one token


def test_the_windows_of_one_document_add_up(models):
    base, tuned = models
    apart = ShiftReader(base, examples_of([[5, 6, 7], [8, 9, 10]])).compare(tuned)
    together = [Example(row, [-100, *row[1:]], origin="a") for row in ([5, 6, 7], [8, 9, 10])]
    joined = ShiftReader(base, together).compare(tuned)
    total = apart["0"] + apart["1"]
    assert joined["a"].tokens == total.tokens == 4
    assert joined["a"].kl == pytest.approx(total.kl)
    assert joined["a"].moved == pytest.approx(total.moved)


def test_broken_weights_are_refused_and_models_are_left_as_they_were():
    base, tuned = tiny.tiny("llama", seed=0), tiny.tiny("llama", seed=1)
    base.train()
    ShiftReader(base, examples_of([[5, 6, 7]])).compare(tuned)
    assert base.training
    tuned.lm_head.weight.data.fill_(math.nan)
    with pytest.raises(HoldfastError, match="lower learning rate"):
        ShiftReader(base, examples_of([[5, 6, 7]])).compare(tuned)
