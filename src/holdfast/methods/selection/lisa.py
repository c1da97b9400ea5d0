"""LISA: a few random layers learn at a time, and others are drawn every few steps."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method, State
from holdfast.core.params import layer_of, trainable
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting


def lisa(layers: Sequence[int], count: int, seed: str) -> set[int]:
    """Returns `count` layers (all, if there are fewer), drawn uniformly without replacement; a function of the seed.

    Args:
        layers: Numbers of the layers.
        count: Number of layers to draw.
        seed: Any text.
    """
    drawn = hashlib.sha256(seed.encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(drawn[:7], "big"))
    return {layers[i] for i in torch.randperm(len(layers), generator=generator)[:count].tolist()}


@dataclasses.dataclass(frozen=True, repr=False)
class LISA(Method):
    """Trains a few random layers at a time.

    Trains embeddings, head and a few random layers, and draws other layers at a fixed interval of steps.

        theta_l <- theta_l + update_l only for l in S_j,   j = floor(t / interval)

    S_j is a random set of layers, drawn again for each interval of steps t. A layer that is not drawn is frozen
    completely: neither gradient, momentum nor weight decay moves it.

    Args:
        layers: Number of layers that learn at a time (the paper's gamma).
        interval: Steps between two draws (the paper's K).
        seed: Selects the layers, together with the seed of the run.

    Reference:
        Pan et al., LISA: Layerwise Importance Sampling for Memory-Efficient Large Language Model Fine-Tuning, 2024,
        arXiv 2403.17919, algorithm 1.

    Confidence:
        code: We read the authors' code (LMFlow).

    Cost:
        Nothing. It saves no memory here: all gradients are computed, and those of frozen layers are dropped.

    Departs:
        In the paper the method saves memory, because frozen layers have no gradient and no optimizer state. Here it
        serves only its effect on the weights, and the norm for gradient clipping includes all layers. The optimizer
        keeps the state of a layer until it is drawn again, as in LMFlow; the paper's runs dropped it. Layers are drawn
        uniformly, as in both. The paper does not measure forgetting. On an adapter, the method draws the adapter's
        weights by layer. If the model has no more than `layers` layers, all of them learn.
    """

    layers: int = setting(2, unit="layers", low=1, integer=True, search=(1, 8))
    interval: int = setting(20, unit="steps", low=1, integer=True, search=(5, 50))
    seed: int = setting(0, unit="1", low=0, integer=True)

    once: ClassVar[str] = "two draws leave hardly any layer to learn; give one LISA()."
    quick: ClassVar[Mapping[str, Any]] = {"layers": 1, "interval": 1}

    def init_state(self, run: Run) -> State:
        """Returns the seed of the run.

        Raises:
            HoldfastError: No trained parameter lies in a numbered layer.
        """
        names = list(trainable(run.model))
        if all(layer_of(name) is None for name in names):
            raise HoldfastError(
                f"{self!r}: no trained parameter lies in a numbered layer ({', '.join(names[:3]) or 'none'}); leave it"
                " out of the recipe, or train the layers."
            )
        return {"run_seed": torch.tensor(run.seed)}

    def edit_grads(self, state: State, step: Step) -> None:
        """Drops the gradients of layers that are not drawn, so that the optimizer skips them."""
        layers = {name: layer_of(name) for name in step.params}
        numbers = sorted({layer for layer in layers.values() if layer is not None})
        drawn = lisa(numbers, self.layers, f"{int(state['run_seed'])}/{self.seed}/{step.index // self.interval}")
        for name, layer in layers.items():
            if layer is not None and layer not in drawn:
                step.params[name].grad = None
