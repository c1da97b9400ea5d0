"""LoRA: train a low-rank update of frozen weights."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from holdfast.core.adapters import low_rank, weight_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.methods.adapter import NAME, Adapter
from holdfast.methods.factors import lora_by, move_into, put_into, weight_of


def pissa(weight_OI: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Returns the factors (B, A) of the principal part of a weight: `U sqrt(S)` and `sqrt(S) V^T`."""
    return low_rank(weight_OI, rank, exact=True)  # as PEFT does again when it loads a checkpoint


def olora(weight_OI: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Returns the factors (B, A): the first columns and rows of `W = Q R`, with zeros beyond the size of W."""
    wide = weight_OI if weight_OI.dtype == torch.float64 else weight_OI.float()
    q, r = torch.linalg.qr(wide)
    b, a = wide.new_zeros(wide.shape[0], rank), wide.new_zeros(rank, wide.shape[1])
    kept = min(rank, q.shape[1])
    b[:, :kept], a[:kept] = q[:, :kept], r[:kept]
    return b, a


def orthogonal(weight_OI: Tensor, rank: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Returns random factors (B, A) for a weight, with orthogonal inner vectors, so that B A = 0.

    B uses every second row of a random rotation and A the others (the rank is even), scaled as in PEFT.
    """

    def draw(rows: int, columns: int) -> Tensor:
        return torch.randn(rows, columns, dtype=torch.float64, generator=generator)

    turn, _ = torch.linalg.qr(draw(rank, rank))
    out, inner = weight_OI.shape
    a, b = turn[0::2].T @ draw(rank // 2, inner) / 10, draw(out, rank // 2) @ turn[1::2] / 10
    return b, a


@dataclasses.dataclass(frozen=True, repr=False)
class LoRA(Adapter):
    """Trains a low-rank update of the linear layers.

    Freezes the model and trains a low-rank update of its linear layers, through PEFT.

        W' = W + s B A,    s = alpha / rank  or  alpha / sqrt(rank),    A [rank, in] random, B [out, rank] zero at start

    Args:
        rank: Rank of the update.
        alpha: Scale of the update, not an interpolation; 2 * rank if absent.
        dropout: Dropout on the adapter's input.
        targets: "all-linear" for every layer that PEFT counts as linear except the head (the router and experts of a
            mixture included), "mlp" (with experts, without the router), "attention", or module name endings separated
            by commas ("q_proj,v_proj").
        scaling: "rank" divides alpha by the rank, "root" by its square root (rsLoRA), which makes a larger change at
            high ranks.
        init: "default" as above; "orthogonal" (A and B both orthogonal and B A = 0, for an even rank); "pissa" begins
            with the principal part of W and "olora" with the first part of its QR decomposition. These two train that
            part and freeze W minus that part.

    Reference:
        Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021, arXiv 2106.09685, eq. 3; Kalajdzievski,
        rsLoRA, 2023, arXiv 2312.03732; Meng et al., PiSSA, 2024, arXiv 2404.02948; Büyükakyüz, OLoRA, 2024, arXiv
        2406.01775.

    Confidence:
        text: The method runs through PEFT, whose code we read.

    Cost:
        Less than full training. Frozen weights have no gradient and no optimizer state; "pissa" needs an SVD of each
        adapted weight before training.

    Departs:
        By default the adapter covers every linear layer, not only the attention projections, and alpha is 2 * rank (as
        in Biderman et al. 2024, arXiv 2405.09673), also with scaling="root". The run's seed initialises the adapter.
        "pissa" and "olora" change the frozen weights, so the adapter's start is kept with them as the base (in 16 bits
        up to rounding: 1.7% of the logits of a small random model), and the run ships a plain adapter of twice the rank
        on the original base. Only the default init supports the stacked experts of a mixture. In PEFT's only published
        comparison rsLoRA forgets twice as much as LoRA, and an adapter on the MLP alone forgets less.
    """

    rank: int = setting(16, unit="1", low=1, integer=True, search=(4, 256), log=True)
    alpha: float | None = setting(None, unit="1", low=0.0)
    dropout: float = setting(0.0, unit="probability", low=0.0, high=0.99, search=(0.0, 0.2))
    targets: str = setting("all-linear", unit="module names")
    scaling: str = setting("rank", unit="divisor of alpha", choices=("rank", "root"))
    init: str = setting("default", unit="start", choices=("default", "orthogonal", "pissa", "olora"))

    on_frozen: ClassVar[bool] = True

    @property
    def moves(self) -> bool:
        """Whether the method begins by moving weights of the base."""
        return self.init in ("pissa", "olora")

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: The model already has an adapter, `targets` matches nothing, the rank is odd for orthogonal
                factors, or the init does not support the model's stacked experts.
        """
        if self.init == "orthogonal" and self.rank % 2:
            raise HoldfastError(f"{self!r}: orthogonal factors need an even rank; take {self.rank + 1}.")
        model: nn.Module = lora_by(run, self, use_rslora=self.scaling == "root")
        if self.init != "default":
            self._begin(model, run.seed)
        return model

    @torch.no_grad()
    def _begin(self, model: Any, seed: int) -> None:
        layers: list[Any] = weight_layers(model)
        if any(hasattr(layer, "parameter_name") for layer in layers):
            model.unload()
            raise HoldfastError(
                f"{self!r}: this init does not support the stacked experts of a mixture; give targets='attention', or"
                " leave out init."
            )
        generator = torch.Generator().manual_seed(seed)
        for layer in layers:
            weight = weight_of(layer)
            if self.init == "orthogonal":
                put_into(layer, *orthogonal(weight, self.rank, generator))
            elif self.init == "pissa":
                root = layer.scaling[NAME] ** 0.5 or 1.0
                b, a = pissa(weight, self.rank)
                move_into(layer, b / root, a / root)
            else:
                move_into(layer, *olora(weight, self.rank))
        if self.init != "orthogonal":
            model.peft_config[NAME].init_lora_weights = self.init
