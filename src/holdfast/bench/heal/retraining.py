"""The short retraining of a healing: a run of the ordinary trainer on the base, begun at the edited weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.given.heal_spec import SELF
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.heal.inputs import HealInputs
from holdfast.bench.measured.preparation import reading_of
from holdfast.bench.run.folder import folder_of
from holdfast.bench.run.pushing import OURS as PUSHED
from holdfast.bench.run.run import RunResult, train
from holdfast.recipe import parse
from holdfast.train.settings import SET_BY, train_of

RATE, BATCH = 1e-5, 16
"""Learning rate where no run says that of the fine-tune, and examples of a step."""
SLOWER = 0.5
"""Share of the fine-tune's learning rate at which it is retrained."""
RATIO, STRENGTH = 0.5, 3.0
"""Share of old examples among the tokens, and strength of the penalty to the base on them."""


def retrain(inputs: HealInputs, start: Path, begun: str, folder: Path, console: Console) -> RunResult:
    """Trains from the weights in `start`; the penalty compares with the base, not with these weights.

    Args:
        inputs: The inputs of the healing.
        start: Folder of whole weights.
        begun: Name of these weights, which the folder of the run has in its own.
        folder: Folder of the healing; the run lies in it.
        console: Console for progress.

    Raises:
        HoldfastError: As `holdfast.bench.run.run.train` does.
    """
    spec = retraining_spec(inputs, folder)
    named = dataclasses.replace(spec, name=f"{folder_of(spec).name}-{begun}")
    return train(named, console, start=start)


def retraining_spec(inputs: HealInputs, folder: Path) -> RunSpec:
    """Returns the options of the retraining: those of the run that is healed, where there is one.

    What the recipe sets itself stays out of `training`, and so does an upload, which is for judged models.

    Args:
        inputs: The inputs of the healing.
        folder: Folder of the healing.
    """
    spec, run = inputs.spec, inputs.run
    assert spec.data is not None
    recipe = spec.recipe or recipe_of(inputs)
    more: dict[str, Any] = {}
    if run is not None:
        more = {name: getattr(run, name) for name in ("seed", "packing", "memory_check", "batch_size")}
        more["training"] = {key: value for key, value in run.training.items() if key not in {*PUSHED, *set_by(recipe)}}
    if spec.reranks:
        more |= {"task": "rerank", "depth": spec.depth}
        if run is not None:
            more |= {name: getattr(run, name) for name in ("loss", "negatives", "easy")}
    return RunSpec(
        model=spec.base,
        data=spec.data,
        held_out=run.held_out if run is not None and spec.test is None else 0.0,
        memory=() if spec.memory == (SELF,) else spec.memory,
        recipe=recipe,
        out=str(folder / "retrained"),
        resume=True,
        preference=spec.preference,
        precision=spec.precision,
        eval_batch_tokens=spec.eval_batch_tokens,
        **reading_of(spec),
        **more,
    )


def set_by(recipe: str) -> set[str]:
    """Returns the trainer's arguments that a recipe sets, and which a run then refuses in its `training`."""
    methods = parse(recipe)
    own = {key for key, setting in SET_BY.items() if getattr(train_of(methods), setting) is not None}
    return own | ({"lr_scheduler_type"} if methods.active().uses("scale_lr") else set())


def recipe_of(inputs: HealInputs) -> str:
    """Returns the recipe of a retraining: one epoch at a small rate, with old examples and a penalty on them."""
    rate = RATE if inputs.rate is None else SLOWER * inputs.rate
    names = ", ".join(inputs.sources)
    old = f"Rehearsal(memory={names!r}, ratio={RATIO})" if names else f"SelfRehearsal(ratio={RATIO})"
    return f"Train(lr={rate:g}, epochs=1, batch={BATCH}) + Cosine() + BaseKL(strength={STRENGTH}, on='memory') + {old}"
