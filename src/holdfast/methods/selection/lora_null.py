"""LoRA-Null: a low-rank update that old inputs hardly activate."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from holdfast.core.exact import exactly
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.methods.adapter import NAME, Adapter, freeze
from holdfast.methods.factors import lora_and_moments
from holdfast.methods.memory import need_memory


def least_directions(moment: Tensor, rank: int) -> Tensor:
    """Returns the orthonormal directions of least input energy, `[rank, in]`; rows beyond `in` are zero.

    Args:
        moment: Uncentred second moment of the inputs, `[in, in]`.
        rank: Number of directions.
    """
    vectors: Tensor = torch.linalg.eigh(exactly(moment))[1]
    directions = vectors.new_zeros(rank, len(moment))
    kept = min(rank, len(moment))
    directions[:kept] = vectors[:, :kept].T
    return directions


@dataclasses.dataclass(frozen=True, repr=False)
class LoRANull(Adapter):
    """Trains a LoRA on what old examples use least.

    Trains a LoRA whose A is frozen at the directions that old examples use least.

        A = U_min^T,  U_min the `rank` eigenvectors of (1/n) sum_t x_t x_t^T with the least eigenvalues;  B = 0 trains

    x_t are the layer's inputs on old examples. For an old input with no component along these directions, A x = 0, and
    its output stays the same, whatever B learns.

    Args:
        memory: Path, hub id or name of the old examples; several, separated by commas, are pooled.
        rank: Rank of the update.
        alpha: Scale of the update; 2 * rank if absent.
        dropout: Dropout on the adapter's input.
        targets: As for LoRA.
        samples: Maximum number of old examples to read.

    Reference:
        Tang et al., LoRA-Null: Low-Rank Adaptation via Null Space for Large Language Models, 2025, arXiv 2503.02659.

    Confidence:
        code: We read the authors' code.

    Cost:
        One forward of the old examples. It runs before training, with an eigendecomposition for each input; then less
        than LoRA, because only B trains.

    Departs:
        The paper puts the part of W within U_min into the adapter and freezes the rest. Here, as in a second version in
        its code, W does not change, so the adapter is a plain LoRA on the base. If the old examples have more tokens
        than there are dimensions, no direction is exactly null; the method then uses the directions of least energy.
        The method does not support stacked experts.
    """

    memory: str = setting("", unit="path, hub id or name", role="memory")
    rank: int = setting(16, unit="1", low=1, integer=True, search=(4, 256), log=True)
    alpha: float | None = setting(None, unit="1", low=0.0)
    dropout: float = setting(0.0, unit="probability", low=0.0, high=0.99, search=(0.0, 0.2))
    targets: str = setting("all-linear", unit="module names")
    samples: int = setting(128, unit="examples", low=1, integer=True, search=(32, 512), log=True)

    def __post_init__(self) -> None:
        """Checks the settings; a memory is required."""
        super().__post_init__()
        need_memory(self)

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: The model already has an adapter, `targets` matches nothing, or the model has stacked
                experts.
        """
        model, layers = lora_and_moments(run, self)
        for layer, moment in layers:
            if moment is not None:
                weight = layer.lora_A[NAME].weight
                weight.data = least_directions(moment, self.rank).to(weight.device, weight.dtype).contiguous()
            freeze(layer, "lora_A")
        return model  # type: ignore[no-any-return]
