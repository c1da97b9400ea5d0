"""Nats per document."""

import copy
import math
import random

import pytest
import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.probes import likelihood
from holdfast.probes.likelihood import bits_per_byte, document_nll
from tests.tiny import BACKBONES, VOCABULARY, tiny


def example(length, draw, origin="", supervised=0.7):
    ids = [draw.randrange(3, VOCABULARY) for _ in range(length)]
    labels = [token if draw.random() < supervised else -100 for token in ids]
    labels[-1] = ids[-1]
    return Example(ids, labels, origin=origin)


@pytest.fixture
def examples():
    """Nine examples of unequal lengths; two documents are made of several windows, not in a row."""
    draw = random.Random(0)
    origins = ["a:1", "a:2", "b:1", "a:1", "", "a:1", "b:2", "", "b:1"]
    return [example(draw.randint(2, 20), draw, origin) for origin in origins]


def plain(model, row):
    """The definition: one row at a time, one position at a time, in float64."""
    model = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([list(row.input_ids)])).logits[0]
    total = 0.0
    for t in range(len(row.labels) - 1):
        if row.labels[t + 1] != -100:
            scores = [float(x) for x in logits[t]]
            top = max(scores)
            total += top + math.log(sum(math.exp(x - top) for x in scores)) - scores[row.labels[t + 1]]
    return total


@pytest.mark.parametrize("name", BACKBONES)
def test_it_is_the_plain_sum_on_every_backbone(name, examples):
    model = tiny(name)
    expected = {}
    for i, row in enumerate(examples):
        key = row.origin or i
        nats, tokens = expected.get(key, (0.0, 0))
        expected[key] = nats + plain(model, row), tokens + row.supervised
    found = document_nll(model, examples, batch_tokens=50)
    assert [score.origin for score in found] == ["a:1", "a:2", "b:1", "", "b:2", ""]
    for score, (nats, tokens) in zip(found, expected.values(), strict=True):
        assert score.tokens == tokens
        assert score.nats == pytest.approx(nats, rel=1e-7)  # some backbones normalise in float32


@pytest.mark.parametrize("batch_tokens", [1, 21, 64, 10_000])
@pytest.mark.parametrize("pad_id", [0, 5])
def test_neither_batches_nor_padding_matter(examples, batch_tokens, pad_id):
    model = tiny()
    expected = document_nll(model, examples, batch_tokens=100)
    found = document_nll(model, examples, batch_tokens=batch_tokens, pad_id=pad_id)
    assert [(s.origin, s.tokens) for s in found] == [(s.origin, s.tokens) for s in expected]
    assert [s.nats for s in found] == pytest.approx([s.nats for s in expected], rel=1e-12)


def test_no_batch_is_larger_than_asked_and_rows_of_a_kind_come_together(examples):
    shapes = []
    model = tiny()
    model.register_forward_pre_hook(
        lambda _, __, inputs: shapes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    document_nll(model, examples, batch_tokens=45)
    assert all(rows * length <= 45 for rows, length in shapes)
    assert [length for _, length in shapes] == sorted((length for _, length in shapes), reverse=True)
    assert sum(rows for rows, _ in shapes) == len(examples)


def test_the_order_of_examples_does_not_matter(examples):
    model = tiny()
    found = {(s.origin, s.tokens): s.nats for s in document_nll(model, examples)}
    turned = {(s.origin, s.tokens): s.nats for s in document_nll(model, examples[::-1])}
    assert found == pytest.approx(turned, rel=1e-12)


def test_packed_documents_are_read_apart():
    draw = random.Random(1)
    parts = [example(length, draw, "a") for length in (5, 3, 7)]
    packed = Example(
        [token for part in parts for token in part.input_ids],
        [label for part in parts for label in part.labels],
        lengths=(5, 3, 7),
        origin="a",
    )
    model = tiny()
    (found,), (expected,) = document_nll(model, [packed]), document_nll(model, parts)
    assert found.tokens == expected.tokens == packed.supervised
    assert found.nats == pytest.approx(expected.nats, rel=1e-12)


def test_chunks_of_logits_do_not_matter(examples, monkeypatch):
    model = tiny()
    expected = document_nll(model, examples)
    monkeypatch.setattr(likelihood, "CHUNK_LOGITS", VOCABULARY * 3)
    found = document_nll(model, examples)
    assert [s.nats for s in found] == pytest.approx([s.nats for s in expected], rel=1e-12)


def test_bfloat16_logits_are_summed_wide(examples):
    model = tiny(dtype=torch.bfloat16)
    with torch.no_grad():
        for row in examples[:3]:
            logits = model(input_ids=torch.tensor([list(row.input_ids)])).logits[0].double()
            labels = torch.tensor(list(row.labels))
            exact = torch.nn.functional.cross_entropy(logits[:-1], labels[1:], reduction="sum")
            (found,) = document_nll(model, [row])
            assert found.nats == pytest.approx(float(exact), rel=1e-6)


def test_the_model_is_left_as_it_was_found(examples):
    model = tiny("gpt2")
    model.transformer.drop.p = 0.5
    model.train()
    model.transformer.h[0].eval()
    before = [module.training for module in model.modules()]
    config = copy.deepcopy(model.config.to_dict())
    assert model.config.use_cache
    random_state = torch.get_rng_state()
    weights = copy.deepcopy(model.state_dict())
    first = document_nll(model, examples)
    assert [module.training for module in model.modules()] == before
    assert model.config.to_dict() == config
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert torch.is_grad_enabled()
    # Dropout was off: asking again gives the same bits.
    assert document_nll(model, examples) == first


def test_the_model_is_left_as_it_was_found_when_it_fails(examples):
    model = tiny().train()
    model.lm_head.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        document_nll(model, examples)
    assert all(module.training for module in model.modules())
    assert torch.is_grad_enabled()


def test_random_numbers_drawn_by_a_model_do_not_show(examples):
    model = tiny()
    drawn = []
    model.register_forward_hook(lambda *_: drawn.append(torch.rand(3)))
    state = torch.get_rng_state()
    document_nll(model, examples[:1])
    assert drawn
    assert torch.equal(torch.get_rng_state(), state)


def test_what_has_nothing_supervised_is_left_out():
    silent = Example([4, 5, 6], [4, -100, -100], origin="silent")
    assert document_nll(tiny(), [silent]) == []
    assert document_nll(tiny(), []) == []
    (found,) = document_nll(tiny(), [silent, Example([4, 5], [-100, 5], origin="a")])
    assert (found.origin, found.tokens) == ("a", 1)


def test_progress_ends_at_its_total(examples):
    told = []
    document_nll(tiny(), examples, batch_tokens=40, progress=lambda *done: told.append(done))
    assert told[-1] == (9, 9)
    assert told == sorted(told)


def test_a_broken_model_is_named_by_the_document_it_breaks_on(examples):
    model = tiny()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(HoldfastError, match="gives a:1 a likelihood of nan nats"):
        document_nll(model, examples)


def test_a_uniform_model_costs_the_logarithm_of_the_vocabulary(examples):
    model = tiny()
    with torch.no_grad():
        model.lm_head.weight.zero_()
    for score in document_nll(model, examples):
        assert score.nats == pytest.approx(score.tokens * math.log(VOCABULARY), rel=1e-6)


def test_bits_per_byte():
    assert bits_per_byte(8 * math.log(2), 4) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="at least 1"):
        bits_per_byte(1.0, 0)
