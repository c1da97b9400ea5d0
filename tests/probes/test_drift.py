"""The divergence of a tuned model from its base, against the definition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.mix import Example
from holdfast.probes.drift import divergence, drift
from tests import tiny


@pytest.fixture(scope="module")
def models():
    return tiny.tiny("llama", seed=0).double(), tiny.tiny("llama", seed=1).double()


def by_definition(base, tuned, example):
    ids = torch.tensor([example.input_ids])
    with torch.no_grad():
        p, q = (torch.softmax(model(input_ids=ids).logits[0], -1) for model in (base, tuned))
    places = [i for i, label in enumerate(example.labels[1:]) if label != -100]
    return sum(float((p[i] * (p[i] / q[i]).log()).sum()) for i in places), len(places)


@given(st.lists(st.lists(st.integers(3, 60), min_size=2, max_size=12), min_size=1, max_size=5), st.integers(8, 64))
@settings(max_examples=15, deadline=None)
def test_it_is_the_sum_of_its_definition_whatever_the_batches(models, rows, batch_tokens):
    examples = [Example(row, [-100, *row[1:]], origin=f"{i}") for i, row in enumerate(rows)]
    found = drift(*models, examples, batch_tokens=batch_tokens)
    for score, example in zip(found, examples, strict=True):
        nats, tokens = by_definition(*models, example)
        assert score.tokens == tokens
        assert score.nats == pytest.approx(nats, rel=1e-4, abs=1e-6)
        assert score.nats >= -1e-6


def test_only_supervised_tokens_count_and_a_model_does_not_drift_from_itself(models):
    base, tuned = models
    half = Example([5, 6, 7, 8], [-100, -100, 7, -100], origin="a")
    assert drift(base, tuned, [half])[0].nats == pytest.approx(by_definition(base, tuned, half)[0], rel=1e-4)
    assert drift(base, base, [half])[0].nats == pytest.approx(0, abs=1e-9)
    assert drift(base, tuned, [Example([5, 6], [-100, -100], origin="b")]) == []


def test_rows_of_padding_beside_the_tokens_are_no_drift(models):
    base, _ = models
    padded = tiny.tiny("llama", seed=0).double()
    padded.resize_token_embeddings(64, mean_resizing=False)
    example = Example([5, 6, 7, 8], [5, 6, 7, 8], origin="a")
    for pair in ((base, padded), (padded, base)):
        assert drift(*pair, [example])[0].nats == pytest.approx(0, abs=1e-9)


def test_tokens_that_both_models_rule_out_are_no_drift():
    ruled_out = torch.tensor([0.3, -torch.inf, 0.1, -torch.inf]).log_softmax(-1)
    other = torch.tensor([0.1, -torch.inf, 0.3, 2.0]).log_softmax(-1)
    found = divergence(torch.stack([ruled_out, other]), torch.stack([other, ruled_out]))
    kept = ruled_out[[0, 2]]
    assert found[0].item() == pytest.approx((kept.exp() * (kept - other[[0, 2]])).sum().item())
    assert found[1].item() == torch.inf, "the tuned model rules out what the base says"


def test_the_models_are_left_as_they_were(models):
    base, tuned = models
    base.train()
    told = []
    drift(base, tuned, [Example([5, 6, 7], [5, 6, 7], origin="a")], progress=lambda *done: told.append(done))
    assert base.training
    assert told == [(1, 1)]
    base.eval()
