"""How time and memory grow: the loss with tokens, vocabulary and width, asking and judging with the number of suites.

    python benchmarks/growths.py

Each figure is the exponent of the growth, from a regression of log time (or bytes) on log size: 1 is linear, below 1
means costs that do not grow, and 2 would be a square. The sizes take turns in one process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import frame
import torch
from frame import Figure
from penalty_term import loss_of


def loss(tokens: int, vocabulary: int, width: int) -> Callable[[], Any]:
    """Returns a call of the loss with a penalty to the base, and its gradient."""
    generator = torch.Generator().manual_seed(0)
    weight = 0.05 * torch.randn(vocabulary, width, generator=generator)
    base = torch.randn(tokens, width, generator=generator)
    hidden = (base + 0.1 * torch.randn(tokens, width, generator=generator)).requires_grad_()
    labels = torch.randint(vocabulary, (tokens,), generator=generator)
    of = loss_of("ours, base read now", hidden, base, weight, labels)
    return lambda: of().backward()


def judged(suites: int) -> Callable[[], Any]:
    """Returns a call that asks a model a number of suites, and judges the answers against a second asking."""
    import dataclasses

    from holdfast.bench.given.loading import load_model, load_tokenizer
    from holdfast.bench.measured.verdict import verdict
    from holdfast.core.budget import Budget
    from holdfast.probes.answers import ask
    from holdfast.probes.changes import changes
    from holdfast.probes.score import Score
    from holdfast.suites.named import items_of

    model, tokenizer = load_model("ground:base"), load_tokenizer("ground:base")
    found = [item for item in items_of("ground:facts") or () if item.choices]
    size = 12
    items = [
        dataclasses.replace(item, suite=f"suite {number}")
        for number in range(suites)
        for item in found[number * size : (number + 1) * size]
    ]

    def call() -> None:
        answers = ask(model, tokenizer, items)
        scores = [
            Score(
                suite=item.suite,
                role="retained",
                split="proof",
                item=item.id,
                group=item.id,
                value=100.0 * float(one.value),
                unit="points",
                higher_is_better=True,
                choices=len(item.choices),
            )
            for item, one in zip(items, answers, strict=True)
        ]
        verdict(changes(scores, scores), Budget(points=2))

    return call


def figures() -> list[Figure]:
    """Returns the slopes."""
    import edits

    lines = frame.growth("loss and penalty", "tokens", {n: loss(n, 16_384, 256) for n in (64, 128, 256, 512)})
    lines += frame.growth("loss and penalty", "words", {n: loss(64, n, 256) for n in (8192, 16_384, 32_768, 65_536)})
    lines += frame.growth("loss and penalty", "of width", {n: loss(64, 16_384, n) for n in (128, 256, 512, 1024)})
    lines += frame.growth("asking and judging", "suites", {n: judged(n) for n in (2, 4, 8, 16)}, 2)
    return lines + edits.growths()


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("\n".join(frame.table(figures())))
