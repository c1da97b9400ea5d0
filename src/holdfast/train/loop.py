"""The reference loop: what a training step is, in plain sight.

This is the specification, not the way to train: the Hugging Face path (`holdfast.attach`) must retrace it step for
step. It keeps all logits at once, knows one process, and shares with the real path only the methods themselves.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.method import Chain, State
from holdfast.core.params import snapshot, trainable
from holdfast.core.run import SHOWN, SOURCE, Step
from holdfast.core.teacher import evaluating
from holdfast.core.tokens import PLACES, Tokens
from holdfast.probes.generate import continued

Batch = Mapping[str, Any]


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
    """Trains `model` in place and returns a record (task loss of new units, learning-rate factor) of each step.

    Args:
        model: The model to train; its parameters are in `optimizer` (one group per learning rate).
        base: The frozen base, for recipes that need it.
        steps: For each optimizer step its micro-batches: `input_ids`, `attention_mask`, `labels` and, where there
            are memories, `SOURCE`, `[B, T]`.
        recipe: The active methods, their model shaping and parameter groups already applied.
        state: Their state.
        optimizer: Any torch optimizer.
        clip: Largest gradient norm; 0 for none.
        hold: Factor on all added terms.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    start = snapshot(trainable(model))
    record = []
    for index, given in enumerate(steps):
        params = trainable(model)
        begun = Step(index, len(steps), {}, params, start=start, write=functools.partial(continued, model))
        micro_batches = recipe.renew_batches(state, begun, given)
        units = sum(int((b["labels"][:, 1:] != -100).sum()) for b in micro_batches)
        sums: dict[str, float] = {}
        seen: dict[str, list[Tensor]] = {name: [] for name in recipe.all_sees}
        for batch in micro_batches:
            tok = tokens(model, base, batch)
            weights_N = recipe.weigh_tokens(state, tok).detach()
            loss_N = torch.where(weights_N == 0, 0.0, tok.nll_N) * weights_N + hold * recipe.token_loss(state, tok)
            (loss_N.sum() / units).backward()
            new = tok.is_on("new")
            for name in {"nll_N"} | {need for need in recipe.all_needs - PLACES if need.endswith("_N")}:
                sums[name] = sums.get(name, 0.0) + float(getattr(tok, name).detach()[new].sum())
            sums["new"] = sums.get("new", 0.0) + float(new.sum())
            for name, parts in seen.items():
                parts.append(_per_row(tok, new) if name == "document_nll" else getattr(tok, name).detach()[new])
        means = {name: value / sums["new"] if sums["new"] else math.nan for name, value in sums.items()}
        values = {name: torch.cat(parts) for name, parts in seen.items()}
        step = Step(index, len(steps), means, params, gradient_of(model, base), start, values)
        extra = recipe.penalty(state, step)
        if isinstance(extra, Tensor):
            (hold * extra).backward()
        factor = recipe.scale_lr(state, step)
        if clip:
            nn.utils.clip_grad_norm_(params.values(), clip)
        recipe.edit_grads(state, step)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        before = snapshot(params) if recipe.uses("edit_update") else {}
        optimizer.step()
        for name, old in before.items():
            params[name].data = recipe.edit_update(state, step, name, old, params[name].data)
        recipe.after_step(state, step)
        optimizer.zero_grad()
        record.append({"task_loss": means["nll_N"], "lr_factor": factor})
    return record


def tokens(model: nn.Module, base: nn.Module | None, batch: Batch) -> Tokens:
    """Returns all supervised units of a batch, with full logits of both models; `unit` and `document` number them."""
    scored = batch["labels"][:, 1:] != -100
    rows = torch.arange(scored.shape[0])[:, None].expand_as(scored)
    inputs = _read(batch)
    base_logits = None
    if base is not None:
        shown = batch.get(SHOWN, batch)
        with torch.no_grad(), evaluating(model):
            weights = shown.get("weights")
            out = torch.func.functional_call(model, weights, (), _read(shown)) if weights else base(**_read(shown))
            base_logits = out.logits[:, :-1][shown["labels"][:, 1:] != -100]
    logits = model(**inputs).logits[:, :-1][scored]
    source = batch[SOURCE][:, 1:][scored] if SOURCE in batch else torch.zeros_like(batch["labels"][:, 1:][scored])
    places = {f"{name}_N": batch[name][:, :-1][scored] for name in ("unit", "document") if name in batch}
    return Tokens(logits, batch["labels"][:, 1:][scored], source, rows[scored], base_logits_NV=base_logits, **places)


def _read(batch: Batch) -> dict[str, Tensor]:
    return {k: v for k, v in batch.items() if k in ("input_ids", "attention_mask", "position_ids")}


def _per_row(tok: Tokens, new: Tensor) -> Tensor:
    rows = tok.segment_N[new]
    return torch.stack([tok.nll_N.detach()[new][rows == row].mean() for row in rows.unique()])


def gradient_of(model: nn.Module, base: nn.Module | None) -> Callable[..., dict[str, Tensor]]:
    """Returns a function: batch, term -> gradient of the mean of the term (the token loss if absent), by parameter."""

    def gradient(batch: Batch, term: Callable[[Tokens], Tensor] | None = None) -> dict[str, Tensor]:
        params = trainable(model)
        with evaluating(model, gradients=True):
            tok = tokens(model, base, batch)
            loss = (tok.nll_N if term is None else term(tok)).mean()
            grads = torch.autograd.grad(loss, list(params.values()), allow_unused=True)
        return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(params.items(), grads, strict=True)}

    return gradient
