"""DARE: drop a random share of the changes from training, and rescale the rest."""

from __future__ import annotations

import dataclasses
import hashlib

import torch
from torch import Tensor

from holdfast.core.blocks import wide
from holdfast.core.method import Method, State
from holdfast.core.run import Run
from holdfast.core.settings import setting


def dare(base: Tensor, tuned: Tensor, keep: float, generator: torch.Generator) -> Tensor:
    """Returns the base plus the change; each entry of the change is kept with probability `keep` and divided by it.

    Args:
        base: Weights of the base.
        tuned: Weights after training, of the same shape.
        keep: Probability of keeping the change of an entry, above 0; 1 minus the paper's drop rate p.
        generator: A CPU generator, so that the draws are the same on every device.
    """
    kept = torch.rand(tuned.shape, generator=generator) < keep
    base, wide_tuned = wide(base, tuned)
    edited = base + (wide_tuned - base) / keep
    return torch.where(kept.to(tuned.device), edited, base).to(tuned.dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class DARE(Method):
    """Drops most changes at random, scales up the rest.

    Drops the change of most entries at random and scales up the rest, so that the mean change stays the same.

        m ~ Bernoulli(p),   delta' = (1 - m) * delta / (1 - p),   theta = theta_0 + delta',   p = 1 - keep

    delta is the change that training added to the base theta_0.

    Args:
        keep: Average share of the entries whose change is kept.
        seed: Selects the entries, together with the seed of the run and the tensor's name.

    Reference:
        Yu, Yu, Yu, Huang, Li, Language Models are Super Mario: Absorbing Abilities from Homologous Models as a Free
        Lunch, 2023, arXiv 2311.03099, section 3.2.

    Confidence:
        code: We read the authors' code.

    Cost:
        One pass after training. Also a copy of the trained weights during training.

    Departs:
        The paper drops 90% or 99% without loss if changes are small (within 0.002), as a step before merging; it does
        not claim that a single model forgets less. Every trained tensor is treated alike.
    """

    keep: float = setting(0.1, unit="share of entries", low=0.001, high=1.0, search=(0.05, 0.9), log=True)
    seed: int = setting(0, unit="1", low=0, integer=True)

    @property
    def off(self) -> bool:
        """Whether the tuned weights are shipped unchanged."""
        return self.keep == 1.0

    def init_state(self, run: Run) -> State:
        """Returns the seed of the run."""
        return {"run_seed": torch.tensor(run.seed)}

    def edit_weights(self, state: State, name: str, base: Tensor, tuned: Tensor) -> Tensor:
        """Returns the base plus the selected changes; the same at every call."""
        drawn = hashlib.sha256(f"{int(state['run_seed'])}/{self.seed}/{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(drawn[:7], "big"))
        return dare(base, tuned, self.keep, generator)
