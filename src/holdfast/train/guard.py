"""The guard: watches what is to be kept while a trainer trains, and stops it when the budget is spent."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import broadcast
from transformers import TrainerCallback

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example, Mix
from holdfast.data.memory import load_memory
from holdfast.probes.likelihood import document_nll
from holdfast.train.mixing import row_limit

logger = logging.getLogger("holdfast")


class Guard(TrainerCallback):
    """Measures the kept texts every few steps, logs the change, and stops after two looks in a row over the budget.

    It never raises while training: a likelihood that is no number counts as over the budget. Two looks and not one:
    the estimate moves, and a single look over the line is often back under it at the next. The number at the start is
    part of the recipe's state, so a resumed run goes on comparing with the model before training.
    """

    def __init__(self, trainer: Any, budget: Budget) -> None:
        """Prepares the texts; `trainer` is one that is being attached."""
        if budget.nll is None or budget.keep is None:
            raise HoldfastError(
                "A guard watches texts: give Budget(nll=0.02, keep='general.txt'), in nats per token; points are judged"
                " after training."
            )
        self.trainer = trainer
        self.limit: float = budget.nll
        self.every = budget.every
        self.examples = _examples(trainer, budget)
        self.start: float | None = None

    def check_apart(self, mix: Mix | None) -> None:
        """Says how many of the kept texts are also rehearsed: they show memory, not what is kept."""
        rehearsed = {tuple(example.input_ids) for example in (mix.examples if mix is not None else ())}
        both = sum(tuple(example.input_ids) in rehearsed for example in self.examples)
        if both:
            logger.warning(
                "%d of %d kept texts are trained on as well: the budget will look better kept than it is.",
                both,
                len(self.examples),
            )

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measures the start, unless a checkpoint has it."""
        own = self.trainer.holdfast.state.setdefault("guard", {})
        if "before" not in own:
            before = self.start = self._nll() if self.start is None else self.start
            if not math.isfinite(before):
                raise HoldfastError(
                    "Budget(keep=...): the model's likelihood of the kept texts is no number at the start."
                )
            own["before"] = torch.tensor(before, dtype=torch.float64)
            own["over"] = torch.tensor(0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Looks, when it is time, and asks for an end of the training."""
        if state.global_step % self.every and state.global_step != state.max_steps:
            return
        own = self.trainer.holdfast.state["guard"]
        change = self._nll() - float(own["before"])
        own["over"] = torch.tensor(0) if change <= self.limit else own["over"] + 1
        if math.isfinite(change):
            self.trainer.holdfast.notes["kept_nll_change"] = change
        if int(own["over"]) >= 2:
            logger.warning(
                "Step %d: the kept texts have lost %.3f nats per token, over the budget of %.3f at two looks in a row;"
                " training stops here.",
                state.global_step,
                change,
                self.limit,
            )
            control.should_training_stop = True
            control.should_save = args.save_strategy != "no"
            control.should_log = True

    def _nll(self) -> float:
        """Mean nats per token, measured by the first process and told to the others."""
        mean = torch.zeros((), dtype=torch.float64, device=self.trainer.args.device)
        if self.trainer.args.process_index == 0:
            try:
                scores = document_nll(self.trainer.holdfast.model, self.examples)
                mean += sum(score.nats for score in scores) / sum(score.tokens for score in scores)
            except HoldfastError:  # a likelihood that is not finite
                mean += math.inf
        return float(broadcast(mean))


def _examples(trainer: Any, budget: Budget) -> list[Example]:
    keep = budget.keep
    if isinstance(keep, Sequence) and len(keep) and isinstance(keep[0], Example):
        if not any(label != -100 for example in keep for label in example.labels[1:]):
            raise HoldfastError("Budget(keep=...) has no token to score: give examples with supervised labels.")
        return list(keep)
    if trainer.processing_class is None:
        raise HoldfastError("Budget(keep=...) needs a tokenizer: give the trainer processing_class=tokenizer.")
    return load_memory(keep, trainer.processing_class, max_length=row_limit(trainer))
