"""The second layer of the reference loop: the requests of single methods. Read `loop.py` first.

Tests compare the trainer with this loop. It adds renewed batches, numbers of tokens, other input for the base, and the
fields of `Step` besides the means.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.method import Chain, State
from holdfast.core.params import snapshot, trainable
from holdfast.core.run import SHOWN, SOURCE, Step
from holdfast.core.teacher import evaluating
from holdfast.core.tokens import Tokens
from holdfast.probes.generation import continued
from holdfast.train.loop import Loop

Batch = Mapping[str, Any]
"""As in `loop.py`; the key `SHOWN` holds the batch that the base reads instead (see `holdfast.core.run.SHOWN`)."""


class FullLoop(Loop):
    """The loop with everything that a method may use."""

    def train(self, steps: Sequence[Sequence[Batch]]) -> list[dict[str, float]]:
        """Trains on the micro-batches of each step and returns the record of each step."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        self.start = snapshot(trainable(self.model))  # a method that asks for "start" compares with these weights
        return [self.step(index, len(steps), batches, rates) for index, batches in enumerate(steps)]

    def step(self, index: int, total: int, batches: Sequence[Batch], rates: Sequence[float]) -> dict[str, float]:
        """Takes one optimizer step on the batches that `renew_batches` returns for its micro-batches."""
        # Renewing comes before counting, because the divisor of the loss is the number of the renewed tokens.
        begun = self._step(Step(index, total, {}, trainable(self.model)))
        self.seen: dict[str, list[Tensor]] = {name: [] for name in self.recipe.needs.sees}
        return super().step(index, total, self.recipe.renew_batches(self.state, begun, batches), rates)

    def tokens(self, batch: Batch) -> Tokens:
        """Returns the tokens of a batch, and stores the values of the new ones that a method sees."""
        tok = tokens(self.model, self.base, batch)
        new_N = tok.is_on("new")
        for name, parts in self.seen.items():
            parts.append(_per_row(tok, new_N) if name == "document_nll" else getattr(tok, name).detach()[new_N])
        return tok

    def shown(self, step: Step) -> Step:
        """Returns the step with the start weights, the gradient on other batches, and the seen values."""
        return self._step(dataclasses.replace(step, values={name: torch.cat(p) for name, p in self.seen.items()}))

    def _step(self, step: Step) -> Step:
        write = functools.partial(continued, self.model)
        return dataclasses.replace(step, gradient=gradient_of(self.model, self.base), start=self.start, write=write)


def train_reference(
    model: nn.Module,
    base: nn.Module | None,
    steps: Sequence[Sequence[Batch]],
    recipe: Chain,
    state: State,
    optimizer: torch.optim.Optimizer,
    *,
    clip: float = 1.0,
    hold: float = 1.0,
) -> list[dict[str, float]]:
    """Trains `model` in place and returns a record (task loss of new tokens, learning-rate factor) of each step.

    Args:
        model: The model to train; `optimizer` has its parameters, in one group per learning rate.
        base: The frozen base, for recipes that need it.
        steps: The micro-batches of each optimizer step: `input_ids`, `attention_mask`, `labels` and, with memories,
            `SOURCE`, `[B, T]` each.
        recipe: The active methods; their model shaping and parameter groups are already applied.
        state: State of the recipe.
        optimizer: Any torch optimizer.
        clip: Largest gradient norm; 0 for no clipping.
        hold: Factor on the added terms.
    """
    return FullLoop(model, base, recipe, state, optimizer, clip, hold).train(steps)


def tokens(model: nn.Module, base: nn.Module | None, batch: Batch) -> Tokens:
    """Returns all supervised tokens of a batch, with full logits of both models.

    The optional keys `token` and `document`, `[B, T]`, hold the values of `token_N` and `document_N`. The optional key
    `SHOWN` holds another batch for the base, with the same number of supervised positions.
    """
    scored = batch["labels"][:, 1:] != -100
    rows = torch.arange(scored.shape[0])[:, None].expand_as(scored)
    base_logits = None
    if base is not None:
        shown = batch.get(SHOWN, batch)
        with torch.no_grad(), evaluating(model):
            weights = shown.get("weights")
            # Other weights (an average) need the trained model itself, because the base has no adapters.
            out = torch.func.functional_call(model, weights, (), _read(shown)) if weights else base(**_read(shown))
            base_logits = out.logits[:, :-1][shown["labels"][:, 1:] != -100]
    logits = model(**_read(batch)).logits[:, :-1][scored]
    source = batch[SOURCE][:, 1:][scored] if SOURCE in batch else torch.zeros_like(batch["labels"][:, 1:][scored])
    places = {f"{name}_N": batch[name][:, :-1][scored] for name in ("token", "document") if name in batch}
    return Tokens(logits, batch["labels"][:, 1:][scored], source, rows[scored], base_logits_NV=base_logits, **places)


def _read(batch: Batch) -> dict[str, Tensor]:
    return {k: v for k, v in batch.items() if k in ("input_ids", "attention_mask", "position_ids")}


def _per_row(tok: Tokens, new_N: Tensor) -> Tensor:
    rows = tok.segment_N[new_N]
    return torch.stack([tok.nll_N.detach()[new_N][rows == row].mean() for row in rows.unique()])


def gradient_of(model: nn.Module, base: nn.Module | None) -> Callable[..., dict[str, Tensor]]:
    """Returns `gradient(batch, term)`: the gradient of a term's mean (by default the token loss), by parameter name."""

    def gradient(batch: Batch, term: Callable[[Tokens], Tensor] | None = None) -> dict[str, Tensor]:
        params = trainable(model)
        with evaluating(model, gradients=True):
            tok = tokens(model, base, batch)
            loss = (tok.nll_N if term is None else term(tok)).mean()
            grads = torch.autograd.grad(loss, list(params.values()), allow_unused=True)
        return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(params.items(), grads, strict=True)}

    return gradient
