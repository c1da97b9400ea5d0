"""HFT: half of the matrices of every layer are frozen."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import nn

from holdfast.core.adapters import tuner_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method
from holdfast.core.params import layer_of, trainable
from holdfast.core.run import Run
from holdfast.core.settings import setting


def category_of(block: str) -> str:
    """Returns the category of a block of a layer from its name: "norm", "attention", or "ffn" for all others."""
    *path, last = block.split(".")
    if "norm" in last or last.startswith("ln"):
        return "norm"
    return "attention" if any("attn" in part or "attention" in part for part in (*path, last)) else "ffn"


def hft(blocks: Iterable[str], share: float, seed: str) -> set[str]:
    """Returns the blocks to freeze: a random `share` of each category in each layer.

    If that is not a whole number, some layers, also drawn at random, freeze one block more: of 3 blocks at a share of
    0.5, half of the layers freeze one and the others two.

    Args:
        blocks: Names of the blocks (a matrix with its bias); blocks outside the layers are never frozen.
        share: In [0, 1].
        seed: Any text; the draws of a category do not depend on the other categories.
    """
    cells: dict[tuple[str, int], dict[int, list[str]]] = {}
    members: dict[tuple[str, int], list[str]] = {}
    for block in blocks:
        layer = layer_of(block)
        if layer is not None:
            members.setdefault((category_of(block), layer), []).append(block)
    for (category, layer), names in members.items():
        cells.setdefault((category, len(names)), {})[layer] = names
    frozen: set[str] = set()
    for (category, size), layers in cells.items():
        drawn = hashlib.sha256(f"{seed}/{category}/{size}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(drawn[:7], "big"))
        least = int(share * size + 1e-9)
        extra = round((share * size - least) * len(layers))
        order = torch.randperm(len(layers), generator=generator).tolist()
        for place, names in zip(order, layers.values(), strict=True):
            count = least + (place < extra)
            frozen.update(names[i] for i in torch.randperm(size, generator=generator)[:count].tolist())
    return frozen


@dataclasses.dataclass(frozen=True, repr=False)
class HFT(Method):
    """Freezes a random half of the matrices.

    Freezes a random half of the matrices of every layer, and trains the other half (half fine-tuning).

        theta_i <- theta_i + m_i * update_i,   m_i in {0, 1},   half of each layer's attention, feed-forward and norms

    The frozen half keeps its knowledge, and the trained half has to work with it.

    Args:
        share: Frozen share of each category in each layer: at 0.5, two of q, k, v, o; one of gate, up, down in half of
            the layers and two in the others; one of the two norms.
        seed: Selects the matrices, together with the seed of the run; give another seed in every round of continual
            learning.

    Reference:
        Hui et al., HFT: Half Fine-Tuning for Large Language Models, 2024, arXiv 2404.18466, section 3 (category level).

    Confidence:
        code: We read another implementation (SSU); it agrees with a note on the paper.

    Cost:
        Less than full training. Frozen weights have no gradient and no optimizer state.

    Departs:
        The choice holds for the whole run; in continual learning the paper draws again for each round (give another
        seed). Embeddings, head and last norm train, as in the paper. A fused matrix (GPT-2's qkv, Phi's gate and up, a
        stack of experts) counts as one; a router counts as feed-forward, and norms of queries and keys as norms; a bias
        goes with its matrix. Names decide the category. If half the layers is not a whole number, it is rounded to the
        even number. On an adapter, the method freezes the adapter's weights of a matrix.
    """

    share: float = setting(0.5, unit="share of the matrices", low=0.0, high=1.0, search=(0.4, 0.6))
    seed: int = setting(0, unit="1", low=0, integer=True)

    freezes: ClassVar[bool] = True
    once: ClassVar[str] = "two draws freeze more than either share; give one with a larger share."

    @property
    def off(self) -> bool:
        """Whether nothing is frozen."""
        return self.share == 0.0

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the model with the drawn matrices frozen.

        Raises:
            HoldfastError: No trained parameter lies in a numbered layer, or no parameter would be left to train.
        """
        params, blocks = trainable(run.model), _blocks(run.model)
        if all(layer_of(block) is None for block in blocks):
            raise HoldfastError(
                f"{self!r}: no trained parameter lies in a numbered layer ({', '.join(list(params)[:3]) or 'none'});"
                " leave it out of the recipe, or train the layers."
            )
        frozen = hft(blocks, self.share, f"{run.seed}/{self.seed}")
        if frozen == set(blocks):
            raise HoldfastError(f"{self!r} leaves nothing to train; lower share, or let more of the model train.")
        for name in (name for block in frozen for name in blocks[block]):
            params[name].requires_grad = False
        return run.model


def _blocks(model: nn.Module) -> dict[str, list[str]]:
    """Returns the names of trained parameters by block: a matrix with its bias, or the adapter of a layer."""
    wrapped = {id(layer) for layer in tuner_layers(model)}
    tuners = {name for name, module in model.named_modules() if id(module) in wrapped}
    blocks: dict[str, list[str]] = {}
    for name in trainable(model):
        parts = name.split(".")
        owners = [".".join(parts[:i]) for i in range(len(parts) - 1, 0, -1)]
        tuner = next((owner for owner in owners if owner in tuners), None)
        blocks.setdefault(tuner or name.removesuffix(".weight").removesuffix(".bias"), []).append(name)
    return blocks
