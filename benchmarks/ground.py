"""What does plain fine-tuning forget? Eight tasks of the proving ground, each at three learning rates.

Every run is a complete full fine-tuning of the shipped base by AdamW with a cosine schedule. The best rate of a task is
chosen on its validation questions; what was learned is stated on its test, what was lost on proof items of each suite.
With `--recipes held` the recipe of the demo is run the same way, and the two are set side by side.

    python benchmarks/ground.py run --out runs/ground [--workers 2] [--model FOLDER] [--seeds 0]    (resumable)
    python benchmarks/ground.py run --out runs/ground --recipes plain held --tasks people --seeds 0 1
    python benchmarks/ground.py report --out runs/ground --write docs/studies                       (needs no model)
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

RATES = (2e-4, 5e-4, 1e-3)
RECIPES = {"plain": "", "held": " + MaskTheTarget() + Rehearsal('ground:general/memory@{world}', ratio=0.2)"}
"""What is added to the training, by name."""
EPOCHS, BATCH = 3, 16
ITEMS, TESTED = 120, 200
"""Proof items asked of each suite, and questions of each split of a task, taken evenly."""
LOST = 10.0
"""Points on a suite that count as forgetting in the summary."""


def every(items: Sequence[Any], count: int) -> list[Any]:
    return list(items)[:: max(1, len(items) // count)][:count]


def asked_of(world: int) -> list[Any]:
    from holdfast.ground.names import items

    proof = items(f"suites/proof@{world}") or []
    names = dict.fromkeys(item.suite for item in proof)
    return [item for name in names for item in every([i for i in proof if i.suite == name], ITEMS)]


def load(model: str) -> tuple[Any, Any]:
    import torch

    from holdfast.bench.load import load_model, load_tokenizer

    torch.set_num_threads(1)
    return load_model(model), load_tokenizer(model)


def answers(model: Any, tokenizer: Any, items: Sequence[Any]) -> dict[str, dict[str, float]]:
    """Returns the score of each item by suite and id: 100 or 0, or nats per token of a text."""
    from holdfast.probes.ask import ask

    found: dict[str, dict[str, float]] = {}
    for answer in ask(model, tokenizer, items):
        value = answer.value if answer.form == "text" else 100 * answer.value
        found.setdefault(answer.item.suite, {})[answer.item.id] = value
    return found


def run_base(model: str, world: int, out: Path) -> None:
    path = out / "base.json"
    if path.exists():
        return
    from holdfast.bench.files import write_json
    from holdfast.ground.names import items
    from holdfast.ground.tasks import TASKS

    asked = asked_of(world)
    for name in TASKS:
        for split in ("validation", "test", "transfer"):
            asked += every(items(f"{name}/{split}@{world}") or [], TESTED)
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    found = answers(*load(model), asked)
    write_json(path, {"answers": found, "items": len(asked), "seconds": time.monotonic() - started})


def run_one(model: str, world: int, seed: int, name: str, recipe: str, lr: float, out: Path) -> str:
    """Fine-tunes on one task and asks everything; returns what to print."""
    path = out / f"{name}-{recipe}-lr{lr:g}-seed{seed}.json"
    if path.exists():
        return f"{path.stem}: there"
    from rich.console import Console

    from holdfast.bench.files import write_json
    from holdfast.bench.run import train
    from holdfast.bench.specs import RunSpec
    from holdfast.ground.names import items
    from holdfast.ground.tasks import task
    from holdfast.ground.world import World

    training = f"Train(lr={lr}, epochs={EPOCHS}, batch={BATCH}) + Cosine()"
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        done = train(
            RunSpec(
                model=model, data=f"ground:{name}@{world}", held_out=0.0, out=str(out / "runs"), name=path.stem,
                recipe=training + RECIPES[recipe].format(world=world), seed=seed, max_length=128, batch_size=BATCH,
                resume=True, training={"save_strategy": "no"},
            ),
            Console(file=nowhere),
        )  # fmt: skip
    taught = task(World(world), name)
    kept = [item for item in asked_of(world) if taught.leaves(item)]
    learned = [i for s in ("validation", "test", "transfer") for i in every(items(f"{name}/{s}@{world}") or [], TESTED)]
    started = time.monotonic()
    found = answers(*load(str(done.folder / "model")), [*kept, *learned])
    seconds = {"training": done.record.seconds.training, "asking": time.monotonic() - started}
    groups = {item.id: item.group or item.id for item in kept}
    about = {
        "task": name,
        "recipe": recipe,
        "lr": lr,
        "seed": seed,
        "steps": done.record.steps,
        "asked": len(kept) + len(learned),
    }
    write_json(path, {**about, "seconds": seconds, "answers": found, "groups": groups})
    return f"{path.stem}: trained {seconds['training']:.0f} s, asked {seconds['asking']:.0f} s"


def run_all(given: argparse.Namespace, tasks: Sequence[str]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    run_base(given.model, given.world, given.out)
    plan = [
        (given.model, given.world, seed, name, recipe, lr, given.out)
        for seed in given.seeds
        for name in tasks
        for recipe in given.recipes
        for lr in given.rates
    ]
    with concurrent.futures.ProcessPoolExecutor(given.workers) as pool:
        for said in pool.map(run_one, *zip(*plan, strict=True)):
            print(said, flush=True)


def change(before: dict[str, float], after: dict[str, float], groups: dict[str, str]) -> list[float]:
    """Returns before, after, the change and its interval, in points or nats per token."""
    from holdfast.stats.flips import flips
    from holdfast.stats.paired import paired_change

    first, last = [before[item] for item in after], list(after.values())
    own = [groups[item] for item in after]
    if {*first, *last} <= {0.0, 100.0}:
        found = flips([v / 100 for v in first], [v / 100 for v in last], own)
        return [100 * v for v in (found.before, found.after, found.change, *found.interval())]
    sums: dict[str, list[float]] = {}
    for group, *values in zip(own, first, last, strict=True):
        total = sums.setdefault(group, [0.0, 0.0, 0.0])
        for i, value in enumerate((*values, 1.0)):
            total[i] += value
    texts = paired_change(*zip(*sums.values(), strict=True))
    return [texts.before, texts.after, texts.change, *texts.interval()]


def summary(out: Path) -> list[dict[str, Any]]:
    """Returns a row for each run: learned, transfer, and the change of every suite."""
    base = json.loads((out / "base.json").read_text())["answers"]
    rows = []
    for path in sorted(out.glob("*-seed*.json")):
        run = json.loads(path.read_text())
        name, given = run["task"], run["answers"]
        splits = {"validation": f"{name}-validation", "test": name, "transfer": f"{name}-transfer"}
        row: dict[str, Any] = {key: run[key] for key in ("task", "recipe", "lr", "seed", "steps", "asked", "seconds")}
        for split, suite in splits.items():
            row[split] = [sum(v.values()) / len(v) for v in (base[suite], given[suite])]
        row["suites"] = {}
        for suite, values in given.items():
            if suite not in splits.values():
                row["suites"][suite] = change(base[suite], values, run["groups"])
        rows.append(row)
    return rows


def mean_lost(row: dict[str, Any]) -> float:
    lost = [-values[2] for name, values in row["suites"].items() if name != "text"]
    return sum(lost) / len(lost)


def best(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(row["task"] for row in rows)
    return [max((r for r in rows if r["task"] == n), key=lambda r: (r["validation"][1], -r["lr"])) for n in names]


def tables(rows: Sequence[dict[str, Any]]) -> str:
    from holdfast.ground.tasks import TASKS

    order = list(TASKS)
    everything = sorted(rows, key=lambda row: (order.index(row["task"]), row["recipe"], row["seed"], row["lr"]))
    rows = [row for row in everything if row["recipe"] == "plain" and row["seed"] == everything[0]["seed"]]
    suites = [name for name in rows[0]["suites"] if name != "text"]
    chosen = best(rows)
    lines = ["### Plain fine-tuning at its best rate", ""]
    lines += ["| task | rate | test before | test after | transfer after | mean lost | worst suite | lost there |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    count = 0
    for row in chosen:
        worst = min(suites, key=lambda name, row=row: row["suites"][name][2])
        _, _, moved, low, high = row["suites"][worst]
        count += moved <= -LOST
        lines.append(
            f"| {row['task']} | {row['lr']:g} | {row['test'][0]:.1f} | {row['test'][1]:.1f} | {row['transfer'][1]:.1f}"
            f" | {mean_lost(row):.1f} | {worst} | {-moved:.1f} ({-high:.1f} to {-low:.1f}) |"
        )
    lines += ["", f"{count} of {len(chosen)} tasks lose at least {LOST:.0f} points on some suite.", ""]
    lines += ["### Points lost, every suite and rate", ""]
    lines += ["| suite (base) | " + " | ".join(f"{r['task']} {r['lr']:g}" for r in rows) + " |"]
    lines += ["|---|" + "---|" * len(rows)]
    for name in suites:
        cells = []
        for row in rows:
            _, _, moved, low, high = row["suites"][name]
            sure = high < 0 or low > 0
            cells.append(f"**{-moved:.0f}**" if sure else f"{-moved:.0f}")
        lines.append(f"| {name} ({rows[0]['suites'][name][0]:.0f}) | " + " | ".join(cells) + " |")
    texts = [f"{row['suites']['text'][2]:+.2f}" for row in rows]
    lines.append("| text, nats per token | " + " | ".join(texts) + " |")
    lines.append("| **learned (test)** | " + " | ".join(f"{row['test'][1]:.0f}" for row in rows) + " |")
    lines += ["", "Bold: the 95% interval, paired and over groups of items, leaves out zero.", ""]
    return "\n".join(lines + side_by_side(everything))


def side_by_side(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the table of the tasks that more than one recipe or seed was run on."""
    several = {(row["task"]) for row in rows if row["recipe"] != "plain" or row["seed"] != rows[0]["seed"]}
    if not several:
        return []
    lines = ["### Plain and held", "", "| task | recipe | rate | seed | learned | transfer | mean lost | worst suite |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for row in rows:
        if row["task"] in several:
            worst = min((n for n in row["suites"] if n != "text"), key=lambda name, row=row: row["suites"][name][2])
            lines.append(
                f"| {row['task']} | {row['recipe']} | {row['lr']:g} | {row['seed']} | {row['test'][1]:.1f} | "
                f"{row['transfer'][1]:.1f} | {mean_lost(row):.1f} | {worst}, {-row['suites'][worst][2]:.1f} |"
            )
    return [*lines, "", *(f"{name}: training{added or ' alone'}" + "  " for name, added in RECIPES.items()), ""]


def report(out: Path, target: Path) -> None:
    from holdfast.bench.files import write_atomically

    rows = summary(out)
    base = json.loads((out / "base.json").read_text())
    seconds = [row["seconds"]["training"] for row in rows], [row["seconds"]["asking"] for row in rows]
    write_atomically(target / "ground.json", json.dumps(rows, indent=None) + "\n")
    text = tables(rows) + (
        f"\nTime of a run, one thread: training {min(seconds[0]):.0f} to {max(seconds[0]):.0f} s, asking "
        f"{rows[0]['asked']:,} items {min(seconds[1]):.0f} to {max(seconds[1]):.0f} s (the base: {base['items']:,} "
        f"items in {base['seconds']:.0f} s).\n"
    )
    write_atomically(target / "ground-tables.md", text)
    print(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="ground:base")
    parser.add_argument("--world", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=["plain"])
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tasks", nargs="+", default=None)
    parser.add_argument("--write", type=Path, default=Path("docs/studies"))
    given = parser.parse_args()
    if given.what == "report":
        report(given.out, given.write)
    else:
        from holdfast.ground.tasks import TASKS

        run_all(given, given.tasks or list(TASKS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
