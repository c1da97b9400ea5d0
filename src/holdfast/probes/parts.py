"""Whether a model can read its input in parts, the first of them kept in a cache, and how several rows share one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

BY_TOKEN = frozenset(("LORA", "ADALORA", "IA3", "LOHA", "LOKR", "OFT", "BOFT", "VERA", "HRA", "MISS", "LN_TUNING"))
"""Adapters of PEFT that act on each token separately, so that earlier tokens may come from a cache."""
MOVING = frozenset(("dynamic", "longrope"))
"""Types of rotary position embeddings that depend on the length of the whole row."""
LEAST = 64
"""Fewest tokens that reading a prefix once must save, because it calls the model twice; below this a small model loses
time."""
FAMILY = 512
"""Fewest tokens that rows must share beyond those that all share, over all of them, to be read apart from the rest."""


def learns_prompts(model: nn.Module) -> bool:
    """Returns whether the model has an adapter of virtual tokens, which supports neither padding nor a cache."""
    return bool(getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False))


def parameters_of(model: nn.Module) -> frozenset[str]:
    """Returns the parameter names of the forward of the model itself, below PEFT's wrapper."""
    wrapped: Any = model
    base = wrapped.get_base_model() if hasattr(wrapped, "get_base_model") else wrapped
    return frozenset(inspect.signature(base.forward).parameters)


def reads_in_parts(model: nn.Module) -> bool:
    """Returns whether a row may be read in two parts, judged by signature, adapters and configuration."""
    if learns_prompts(model) or not {"past_key_values", "position_ids"} <= parameters_of(model):
        return False
    adapters: Any = getattr(model, "peft_config", {})
    for adapter in adapters.values() if isinstance(adapters, dict) else ():
        if str(getattr(adapter.peft_type, "value", adapter.peft_type)) not in BY_TOKEN:
            return False
        # aLoRA acts only behind certain tokens, for which it searches the input of every call.
        if getattr(adapter, "alora_invocation_tokens", None):
            return False
    rope = getattr(_text_config(model), "rope_parameters", None) or {}
    return not any(
        settings.get("rope_type") in MOVING for settings in (rope, *rope.values()) if isinstance(settings, dict)
    )


def repeats(cache: Any) -> bool:
    """Returns whether a cache holds keys and values alone, so that several continuations can start from it."""
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    # Other kinds hold states from which not every model continues with more than one token.
    return type(cache) is DynamicCache and all(
        type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers
    )


def common(rows: Sequence[Sequence[int]]) -> int:
    """Returns the number of tokens with which all rows begin, less than the length of the shortest."""
    first, last = min(map(tuple, rows)), max(map(tuple, rows))  # what these two share, all that lie between them share
    alike = 0
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        alike += 1
    return max(0, min(alike, *(len(row) - 1 for row in rows)))


def families(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Returns the numbers of rows in groups within which a beginning that is long enough is shared.

    Rows of several sources begin with different worked examples. Together they share hardly a token, and within each
    source the examples. The last group has the rows that share too little (see `FAMILY`) with others.
    """
    if not rows:
        return []
    alike = common(rows)
    by_start: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(rows):
        by_start.setdefault(tuple(row[: alike + LEAST]), []).append(number)
    found: list[list[int]] = []
    rest: list[int] = []
    for numbers in by_start.values():
        saved = (len(numbers) - 1) * (common([rows[number] for number in numbers]) - alike)
        if saved >= FAMILY:
            found.append(numbers)
        else:
            rest += numbers
    return [*found, rest] if rest else found


def prefix_cache(
    model: nn.Module, prefix: Sequence[int], rows: int, width: int, read: Callable[..., Any] | None = None
) -> Any:
    """Reads a prefix once, and returns a cache of it for several rows; None if the model cannot go on from it.

    Behind the prefix, rows are padded on the left: positions say where their tokens stand, and the mask leaves the
    padding out. Layers that see a window of the last tokens count the padding, so nothing may lie beyond a window.

    Args:
        model: A causal language model in eval mode, for which `reads_in_parts` holds.
        prefix: Token ids that all rows begin with.
        rows: Number of rows.
        width: Most tokens of a row with all that will follow it, padding included.
        read: Calls the model; the model itself by default.
    """
    window = getattr(_text_config(model), "sliding_window", None)
    if isinstance(window, int) and 0 < window < width:
        return None
    device = next(model.parameters()).device
    takes = parameters_of(model)
    wanted = {"output_router_logits": False, "logits_to_keep": 1}
    ids_1P = torch.tensor([list(prefix)], device=device)
    output: Any = (read or model)(
        input_ids=ids_1P,
        attention_mask=torch.ones_like(ids_1P),
        position_ids=torch.arange(len(prefix), device=device)[None],
        use_cache=True,
        **{name: value for name, value in wanted.items() if name in takes},
    )
    cache = output.past_key_values
    if not repeats(cache):
        return None
    cache.reorder_cache(torch.zeros(rows, dtype=torch.long, device=device))
    return cache


def _text_config(model: nn.Module) -> Any:
    config: Any = getattr(model, "config", None)
    return config.get_text_config() if hasattr(config, "get_text_config") else config
