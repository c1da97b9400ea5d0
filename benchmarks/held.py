"""What does it cost to keep what a model knows? The frontier of learned against lost, for recipes and their sums.

Every run is a complete fine-tuning of the shipped base on a task of the proving ground, by one recipe at one learning
rate (a dose). A recipe's dose is chosen by validation questions and watched items alone: of the doses that learn at
least 95% of what the best plain run learns, the one that loses least. What was learned is then stated on test
questions, and what was lost on proof items.

    python benchmarks/held.py run --out runs/held [--tasks people] [--recipes plain held] [--seeds 0]     (resumable)
    python benchmarks/held.py prove --out runs/held --recipes "distil 0.5"     (all proof items, of the best doses)
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
REACHED = 0.95
"""Share of the best plain run's learning that is to be reached."""
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
    from holdfast.bench.run import train
    from holdfast.bench.specs import RunSpec
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
    seconds = {"training": done.record.seconds.training, "asking": time.monotonic() - started}
    about = {
        "task": task,
        "recipe": recipe,
        "text": text,
        "lr": lr,
        "epochs": epochs,
        "seed": seed,
        "steps": done.record.steps,
    }
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


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Returns a row for each run: what it learned on each split, and what of each suite it lost on each side."""
    base = json.loads((out / "base.json").read_text())
    rows = []
    for path in sorted(out.glob("*-seed*.json")):
        if path.name.endswith(".proof.json"):
            continue
        run = json.loads(path.read_text())
        task, given = run["task"], run["answers"]
        splits = {"validation": f"{task}-validation", "test": task, "transfer": f"{task}-transfer"}
        row = {key: run[key] for key in ("task", "recipe", "text", "lr", "seed", "steps", "seconds")}
        row |= {"name": path.stem, "epochs": run.get("epochs", EPOCHS)}
        row |= {split: sum(given[suite].values()) / len(given[suite]) for split, suite in splits.items()}
        for side in ("watch", "proof"):
            row[side] = lost(base, {n: v for n, v in given.items() if n not in splits.values()}, side)
        proved = out / f"{path.stem}.proof.json"
        if proved.exists():
            whole = json.loads((out / "base.proof.json").read_text())
            row["proved"] = lost(whole, json.loads(proved.read_text())["answers"], "proof")
        rows.append(row)
    return rows


def lost(base: dict[str, Any], answers: dict[str, dict[str, float]], side: str) -> dict[str, Any]:
    """Returns the points lost of each suite, of the mean with its interval, and the worst suite."""
    from holdfast.bench.changes import changes
    from holdfast.bench.scores import ScoreRow
    from holdfast.stats.pooled import pooled
    from holdfast.stats.verdict import judge

    rows: dict[str, list[ScoreRow]] = {"before": [], "after": []}
    for suite, own in answers.items():
        for item, value in own.items():
            split, group = base["about"][item]
            if suite != "text" and split == side:
                for moment, score in (("before", base["answers"][suite][item]), ("after", value)):
                    about = {"suite": suite, "split": split, "item": item, "group": group, "value": score}
                    same = {"run": "held", "role": "retained", "unit": "points", "higher_is_better": True}
                    rows[moment].append(ScoreRow(moment=moment, **about, **same))
    found = changes(rows["before"], rows["after"])
    mean = pooled([one.evidence for one in found], [one.shifts for one in found])
    low, high = mean.interval()
    worst = min(found, key=lambda one: one.evidence.change)
    ends = worst.evidence.interval()
    return {
        "mean": -100 * mean.change, "low": -100 * high, "high": -100 * low, "most": 100 * judge(mean, 0.02).most,
        "worst": worst.name, "worst_lost": -100 * worst.evidence.change,
        "worst_low": -100 * ends[1], "worst_high": -100 * ends[0], "items": len(rows["before"]),
        "suites": {one.name: -100 * one.evidence.change for one in found},
    }  # fmt: skip


def chosen(rows: Sequence[dict[str, Any]], task: str) -> list[dict[str, Any]]:
    """Returns the best dose of each recipe on a task, by validation and watched items alone.

    Of the doses that learn at least 95% of what the best plain dose learns, the one that loses least; else, the one
    that learns most, which is then not a recipe that reaches it.
    """
    own = [row for row in rows if row["task"] == task and row["seed"] == 0]
    goal = REACHED * max(row["validation"] for row in own if row["recipe"] == "plain")
    best = []
    for recipe in dict.fromkeys(row["recipe"] for row in own):
        doses = [row for row in own if row["recipe"] == recipe]
        reach = [row for row in doses if row["validation"] >= goal]
        best.append(
            min(reach, key=lambda row: row["watch"]["mean"]) if reach else max(doses, key=lambda row: row["validation"])
        )
    order = {True: 0, False: 1}
    return sorted(best, key=lambda row: (order[row["validation"] >= goal], row["watch"]["mean"]))


def tables(rows: Sequence[dict[str, Any]]) -> str:
    lines = []
    for task in RATES:
        own = [row for row in rows if row["task"] == task and row["seed"] == 0]
        if not own:
            continue
        best = chosen(rows, task)
        goal = REACHED * max(row["validation"] for row in own if row["recipe"] == "plain")
        plain = next(row for row in best if row["recipe"] == "plain")
        lines += [f"### {task}", ""]
        lines += [f"Chosen on validation and watch (at least {goal:.1f} on validation), stated on test and proof.", ""]
        lines += ["| recipe | rate | epochs | reaches it | learned | transfer | lost, mean | worst suite | steps |"]
        lines += ["|---|---|---|---|---|---|---|---|---|"]
        for row in best:
            proof = row["proof"]
            reached = "yes" if row["validation"] >= goal else "no"
            lines.append(
                f"| {row['recipe']} | {row['lr']:g} | {row['epochs']} | {reached} | {row['test']:.1f} | "
                f"{row['transfer']:.1f} | {_with_ends(proof)} | {_worst(proof)} | {_steps(row, plain)} |"
            )
        lines += [
            "",
            f"Every dose ({task}):",
            "",
            "| recipe | rate | epochs | seed | validation | learned | watch | lost |",
        ]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for row in sorted((r for r in rows if r["task"] == task), key=lambda r: (r["recipe"], r["lr"], r["epochs"])):
            lines.append(
                f"| {row['recipe']} | {row['lr']:g} | {row['epochs']} | {row['seed']} | {row['validation']:.1f} | "
                f"{row['test']:.1f} | {row['watch']['mean']:.1f} | {row['proof']['mean']:.1f}, "
                f"{row['proof']['worst']} {row['proof']['worst_lost']:.1f} |"
            )
        lines += [""]
    proved = [row for row in rows if "proved" in row]
    if proved:
        lines += ["### Asked all proof items", ""]
        lines += ["| task | recipe | rate | epochs | seed | learned | items | lost, mean | budget kept | worst suite |"]
        lines += ["|---|---|---|---|---|---|---|---|---|---|"]
        for row in proved:
            found, most = row["proved"], f"{row['proved']['most']:.2f}"
            lines.append(
                f"| {row['task']} | {row['recipe']} | {row['lr']:g} | {row['epochs']} | {row['seed']} | "
                f"{row['test']:.1f} | {found['items']:,} | {_with_ends(found)} | {most} | {_worst(found)} |"
            )
        lines += ["", "Budget kept: the smallest budget on the mean that the verdict would call kept.", ""]
    texts = dict.fromkeys((row["recipe"], row["text"].partition(" + Cosine()")[2].removeprefix(" + ")) for row in rows)
    lines += ["### The recipes", "", "| name | added to `Train(...) + Cosine()` |", "|---|---|"]
    lines += [f"| {name} | {f'`{text}`' if text else 'nothing'} |" for name, text in texts]
    return "\n".join(lines) + "\n"


def _with_ends(found: dict[str, Any]) -> str:
    return f"{found['mean']:.1f} ({found['low']:.1f} to {found['high']:.1f})"


def _steps(row: dict[str, Any], plain: dict[str, Any]) -> str:
    return f"{row['steps'] / plain['steps']:.1f}x"


def _worst(found: dict[str, Any]) -> str:
    return f"{found['worst']} {found['worst_lost']:.1f} ({found['worst_low']:.1f} to {found['worst_high']:.1f})"


def plot(rows: Sequence[dict[str, Any]], target: Path) -> None:
    """Draws learned against lost: a line for each recipe through its doses, the best corner at the upper right."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = [task for task in RATES if any(row["task"] == task for row in rows)]
    names = [name for name in RECIPES if any(row["recipe"] == name for row in rows)]
    kinds = list(dict.fromkeys(map(_kind, names)))
    figure, axes = plt.subplots(1, len(tasks), figsize=(5.2 * len(tasks), 4.8), squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        for name in names:
            own = [r for r in rows if (r["task"], r["recipe"], r["seed"]) == (task, name, 0)]
            own.sort(key=lambda row: row["proof"]["mean"])
            if not own:
                continue
            lost_, learned = [max(0.1, r["proof"]["mean"]) for r in own], [r["test"] for r in own]
            down = [max(0.0, x - max(0.1, r["proof"]["low"])) for x, r in zip(lost_, own, strict=True)]
            up = [r["proof"]["high"] - x for x, r in zip(lost_, own, strict=True)]
            place = [n for n in names if _kind(n) == _kind(name)].index(name)
            shade = "black" if name == "plain" else f"C{kinds.index(_kind(name)) - 1}"
            axis.errorbar(
                lost_,
                learned,
                color=shade,
                marker="osD^vPX*"[place % 8],
                ms=5,
                lw=2 if name == "plain" else 1,
                label=name,
            )
            axis.hlines(learned, [x - d for x, d in zip(lost_, down, strict=True)],
                        [x + u for x, u in zip(lost_, up, strict=True)], color=shade, lw=0.6, alpha=0.5)  # fmt: skip
        goal = REACHED * max(r["test"] for r in rows if (r["task"], r["recipe"], r["seed"]) == (task, "plain", 0))
        least = min(r["test"] for r in rows if r["task"] == task)
        bottom = max(0.0, least - 0.15 * (100 - least))
        axis.axhline(goal, color="grey", lw=0.8, ls=":")
        axis.text(95, bottom + 0.02 * (100 - bottom), "dotted: 95% of the best plain run", color="grey", fontsize=8)
        axis.set(title=task, xscale="log", xlim=(110, 0.09), ylim=(bottom, 100 + 0.03 * (100 - bottom)))
        axis.set_xlabel("points lost, mean of 16 suites, 95% interval (log)")
        axis.set_xticks([100, 30, 10, 3, 1, 0.3, 0.1], ["100", "30", "10", "3", "1", "0.3", "<0.1"])
        axis.grid(alpha=0.2)
    axes[0][0].set_ylabel("learned, percent of test right")
    handles = {}
    for axis in axes[0]:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend([handles[name] for name in names], names, loc="lower center", ncols=6, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    for kind in ("png", "svg"):
        figure.savefig(target / f"held.{kind}", dpi=120, metadata={"Date": None} if kind == "svg" else None)


def _kind(name: str) -> str:
    return " ".join(word for word in name.split() if not word[0].isdigit() and not word.startswith("x"))


def prove(given: argparse.Namespace) -> None:
    """Asks the best dose of plain and of the recipes that lose least all proof items there are."""
    from holdfast.bench.files import write_json
    from holdfast.ground.names import items
    from holdfast.ground.tasks import task as made
    from holdfast.ground.world import World

    asked = [item for item in items(f"suites/proof@{given.world}") or [] if item.suite != "text"]
    if not (given.out / "base.proof.json").exists():
        about = {item.id: [item.split, item.group or item.id] for item in asked}
        write_json(given.out / "base.proof.json", {"answers": answers(*load(given.model), asked), "about": about})
    rows = rows_of(given.out)
    for task in given.tasks:
        best = [row for row in chosen(rows, task) if row["recipe"] in ("plain", *given.recipes)]
        doses = [(row["recipe"], row["lr"], row["epochs"]) for row in best]
        for row in rows:
            target = given.out / f"{row['name']}.proof.json"
            if row["task"] == task and (row["recipe"], row["lr"], row["epochs"]) in doses and not target.exists():
                leaves = made(World(given.world), task).leaves
                kept = [item for item in asked if leaves(item)]
                found = answers(*load_tuned(given.model, given.out / "runs" / row["name"] / "model"), kept)
                write_json(target, {"answers": found})
                print(f"{row['name']}: {len(kept):,} items", flush=True)


def report(given: argparse.Namespace) -> None:
    from holdfast.bench.files import write_atomically

    rows = rows_of(given.out)
    write_atomically(given.write / "held.json", json.dumps(rows) + "\n")
    text = tables(rows)
    write_atomically(given.write / "held-tables.md", text)
    plot(rows, given.write)
    print(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "prove", "report"))
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
    {"run": run_all, "prove": prove, "report": report}[given.what](given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
