"""OFT: rotate the input of each layer, which keeps every angle and length among its neurons."""

from __future__ import annotations

import dataclasses
import warnings
from typing import ClassVar

import torch
from torch import Tensor, nn

from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.methods.adapter import Adapter, adapt


def cayley(entries_NK: Tensor, size: int) -> Tensor:
    """Returns the rotations `(I - Q)(I + Q)^-1`, `[N, size, size]`, of skew matrices Q with given upper triangles.

    Args:
        entries_NK: Upper triangle of each Q, row by row: K = size (size - 1) / 2.
        size: Rows of each rotation.
    """
    rows, columns = torch.triu_indices(size, size, 1, device=entries_NK.device)
    q = entries_NK.new_zeros(entries_NK.shape[0], size, size)
    q[:, rows, columns] = entries_NK
    q = q - q.transpose(1, 2)
    identity = torch.eye(size, dtype=q.dtype, device=q.device)
    rotations: Tensor = torch.linalg.solve(identity + q, identity - q, left=False)
    return rotations


@dataclasses.dataclass(frozen=True, repr=False)
class OFT(Adapter):
    """Trains block-wise rotations of layers' inputs.

    Freezes the model and trains, through PEFT, a block-wise rotation of the input of each linear layer.

        W' = W R^T,    R = diag(R_1, R_2, ...),    R_i = (I - Q_i)(I + Q_i)^-1,    Q_i skew, zero at the start

    A rotation keeps the lengths of a layer's rows, the angles between them, and its singular values: it turns the
    weight and never stretches it.

    Args:
        block: Size of a block R_i; if it does not divide the number of a layer's inputs, PEFT takes the nearest size
            that does.
        targets: As for LoRA: "all-linear", "mlp", "attention", or module name endings separated by commas.

    Reference:
        Qiu et al., Controlling Text-to-Image Diffusion by Orthogonal Finetuning, 2023, arXiv 2306.07280; the input is
        turned as in Qiu et al., OFTv2, 2025, arXiv 2506.19847.

    Confidence:
        code: We read PEFT's code, but not the papers.

    Cost:
        As LoRA, and a small solve per block. A layer with `in` inputs has `in` (block - 1) / 2 trained numbers.

    Departs:
        The rotation is exact (a solve). PEFT and OFTv2 truncate a series, which is no longer a rotation for large
        angles (0.2 from orthogonal after 40 steps at a rate of 3e-2; ours stays at rounding). There is no dropout,
        because PEFT's has no effect on linear layers. The method does not support Conv1D (GPT-2). Under "all-linear",
        stacked experts of a mixture get no adapter. In PEFT's only published comparison OFT forgets a little less than
        LoRA and learns as much.
    """

    block: int = setting(32, unit="inputs", low=2, integer=True, search=(16, 128), log=True)
    targets: str = setting("all-linear", unit="module names")

    on_frozen: ClassVar[bool] = True

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: The model already has an adapter, `targets` matches nothing, or the layers are Conv1D.
        """
        import peft

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Invalid `oft_block_size`")
            model: nn.Module = adapt(
                run, self, peft.OFTConfig, r=0, oft_block_size=self.block, use_cayley_neumann=False
            )
        return model
