"""The recipes of a plan as text, and the memory that each kind needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from holdfast.bench.plan.facts import PlanInputs
from holdfast.bench.plan.record import NeedRow
from holdfast.bench.plan.rules.training import usual_batch
from holdfast.bench.plan.situation import Kind
from holdfast.bench.run.arguments import training_arguments
from holdfast.bench.run.estimate import Estimate, estimate
from holdfast.bench.run.folder import folder_of
from holdfast.core.method import chain
from holdfast.recipe import parse
from holdfast.train.settings import train_of, without_train

RANK = 16
"""Rank of `LoRA()`, and so of `Holdfast(adapter=True)`."""
FOUR_BITS = 0.5625
"""Bytes of a 4-bit weight with its share of the constants (one float32 of 64 weights): 4.5 bits (2305.14314)."""
FIT = 0.9
"""Share of the free memory that a recipe may need, because the estimate leaves out libraries and the allocator."""


def recipe_text(kind: Kind, old: Sequence[str] = (), rank: int = RANK, *, prompts: bool = False, **train: float) -> str:
    """Returns the recipe of a kind as text; empty if nothing fits.

    Args:
        kind: The kind.
        old: Names of old examples; without any, the base writes some.
        rank: Rank of a new adapter.
        prompts: Whether the model rehearses its own answers to prompts, and its own refusals.
        train: Settings of `Train`.
    """
    settings = ", ".join(f"{name}={value:g}" for name, value in train.items())
    memory = ", ".join(old)
    if kind == "none":
        return ""
    if kind == "full" or (kind == "adapter" and rank == RANK):
        given = [repr(memory)] if memory else []
        given += [f"{name}=True" for name, is_so in (("adapter", kind == "adapter"), ("prompts", prompts)) if is_so]
        parts = [f"Holdfast({', '.join(given)})"]
    else:
        first = f"LoRA(rank={rank})" if kind == "adapter" else f"QLoRA(rank={rank}, alpha={2 * rank})"
        written = "PromptRehearsal()" if prompts else "SelfRehearsal(ratio=0.5)"
        rehearsal = f"Rehearsal({memory!r}, ratio=0.5)" if memory else written
        parts = [first, "WSD()", "BaseKL(on='memory')", rehearsal, *(["RefusalRehearsal()"] if prompts else [])]
    return " + ".join([*([f"Train({settings})"] if settings else []), *parts])


def kinds(inputs: PlanInputs, is_adapter: bool) -> dict[Kind, str]:
    """Returns the recipe of each kind that is possible, without settings of the training."""
    old = tuple(inputs.run.memories())
    adapters: dict[Kind, str] = {} if is_adapter else {"adapter": recipe_text("adapter", old)}
    return {"full": recipe_text("full", old), **adapters}


def others(is_adapter: bool) -> list[str]:
    """Returns the recipes that a plan shows beside its own."""
    cheap = "FreezeBottom() + WSD() + MaskTheTarget()"
    return ["Train()", *([] if is_adapter else ["LoRA()", cheap])]


def estimated(inputs: PlanInputs, texts: Sequence[str]) -> dict[str, Estimate]:
    """Returns the estimate of the memory of each recipe, with the advised rows of a step if it names none."""
    estimates, batch = {}, usual_batch(len(inputs.data.train))
    for text in texts:
        recipe = parse(text)
        train = train_of(recipe)
        recipe = chain(dataclasses.replace(train, batch=train.batch or batch), *without_train(recipe))
        arguments = training_arguments(inputs.run, recipe, folder_of(inputs.run) / "checkpoints")
        estimates[text] = estimate(inputs.run.model, inputs.config, recipe, arguments, inputs.longest)
    return estimates


def four_bits(need: Estimate) -> int | None:
    """Returns the bytes of an adapter on 4-bit weights, by a formula; None if no weight has 16 bits in its file."""
    narrow = (4 * need.parameters - need.parts["weights"]) // 2
    return round(need.total - narrow * (2 - FOUR_BITS)) if narrow > 0 else None


def need_rows(estimates: Mapping[str, Estimate], free: int) -> list[NeedRow]:
    """Returns the memory of each recipe as rows."""
    return [
        NeedRow(recipe=text, bytes=need.total, trained=need.trained, fits=need.quantised or need.total <= FIT * free)
        for text, need in estimates.items()
    ]
