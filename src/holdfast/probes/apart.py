"""Whether a model keeps the documents of a row apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from holdfast.core.teacher import evaluating
from holdfast.probes.parts import learns_prompts

FIRST, SECOND = range(5, 10), range(10, 14)
"""Token ids of the two documents that are read."""
NEAR = 0.1
"""How far a document may be from how the model reads it alone, as a share of what a document before it changes."""


def keeps_apart(model: nn.Module) -> bool:
    """Returns whether a model reads the second of two documents in one row as it reads it alone.

    The models of transformers build a block-diagonal mask from `position_ids` that begin anew with each document. Some
    have no such mask, or carry a state from one document to the next: Bloom, MPT, Falcon, OPT, Mamba, Qwen3-Next and
    others. So two short documents are read, apart and together.
    """
    adapters: Any = getattr(model, "peft_config", {})
    of_rows = learns_prompts(model) or any(
        getattr(adapter, "alora_invocation_tokens", None)
        for adapter in (adapters.values() if isinstance(adapters, dict) else ())
    )
    if of_rows:
        return False
    try:
        if model.get_input_embeddings().weight.shape[0] < SECOND.stop:  # type: ignore[operator]
            return False
        with evaluating(model):
            alone, joined = _read(model, [*SECOND]), _read(model, [*FIRST, *SECOND])
            together = _read(model, [*FIRST, *SECOND], [*range(len(FIRST)), *range(len(SECOND))])
        off, moved = (float((logits_TV[len(FIRST) :] - alone).abs().max()) for logits_TV in (together, joined))
    except Exception:  # a model with another forward may raise anything; it is never given such a row then
        return False
    return off < NEAR * moved


def _read(model: nn.Module, ids: list[int], positions: list[int] | None = None) -> torch.Tensor:
    """Returns the logits `[T, V]` of a row, float32."""
    device = next(model.parameters()).device
    given = {} if positions is None else {"position_ids": torch.tensor([positions], device=device)}
    output: Any = model(input_ids=torch.tensor([ids], device=device), use_cache=False, **given)
    logits_TV: torch.Tensor = output.logits[0].float()
    return logits_TV
