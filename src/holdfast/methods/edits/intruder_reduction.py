"""Intruder reduction: weaken singular directions of the trained weight that the base does not have."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from holdfast.core.adapters import plain_name
from holdfast.core.blocks import wide
from holdfast.core.method import Method, State
from holdfast.core.params import layer_of
from holdfast.core.run import Run
from holdfast.core.settings import setting


def intruders(base: Tensor, tuned: Tensor, top: int, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the singular triples of `tuned` that are intruders: vectors `[out, k]`, values `[k]`, vectors `[k, in]`.

    An intruder is among the `top` largest triples, and the absolute cosine between its left singular vector and every
    left singular vector of the base is below `threshold`.

    Args:
        base: Weight of the base, `[out, in]`.
        tuned: Weight after training, of the same shape.
        top: Number of singular vectors to check.
        threshold: In [0, 1].
    """
    base, tuned = wide(base, tuned)
    known = torch.linalg.svd(base, full_matrices=False).U
    u, s, v = torch.linalg.svd(tuned, full_matrices=False)
    strange = ((known.T @ u[:, :top]).abs().amax(0) < threshold).nonzero()[:, 0]
    return u[:, strange], s[strange], v[strange]


def reduce_intruders(base: Tensor, tuned: Tensor, top: int, threshold: float, scale: float) -> Tensor:
    """Returns `tuned` with the singular values of its intruders multiplied by `scale`; bit-equal without intruders.

    A stack is processed matrix by matrix. A matrix with a non-finite entry, or without a change, is returned unchanged.
    """
    if tuned.dim() == 3:
        pairs = zip(base, tuned, strict=True)
        return torch.stack([reduce_intruders(before, after, top, threshold, scale) for before, after in pairs])
    if torch.equal(base.to(tuned.dtype), tuned) or not (base.isfinite().all() and tuned.isfinite().all()):
        return tuned
    u, s, v = intruders(base, tuned, top, threshold)
    if not len(s):
        return tuned
    return (wide(tuned)[0] + (scale - 1.0) * (u * s) @ v).to(tuned.dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class IntruderReduction(Method):
    """Weakens singular directions foreign to the base.

    Weakens large singular directions of the trained weight that have no close counterpart in the base.

        W' = W_1 + (scale - 1) * sum_i s_i u_i v_i^T  over i <= top with max_j |u_i . u0_j| < threshold

    W_1 = sum s_i u_i v_i^T is the trained weight, and u0_j are all left singular vectors of the base. Training with
    adapters adds such new directions, called intruder dimensions, at the top of the spectrum. Weakening them restores
    old knowledge at a small cost to the new.

    Args:
        top: Number of largest singular vectors to check.
        threshold: A vector is an intruder if its largest absolute cosine is below this.
        scale: Factor on an intruder's singular value (the paper's lambda); 1 changes nothing, 0 removes the intruder.

    Reference:
        Shuttleworth, Andreas, Torralba, Sharma, LoRA vs Full Fine-tuning: An Illusion of Equivalence, 2024, arXiv
        2410.21228, the section on scaling intruder dimensions.

    Confidence:
        code: We read and ran PEFT's implementation (reduce_intruder_dimension).

    Cost:
        Two SVDs of each matrix. They run after training and take minutes for a large model. Also a copy of the trained
        weights.

    Departs:
        The threshold is 0.6; PEFT has 0.5. The method checks every trained matrix of a layer, also in full training,
        and stacks of experts matrix by matrix; it skips embeddings, head, norms and biases. Weights stored as [in, out]
        (GPT-2) are transposed first. The vectors of equal singular values are not unique and may look new. A tensor
        with a non-finite entry stays unchanged. The adapter ships as much of the result as its rank can hold;
        Train(ship='merged') ships all of it.
    """

    top: int = setting(10, unit="singular vectors", low=1, integer=True, search=(5, 50))
    threshold: float = setting(0.6, unit="absolute cosine", low=0.0, high=1.0, search=(0.3, 0.9))
    scale: float = setting(0.75, unit="factor on the singular value", low=0.0, high=2.0, search=(0.0, 0.9))

    once: ClassVar[str] = "the scales of intruders that both find would multiply; give one with a lower scale."
    quick: ClassVar[Mapping[str, Any]] = {"threshold": 1.0}

    @property
    def off(self) -> bool:
        """Whether the tuned weights are shipped unchanged."""
        return self.scale == 1.0 or self.threshold == 0.0

    def init_state(self, run: Run) -> State:
        """Returns the weights that are stored transposed, `[in, out]`."""
        transposed = [name for name, module in run.model.named_modules() if type(module).__name__ == "Conv1D"]
        return {"turned": {plain_name(f"{name}.weight"): torch.tensor(True) for name in transposed}}

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the weight with its intruders weakened."""
        if tuned.dim() not in (2, 3) or layer_of(name) is None:
            return tuned
        transposed = name in state.get("turned", {})
        if transposed:
            base, tuned = base.T, tuned.T
        reduced = reduce_intruders(base, tuned, self.top, self.threshold, self.scale)
        return reduced.T if transposed else reduced
