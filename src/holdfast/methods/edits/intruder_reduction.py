"""Intruder reduction: weaken directions of the trained weight that the base does not know."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from holdfast.core.adapters import plain_name
from holdfast.core.method import Method, State
from holdfast.core.params import layer_of
from holdfast.core.run import Run
from holdfast.core.settings import setting
from holdfast.methods.delta import wide


def intruders(base: Tensor, tuned: Tensor, top: int, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the singular triples of `tuned` that are intruders: vectors `[out, k]`, values `[k]`, vectors `[k, in]`.

    Such a one is among the `top` largest, and its left singular vector has with no left singular vector of the base an
    absolute cosine of `threshold` or more.

    Args:
        base: Weight of the base, `[out, in]`.
        tuned: Weight after training, of the same shape.
        top: How many singular vectors are looked at.
        threshold: In [0, 1].
    """
    base, tuned = wide(base, tuned)
    known = torch.linalg.svd(base, full_matrices=False).U
    u, s, v = torch.linalg.svd(tuned, full_matrices=False)
    strange = ((known.T @ u[:, :top]).abs().amax(0) < threshold).nonzero()[:, 0]
    return u[:, strange], s[strange], v[strange]


def reduce_intruders(base: Tensor, tuned: Tensor, top: int, threshold: float, scale: float) -> Tensor:
    """Returns `tuned` with the singular values of its intruders multiplied by `scale`, bit-equal where there are none.

    A stack is taken matrix by matrix; one in which something is no number, or nothing has changed, is left as it is.
    """
    if tuned.dim() == 3:
        pairs = zip(base, tuned, strict=True)
        return torch.stack([reduce_intruders(one, other, top, threshold, scale) for one, other in pairs])
    if torch.equal(base.to(tuned.dtype), tuned) or not (base.isfinite().all() and tuned.isfinite().all()):
        return tuned
    u, s, v = intruders(base, tuned, top, threshold)
    if not len(s):
        return tuned
    return (wide(tuned)[0] + (scale - 1.0) * (u * s) @ v).to(tuned.dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class IntruderReduction(Method):
    """Weakens those large singular directions of the trained weight that have no near partner in the base.

        W' = W_1 + (scale - 1) * sum_i s_i u_i v_i^T  over i <= top with max_j |u_i . u0_j| < threshold

    of W_1 = sum s_i u_i v_i^T, the trained weight, and u0_j, all left singular vectors of the base. Training with
    adapters puts such new directions, intruder dimensions, on top of the spectrum; where they are weakened, what was
    known before comes back, and little of the new is lost.

    Args:
        top: How many of the largest singular vectors are looked at.
        threshold: Largest absolute cosine below which a vector is an intruder.
        scale: What is left of an intruder's singular value (the paper's lambda); 1 changes nothing, 0 takes it away.

    Reference:
        Shuttleworth, Andreas, Torralba, Sharma, LoRA vs Full Fine-tuning: An Illusion of Equivalence, 2024, arXiv
        2410.21228, the section on scaling intruder dimensions.

    Confidence:
        code: PEFT's implementation was read and run (reduce_intruder_dimension).

    Cost:
        Two SVDs of each matrix. After training; minutes for a large model. And a copy of the trained weights.

    Departs:
        The threshold is 0.6 where PEFT has 0.5. Every trained matrix of a layer is looked at, also in full training,
        stacks of experts one by one; embeddings, head, norms and biases are left. Weights stored as [in, out] (GPT-2)
        are turned first. Of singular values that are equal the vectors are not determined, and may seem new. A tensor
        in which something is no number is left as it is. What an adapter can hold of the result is shipped, or all of
        it with Train(ship='merged').
    """

    top: int = setting(10, unit="singular vectors", low=1, integer=True, search=(5, 50))
    threshold: float = setting(0.6, unit="absolute cosine", low=0.0, high=1.0, search=(0.3, 0.9))
    scale: float = setting(0.75, unit="factor on the singular value", low=0.0, high=2.0, search=(0.0, 0.9))

    once: ClassVar[str] = "the scales would multiply where both find the same; give one with a lower scale."
    quick: ClassVar[Mapping[str, Any]] = {"threshold": 1.0}

    @property
    def off(self) -> bool:
        """Whether the tuned weights are shipped as they are."""
        return self.scale == 1.0 or self.threshold == 0.0

    def init_state(self, run: Run) -> State:
        """Returns which weights lie the other way round, `[in, out]`."""
        turned = [name for name, module in run.model.named_modules() if type(module).__name__ == "Conv1D"]
        return {"turned": {plain_name(f"{name}.weight"): torch.tensor(True) for name in turned}}

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the weight with its intruders weakened."""
        if tuned.dim() not in (2, 3) or layer_of(name) is None:
            return tuned
        turned = name in state.get("turned", {})
        if turned:
            base, tuned = base.T, tuned.T
        found = reduce_intruders(base, tuned, self.top, self.threshold, self.scale)
        return found.T if turned else found
