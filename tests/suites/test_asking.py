"""How a model is asked what suites need: endings behind beginnings, graded choices, texts to go on with."""

from __future__ import annotations

import math

import pytest
import torch

from holdfast.data.rows import Turn
from holdfast.ground.tokenizer import build_tokenizer
from holdfast.ground.world import World
from holdfast.probes.answers import ask
from holdfast.probes.items import Item
from holdfast.probes.suite import Asker, Suite
from tests.tiny import tiny


@pytest.fixture(scope="module")
def asked():
    tokenizer = build_tokenizer(World(0), 512, sample=300)
    model = tiny("llama", vocab_size=512, max_position_embeddings=256, dtype=torch.float64)
    return model, tokenizer


def nats(model, tokenizer, before, after):
    """Returns the cost of a text behind another, without any of the code under test."""
    ids = tokenizer(f"{before} {after}")["input_ids"]
    start = len(tokenizer(before)["input_ids"])
    with torch.no_grad():
        logs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return -math.fsum(float(logs[place - 1, ids[place]]) for place in range(start, len(ids)))


def test_an_ending_is_scored_behind_each_beginning(asked):
    model, tokenizer = asked
    item = Item("w", "s", choices=("Mia likes Leo since Mia", "Mia likes Leo since Leo"), ending="works every day.")
    (answer,) = ask(model, tokenizer, [item])
    expected = [nats(model, tokenizer, choice, item.ending) for choice in item.choices]
    assert answer.choice.nats == pytest.approx(expected, rel=1e-9)
    assert answer.choice.tokens[0] == answer.choice.tokens[1]
    assert answer.value == float(expected[0] < expected[1])


def test_a_graded_item_scores_the_probability_of_its_right_choices(asked):
    model, tokenizer = asked
    item = Item("t", "s", turns=(Turn("user", "Who works?"),), choices=("Mia", "Leo works", "a cook"), right=2)
    (answer,) = ask(model, tokenizer, [item], raw=True)
    odds = [math.exp(-nats) for nats in answer.choice.nats]
    assert answer.value == pytest.approx((odds[0] + odds[1]) / sum(odds))
    (score,) = Suite("s", "retained", (item,)).ask(model, Asker(tokenizer, raw=True)).scores
    assert score.value == pytest.approx(100 * answer.value)
    assert 0 < answer.value < 1
    assert answer.confidence is None  # it is the value itself, and says nothing of calibration


def test_an_item_that_is_a_text_to_go_on_with_is_asked_without_the_template(asked):
    model, tokenizer = asked
    assert tokenizer.chat_template
    plain = Item("a", "s", turns=(Turn("user", "Mia lives in"),), check={"any": ["x"]}, max_tokens=6, stop=(), raw=True)
    chat = Item("b", "s", turns=(Turn("user", "Mia lives in"),), check={"any": ["x"]}, max_tokens=6, stop=())
    seen: list[tuple[int, int]] = []
    both = ask(model, tokenizer, [chat, plain], progress=lambda done, total: seen.append((done, total)))
    assert [answer.item.id for answer in both] == ["b", "a"]
    assert seen[-1] == (2, 2)
    (alone,) = ask(model, tokenizer, [plain])
    (raw,) = ask(model, tokenizer, [chat], raw=True)
    assert both[1].said == alone.said == raw.said
    ids = tokenizer("Mia lives in")["input_ids"]
    with torch.no_grad():
        for _ in range(6):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == tokenizer.eos_token_id:
                break
    start = len(tokenizer("Mia lives in")["input_ids"])
    assert raw.said == tokenizer.decode(ids[start:], skip_special_tokens=True).strip()
