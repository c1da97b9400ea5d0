"""Layerwise decay: lower layers learn with a lower learning rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import ClassVar

from torch import nn

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method
from holdfast.core.params import layer_of
from holdfast.core.settings import setting


def layerwise_decay(names: Iterable[str], decay: float = 0.9) -> dict[str, float]:
    """Returns the factor on the learning rate of each parameter, by name.

    Layer l of L (from 0) gets `decay ** (L - 1 - l)`. Parameters before the first layer in the order of `names`
    (embeddings) get `decay ** L`; parameters after the last layer (last norm, head) get 1. The result is empty if no
    name has a layer.
    """
    layers = {name: layer_of(name) for name in names}
    deepest = max((layer for layer in layers.values() if layer is not None), default=None)
    if deepest is None:
        return {}
    factors, begun = {}, False
    for name, layer in layers.items():
        begun = begun or layer is not None
        if layer is not None:
            factors[name] = decay ** (deepest - layer)
        else:
            factors[name] = 1.0 if begun else decay ** (deepest + 1)
    return factors


@dataclasses.dataclass(frozen=True, repr=False)
class LayerwiseDecay(Method):
    """Lowers the learning rate from layer to layer.

    Lowers the learning rate from the top layer down by a constant factor per layer.

        lr_l = lr * decay^(L - 1 - l),   lr_embeddings = lr * decay^L,   lr_head = lr

    for layer l of L, counted from 0 at the bottom. An adapter has the rate of its layer.

    Args:
        decay: Factor from each layer to the one below it; at 1 all layers have the same rate. 0.95^32 = 0.19 for the
            bottom of 32 layers.

    Reference:
        Howard and Ruder, Universal Language Model Fine-tuning for Text Classification, 2018, arXiv 1801.06146, section
        3.2 (discriminative fine-tuning).

    Confidence:
        code: The rule is that of ELECTRA's code; constants for forgetting are not known.

    Cost:
        Nothing.

    Departs:
        ULMFiT divides by 2.6 per layer of a three-layer LSTM; 0.9 here is usual for deep transformers (from memory; we
        know of no measurement for forgetting). L is one more than the index of the highest trained layer. All
        parameters before the first layer in the model's own order count as embeddings. This includes a head that is
        tied to them, and a last norm that a model declares before its layers (OPT).
    """

    decay: float = setting(0.9, unit="factor per layer", low=0.0, high=1.0, search=(0.5, 1.0))

    once: ClassVar[str] = "two of them would multiply; lower decay instead."

    @property
    def off(self) -> bool:
        """Whether all layers have the same learning rate."""
        return self.decay == 1.0

    def group_params(self, params: Mapping[str, nn.Parameter]) -> dict[str, float]:
        """Returns `layerwise_decay` of the trained parameters.

        Raises:
            HoldfastError: None of them lies in a numbered layer.
        """
        factors = layerwise_decay(params, self.decay)
        if not factors:
            raise HoldfastError(
                f"{self!r}: no trained parameter lies in a numbered layer ({', '.join(list(params)[:3]) or 'none'});"
                " leave it out of the recipe, or train the layers."
            )
        return factors
