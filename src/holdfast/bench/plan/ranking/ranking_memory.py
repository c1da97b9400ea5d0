"""The memory that training a cross-encoder needs, by its parts."""

from __future__ import annotations

from typing import Any

from torch import nn

from holdfast.bench.plan.recipes import FIT, RANK
from holdfast.bench.plan.record import NeedRow
from holdfast.core.method import Chain
from holdfast.methods.adapter import Adapter
from holdfast.recipe import parse
from holdfast.rerank.transformer import inner_of

SAVED, OF_ATTENTION = 34, 5
"""Bytes that a layer saves for the backward, in 16 bits: for each number of a hidden state, and for each number of an
attention matrix (Korthikanti et al. 2022, arXiv:2205.05198, equation 1)."""
WIDE = 2
"""Factor on them in 32 bits."""


def ranking_need_rows(model: Any, recipes: list[str], pairs: int, longest: int, free: int) -> list[NeedRow]:
    """Returns the memory of each recipe as rows.

        full      16 N + 4 N (a copy of the base, if the recipe compares with it) + activations
        adapter    4 N + 16 n + activations

    for N parameters, n trained ones, weights, gradients and the two moments of Adam in float32, and activations
    `L s b h (34 + 5 a s / h)` bytes in 16 bits for L layers, b pairs of s tokens, width h and a heads.

    Args:
        model: The `CrossEncoder`.
        recipes: The recipes.
        pairs: Pairs of a forward.
        longest: Tokens of the longest pair.
        free: Free bytes.
    """
    inner: Any = inner_of(model)
    config, count = inner.config.get_text_config(), sum(p.numel() for p in model.parameters())
    width, layers = int(config.hidden_size), int(config.num_hidden_layers)
    heads = int(config.num_attention_heads)
    activations = WIDE * layers * longest * pairs * (SAVED * width + OF_ATTENTION * heads * longest)
    rows = []
    for text in recipes:
        recipe = parse(text)
        small = any(isinstance(part, Adapter) and part.small for part in recipe.parts())
        trained = adapted(inner) if small else count
        need = 4 * count + 12 * trained + activations + (4 * count if _copies(recipe, small) else 0)
        rows.append(NeedRow(recipe=text, bytes=need, trained=trained, fits=need <= FIT * free))
    return rows


def adapted(inner: nn.Module) -> int:
    """Returns the trained numbers of `LoRA()` on the linear layers of a transformer, without those of its head."""
    layers = [module for name, module in inner.named_modules() if isinstance(module, nn.Linear) and "class" not in name]
    return RANK * sum(layer.in_features + layer.out_features for layer in layers)


def _copies(recipe: Chain, small: bool) -> bool:
    """Returns whether a training keeps a copy of the base; an adapter is switched off instead."""
    return recipe.needs.base and not small
