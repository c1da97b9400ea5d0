"""OFT: rotate what each layer reads, and keep every angle and length among its neurons."""

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
    """Returns the rotations `(I - Q)(I + Q)^-1`, `[N, size, size]`, of skew matrices Q by their entries above zero.

    Args:
        entries_NK: The upper triangle of each, row by row: K = size (size - 1) / 2.
        size: Rows of each rotation.
    """
    rows, columns = torch.triu_indices(size, size, 1, device=entries_NK.device)
    q = entries_NK.new_zeros(entries_NK.shape[0], size, size)
    q[:, rows, columns] = entries_NK
    q = q - q.transpose(1, 2)
    one = torch.eye(size, dtype=q.dtype, device=q.device)
    turns: Tensor = torch.linalg.solve(one + q, one - q, left=False)
    return turns


@dataclasses.dataclass(frozen=True, repr=False)
class OFT(Adapter):
    """Freezes the model and trains, through PEFT, a rotation of what each linear layer reads, block by block.

        W' = W R^T,    R = diag(R_1, R_2, ...),    R_i = (I - Q_i)(I + Q_i)^-1,    Q_i skew, zero at the start

    A rotation keeps the lengths of a layer's rows, the angles between them, and its singular values: the weight is
    turned and never stretched.

    Args:
        block: Size of a block R_i; where it does not divide a layer's inputs PEFT takes the nearest size that does.
        targets: As for LoRA: "all-linear", "mlp", "attention", or module name endings separated by commas.

    Reference:
        Qiu et al., Controlling Text-to-Image Diffusion by Orthogonal Finetuning, 2023, arXiv 2306.07280; the input is
        turned as in Qiu et al., OFTv2, 2025, arXiv 2506.19847.

    Confidence:
        code: PEFT's code was read; the papers were not.

    Cost:
        As LoRA, and a small solve per block. In (block - 1) / 2 numbers are trained for a layer of `in` inputs.

    Departs:
        The rotation is exact (a solve); PEFT and OFTv2 cut a series, which leaves the rotations for large angles
        (0.2 from orthogonal after 40 steps at a rate of 3e-2, where ours stays at rounding). No dropout: that of
        PEFT does nothing on linear layers. Not for Conv1D (GPT-2); stacked experts of a mixture are left as they are
        under "all-linear". In PEFT's one published comparison it forgets a little less than LoRA and learns as much.
    """

    block: int = setting(32, unit="inputs", low=2, integer=True, search=(16, 128), log=True)
    targets: str = setting("all-linear", unit="module names")

    on_frozen: ClassVar[bool] = True

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: The model carries an adapter already, nothing in it matches `targets`, or its layers are
                Conv1D.
        """
        import peft

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Invalid `oft_block_size`")
            model: nn.Module = adapt(
                run, self, peft.OFTConfig, r=0, oft_block_size=self.block, use_cayley_neumann=False
            )
        return model
