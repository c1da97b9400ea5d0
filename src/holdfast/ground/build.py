"""`python -m holdfast.ground.build --seed S`: builds a world's base from scratch, with its log, scores and card.

The build runs in a separate folder, `FOLDER.partial`, which keeps the last checkpoint: the same command continues from
there and reaches the same weights. The finished folder is then renamed to `FOLDER`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import GenerationConfig, PreTrainedTokenizerFast

from holdfast.core.errors import HoldfastError
from holdfast.ground import card, pretrain
from holdfast.ground.corpus import PROOF, WATCH, lessons
from holdfast.ground.pretrain import Settings
from holdfast.ground.tokenizer import build_tokenizer
from holdfast.ground.world import World
from holdfast.probes.items import Item

Tell = Callable[[str, int, int], None]
"""Callback for progress: receives a description of the work, the amount done, and the total amount."""


def build(
    folder: str | Path,
    seed: int = 0,
    settings: Settings | None = None,
    *,
    watch: int = WATCH,
    proof: int = PROOF,
    every: int = 100,
    tell: Tell | None = None,
) -> Path:
    """Builds the base of a world, or continues an interrupted build, and returns its folder.

    Args:
        folder: Folder of the base; must not exist.
        seed: Determines the world, its documents and the initial weights.
        settings: Shape and training settings; if None, those of the base that comes with the package.
        watch: Number of validation items in each suite. They are not asked here, but determine the test items.
        proof: Number of test items in each suite, which the base is asked at the end.
        every: Steps between two checkpoints.
        tell: Callback for the progress.

    Raises:
        HoldfastError: `folder` exists, or the interrupted build has another seed or other settings.
    """
    target, settings = Path(folder), settings or Settings()
    if target.exists():
        raise HoldfastError(f"{target}: already exists; give another folder or delete this one.")
    work = target.parent / f"{target.name}.partial"
    _claim(work, json.loads(json.dumps({"seed": seed, **dataclasses.asdict(settings)})))
    world, clock = World(seed), _Clock(work / "seconds.json")
    known = lessons(world)
    tokenizer = build_tokenizer(world, settings.vocabulary)
    model = pretrain.build_model(settings, tokenizer, seed)

    def trained(step: int, total: int, loss: float) -> None:
        if step % every == 0:
            clock.keep()
        if tell is not None:
            tell(f"training, loss {loss:.3f}", step, total)

    pretrain.train(model, tokenizer, known, settings, seed, folder=work, every=every, progress=trained)
    hours = clock.seconds() / 3600
    _round_to_bfloat16(model)  # The scores are those of the shipped weights.
    items = [item for lesson in known.values() for item in lesson.items(watch, proof) if item.split == "proof"]
    scores = card.scores(model, tokenizer, items, lambda done, total: tell and tell("asking suites", done, total))
    about: dict[str, Any] = {
        "seed": seed,
        "settings": dataclasses.asdict(settings),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "parameters": model.num_parameters(),
        "hours": round(hours, 2),
        "threads": torch.get_num_threads(),
        **scores,
    }
    _write(work, model, tokenizer, about, [item for item in items if item.turns][:: max(1, len(items) // 12)])
    work.rename(target)
    return target


class _Clock:
    """Counts the seconds of a build, also across interruptions."""

    def __init__(self, path: Path) -> None:
        self.path, self.begun = path, time.monotonic()
        self.before = float(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else 0.0

    def seconds(self) -> float:
        return self.before + time.monotonic() - self.begun

    def keep(self) -> None:
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.seconds()), encoding="utf-8")
        partial.rename(self.path)


@torch.no_grad()
def _round_to_bfloat16(model: torch.nn.Module) -> None:
    for p in model.parameters():
        p.copy_(p.bfloat16())


def _claim(work: Path, settings: dict[str, Any]) -> None:
    """Creates the working folder, or checks that it has the same seed and settings."""
    note = work / "begun.json"
    if note.exists():
        begun = json.loads(note.read_text(encoding="utf-8"))
        if begun != settings:
            differ = ", ".join(sorted(key for key in begun | settings if begun.get(key) != settings.get(key)))
            raise HoldfastError(f"{work}: was begun with another {differ}; give these again, or delete the folder.")
    elif work.exists() and any(work.iterdir()):
        raise HoldfastError(f"{work}: holds files that are not from a build; give another folder.")
    else:
        work.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(settings), encoding="utf-8")


def _write(
    work: Path, model: Any, tokenizer: PreTrainedTokenizerFast, about: dict[str, Any], shown: list[Item]
) -> None:
    """Writes the finished base into the working folder and removes temporary files."""
    samples = card.samples(model, tokenizer, shown)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.to(torch.bfloat16).save_pretrained(work)
    tokenizer.save_pretrained(work)
    (work / "base.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    (work / "README.md").write_text(card.write(about, samples), encoding="utf-8")
    for name in ("checkpoint.safetensors", "begun.json", "seconds.json"):
        (work / name).unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds a base from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.ground.build", description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="seed of the world (default: 0, that of the shipped base)")
    parser.add_argument("--out", default=None, help="folder to create (default: ground-SEED)")
    given = parser.parse_args(arguments)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("making the tokenizer", total=None)

            def tell(what: str, done: int, total: int) -> None:
                progress.update(bar, description=what, completed=done, total=total)

            out = build(given.out or f"ground-{given.seed}", given.seed, tell=tell)
    except HoldfastError as error:
        console.print(f"Error: {error}", highlight=False, soft_wrap=True, style="red")
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; the same command continues from the last checkpoint.")
        return 1
    console.print(f"{out}: done; see {out / 'README.md'}.", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
