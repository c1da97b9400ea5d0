"""The loss that a model computes itself, which a recipe that needs single tokens replaces."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from holdfast.core.exact import exactly
from holdfast.core.precision import is_spread
from holdfast.core.teacher import evaluating
from holdfast.train.experts import aux_share

TRIED = 8
"""Number of tokens on which a model's loss is compared with the mean loss of the next tokens."""


def has_task_loss(model: nn.Module) -> bool:
    """Returns whether a causal language model computes the mean nats of the next tokens that have a label.

    It does not with another `loss_function`, with terms of its own in `forward` (apart from the auxiliary loss of
    experts), or if it predicts a label at the label's own position. This runs the model twice on `TRIED` tokens. A
    model whose weights are spread over processes, or that returns no loss, is not tested, and counts as one that does.

    Args:
        model: Unwrapped; may be a PEFT model.
    """
    if is_spread(model.parameters()):
        return True
    embeddings: Any = model.get_input_embeddings()  # type: ignore[operator]
    weight = embeddings.weight
    ids_1T = torch.arange(1, TRIED + 1, device=weight.device)[None] % weight.shape[0]
    labels_1T = ids_1T.clone()
    labels_1T[:, :2] = -100
    with evaluating(model):
        own = model(input_ids=ids_1T, labels=labels_1T, use_cache=False)
        logits_1TV = model(input_ids=ids_1T, use_cache=False).logits  # a fused loss returns no logits
    loss, aux = getattr(own, "loss", None), getattr(own, "aux_loss", None)
    if loss is None:
        return True
    logits_TV = exactly(logits_1TV[0, :-1])
    expected = nn.functional.cross_entropy(logits_TV, labels_1T[0, 1:].to(logits_TV.device))
    if aux is not None:
        expected = expected + aux_share(model.config, model) * exactly(aux).to(expected.device)
    return torch.allclose(exactly(loss).to(expected.device), expected, rtol=1e-2, atol=1e-2)
