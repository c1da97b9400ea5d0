"""CorDA, knowledge-preserving: the adapter begins with the part of each weight that old inputs use least."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from holdfast.core.exact import exactly
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.methods.adapter import NAME, Adapter
from holdfast.methods.factors import lora_and_moments, move_into, weight_of
from holdfast.methods.memory import need_memory

DAMP = 0.01
"""Share of the mean of the second moment's diagonal that is added to the diagonal, so that it has an inverse."""


def least_part(weight_OI: Tensor, moment: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Returns the factors (B, A) of the part of a weight that inputs with a given second moment use least.

    With C the damped moment and W C = U S V^T, the part is U_r S_r V_r^T C^-1 over the `rank` least singular values;
    the two factors share each component's size evenly.

    Args:
        weight_OI: `[out, in]`.
        moment: `[in, in]`.
        rank: Rank of the factors; rows and columns beyond the weight's size are zero.

    Returns:
        B `[out, rank]` and A `[rank, in]`, float64.
    """
    wide, damped = exactly(weight_OI), exactly(moment)
    scale = damped.diagonal().mean()
    damped = damped / scale if scale > 0 else damped
    damped = damped + DAMP * torch.eye(len(damped), dtype=damped.dtype, device=damped.device)
    u, s, v = torch.linalg.svd(wide @ damped, full_matrices=False)
    kept = min(rank, len(s))
    u, s, v = u[:, -kept:], s[-kept:], torch.linalg.solve(damped, v[-kept:].T).T  # the damped moment is symmetric
    length = v.norm(dim=1)
    root = (s * length).sqrt()
    b, a = wide.new_zeros(wide.shape[0], rank), wide.new_zeros(rank, wide.shape[1])
    b[:, :kept], a[:kept] = u * root, v * (root / length.clamp(min=1e-300))[:, None]
    return b, a


@dataclasses.dataclass(frozen=True, repr=False)
class CorDA(Adapter):
    """Trains the part of weights used least by old inputs.

    Puts the part of each weight that old inputs use least into a LoRA and trains it; the rest is frozen.

        W C = U S V^T,   C = (1/n) sum_t x_t x_t^T over old inputs
        (alpha / rank) B A = U_r S_r V_r^T C^-1 at the start, r the `rank` least;    W - (alpha / rank) B A frozen

    The old examples need the large components of W, which cannot move. This is the knowledge-preserving mode.

    Args:
        memory: Path, hub id or name of the old examples; several, separated by commas, are pooled.
        rank: Rank of the trained part.
        alpha: Scale of the trained part; 2 * rank if absent.
        dropout: Dropout on the adapter's input.
        targets: As for LoRA.
        samples: Maximum number of old examples to read.

    Reference:
        Yang et al., CorDA: Context-Oriented Decomposition Adaptation of Large Language Models, 2024, arXiv 2406.05223,
        section 3.

    Confidence:
        code: We read PEFT's implementation.

    Cost:
        One forward of the old examples. It runs before training, with an SVD of every weight; then as LoRA.

    Departs:
        C is the mean over tokens without padding; the paper scales each sample by its largest entry. C is damped once,
        by 1% of its mean diagonal. The frozen weights change, so the adapter's start is kept with them as the base, and
        the run ships a plain adapter of twice the rank on the original base. A checkpoint of the training is for
        resuming; PEFT alone does not load it. The method does not support stacked experts.
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

    @property
    def moves(self) -> bool:
        """True: the method begins by moving weights of the base."""
        return True

    @torch.no_grad()
    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: The model already has an adapter, `targets` matches nothing, or the model has stacked
                experts.
        """
        model, layers = lora_and_moments(run, self)
        for layer, moment in layers:
            if moment is not None:
                root = layer.scaling[NAME] ** 0.5 or 1.0
                weight = weight_of(layer)
                b, a = least_part(weight, moment.to(weight.device), self.rank)
                move_into(layer, b / root, a / root)
        model.peft_config[NAME].init_lora_weights = "corda"
        return model  # type: ignore[no-any-return]
