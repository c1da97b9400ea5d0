"""The rungs of a pilot, from the least to the most that holds a model to its base, as recipes of the full run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from holdfast.bench.fit.trials import Candidate
from holdfast.bench.plan.recipes import RANK, recipe_text
from holdfast.bench.plan.record import PlanRecord
from holdfast.bench.plan.rules.training import adapter_rate, full_rate
from holdfast.core.method import Chain
from holdfast.methods.rehearsal.refusal_rehearsal import RefusalRehearsal
from holdfast.methods.selection.lora import LoRA
from holdfast.methods.selection.qlora import QLoRA
from holdfast.recipe import parse
from holdfast.train.settings import train_of


@dataclasses.dataclass(frozen=True)
class Rung:
    """A rung of the ladder.

    Attributes:
        name: Its name.
        candidate: Its recipe for the full run.
        plain: Whether nothing holds it to the base, so that only a model that forgets nothing passes it.
    """

    name: str
    candidate: Candidate
    plain: bool = False


@dataclasses.dataclass(frozen=True)
class Ladder:
    """The rungs that fit into memory, and what was left out.

    Attributes:
        rungs: The rungs, the lowest first.
        left_out: Sentences on rungs that were left out.
    """

    rungs: tuple[Rung, ...]
    left_out: tuple[str, ...] = ()


def ladder_of(plan: PlanRecord, old: Sequence[str]) -> Ladder:
    """Returns the ladder of a plan: all weights, LoRA, LoRA with old examples, all weights with old examples.

    If the plan lets the model answer prompts, so do the rungs with old examples. For a chat model that may refuse, a
    rung of LoRA with refusals alone comes before them. Epochs, batch and rank are those of the plan; the rates are
    those of its rules for all weights and for adapters. A model that is an adapter already has no rung of LoRA, and one
    on 4-bit weights no rung of all weights.

    Args:
        plan: The plan, which advises a recipe.
        old: Names of the old examples.
    """
    rungs, left = list[Rung](), list[str]()
    for need, rung in _rungs(plan, parse(plan.recipe), old):
        if all(row.fits for row in plan.memory if _is_of(need, row.recipe)):
            rungs.append(rung)
        else:
            left.append(f"{rung.name}: does not fit into memory.")
    return Ladder(tuple(rungs), tuple(left))


Need = Literal["Train()", "LoRA()", "full", "adapter", "qlora"]
"""What a rung needs: the memory that the plan estimates for a recipe or a kind of recipe."""


def _rungs(plan: PlanRecord, advised: Chain, old: Sequence[str]) -> Iterator[tuple[Need, Rung]]:
    """Yields the rungs, each with what it needs."""
    settings, size = train_of(advised), plan.model.parameters
    epochs, batch = float(settings.epochs or 1), float(settings.batch or 1)
    rank = next((part.rank for part in advised.parts() if isinstance(part, (LoRA, QLoRA))), RANK)
    rate, small = full_rate(size), adapter_rate(size)
    is_adapter, is_quantised = plan.model.is_adapter, any(isinstance(part, QLoRA) for part in advised.parts())
    whole: dict[str, Any] = {"lr": small if is_adapter else rate, "epochs": epochs, "batch": batch}
    adapted = {**whole, "lr": small}
    prompts = any(isinstance(part, RefusalRehearsal) for part in advised.parts())
    name = "the adapter" if is_adapter else "all weights"
    if not is_quantised:
        yield "Train()", Rung(name, Candidate.of(f"{_train(**whole)} + WSD()"), plain=True)
    if not is_adapter:
        first, need, kind = _adapter(rank, is_quantised)
        yield need, Rung("LoRA", Candidate.of(f"{_train(**adapted)} + {first} + WSD()"))
        if prompts and plan.model.chat:
            held = f"{_train(**adapted)} + {first} + WSD() + BaseKL(on='memory') + RefusalRehearsal()"
            yield need, Rung("LoRA with refusals", Candidate.of(held))
        text = recipe_text(kind, old, rank, prompts=prompts, **adapted)
        yield kind, Rung("LoRA with old examples", Candidate.of(text))
    if not is_quantised:
        text = recipe_text("full", old, prompts=prompts, **whole)
        yield "full", Rung(f"{name} with old examples", Candidate.of(text))


def _adapter(rank: int, is_quantised: bool) -> tuple[str, Need, Literal["qlora", "adapter"]]:
    """Returns a new adapter as text, what it needs alone, and what it needs with old examples."""
    if is_quantised:
        return f"QLoRA(rank={rank}, alpha={2 * rank})", "qlora", "qlora"
    return f"LoRA(rank={rank})", "LoRA()", "adapter"


def _train(**settings: float) -> str:
    return f"Train({', '.join(f'{name}={value:g}' for name, value in settings.items())})"


def _is_of(need: Need, recipe: str) -> bool:
    """Returns whether the plan's estimate for a recipe is that of what a rung needs; 4-bit weights have none."""
    if need in ("Train()", "LoRA()"):
        return recipe == need
    return recipe.startswith("Holdfast(") and ("adapter=True" in recipe) == (need == "adapter") and need != "qlora"
