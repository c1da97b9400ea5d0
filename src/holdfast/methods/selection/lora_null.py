"""LoRA-Null: a low-rank change that old inputs hardly reach."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.methods.adapter import NAME, Adapter, freeze
from holdfast.methods.factors import lora_and_moments
from holdfast.methods.memory import need_memory


def least_directions(moment: Tensor, rank: int) -> Tensor:
    """Returns the orthonormal directions along which inputs have the least energy, `[rank, in]`; beyond `in`, zeros.

    Args:
        moment: Uncentred second moment of the inputs, `[in, in]`.
        rank: How many.
    """
    vectors: Tensor = torch.linalg.eigh(moment.double())[1]
    found = moment.new_zeros(rank, len(moment), dtype=torch.float64)
    kept = min(rank, len(moment))
    found[:kept] = vectors[:, :kept].T
    return found


@dataclasses.dataclass(frozen=True, repr=False)
class LoRANull(Adapter):
    """Trains a LoRA whose A reads the directions that old examples use least, and stands still.

        A = U_min^T,  U_min the `rank` eigenvectors of (1/n) sum_t x_t x_t^T with the least eigenvalues;  B = 0 trains

    x_t are the layer's inputs on the memory. Where an old input has nothing along them, A x = 0 and its output stays,
    whatever B learns.

    Args:
        memory: Path, hub id or name of the old examples; several separated by commas are one.
        rank: Rank of the update.
        alpha: Its scale; 2 * rank when absent.
        dropout: Dropout on the adapter's input.
        targets: As for LoRA.
        samples: Most old examples that are looked at.

    Reference:
        Tang et al., LoRA-Null: Low-Rank Adaptation via Null Space for Large Language Models, 2025, arXiv 2503.02659.

    Confidence:
        code: The authors' code was read.

    Cost:
        One forward of the memory before. And an eigendecomposition for each input; then less than LoRA, as only B
        trains.

    Departs:
        The paper puts the part of W within U_min into the adapter and freezes the rest; here, as in a second version in
        its code, W stays where it is, so that the adapter is a plain LoRA and the base is there. With more memory than
        dimensions nothing is quite null: these are then the directions of least energy. Not for stacked experts.
    """

    memory: str = setting("", unit="path, hub id or name", role="memory")
    rank: int = setting(16, unit="1", low=1, integer=True, search=(4, 256), log=True)
    alpha: float | None = setting(None, unit="1", low=0.0)
    dropout: float = setting(0.0, unit="probability", low=0.0, high=0.99, search=(0.0, 0.2))
    targets: str = setting("all-linear", unit="module names")
    samples: int = setting(128, unit="examples", low=1, integer=True, search=(32, 512), log=True)

    def __post_init__(self) -> None:
        """Checks the settings; without a memory there is nothing to keep clear of."""
        super().__post_init__()
        need_memory(self)

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: The model carries an adapter already, nothing in it matches `targets`, or its experts are
                stacked.
        """
        model, layers = lora_and_moments(run, self)
        for layer, moment in layers:
            if moment is not None:
                weight = layer.lora_A[NAME].weight
                weight.data = least_directions(moment, self.rank).to(weight.device, weight.dtype).contiguous()
            freeze(layer, "lora_A")
        return model  # type: ignore[no-any-return]
