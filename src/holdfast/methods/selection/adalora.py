"""AdaLoRA: adapters that drop rank where it matters least."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from holdfast.core.adapters import weight_layers
from holdfast.core.errors import HoldfastError
from holdfast.core.method import State
from holdfast.core.params import trainable
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting
from holdfast.core.top_entries import largest
from holdfast.methods.adapter import NAME, Adapter, adapt


def adalora_budget(done: int, *, first: int, last: int, begin: int, end: int) -> int:
    """Returns the triplets kept after `done` steps: `first` until `begin`, then a cubic fall to `last` at `end`."""
    if done >= end:
        return last
    return int((first - last) * (1.0 - max(done - begin, 0) / (end - begin)) ** 3 + last)


def not_orthogonal(factors: Sequence[Tensor]) -> Tensor:
    """Returns the mean of `||F F^T - I||` (Frobenius) over factors whose rows should be orthonormal."""
    return torch.stack([(f @ f.T - torch.eye(len(f), dtype=f.dtype, device=f.device)).norm() for f in factors]).mean()


def triplet_scores(e: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Returns the score of each triplet: the score of its value plus the means of its row of A and its column of B.

    Args:
        e: Scores of the entries of E, `[rank, 1]`.
        a: Scores of the entries of A, `[rank, in]`.
        b: Scores of the entries of B, `[out, rank]`.
    """
    return e.flatten() + a.mean(dim=1) + b.mean(dim=0)


def kept_triplets(scores: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Returns a mask of the `count` best triplets over all layers, `[rank, 1]` for each layer."""
    chosen = largest(torch.cat(list(scores.values())), count)
    parts = chosen.split([len(score) for score in scores.values()])
    return {name: part[:, None] for name, part in zip(scores, parts, strict=True)}


@dataclasses.dataclass(frozen=True, repr=False)
class AdaLoRA(Adapter):
    """Trains a LoRA, and drops its least useful ranks.

    Trains an adapter in the form of a singular value decomposition, and drops the least important values.

        W' = W + (alpha / start) B diag(E) A,    loss + orthogonality * mean(||A A^T - I||, ||B^T B - I||)
        I = |p * grad p|,  m = decay m + (1 - decay) I,  u = decay u + (1 - decay) |I - m|,  score of p = m * u
        E_i = 0 unless its triplet (E_i, row i of A, column i of B) is among the best b_t of all layers

    b_t falls from `start` to `rank` triplets per layer along a cubic; training decides how many each layer keeps.

    Args:
        rank: Average number of triplets per layer at the end.
        start: Number of triplets per layer at the start; more than `rank`.
        alpha: Scale of the update; 2 * start if absent.
        dropout: Dropout on the adapter's input.
        targets: As for LoRA: "all-linear", "mlp", "attention", or module name endings separated by commas.
        warmup: Share of the steps before the first drop.
        cooldown: Share of the steps after the last drop.
        every: Steps between two choices of triplets.
        decay: Decay of both moving averages (the paper's beta_1 and beta_2).
        orthogonality: Weight of the penalty (the paper's gamma).

    Reference:
        Zhang et al., AdaLoRA: Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning, 2023, arXiv 2303.10512,
        algorithm 1, eq. 8 to 12.

    Confidence:
        code: We read PEFT's code and use its layers; a test compares our choice of triplets with PEFT's.

    Cost:
        As LoRA, and two averages. They take two numbers for each weight of the adapter.

    Departs:
        Between two choices a dropped value grows again, as in PEFT. The choice at the end of the budget's fall includes
        the last step (in PEFT, the step before it). The shipped adapter keeps `start` triplets; dropped triplets have E
        = 0. Under "all-linear", stacked experts of a mixture get no adapter. In PEFT's only published comparison
        AdaLoRA forgets half as much as LoRA, and learns less.
    """

    rank: int = setting(8, unit="1", low=1, integer=True, search=(4, 64), log=True)
    start: int = setting(12, unit="1", low=2, integer=True, search=(6, 96), log=True)
    alpha: float | None = setting(None, unit="1", low=0.0)
    dropout: float = setting(0.0, unit="probability", low=0.0, high=0.99, search=(0.0, 0.2))
    targets: str = setting("all-linear", unit="module names")
    warmup: float = setting(0.1, unit="share of steps", low=0.0, high=0.5, search=(0.0, 0.3))
    cooldown: float = setting(0.3, unit="share of steps", low=0.0, high=0.5, search=(0.1, 0.5))
    every: int = setting(10, unit="steps", low=1, integer=True, search=(1, 100), log=True)
    decay: float = setting(0.85, unit="1", low=0.001, high=0.9999, search=(0.8, 0.95))
    orthogonality: float = setting(0.5, unit="1", low=0.0, search=(0.1, 0.5))

    holds: ClassVar[bool] = False
    on_frozen: ClassVar[bool] = True

    def shape_model(self, run: Run) -> nn.Module:
        """Returns the PEFT model.

        Raises:
            HoldfastError: `start` is not above `rank`, the model already has an adapter, or `targets` matches nothing.
        """
        import peft

        if self.start <= self.rank:
            raise HoldfastError(f"{self!r}: give a start above the rank ({self.rank}), or take LoRA().")
        model: nn.Module = adapt(
            run,
            self,
            peft.AdaLoraConfig,
            init_r=self.start,
            target_r=self.rank,
            # PEFT divides by the rank at the start, which it keeps as a parameter.
            lora_alpha=2 * self.start if self.alpha is None else self.alpha,
            lora_dropout=self.dropout,
            orth_reg_weight=0.0,  # PEFT would add its penalty to every loss, also the base's; ours is below
            total_step=1,  # PEFT's own schedule, which is not used
        )
        layer: Any
        for layer in weight_layers(model):
            layer.ranknum[NAME].requires_grad_(False)  # PEFT trains it unless the model is float32
        return model

    def init_state(self, run: Run) -> State:
        """Returns both averages, set to zero, and a mask that keeps all triplets."""
        params = {name: p.detach() for name, p in trainable(run.model).items() if ".lora_" in name}
        return {
            "mean": {name: torch.zeros_like(p) for name, p in params.items()},
            "unsure": {name: torch.zeros_like(p) for name, p in params.items()},
            "kept": {name: torch.ones_like(p, dtype=torch.bool) for name, p in params.items() if ".lora_E." in name},
        }

    def penalty(self, state: State, step: Step) -> Tensor | float:
        """Returns the weighted distance of the factors from orthonormal."""
        if not self.orthogonality:
            return 0.0
        a = [p for name, p in step.params.items() if ".lora_A." in name]
        b = [p.T for name, p in step.params.items() if ".lora_B." in name]
        return self.orthogonality * not_orthogonal([*a, *b])

    @torch.no_grad()
    def after_step(self, state: State, step: Step) -> None:
        """Updates the averages, and sets the values of dropped triplets to zero."""
        done, begin = step.index + 1, round(self.warmup * step.total)
        end = max(step.total - round(self.cooldown * step.total), begin + 1)
        values = {name: p for name, p in step.params.items() if ".lora_E." in name}
        if done <= end:
            self._update_averages(state, step)
        if done == end or (begin < done < end and done % self.every == 0):
            bounds = {"first": self.start * len(values), "last": self.rank * len(values)}
            count = adalora_budget(done, **bounds, begin=begin, end=end)
            state["kept"] = kept_triplets({name: self._scores(state, name) for name in values}, count)
        if done >= end or (done > begin and done % self.every == 0):
            for name, p in values.items():
                p.mul_(state["kept"][name].to(p.device))

    def _update_averages(self, state: State, step: Step) -> None:
        for name, old in state["mean"].items():
            p = step.params[name]
            seen = torch.zeros_like(p) if p.grad is None else (p * p.grad).abs()
            mean = state["mean"][name] = torch.lerp(seen, old.to(p.device), self.decay)
            unsure = state["unsure"][name].to(p.device)
            state["unsure"][name] = torch.lerp((seen - mean).abs(), unsure, self.decay)

    def _scores(self, state: State, name: str) -> Tensor:
        names = [name.replace(".lora_E.", f".lora_{x}.") for x in "EAB"]
        return triplet_scores(*(state["mean"][n] * state["unsure"][n] for n in names))
