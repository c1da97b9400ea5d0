"""The short retraining of a healing: a run of the ordinary trainer on the base, begun at the edited weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.given.heal_spec import SELF
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.heal.inputs import HealInputs
from holdfast.bench.run.run import RunResult, train

RATE, BATCH = 1e-5, 16
"""Learning rate where no run says that of the fine-tune, and examples of a step."""
SLOWER = 0.5
"""Share of the fine-tune's learning rate at which it is retrained."""
RATIO, STRENGTH = 0.5, 3.0
"""Share of old examples among the tokens, and strength of the penalty to the base on them."""


def retrain(inputs: HealInputs, start: Path, folder: Path, console: Console) -> RunResult:
    """Trains from the weights in `start`; the penalty compares with the base, not with these weights.

    Args:
        inputs: The inputs of the healing.
        start: Folder of whole weights.
        folder: Folder of the healing; the run lies in it.
        console: Console for progress.

    Raises:
        HoldfastError: As `holdfast.bench.run.run.train` does.
    """
    spec, run = inputs.spec, inputs.run
    assert spec.data is not None
    ranks: dict[str, Any] = {}
    if spec.reranks:
        ranks = {"task": "rerank", "depth": spec.depth}
        if run is not None:
            ranks |= {name: getattr(run, name) for name in ("loss", "negatives", "easy")}
    return train(
        RunSpec(
            model=spec.base,
            data=spec.data,
            held_out=run.held_out if run is not None and spec.test is None else 0.0,
            memory=() if spec.memory == (SELF,) else spec.memory,
            recipe=spec.recipe or recipe_of(inputs),
            out=str(folder / "retrained"),
            resume=True,
            batch_size=run.batch_size if run is not None else 8,
            max_length=spec.max_length,
            raw=spec.raw,
            loss_on=spec.loss_on,
            over_long=spec.over_long,
            refused=spec.refused,
            preference=spec.preference,
            precision=spec.precision,
            eval_batch_tokens=spec.eval_batch_tokens,
            **ranks,
        ),
        console,
        start=start,
    )


def recipe_of(inputs: HealInputs) -> str:
    """Returns the recipe of a retraining: one epoch at a small rate, with old examples and a penalty on them."""
    rate = RATE if inputs.rate is None else SLOWER * inputs.rate
    names = ", ".join(inputs.sources)
    old = f"Rehearsal(memory={names!r}, ratio={RATIO})" if names else f"SelfRehearsal(ratio={RATIO})"
    return f"Train(lr={rate:g}, epochs=1, batch={BATCH}) + Cosine() + BaseKL(strength={STRENGTH}, on='memory') + {old}"
