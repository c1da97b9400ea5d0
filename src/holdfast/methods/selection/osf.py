"""OSF: the leading singular directions of every weight are frozen, and the orthogonal rest trains."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from holdfast.core.adapters import weight_layers
from holdfast.core.method import State
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting
from holdfast.methods.adapter import NAME, Adapter, adapt


def osf(factor: Tensor, high: Tensor) -> Tensor:
    """Returns a factor without its part along frozen directions, in float32 or wider.

    Args:
        factor: Left singular vectors as columns, `[out, k]`.
        high: Orthonormal columns, `[out, r]`.
    """
    wide = factor.to(torch.promote_types(high.dtype, torch.float32))
    still = high.to(wide.dtype)
    return wide - still @ (still.T @ wide)


@dataclasses.dataclass(frozen=True, repr=False)
class OSF(Adapter):
    """Trains the small singular directions of weights.

    Trains, through PEFT, each weight's small singular values and directions, orthogonally to the large ones.

        W = U_h S_h V_h^T + U_l S_l V_l^T;   U_l, S_l, V_l train,   U_l <- U_l - U_h U_h^T U_l,   V_l likewise

    A weight acts most along its `keep` largest directions. These do not change, and training writes nothing new into
    them: after every step the method removes the optimizer's change along them.

    Args:
        keep: Share of each weight's singular directions, the largest, that is frozen.
        targets: As for LoRA.

    Reference:
        Nayak et al., Sculpting Subspaces: Constrained Full Fine-Tuning in LLMs for Continual Learning, 2025, arXiv
        2504.07097.

    Confidence:
        code: We read PEFT's code and that of the authors' trainer.

    Cost:
        As full training, and more memory. It takes an SVD of every weight before training, and keeps each weight with
        its factors.

    Departs:
        PEFT projects only the gradient, and AdamW's division undoes that (15% of the change was along the large
        directions after 20 steps). As in the authors' newer trainer, the factors are also projected after the step. All
        layers have the same share; the paper sets it by each layer's importance. Weight decay pulls the small part of W
        itself to zero, so leave it at 0. In float32 the start differs from the base by 3e-7.
    """

    small: ClassVar[bool] = False
    confines: ClassVar[bool] = True

    keep: float = setting(0.5, unit="share of directions", low=0.01, high=0.99, search=(0.25, 0.95))
    targets: str = setting("all-linear", unit="module names")

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: The model already has an adapter, or `targets` matches nothing.
        """
        import peft

        model: nn.Module = adapt(run, self, peft.OSFConfig, effective_rank=self.keep)
        return model

    def init_state(self, run: Run) -> State:
        """Returns the frozen directions for each factor, as columns."""
        names = {id(p): name for name, p in run.model.named_parameters()}
        state: State = {}
        layer: Any
        for layer in weight_layers(run.model):
            factors = layer.osf_svd_params[NAME]
            weight = layer.get_base_layer().weight.detach()
            wide = weight if weight.dtype == torch.float64 else weight.float()
            u, _, v = torch.linalg.svd(wide, full_matrices=False)
            high = u.shape[1] - factors["S_low"].numel()
            state[names[id(factors["U_low"])]] = u[:, :high].contiguous()
            state[names[id(factors["V_low"])]] = v[:high].T.contiguous()
        return state

    def edit_update(self, state: State, step: Step, name: str, before: Tensor, after: Tensor) -> Tensor:
        """Removes from a factor the step's change along the frozen directions."""
        if name not in state:
            return after
        high = state[name] = state[name].to(after.device)
        transposed = name.endswith("V_low")
        projected = osf(after.T if transposed else after, high)
        return (projected.T if transposed else projected).to(after.dtype)
