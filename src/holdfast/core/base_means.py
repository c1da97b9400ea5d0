"""Base means: all that a forward KL needs of the frozen base at a token, if the head is linear and frozen.

With the head's weight W, hidden states h_b of the base and h of the model, and r the base's distribution over all
tokens but the label (renormalised), the divergence depends on the base only through the mean row of the head

    mu = sum_c r(c) W_c,      because   sum_c r(c) (b_c - a_c) = mu . (h_b - h)

(a bias of the head cancels), and three numbers: mu . h_b, and the two numbers of `holdfast.core.softmax.parted`, from
which the divergence with and without the label follow. Its gradient to h is that of the model's log-sum-exp, p_a W,
less mu. Neither the base's forward nor its product with the head is needed again
(docs/decisions/0013-the-means-of-the-base.md).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

STEPS = 32767
"""Largest code: a mean is kept as 16-bit multiples of a scale of its own, so that its largest entry has this code."""


@dataclasses.dataclass(frozen=True)
class BaseMeans:
    """What the base says of N tokens.

    Attributes:
        codes_ND: The means `mu`, each divided by its scale: int16, or float64 with the scale 1.
        scale_N: The scales, float64.
        offset_N: `mu . h_b`, float64, of the mean as it is kept: rounding it then moves the divergence of equal models
            not at all, and otherwise in proportion to the change of the hidden states.
        parted_2N: Logit of the label, and log-sum-exp of the other logits, of the base; float64.
    """

    codes_ND: Tensor
    scale_N: Tensor
    offset_N: Tensor
    parted_2N: Tensor

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.offset_N)

    def __getitem__(self, rows: slice | Tensor) -> BaseMeans:
        """Returns the means of some of the tokens."""
        return BaseMeans(self.codes_ND[rows], self.scale_N[rows], self.offset_N[rows], self.parted_2N[:, rows])

    @property
    def mean_ND(self) -> Tensor:
        """The means, float64."""
        return self.codes_ND.double() * self.scale_N[:, None]

    def expected_gap(self, hidden_ND: Tensor) -> Tensor:
        """Returns the mean of base logit minus logit over the base's tokens other than the label, `[N]` float64.

        Args:
            hidden_ND: The head's input in the model; gradients flow.
        """
        return self.offset_N - (self.mean_ND * hidden_ND.double()).sum(-1)

    def tensors(self) -> dict[str, Tensor]:
        """Returns the fields by name, each with a row for each token, to store them."""
        return {
            "codes": self.codes_ND,
            "scale": self.scale_N,
            "offset": self.offset_N,
            "parted": self.parted_2N.T.contiguous(),
        }

    @classmethod
    def of_tensors(cls, tensors: dict[str, Tensor]) -> BaseMeans:
        """Returns the means from the result of `tensors`."""
        return cls(tensors["codes"], tensors["scale"], tensors["offset"], tensors["parted"].T)

    @classmethod
    def of(cls, mean_ND: Tensor, hidden_ND: Tensor, parted_2N: Tensor) -> BaseMeans:
        """Returns the means of some tokens, kept in 16 bits unless they are float64.

        Args:
            mean_ND: The means `mu`, float32 or float64.
            hidden_ND: The head's input in the base.
            parted_2N: As in the class.
        """
        if mean_ND.dtype == torch.float64:
            codes_ND, scale_N = mean_ND, torch.ones_like(mean_ND[:, 0])
        else:
            scale_N = (mean_ND.abs().amax(-1).double() / STEPS).clamp_(min=torch.finfo(torch.float32).tiny)
            codes_ND = (mean_ND / scale_N[:, None]).round_().to(torch.int16)
        offset_N = (codes_ND.double() * scale_N[:, None] * hidden_ND.double()).sum(-1)
        return cls(codes_ND, scale_N, offset_N, parted_2N.double())
