"""Orthogonal projection: updates that leave what each layer makes of old inputs as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from holdfast.core.adapters import tuner_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method, Run, State, Step
from holdfast.core.params import trainable
from holdfast.core.rows import drawn
from holdfast.core.settings import setting
from holdfast.methods.activations import input_axis, linear_layers, second_moments


def principal(moment: Tensor, energy: float) -> Tensor:
    """Returns the fewest directions that hold a share of the inputs' energy, orthonormal, `[in, k]`.

    Args:
        moment: Second moment of the inputs, `[in, in]`.
        energy: Share in [0, 1] of the sum of the squared singular values of the inputs.
    """
    found: tuple[Tensor, Tensor] = torch.linalg.eigh(moment)
    values, vectors = found[0].flip(0).clamp(min=0), found[1].flip(1)
    total = values.sum()
    if energy == 0.0 or total <= 0:
        return vectors.narrow(1, 0, 0)
    shares = values.cumsum(0) / total
    # Rounding may keep the last share below 1.
    count = min(int((shares < energy * (1 - 1e-7)).sum()) + 1, int((values > values[0] * 1e-9).sum()))
    return vectors.narrow(1, 0, count).contiguous()


def projected(update: Tensor, basis: Tensor, dim: int) -> Tensor:
    """Returns an update of a weight without its part along directions of the input.

    Args:
        update: `[out, in]`, or `[in, out]` where `dim` is 0.
        basis: Orthonormal directions, `[in, k]`.
        dim: Dimension of the update along which the input runs.
    """
    if dim == 1:
        return update - (update @ basis) @ basis.T
    return update - basis @ (basis.T @ update)


@dataclasses.dataclass(frozen=True, repr=False)
class OrthogonalProjection(Method):
    """Takes out of every layer's update what would change its output on the inputs that old examples give it.

        M = the fewest singular directions of the layer's old inputs with at least `energy` of their energy
        W_{t+1} = W_t + U_t - U_t M M^T,     U_t what the optimizer would do

    For an old input x within M, W x stays what it was: the layer learns in the directions that the old examples do not
    use. The directions are found once, before training.

    Args:
        memory: Names or paths of old examples, parted by commas.
        energy: Share of the old inputs' energy that is kept in place (the paper's threshold).
        samples: Most old examples that are looked at.
        others: What of embeddings, norms, biases and experts trains: "held" nothing, "free" all; only the weights of
            linear layers are projected.

    Reference:
        Saha et al., Gradient Projection Memory for Continual Learning, 2021, arXiv 2103.09762, equations 7 to 9.

    Confidence:
        text: The authors' code was read.

    Cost:
        A look at the memory, then little. Two thin products for every matrix at each step, and its basis in memory.

    Departs:
        The paper projects the gradient, which Adam's division then turns back into the old directions; here the update
        is projected, weight decay included. One energy for all layers (the paper raises it from task to task), and one
        memory, since there is one task. On an adapter it is refused: its second factor reads few directions, all of
        them used.
    """

    memory: str = setting("", unit="names or paths")
    energy: float = setting(0.97, unit="share of energy", low=0.0, high=1.0, search=(0.8, 0.999))
    samples: int = setting(256, unit="examples", low=1, integer=True, search=(32, 1024), log=True)
    others: str = setting("held", unit="what else trains", choices=("held", "free"))

    excludes: ClassVar[Mapping[str, str]] = {
        "LoRA": "an adapter's second factor reads few directions, all of them used; use LoRANull() to keep old inputs.",
        "OrthogonalProjection": "one projection is enough; name all memories in one.",
    }

    def __post_init__(self) -> None:
        """Checks the settings; without a memory there is nothing to keep in place."""
        super().__post_init__()
        if not self.sources:
            raise HoldfastError("OrthogonalProjection() needs old examples: OrthogonalProjection('old.jsonl').")

    @property
    def off(self) -> bool:
        """Whether every update stays as it is."""
        return self.energy == 0.0 and self.others == "free"

    def init_state(self, run: Run) -> State:
        """Returns the basis of each trained matrix, by name, under the dimension that its input runs along.

        Raises:
            HoldfastError: The model carries an adapter.
        """
        if tuner_layers(run.model):
            raise HoldfastError(f"{self!r}: {self.excludes['LoRA']}")
        params, layers = trainable(run.model), linear_layers(run.model)
        examples = [example for name in self.sources for example in run.memory(name)]
        chosen = [examples[row] for row in sorted(drawn(len(examples), self.samples, run.seed, 0))]
        moments = second_moments(run, chosen, wanted=lambda name: f"{name}.weight" in params)
        state: State = {"0": {}, "1": {}}
        for name, moment in moments.items():
            state[str(input_axis(layers[name]))][f"{name}.weight"] = principal(moment, self.energy)
        return state

    def edit_update(self, state: State, step: Step, name: str, before: Tensor, after: Tensor) -> Tensor:
        """Projects the update of a linear layer's weight."""
        for dim in (0, 1):
            bases = state.get(str(dim), {})  # an empty one is not in a checkpoint
            if name in bases:
                held = bases[name] = bases[name].to(before.device)
                update = after.to(held.dtype) - before.to(held.dtype)
                return (before.to(held.dtype) + projected(update, held, dim)).to(before.dtype)
        return before if self.others == "held" else after
