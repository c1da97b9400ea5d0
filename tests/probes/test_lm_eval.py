"""Choices without a chat template are scored and picked as lm-eval scores and picks them, where it is installed."""

import random

import numpy as np
import pytest
import torch

from holdfast.data.rows import Turn
from holdfast.ground.tokenizer import build_tokenizer
from holdfast.ground.world import World
from holdfast.probes.choice import choose
from holdfast.probes.items import Item
from tests.tiny import tiny

pytest.importorskip("lm_eval")

WORDS = [
    "Mia",
    "lives",
    "in",
    "Rome",
    "and",
    "works",
    "as",
    "a",
    "cook",
    "with",
    "Leo",
    "who",
    "likes",
    "über",
    "tea",
    "7",
    "times",
    "every",
    "day",
    "naïve",
    "élan",
]


def said(draw, least, most):
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(least, most)))


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_log_likelihoods_and_picks_are_those_of_lm_eval(name):
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    tokenizer = build_tokenizer(World(0), 512, sample=300)
    tokenizer.chat_template = None
    model = tiny(name, vocab_size=512, max_position_embeddings=256, dtype=torch.float32)
    draw = random.Random(0)
    items = []
    for number in range(60):
        behind = draw.choice(["", "\nAnswer:", ":", "?", "...", "!"])
        turns = (Turn("user", f"Question: {said(draw, 2, 12)}{behind}"),)
        choices = dict.fromkeys(said(draw, 1, 1 if number % 3 == 0 else 6) for _ in range(8))
        items.append(Item(f"{number}", "s", turns=turns, choices=tuple(choices)[:4]))
    found = choose(model, tokenizer, items)
    requests = [
        Instance("loglikelihood", {}, (item.turns[0].content, f" {choice}"), place)
        for item in items
        for place, choice in enumerate(item.choices)
    ]
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8, device="cpu")
    values = iter(value for value, _ in lm.loglikelihood(requests, disable_tqdm=True))
    for item, choice in zip(items, found, strict=True):
        theirs = np.array([next(values) for _ in item.choices])
        assert [-nats for nats in choice.nats] == pytest.approx(theirs.tolist(), rel=1e-4, abs=1e-4)
        assert choice.picked == int(np.argmax(theirs))  # acc
