"""A few training steps on right answers, after which the model is put back."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from holdfast.core.batches import collate
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example

ROWS = 8
"""Rows of a step."""
RELATIVE = 2e-3
"""Learning rate as a share of the root mean square of the trained weights: AdamW moves a weight by about its rate."""
OF_ADAPTER = 10.0
"""Factor on the rate of an adapter, whose weights are fewer and in part near 0."""


@contextlib.contextmanager
def relearned(model: nn.Module, examples: Sequence[Example], steps: int, pad_id: int) -> Iterator[float]:
    """Trains a model for some steps, yields the loss of the last step in nats per token, and puts its weights back.

    Args:
        model: A causal language model; an adapter trains alone.
        examples: Examples with supervised tokens, taken in turn, eight a step.
        steps: Number of AdamW steps, without decay.
        pad_id: Token id that fills shorter examples up.

    Raises:
        HoldfastError: Nothing of the model can be trained, or the loss is not finite.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad and weight.is_floating_point()]
    if not weights or not examples:
        raise HoldfastError("The model has no weight to train, or there is no example; leave out --recover-steps.")
    kept = [weight.detach().clone() for weight in weights]
    modes = {module: module.training for module in model.modules()}
    square = math.fsum(float(weight.detach().double().square().sum()) for weight in weights)
    size = math.sqrt(square / sum(weight.numel() for weight in weights))
    rate = RELATIVE * size * (OF_ADAPTER if hasattr(model, "peft_config") else 1.0)
    try:
        yield _train(model, weights, examples, steps, rate, pad_id)
    finally:
        with torch.no_grad():
            for weight, before in zip(weights, kept, strict=True):
                weight.copy_(before)
                weight.grad = None
        for module, mode in modes.items():
            module.training = mode


def _train(
    model: nn.Module, weights: list[nn.Parameter], examples: Sequence[Example], steps: int, rate: float, pad_id: int
) -> float:
    """Trains the weights and returns the loss of the last step."""
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
    device, loss = weights[0].device, math.nan
    model.eval()  # without dropout, so that the result does not depend on a seed
    for step in range(steps):
        rows = [examples[(step * ROWS + i) % len(examples)] for i in range(min(ROWS, len(examples)))]
        with torch.enable_grad():
            value = model(**collate(rows, pad_id, device)).loss
            optimizer.zero_grad()
            value.backward()
        optimizer.step()
        loss = float(value.detach())
        if not math.isfinite(loss):
            raise HoldfastError(f"The loss of step {step + 1} is not finite, so recovery by training was not measured.")
    return loss
