"""What does every method of the catalogue hold on to, at equal learning, and what does it cost?

Every run is a complete fine-tuning of the shipped base on a task of the proving ground by one method as it comes (its
defaults, and old documents where it needs them), at one of three learning rates (doses). One seed, one world: a screen
sorts out what is worth a closer look, and states no more than its intervals allow. A method's dose is chosen by
validation questions and watched items alone: of the doses that learn at least 95% of what the best plain run learns,
the one that loses least. What was learned is then stated on test questions, and what was lost on proof items.

Time is that of the processor, preparation included, so that a busy machine does not change it; memory is the most that
the process held beyond what it held before. Each run has a process of its own.

    python benchmarks/screen.py run --out runs/screen [--tasks people] [--only plain EWC]             (resumable)
    python benchmarks/screen.py report --out runs/screen --write docs/studies                         (needs no model)

The rows that were written count: what has one is not run again. Where machines differ, run plain training again in
every sitting (`run --only plain --again`), by which the seconds of its runs are scaled to those of the first.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from held import ADAPTER, REACHED, asked_of, chosen, load_tuned, lost, questions, run_base

from ground import BATCH, EPOCHS, answers

RATES = {"people": (5e-4, 1e-3, 2e-3), "labels": (1e-4, 2e-4, 5e-4)}
OLD = "memory='ground:general/memory'"
DISTIL = "BaseKL(strength=3.0, on='memory') + Rehearsal(memory='ground:general/memory', ratio=0.5)"
SELF = "BaseKL(strength=3.0, on='memory') + SelfRehearsal(ratio=0.5)"
SUMS = {
    "distil": DISTIL,
    "self-distil": SELF,
    "WSD, distil": f"WSD() + {DISTIL}",
    "LayerwiseDecay, distil": f"LayerwiseDecay() + {DISTIL}",
    "LoRA, distil": f"LoRA() + {DISTIL}",
    "FreezeBottom, distil": f"FreezeBottom() + {DISTIL}",
    "FreezeBottom, self-distil": f"FreezeBottom() + {SELF}",
    "FreezeBottom, Rehearsal": f"FreezeBottom() + Rehearsal({OLD})",
    "FreezeBottom, WSD": "FreezeBottom() + WSD()",
    "FreezeBottom, MaskTheTarget": "FreezeBottom() + MaskTheTarget()",
    "FreezeBottom, WSD, MaskTheTarget": "FreezeBottom() + WSD() + MaskTheTarget()",
    "FreezeBottom, WSD, distil": f"FreezeBottom() + WSD() + {DISTIL}",
    "FreezeBottom, MaskTheTarget, Rehearsal": f"FreezeBottom() + MaskTheTarget() + Rehearsal({OLD}, ratio=0.2)",
    "TokenQuality, Rehearsal": f"TokenQuality() + Rehearsal({OLD})",
    "WiSEFT, Rehearsal": f"WiSEFT(alpha=0.8) + Rehearsal({OLD})",
}
"""Sums of methods, of which the best go into the effect study; screened on the tasks of `SUMMED` alone."""
SUMMED = ("people",)
MORE = {"Rehearsal 1%": f"Rehearsal({OLD}, ratio=0.01)"}
"""Settings of a method that are claimed to be enough."""
GIVEN = {"LoRAPlus": "LoRA() + LoRAPlus()", "Rehearsal": "Rehearsal('ground:general/memory', ratio=0.2)"}
"""What is run for a method that needs another, or as much as SelfRehearsal has; those that take old examples get some,
the others run as they come."""
LEFT = {
    "Train": "sets the run",
    "Cosine": "is in every run, plain too",
    "Soup": "needs other runs",
    "QLoRA": "needs bitsandbytes",
}
"""Methods that are no choice here, and why."""


def recipes() -> dict[str, str]:
    """Returns what is added to the training, by the method's name; "plain" adds nothing."""
    from holdfast.methods.table import METHODS

    found = {"plain": ""}
    for cls in METHODS:
        takes = OLD if "memory" in {field.name for field in dataclasses.fields(cls)} else ""
        found[cls.__name__] = GIVEN.get(cls.__name__, f"{cls.__name__}({takes})")
    return {**{name: text for name, text in found.items() if name not in LEFT}, **MORE, **SUMS}


def training(text: str, rate: float) -> str:
    """Returns the whole recipe; a schedule of one's own takes the cosine's place."""
    from holdfast.core.sums import clash
    from holdfast.methods.schedules.cosine import Cosine
    from holdfast.methods.table import METHODS

    replaces = {cls.__name__ for cls in METHODS if clash(cls, Cosine)}
    shape = [] if replaces & {part.partition("(")[0] for part in text.split(" + ")} else ["Cosine()"]
    return " + ".join([f"Train(lr={rate:g}, epochs={EPOCHS}, batch={BATCH})", *shape, *([text] if text else [])])


def trains_adapter(text: str) -> bool:
    """Returns whether a recipe adds an adapter that learns at higher rates."""
    from holdfast.methods.adapter import Adapter
    from holdfast.recipe import parse

    return any(isinstance(method, Adapter) and method.small for method in parse(training(text, 1e-3)).methods)


def memory(field: str) -> float:
    """Returns what the process holds ("VmRSS") or held at most since it was last asked to forget ("VmHWM"), in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def run_one(given: tuple[str, str, str, float, Path]) -> str:
    """Fine-tunes and asks everything; returns what to print. What fails is reported, and the rest go on."""
    task, name, text, dose, out = given
    path = out / f"{task}-{name}-{dose:g}.json"
    if path.exists():
        return f"{path.stem}: there"
    try:
        return _run_one(task, name, text, dose, path)
    except Exception as error:
        return f"{path.stem}: FAILED: {type(error).__name__}: {error}"


def _run_one(task: str, name: str, text: str, dose: float, path: Path) -> str:
    import torch
    from rich.console import Console

    from holdfast.bench.files import write_json
    from holdfast.bench.run import train
    from holdfast.bench.specs import RunSpec
    from holdfast.ground.tasks import task as made
    from holdfast.ground.world import World

    torch.set_num_threads(1)
    rate = dose * (ADAPTER if trains_adapter(text) else 1.0)
    spec = RunSpec(
        model="ground:base", data=f"ground:{task}", held_out=0.0, out=str(path.parent / "runs"), name=path.stem,
        recipe=training(text, rate), seed=0, max_length=128, batch_size=BATCH, resume=True,
        training={"save_strategy": "no"},
    )  # fmt: skip
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    held, started, spent = memory("VmRSS"), time.monotonic(), time.process_time()
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        done = train(spec, Console(file=nowhere))
    spent, wall, most = time.process_time() - spent, time.monotonic() - started, memory("VmHWM") - held
    leaves = made(World(0), task).leaves
    kept = [item for item in asked_of(0) if leaves(item)]
    found = answers(*load_tuned("ground:base", done.folder / "model"), [*kept, *questions(task, 0)])
    about = {"task": task, "recipe": name, "text": text, "lr": rate, "dose": dose, "seed": 0, "epochs": EPOCHS}
    record = done.record
    cost = {"steps": record.steps, "cpu": spent, "wall": wall, "memory": most}
    cost |= {"trained_parameters": record.trained_parameters, "parameters": record.parameters}
    write_json(path, {**about, **cost, "answers": found})
    shutil.rmtree(done.folder / "model")  # weights of hundreds of runs; the recipe and the seed make them again
    return f"{path.stem}: {spent:.0f} s of the processor, {wall:.0f} s in all"


def run_all(given: argparse.Namespace) -> None:
    import torch  # noqa: F401  what every run needs is read once, and inherited
    import transformers.trainer  # noqa: F401

    import holdfast.bench.run  # noqa: F401

    os.environ["OMP_NUM_THREADS"] = "1"
    given.out.mkdir(parents=True, exist_ok=True)
    with multiprocessing.Pool(1, maxtasksperchild=1) as pool:
        pool.apply(run_base, ("ground:base", 0, given.out))
    wanted = {name: text for name, text in recipes().items() if not given.only or name in given.only}
    there = set() if given.again else {place(row) for row in written(given.write)}
    plan = [
        (task, name, text, dose, given.out)
        for name, text in wanted.items()
        for task in given.tasks
        for dose in RATES[task]
        if (task, name, dose) not in there and (name not in SUMS or task in SUMMED)
    ]
    print(f"{len(plan)} runs, {len(there)} written before", flush=True)
    with multiprocessing.Pool(given.workers, maxtasksperchild=1) as pool:
        for said in pool.imap(run_one, plan):
            print(said, flush=True)


def place(row: dict[str, Any]) -> tuple[str, str, float]:
    return row["task"], row["recipe"], row["dose"]


def written(folder: Path) -> list[dict[str, Any]]:
    """Returns the rows that an earlier report wrote."""
    path = folder / "screen.json"
    return json.loads(path.read_text()) if path.exists() else []


def merged(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Returns all rows, the seconds of new ones scaled to the machine of the old: by what plain training took on both.

    Plain training stays what it was; run it again (`run --only plain --again`) beside the others in every sitting.
    """
    found = {place(row): row for row in old}
    usual = {key: row["cpu"] for key, row in found.items() if row["recipe"] == "plain"}
    now = {place(row): row["cpu"] for row in new if row["recipe"] == "plain"}
    for row in new:
        both = [key for key in now if key in usual and key[0] == row["task"]]
        if place(row) in both:
            continue
        scale = sum(usual[key] for key in both) / sum(now[key] for key in both) if both else 1.0
        found[place(row)] = {**row, "cpu": row["cpu"] * scale}
    return found


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Returns a row for each run: what it learned on each split, and what of each suite it lost on each side."""
    base = json.loads((out / "base.json").read_text())
    rows = []
    for path in sorted(out.glob("*-*-*.json")):
        run = json.loads(path.read_text())
        task, given = run["task"], run.pop("answers")
        splits = {"validation": f"{task}-validation", "test": task, "transfer": f"{task}-transfer"}
        before = base["answers"][task]
        row = {**run, "before": sum(before.values()) / len(before)}
        row |= {split: sum(given[suite].values()) / len(given[suite]) for split, suite in splits.items()}
        for side in ("watch", "proof"):
            row[side] = lost(base, {n: v for n, v in given.items() if n not in splits.values()}, side)
        rows.append(row)
    return rows


def tables(rows: Sequence[dict[str, Any]]) -> str:
    lines = []
    for task in RATES:
        own = [row for row in rows if row["task"] == task]
        if not own:
            continue
        best = chosen(own, task)
        plains = {row["dose"]: row for row in own if row["recipe"] == "plain"}
        goal = REACHED * max(row["validation"] for row in plains.values())
        lines += [f"### {task}", ""]
        lines += [
            f"Least lost on watched items among the doses with at least {goal:.1f} on validation questions; those that"
            " have none follow, at the dose that learned most. `plain there` is what plain training loses when it has"
            " learned as much, between its doses. Time and memory are shares of plain's at that dose.",
            "",
            "| method | rate | reaches it | learned | transfer | lost, mean | plain there | worst suite"
            " | time | memory |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for row in best:
            proof, same = row["proof"], plains[row["dose"]]
            reached = "yes" if row["validation"] >= goal else "no"
            lines.append(
                f"| {row['recipe']} | {row['lr']:g} | {reached} | {row['test']:.1f} | {row['transfer']:.1f} | "
                f"{proof['mean']:.1f} ({proof['low']:.1f} to {proof['high']:.1f}) | {_plain_there(row, plains)} | "
                f"{proof['worst']} {proof['worst_lost']:.1f} | "
                f"{row['cpu'] / same['cpu']:.2f} | {row['memory'] / same['memory']:.2f} |"
            )
        lines += ["", f"Every dose of `{task}`: learned (test) / lost (proof), in points.", ""]
        doses = RATES[task]
        lines += ["| method | " + " | ".join(f"dose {dose:g}" for dose in doses) + " |", "|---|" + "---|" * len(doses)]
        for name in dict.fromkeys(row["recipe"] for row in best):
            found = {row["dose"]: row for row in own if row["recipe"] == name}
            cells = [f"{found[d]['test']:.1f} / {found[d]['proof']['mean']:.1f}" if d in found else "–" for d in doses]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines += [""]
    lines += ["### Mean place of the methods", ""]
    lines += [", ".join(f"{name} {place:.1f}" for name, place in places(rows).items()) + ".", ""]
    texts = dict.fromkeys((row["recipe"], row["text"]) for row in rows if row["text"])
    lines += [
        "### What was run",
        "",
        "Each is added to `Train(...) + Cosine()`; an adapter has five times the dose.",
        "",
    ]
    lines += ["| method | recipe |", "|---|---|"]
    lines += [f"| {name} | `{text}` |" for name, text in texts]
    return "\n".join(lines) + "\n"


def places(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Returns the mean over the tasks of a method's place in their tables (chosen and ordered on watched items)."""
    found: dict[str, list[int]] = {}
    for task in RATES:
        own = [row for row in rows if row["task"] == task and row["recipe"] not in {*SUMS, *MORE}]
        for number, row in enumerate(chosen(own, task) if own else [], 1):
            found.setdefault(row["recipe"], []).append(number)
    means = {name: sum(numbers) / len(numbers) for name, numbers in found.items()}
    return dict(sorted(means.items(), key=lambda one: one[1]))


def _plain_there(row: dict[str, Any], plains: dict[float, dict[str, Any]]) -> str:
    """Returns what plain training loses when it has learned as much: between its doses, the base being the first."""
    import numpy as np

    found = [(row["before"], 0.0), *sorted((one["test"], one["proof"]["mean"]) for one in plains.values())]
    if row["test"] > found[-1][0]:
        return "never learned it"
    return f"{np.interp(row['test'], *zip(*found, strict=True)):.1f}"


def report(given: argparse.Namespace) -> None:
    from holdfast.bench.files import write_atomically

    found = merged(written(given.write), rows_of(given.out))
    rows = [found[key] for key in sorted(found)]
    write_atomically(given.write / "screen.json", json.dumps(rows) + "\n")
    text = tables(rows)
    write_atomically(given.write / "screen-tables.md", text)
    print(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", choices=RATES, default=list(RATES))
    parser.add_argument("--only", nargs="+", default=[], help="names of methods; all if not given")
    parser.add_argument("--again", action="store_true", help="run what has a row too")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", type=Path, default=Path("docs/studies"))
    given = parser.parse_args()
    {"run": run_all, "report": report}[given.what](given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
