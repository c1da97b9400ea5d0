"""Finch: the learning rate follows the loss, so that the bound on forgetting is the same at every step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar

import torch

from holdfast.core.method import Method, State
from holdfast.core.run import Run, Step
from holdfast.core.settings import setting


def finch(mean_loss: float, cap: float = 2.5) -> float:
    """Returns the factor `min(1 / sqrt(mean_loss), cap)` on the learning rate, for a loss in nats per token."""
    return min(1.0 / math.sqrt(max(mean_loss, 1e-12)), cap)


@dataclasses.dataclass(frozen=True, repr=False)
class Finch(Method):
    """Lowers the learning rate where the loss is high.

    Scales the learning rate by one over the square root of the smoothed task loss.

        Lbar_s = decay * Lbar_{s-1} + (1 - decay) * L_s,   Lbar_0 = L_0
        eta_s  = min(eta_base / sqrt(Lbar_s + eps), eta_max)

    L_s is the mean loss of the step in nats per supervised token, eta_base is the learning rate of the run, and `cap` =
    eta_max / eta_base. At a loss of 1 nat the rate is eta_base; harder batches move the weights less.

    Args:
        decay: The paper's smoothing constant a.
        cap: Largest factor, eta_max / eta_base; 5e-5 / 2e-5 = 2.5 in the sources.

    Reference:
        Prashant, Zhu, Creo, Salimi, FINCH, 2026, arXiv 2605.20005 (practical rule).

    Confidence:
        note: Two accounts of the paper and one implementation agree on the rule; eta_base is not confirmed.

    Cost:
        Nothing.

    Departs:
        The average moves once per optimizer step, on the mean over micro-batches and processes (a published
        implementation moves it per micro-batch, so accumulation over k turns a into a^k). Only new examples count, so
        that rehearsed ones do not make the task look learned. Steps without new tokens do not change the average. If
        the trainer uses another loss (label smoothing, TRL's DFT, experts' auxiliary loss), L_s is still the mean loss
        of the predictions. The paper's eta_base is that of full fine-tuning; adapters take about ten times that (our
        inference).
    """

    decay: float = setting(0.9, unit="1", low=0.0, high=0.9999, search=(0.5, 0.99))
    cap: float = setting(2.5, unit="factor on lr", low=0.0, search=(1.0, 5.0))

    means: ClassVar[frozenset[str]] = frozenset({"nll_N"})
    once: ClassVar[str] = "two Finches would multiply; give Finch() once."
    excludes: ClassVar[Mapping[str, str]] = {
        "Cosine": "Finch replaces the cosine: it sets the rate from the loss and lets it rise as the loss falls.",
    }

    def init_state(self, run: Run) -> State:
        """Returns the empty average: NaN until the first loss is seen."""
        return {"mean_loss": torch.tensor(math.nan, dtype=torch.float64)}

    def scale_lr(self, state: State, step: Step) -> float:
        """Moves the average by this step's loss and returns the factor."""
        loss, mean = step.means["nll_N"], float(state["mean_loss"])
        if math.isfinite(loss):
            mean = loss if math.isnan(mean) else self.decay * mean + (1.0 - self.decay) * loss
            state["mean_loss"] = torch.tensor(mean, dtype=torch.float64)
        return 1.0 if math.isnan(mean) else finch(mean, self.cap)
