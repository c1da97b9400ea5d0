"""`holdfast demo`: the base that comes along learns new facts, plainly and held, and all is measured side by side."""

from __future__ import annotations

import dataclasses

from rich.console import Console

from holdfast.bench.records import RunSpec
from holdfast.bench.run import RunResult, train
from holdfast.ground.names import BASE

RECIPES = {
    "plain": "Train(lr=5e-4, epochs=3, batch=16) + Cosine()",
    "held": "Train(lr=2.5e-4, epochs=3, batch=16) + Holdfast()",
    "held-old": "Train(lr=2.5e-4, epochs=3, batch=16) + Holdfast('ground:general/memory')",
}
"""What is compared: plain training at the rate at which it loses little, and Holdfast at half of it: where the base
writes the old documents itself, and where there are some (docs/which-method.md)."""
BUDGET = {"points": 2, "on_spent": "log"}
"""What may be lost; it is judged and nothing is done about it, so that all recipes train to the end."""


@dataclasses.dataclass(frozen=True)
class DemoResult:
    """The finished runs, by the name of their recipe."""

    runs: dict[str, RunResult]
    exit_code: int = 0


def demo(out: str = "demo-runs", seed: int = 0, console: Console | None = None) -> DemoResult:
    """Runs all recipes on the base that comes with the package, and returns the finished runs.

    Args:
        out: Folder for the runs; what is finished there is used again.
        seed: Seed of the fine-tuning; base and data are always the same.
        console: Where progress is printed; the terminal if absent.

    Raises:
        HoldfastError: The folder cannot be used.
    """
    console = console or Console()
    return DemoResult({name: train(_spec(name, recipe, seed, out), console) for name, recipe in RECIPES.items()})


def _spec(name: str, recipe: str, seed: int, out: str) -> RunSpec:
    return RunSpec(
        model=BASE,
        data="ground:people",
        test="ground:people/cut",
        keep=("ground:suites/cut",),
        budget=BUDGET,
        recipe=recipe,
        out=out,
        name=f"{name}-seed{seed}",
        seed=seed,
        max_length=128,
        batch_size=16,
        resume=True,
        training={"save_strategy": "no"},
    )
