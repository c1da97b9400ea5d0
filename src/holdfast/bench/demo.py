"""`holdfast demo`: a very small base model learns new facts, plainly and held, and both are measured side by side."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers.utils.logging import disable_progress_bar

from holdfast.bench.progress import Progress
from holdfast.bench.records import RunSpec
from holdfast.bench.run import RunResult, train
from holdfast.ground.base import load_or_build
from holdfast.ground.sentences import DemoFiles, write_demo_data

SETTINGS = "Train(lr=1e-3, epochs=4, batch=16) + Cosine()"
RECIPES = {
    "plain": SETTINGS,
    "held": f"{SETTINGS} + MaskTheTarget() + Rehearsal('memory', ratio=0.2)",
}
"""What is compared: the same training without anything, and with a leash to the base and some rehearsal."""


@dataclasses.dataclass(frozen=True)
class DemoResult:
    """The finished runs, by the name of their recipe."""

    runs: dict[str, RunResult]
    exit_code: int = 0


def demo(out: str = "demo-runs", seed: int = 0, console: Console | None = None) -> DemoResult:
    """Builds the base (once), runs both recipes, and returns the finished runs.

    Args:
        out: Folder for base, data and runs; what is finished there is used again.
        seed: Seed of the fine-tuning; world and base are always the same.
        console: Where progress is printed; the terminal if absent.

    Raises:
        HoldfastError: The folder cannot be used.
    """
    console = console or Console()
    disable_progress_bar()  # of transformers: the run shows its own
    folder = Path(out)
    base = _base(folder / "base", console)
    files = write_demo_data(folder / "data")
    return DemoResult(
        {name: train(_spec(name, recipe, seed, base, files, folder), console) for name, recipe in RECIPES.items()}
    )


def _base(folder: Path, console: Console) -> Path:
    with Progress(console) as progress:
        advance: list[Any] = []

        def show(step: int, total: int, loss: float) -> None:
            if not advance:
                console.print("Training a very small base model on a made-up world (about a minute, once) ...")
                advance.append(progress.task("training the base", total))
            advance[0](step, loss=loss)

        return load_or_build(folder, progress=show)


def _spec(name: str, recipe: str, seed: int, base: Path, files: DemoFiles, folder: Path) -> RunSpec:
    return RunSpec(
        model=str(base),
        data=str(files.train),
        test=str(files.test),
        keep=tuple(str(path) for path in files.keep.values()),
        memory=(f"memory={files.memory}",) if "Rehearsal" in recipe else (),
        recipe=recipe,
        out=str(folder),
        name=f"{name}-seed{seed}",
        seed=seed,
        max_length=64,
        batch_size=16,
        resume=True,
        training={"save_strategy": "no"},
    )
