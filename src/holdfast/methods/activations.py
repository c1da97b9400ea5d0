"""The inputs of a model's linear layers: their second moments on given examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.adapters import plain_name, tuner_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.core.run import Run
from holdfast.core.teacher import evaluating


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Returns the layers `y = W x + b` of a model (`nn.Linear`, and `Conv1D`, whose weight is `[in, out]`).

    For a layer with an adapter, this is the wrapped layer, under its name in a model without adapters; the adapter's
    own matrices are left out. Stacked experts, and routers of other types, are not included.
    """
    from transformers.pytorch_utils import Conv1D

    adapters: set[int] = set()
    layer: Any
    for layer in tuner_layers(model):
        if hasattr(layer, "get_base_layer"):
            wrapped = layer.get_base_layer()
            adapters |= {id(module) for module in layer.modules() if module is not wrapped}
    return {
        plain_name(name): module
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and id(module) not in adapters
    }


def input_axis(layer: nn.Module) -> int:
    """Returns the input axis of a linear layer's weight: 1, or 0 for `Conv1D`."""
    return 1 if isinstance(layer, nn.Linear) else 0


def second_moments(
    run: Run, which: str | Sequence[Example], *, wanted: Callable[[str], bool] = lambda name: True, size: int = 4
) -> dict[str, Tensor]:
    """Returns the uncentred second moment of each linear layer's inputs, by the layer's name without adapters.

        C = (1/n) sum_t x_t x_t^T      over all tokens t of the examples, padding left out

    Args:
        run: The run. Its model runs in eval mode, without gradients and without random numbers.
        which: Examples, or "new" or "memory" for the new or old examples of the training data.
        wanted: Selects layers by name; each takes `in` x `in` floats.
        size: Examples in one forward.

    Returns:
        `[in, in]` each, symmetric, in float32 (float64 for a float64 model). Layers that read the same tensor object
        (query, key and value) share one matrix, so do not change it in place. A layer that was never called is left
        out.

    Raises:
        HoldfastError: There are no examples, or a layer's input is not finite.
    """
    layers = {name: layer for name, layer in linear_layers(run.model).items() if wanted(name)}
    sums = _Sums()
    handles = [
        layer.register_forward_pre_hook(lambda _module, inputs, name=name: sums.add(name, inputs[0]))
        for name, layer in layers.items()
    ]
    try:
        for batch in run.batches(which, size):
            sums.begin(batch.get("attention_mask"))
            inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
            with evaluating(run.model):
                run.model(**inputs, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    if layers and not sums.totals:
        raise HoldfastError("There are no examples from which to compute activations; give a memory that has some.")
    return sums.means()


class _Sums:
    """Sums of `x^T x` over the tokens that each layer reads, once for all layers that read the same tensor object.

    Attributes:
        totals: The sums, `[in, in]`, by the name of the first layer that reads each tensor.
    """

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._owners: dict[str, str] = {}
        self._last: tuple[Any, str] = (None, "")
        self._mask_BT: Tensor | None = None

    def begin(self, mask_BT: Tensor | None) -> None:
        """Begins a batch with an attention mask."""
        self._mask_BT, self._last = None if mask_BT is None else mask_BT.bool(), (None, "")

    def add(self, name: str, x: Tensor) -> None:
        """Adds the input of a layer."""
        owner = self._owners.setdefault(name, self._last[1] if x is self._last[0] else name)
        if owner != name:  # the previous layer read the same tensor and has added it
            return
        self._last = (x, name)
        rows = _rows(x, self._mask_BT)
        rows = rows if rows.dtype == torch.float64 else rows.float()
        self.totals[name] = self.totals[name] + rows.T @ rows if name in self.totals else rows.T @ rows
        self._counts[name] = self._counts.get(name, 0) + rows.shape[0]

    def means(self) -> dict[str, Tensor]:
        """Returns the mean of each layer; layers that read the same tensor share one.

        Raises:
            HoldfastError: A mean is not finite.
        """
        means = {name: total / max(self._counts[name], 1) for name, total in self.totals.items()}
        for name, mean in means.items():
            if not bool(torch.isfinite(mean).all()):
                raise HoldfastError(f"The input of {name} is not finite on these examples; use bf16 or float32.")
        return {name: means[owner] for name, owner in self._owners.items()}


def _rows(x: Tensor, mask_BT: Tensor | None) -> Tensor:
    """Returns the inputs without padding tokens, `[n, in]`; all inputs if the layer reads only some of the tokens."""
    if mask_BT is not None and x.shape[:2] == mask_BT.shape:
        return x[mask_BT]
    flat = x.reshape(-1, x.shape[-1])
    if mask_BT is not None and flat.shape[0] == mask_BT.numel():
        return flat[mask_BT.flatten()]
    return flat
