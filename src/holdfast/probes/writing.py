"""Continues a batch of prompts: each pass adds a token to every row, until all rows have ended."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import HoldfastError
from holdfast.probes.parts import LEAST, common, learns_prompts, parameters_of, prefix_cache, reads_in_parts
from holdfast.probes.sampling import Sampling, drawn, source_of
from holdfast.probes.stops import Ended, Reader


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A prompt as token ids, with the most tokens that may follow it and the key of its random numbers."""

    number: int
    name: str
    ids: Sequence[int]
    limit: int
    key: Hashable
    reader: Reader | None = None


def written(
    model: nn.Module,
    batch: Sequence[Prompt],
    ends: set[int],
    pad_id: int,
    device: torch.device,
    sampling: Sampling,
    ended: Ended,
) -> list[list[int]]:
    """Returns the continuation of each prompt as token ids, without the token that ends it.

    The model reads tokens with which all prompts begin (a system prompt, worked examples) once.
    """
    cache, shared = _prefix(model, batch)
    ids_BT, mask_BT = (tensor.to(device) for tensor in _padded(batch, pad_id, shared))
    cached = not learns_prompts(model)
    takes = parameters_of(model) if cached else frozenset[str]()
    options = _options(takes)
    sources = _sources_of(batch, sampling)
    answers: list[list[int]] = [[] for _ in batch]
    going = list(range(len(batch)))
    seen = shared
    while True:
        if "position_ids" in takes:
            options["position_ids"] = (mask_BT.cumsum(1) - 1).clamp(min=0)[:, seen:]
        output: Any = model(
            input_ids=ids_BT[:, seen:], attention_mask=mask_BT, past_key_values=cache, use_cache=cached, **options
        )
        next_B = _greedy(output.logits[:, -1], batch[going[0]].name)
        if sampling.temperature > 0:
            next_B = drawn(output.logits[:, -1], sampling, [sources[row] for row in going])
        kept = _kept(batch, answers, going, next_B.tolist(), ends, ended)
        if not kept:
            return answers
        cache = output.past_key_values if cached else None
        seen = 0 if cache is None else ids_BT.shape[1]
        ids_BT = torch.cat([ids_BT, next_B[:, None]], 1)
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(going), 1)], 1)
        if len(kept) < len(going):  # Drop ended rows, which would cost as much as the others.
            kept_B = torch.tensor(kept, device=device)
            going = [going[row] for row in kept]
            ids_BT, mask_BT = ids_BT[kept_B], mask_BT[kept_B]
            if cache is not None:
                cache.reorder_cache(kept_B)


def _prefix(model: nn.Module, batch: Sequence[Prompt]) -> tuple[Any, int]:
    """Returns a cache of the tokens with which all prompts begin, and their number; None and 0 if they save too little.

    A model that cannot read in parts reads whole prompts.
    """
    shared = common([prompt.ids for prompt in batch])
    if shared * (len(batch) - 1) < max(LEAST, 1) or not reads_in_parts(model):
        return None, 0
    width = max(len(prompt.ids) for prompt in batch) + max(prompt.limit for prompt in batch)
    cache = prefix_cache(model, batch[0].ids[:shared], len(batch), width)
    return cache, 0 if cache is None else shared


def _padded(batch: Sequence[Prompt], pad_id: int, shared: int) -> tuple[Tensor, Tensor]:
    """Returns the token ids of prompts and the attention mask, `[B, T]` each.

    Prompts are padded on the left, but behind the tokens that they share.
    """
    width = max(len(prompt.ids) for prompt in batch)
    ids_BT = torch.full((len(batch), width), pad_id)
    mask_BT = torch.zeros_like(ids_BT)
    for row, prompt in enumerate(batch):
        start = width - len(prompt.ids) + shared
        for place, ids in ((0, prompt.ids[:shared]), (start, prompt.ids[shared:])):
            ids_BT[row, place : place + len(ids)] = torch.as_tensor(ids, dtype=torch.long)
            mask_BT[row, place : place + len(ids)] = 1
    return ids_BT, mask_BT


def _options(takes: Collection[str]) -> dict[str, Any]:
    """Returns those optional arguments that the model accepts."""
    # Router logits would be balanced over cached positions that this call does not compute.
    wanted = {"logits_to_keep": 1, "output_router_logits": False}
    return {name: value for name, value in wanted.items() if name in takes}


def _sources_of(batch: Sequence[Prompt], sampling: Sampling) -> list[torch.Generator]:
    """Returns a random generator for each prompt; an empty list for greedy answers."""
    return [source_of(sampling.seed, prompt.key) for prompt in batch] if sampling.temperature > 0 else []


def _kept(
    batch: Sequence[Prompt],
    answers: Sequence[list[int]],
    going: Sequence[int],
    tokens: Sequence[int],
    ends: set[int],
    ended: Ended,
) -> list[int]:
    """Adds the next token to each answer in progress, and returns the rows that continue."""
    kept = []
    for row, (number, token) in enumerate(zip(going, tokens, strict=True)):
        if _goes_on(batch[number], answers[number], token, ends):
            kept.append(row)
        else:
            ended(batch[number].number)
    return kept


def _goes_on(prompt: Prompt, answer: list[int], token: int, ends: set[int]) -> bool:
    """Adds a token to an answer unless it ends the answer, and returns whether another token follows."""
    if token in ends:
        return False
    answer.append(token)
    return len(answer) < prompt.limit and not (prompt.reader is not None and prompt.reader.ended(answer))


def _greedy(logits_BV: Tensor, name: str) -> Tensor:
    """Returns the likeliest token of each row, `[B]`, the first if there are several.

    Raises:
        HoldfastError: A logit is not finite; names the first row.
    """
    top_B, next_B = logits_BV.max(-1)
    if not bool(top_B.isfinite().all()):
        raise HoldfastError(
            f"The model's logits behind {name} or a conversation beside it are not finite: its weights are broken or "
            "overflow in this precision; try float32, or a lower learning rate if it was just trained."
        )
    return next_B
