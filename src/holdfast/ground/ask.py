"""Asks a small model for the completions of rows: how many nats they cost, and whether it says them unprompted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a model did with rows, one entry per row.

    Attributes:
        nats: Mean negative log-likelihood per supervised token (the completion and the end of text), nats.
        exact: Whether each supervised token is the likeliest after the true ones before it, which is whether greedy
            decoding says the completion and stops.
    """

    nats: tuple[float, ...]
    exact: tuple[bool, ...]

    @property
    def mean_nats(self) -> float:
        """Mean over rows, nats per token."""
        return sum(self.nats) / len(self.nats)

    @property
    def exact_match(self) -> float:
        """Share of rows that are said exactly, 0 to 1."""
        return sum(self.exact) / len(self.exact)


def ask(model: Any, tokenizer: Any, rows: Sequence[Mapping[str, str]], batch: int = 64) -> Answers:
    """Returns how well `model` knows the completions of `rows` (or their whole text, for rows of text)."""
    asked = [_ids(tokenizer, row) for row in rows]
    nats, exact = [0.0] * len(rows), [False] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(asked[i][0]))
    was_training = model.training
    model.eval()
    for at in range(0, len(order), batch):
        chosen = order[at : at + batch]
        width = max(len(asked[i][0]) for i in chosen)
        ids_BT = torch.zeros(len(chosen), width, dtype=torch.long)
        wanted_BT = torch.zeros(len(chosen), width, dtype=torch.bool)
        for row, i in enumerate(chosen):
            ids, first = asked[i]
            ids_BT[row, : len(ids)] = torch.tensor(ids)
            wanted_BT[row, first : len(ids)] = True
        with torch.no_grad():
            logits_BTV = model(input_ids=ids_BT.to(model.device), use_cache=False).logits[:, :-1].float().cpu()
        target_BT, wanted_BT = ids_BT[:, 1:], wanted_BT[:, 1:]
        nll_BT = -logits_BTV.log_softmax(-1).gather(-1, target_BT[..., None])[..., 0]
        right_BT = logits_BTV.argmax(-1) == target_BT
        for row, i in enumerate(chosen):
            nats[i] = float(nll_BT[row][wanted_BT[row]].mean())
            exact[i] = bool(right_BT[row][wanted_BT[row]].all())
    model.train(was_training)
    return Answers(tuple(nats), tuple(exact))


def _ids(tokenizer: Any, row: Mapping[str, str]) -> tuple[list[int], int]:
    """Returns the ids of a row, BOS and EOS included, and the place of the first supervised one."""
    start: list[int] = tokenizer(row.get("prompt", ""))["input_ids"]
    rest: list[int] = tokenizer(row["completion"] if "prompt" in row else row["text"], add_special_tokens=False)[
        "input_ids"
    ]
    return [*start, *rest, tokenizer.eos_token_id], len(start)
