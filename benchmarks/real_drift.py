"""How far a model of the study has moved from its base: in its predictions, and in the states of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from real_written import in_precision
from torch import nn

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.core.mix import Example
from holdfast.core.teacher import evaluating
from holdfast.data.tokenization import tokenize
from holdfast.probes.drift import drift
from holdfast.probes.items import Item, row_of

READ = 16
"""Items of the task, general items, and texts that both models read."""


def drift_of(base: Path, tuned: Path, suites: dict[str, list[Item]], texts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the drift of a tuned model on items of its task and on general items and texts.

    The states of layers are those of every second of them.

    Args:
        base: Folder of the base.
        tuned: Folder of the tuned model.
        suites: The items that the run was asked, by suite; the first suite is that of the task.
        texts: Records of texts.

    Returns:
        By "task" and "general": `kl`, KL(base || tuned) in nats per token over the right answers (texts: all tokens),
        and `layers`, the change of the states behind each layer relative to their size, root mean square, from the
        embeddings on.
    """
    tokenizer = load_tokenizer(str(base))
    models = [in_precision(merged(load_model(str(path)))) for path in (base, tuned)]
    chat = bool(getattr(tokenizer, "chat_template", None))
    names = list(suites)
    task = [item for item in suites[names[0]] if item.choices or item.answer][:READ]
    general = [item for name in names[1:] if name.startswith("general/") for item in suites[name][:2] if item.answer]
    result = {}
    for name, items, documents in (("task", task, ()), ("general", general, texts[:3])):
        asked = [item.as_asked(chat) for item in items]
        rows = [row_of(item) for item in asked]
        examples = list(tokenize(rows, tokenizer, max_length=512).examples)
        for text in documents:
            ids = tuple(tokenizer(text["text"])["input_ids"])
            examples.append(Example(ids, ids))
        scores = drift(*models, examples, pad_id=int(tokenizer.pad_token_id))
        kl = sum(score.nats for score in scores) / sum(score.tokens for score in scores)
        result[name] = {"kl": round(kl, 6), "layers": [round(x, 5) for x in layer_change(*models, examples[::2])]}
    return result


def merged(model: Any) -> nn.Module:
    """Returns a model with its adapter, if it has one, in its weights."""
    whole: nn.Module = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    return whole


@torch.no_grad()
def layer_change(base: nn.Module, tuned: nn.Module, examples: Sequence[Example]) -> list[float]:
    """Returns sqrt(sum |h_tuned - h_base|^2 / sum |h_base|^2) behind each layer, over all tokens of examples."""
    moved = size = 0.0
    with evaluating(base), evaluating(tuned):
        for example in examples:
            ids = torch.tensor([example.input_ids])
            before, after = (
                model(ids, output_hidden_states=True, logits_to_keep=1).hidden_states for model in (base, tuned)
            )
            old, new = (torch.stack([state[0].float() for state in states]) for states in (before, after))
            moved = moved + (new - old).square().sum((1, 2))
            size = size + old.square().sum((1, 2))
    return (moved / size).sqrt().tolist()  # type: ignore[union-attr]
