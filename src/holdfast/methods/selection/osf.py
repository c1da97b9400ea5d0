"""OSF: every weight's leading singular directions stand still, and what is orthogonal to them trains."""

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
    """Returns a factor without its part along directions that stand still, in float32 or wider.

    Args:
        factor: Left singular vectors as columns, `[out, k]`.
        high: Orthonormal columns, `[out, r]`.
    """
    wide = factor.to(torch.promote_types(high.dtype, torch.float32))
    still = high.to(wide.dtype)
    return wide - still @ (still.T @ wide)


@dataclasses.dataclass(frozen=True, repr=False)
class OSF(Adapter):
    """Trains, through PEFT, each weight's small singular values and directions, at right angles to the large ones.

        W = U_h S_h V_h^T + U_l S_l V_l^T;   U_l, S_l, V_l train,   U_l <- U_l - U_h U_h^T U_l,   V_l likewise

    The `keep` largest directions are where a weight does most; they keep what they do, and nothing new is written into
    them. After every step what the optimizer put there is taken out again.

    Args:
        keep: Share of each weight's singular directions that stand still, the largest.
        targets: As for LoRA.

    Reference:
        Nayak et al., Sculpting Subspaces: Constrained Full Fine-Tuning in LLMs for Continual Learning, 2025, arXiv
        2504.07097.

    Confidence:
        code: PEFT's code and that of the authors' trainer were read.

    Cost:
        As full training, and more memory. An SVD of every weight before; the weight beside its own factors.

    Departs:
        PEFT projects the gradient alone, which AdamW's division undoes (15% of the change was among the large
        directions after 20 steps); as in the authors' newer trainer the factors are projected after the step too. One
        share for all layers (the paper has one by each layer's importance). Weight decay pulls the small part of W
        itself to zero: leave it at 0. In float32 the start differs from the base by 3e-7.
    """

    small: ClassVar[bool] = False
    confines: ClassVar[bool] = True

    keep: float = setting(0.5, unit="share of directions", low=0.01, high=0.99, search=(0.25, 0.95))
    targets: str = setting("all-linear", unit="module names")

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: The model carries an adapter already, or nothing in it matches `targets`.
        """
        import peft

        model: nn.Module = adapt(run, self, peft.OSFConfig, effective_rank=self.keep)
        return model

    def init_state(self, run: Run) -> State:
        """Returns, for each factor, the directions that it is to keep out of, as columns."""
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
        """Takes out of a factor what the step put among the directions that stand still."""
        if name not in state:
            return after
        high = state[name] = state[name].to(after.device)
        turned = name.endswith("V_low")
        found = osf(after.T if turned else after, high)
        return (found.T if turned else found).to(after.dtype)
