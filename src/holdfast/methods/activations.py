"""What the linear layers of a model read: second moments of their inputs, for methods that keep old inputs in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from holdfast.core.teacher import evaluating


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Returns the layers that multiply by a matrix, by name: torch's linear ones, and GPT-2's (`[in, out]`)."""
    from transformers.pytorch_utils import Conv1D

    return {name: module for name, module in model.named_modules() if isinstance(module, (nn.Linear, Conv1D))}


def input_dim(layer: nn.Module) -> int:
    """Returns which dimension of a linear layer's weight its input runs along: 1, or 0 for GPT-2's layers."""
    return 1 if isinstance(layer, nn.Linear) else 0


@torch.no_grad()
def second_moments(
    model: nn.Module, layers: Mapping[str, nn.Module], batches: Iterable[Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Returns the uncentred second moment of the inputs of each layer, E[x x^T], `[in, in]`, float32 or wider.

    The mean is over all tokens that are no padding. The model is left as it was found.

    Args:
        model: The model, which is run in eval mode, without gradients.
        layers: The layers, by a name of the caller's choice. One that no token reaches is left out of what is returned.
        batches: `input_ids` and `attention_mask`, `[B, T]`; labels are not read.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    real: list[Tensor] = []

    def gather(name: str, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].detach()
        if x.shape[:-1] == real[0].shape:
            x = x[real[0]]
        x = x.reshape(-1, x.shape[-1]).to(torch.promote_types(x.dtype, torch.float32))
        if len(x):
            sums[name] = sums.get(name, 0.0) + x.T @ x
            counts[name] = counts.get(name, 0) + len(x)

    with evaluating(model), _watched(layers, gather):
        for batch in batches:
            real[:] = [batch["attention_mask"].bool()]
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
    return {name: sums[name] / counts[name] for name in layers if name in sums}


@contextmanager
def _watched(layers: Mapping[str, nn.Module], gather: object) -> Iterator[None]:
    handles = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: gather(name, inputs))  # type: ignore[operator]
        for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
