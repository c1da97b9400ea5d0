"""What does it cost to keep what a model knows? The frontier of learned against lost, for recipes and their sums.

Every run is a complete fine-tuning of the shipped base on a task of the proving ground, by one recipe at one learning
rate (a dose). A recipe's dose is chosen by validation questions and watched items alone: of the doses that learn at
least 95% of what the best plain run learns, the one that loses least. What was learned is then stated on test
questions, and what was lost on proof items.

    python benchmarks/held.py run --out runs/held [--tasks people] [--recipes plain held] [--seeds 0]     (resumable)
    python benchmarks/held.py report --out runs/held --write docs/studies                          (needs no model)
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ground import BATCH, EPOCHS, answers, every, load

MEMORY = "Rehearsal('ground:general/memory@{world}', ratio={ratio})"
DISTIL = "BaseKL(strength={strength}, on='memory') + "
RECIPES = {
    "plain": "",
    "finch": "Finch()",
    "kl": "BaseKL()",
    "mask": "MaskTheTarget()",
    "rehearse 0.2": MEMORY.replace("{ratio}", "0.2"),
    "rehearse 0.5": MEMORY.replace("{ratio}", "0.5"),
    "mask + rehearse 0.2": "MaskTheTarget() + " + MEMORY.replace("{ratio}", "0.2"),
    "mask + rehearse 0.5": "MaskTheTarget() + " + MEMORY.replace("{ratio}", "0.5"),
    "mask + distil 0.5": "MaskTheTarget(on='new') + "
    + (DISTIL + MEMORY).replace("{strength}", "3.0").replace("{ratio}", "0.5"),
    "distil 0.2": (DISTIL + MEMORY).replace("{strength}", "3.0").replace("{ratio}", "0.2"),
    "distil 0.5": (DISTIL + MEMORY).replace("{strength}", "3.0").replace("{ratio}", "0.5"),
    "distil 0.5 x10": (DISTIL + MEMORY).replace("{strength}", "10.0").replace("{ratio}", "0.5"),
    "distil 0.8": (DISTIL + MEMORY).replace("{strength}", "3.0").replace("{ratio}", "0.8"),
    "distil 0.8 x10": (DISTIL + MEMORY).replace("{strength}", "10.0").replace("{ratio}", "0.8"),
    "distil 0.9": (DISTIL + MEMORY).replace("{strength}", "3.0").replace("{ratio}", "0.9"),
    "distil 0.95": (DISTIL + MEMORY).replace("{strength}", "3.0").replace("{ratio}", "0.95"),
    "rehearse 0.8": MEMORY.replace("{ratio}", "0.8"),
    "rehearse 0.95": MEMORY.replace("{ratio}", "0.95"),
    "lora": "LoRA(rank=16)",
    "lora + distil 0.5": "LoRA(rank=16) + " + (DISTIL + MEMORY).replace("{strength}", "3.0").replace("{ratio}", "0.5"),
}
"""What is added to the training, by name."""
RATES = {"people": (5e-4, 1e-3, 2e-3), "language": (5e-4, 1e-3, 2e-3), "labels": (1e-4, 2e-4, 5e-4)}
ADAPTER = 5.0
"""Times the rate, for recipes that train an adapter."""
WATCHED, PROVED, TESTED = 60, 120, 200
"""Watched and proof items of each suite, and questions of each split of a task, taken evenly."""


def asked_of(world: int) -> list[Any]:
    from holdfast.ground.names import items

    found: list[Any] = []
    for split, count in (("watch", WATCHED), ("proof", PROVED)):
        of = items(f"suites/{split}@{world}") or []
        for name in dict.fromkeys(item.suite for item in of):
            found += every([item for item in of if item.suite == name], count)
    return found


def questions(task: str, world: int) -> list[Any]:
    from holdfast.ground.names import items

    return [i for s in ("validation", "test", "transfer") for i in every(items(f"{task}/{s}@{world}") or [], TESTED)]


def run_base(model: str, world: int, out: Path) -> None:
    path = out / "base.json"
    if path.exists():
        return
    from holdfast.bench.files import write_json

    asked = asked_of(world)
    for task in RATES:
        asked += questions(task, world)
    out.mkdir(parents=True, exist_ok=True)
    about = {item.id: [item.split, item.group or item.id] for item in asked}
    write_json(path, {"answers": answers(*load(model), asked), "about": about})


def run_one(model: str, world: int, seed: int, task: str, recipe: str, rate: float, epochs: int, out: Path) -> str:
    """Fine-tunes and asks everything; returns what to print."""
    lr = rate * (ADAPTER if recipe.startswith("lora") else 1.0)
    longer = "" if epochs == EPOCHS else f"-{epochs}epochs"
    path = out / f"{task}-{recipe.replace(' + ', '+').replace(' ', '-')}-lr{lr:g}{longer}-seed{seed}.json"
    if path.exists():
        return f"{path.stem}: there"
    from rich.console import Console

    from holdfast.bench.files import write_json
    from holdfast.bench.records import RunSpec
    from holdfast.bench.run import train
    from holdfast.ground.tasks import task as made
    from holdfast.ground.world import World

    text = f"Train(lr={lr}, epochs={epochs}, batch={BATCH}) + Cosine()"
    if RECIPES[recipe]:
        text += " + " + RECIPES[recipe].format(world=world)
    spec = RunSpec(
        model=model, data=f"ground:{task}@{world}", held_out=0.0, out=str(out / "runs"), name=path.stem, recipe=text,
        seed=seed, max_length=128, batch_size=BATCH, resume=True, training={"save_strategy": "no"},
    )  # fmt: skip
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        done = train(spec, Console(file=nowhere))
    leaves = made(World(world), task).leaves
    kept = [item for item in asked_of(world) if leaves(item)]
    started = time.monotonic()
    found = answers(*load_tuned(model, done.folder / "model"), [*kept, *questions(task, world)])
    seconds = {"training": done.result["seconds"]["training"], "asking": time.monotonic() - started}
    about = {"task": task, "recipe": recipe, "text": text, "lr": lr, "epochs": epochs, "seed": seed, "steps": done.result["steps"]}
    write_json(path, {**about, "seconds": seconds, "answers": found})
    return f"{path.stem}: trained {seconds['training']:.0f} s, asked {seconds['asking']:.0f} s"


def load_tuned(base: str, folder: Path) -> tuple[Any, Any]:
    """Returns a tuned model, an adapter on its base, and the tokenizer."""
    model, tokenizer = load(base) if (folder / "adapter_config.json").exists() else load(str(folder))
    if (folder / "adapter_config.json").exists():
        import peft

        model = peft.PeftModel.from_pretrained(model, str(folder)).eval()
    return model, tokenizer


def run_all(given: argparse.Namespace) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    run_base(given.model, given.world, given.out)
    plan = [
        (given.model, given.world, seed, task, recipe, rate, given.epochs, given.out)
        for seed in given.seeds
        for recipe in given.recipes
        for task in given.tasks
        for rate in given.rates or RATES[task]
    ]
    with concurrent.futures.ProcessPoolExecutor(given.workers) as pool:
        for said in pool.map(run_one, *zip(*plan, strict=True)):
            print(said, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="ground:base")
    parser.add_argument("--world", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--tasks", nargs="+", choices=RATES, default=list(RATES))
    parser.add_argument("--rates", type=float, nargs="+", default=None)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", type=Path, default=Path("docs/studies"))
    given = parser.parse_args()
    if given.what == "run":
        run_all(given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
