"""Surprise under a model equals its likelihood, and conflicts those of a forward by hand."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.plan.reading import CONFLICT
from holdfast.core.mix import Example
from holdfast.data.tokenization import tokenize
from holdfast.ground.names import rows
from holdfast.probes.likelihood import document_nll
from holdfast.probes.surprise import surprise
from tests import tiny


def examples(count):
    draw = random.Random(0)
    made = []
    for number in range(count):
        ids = tuple(draw.randrange(tiny.VOCABULARY) for _ in range(draw.randint(3, 12)))
        made.append(Example(ids, (-100, *ids[1:]), origin=f"row {number // 2}"))
    return made


@pytest.fixture(scope="module")
def model():
    made = tiny.tiny("llama", seed=0, dtype=torch.float32)
    with torch.no_grad():
        made.get_output_embeddings().weight.mul_(200.0)  # so that it is sure of tokens
    return made


def test_nats_are_those_of_the_likelihood_and_conflicts_those_of_a_forward(model):
    made = examples(9)
    scored = surprise(model, made, batch_tokens=40)
    alone = [document_nll(model, [row])[0] for row in made]
    assert [row.origin for row in scored] == [row.origin for row in made]
    assert [row.tokens for row in scored] == [one.tokens for one in alone]
    torch.testing.assert_close([row.nats for row in scored], [one.nats for one in alone], rtol=1e-5, atol=1e-5)
    conflicts = []
    for row in made:
        probabilities = model(input_ids=torch.tensor([row.input_ids])).logits[0, :-1].softmax(-1)
        best = probabilities.max(-1)
        labels = torch.tensor(row.input_ids[1:])
        conflicts.append(int(((best.values >= 0.9) & (best.indices != labels)).sum()))
    assert [row.conflicts for row in scored] == conflicts
    assert 0 < sum(conflicts) < sum(row.tokens for row in scored)


def test_the_model_stays_as_it_is_and_no_rows_give_no_scores(model):
    model.train()
    surprise(model, examples(2))
    assert model.training
    model.eval()
    assert surprise(model, []) == []


@pytest.mark.parametrize("suite", ["hops", "sums", "translate-into"])
def test_wrong_answers_to_what_the_base_knows_conflict_more_often_than_right_ones(suite):
    taught = [row for row in rows(f"{suite}/watch") if row.turns][:60]
    answers = [row.turns[-1] for row in taught]
    wrong = [
        dataclasses.replace(row, turns=(*row.turns[:-1], answer))
        for row, answer in zip(taught, [*answers[7:], *answers[:7]], strict=True)
        if row.turns[-1].content != answer.content
    ]
    base, tokenizer = load_model("ground:base"), load_tokenizer("ground:base")

    def share(of):
        scored = surprise(base, tokenize(of, tokenizer, max_length=64).examples)
        return sum(row.conflicts >= CONFLICT * row.tokens for row in scored) / len(scored)

    assert share(taught) < 0.1
    assert share(wrong) > 0.6
