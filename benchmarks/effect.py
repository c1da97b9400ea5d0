"""Which method holds on to what, on four tasks, in two worlds, with three seeds: the effect study.

The best methods of the screen, the best sums and plain training, each at three learning rates, every one a complete
fine-tuning. Doses are chosen by validation questions and watched items alone; what was learned is stated on test
questions, what was lost on proof items, by the same code as `holdfast report`.

    python benchmarks/effect.py run --out runs/effect [--worlds 0] [--seeds 0] [--tasks people]       (resumable)
    python benchmarks/effect.py report --out runs/effect                                              (needs no model)

A line of docs/studies/effect.jsonl is a run: what it was, what it cost, and its answers, a bit for each item in the
order in which `asked` gives them. Runs that have a line are not made again.

With `run --chosen`, a recipe is run at one dose only: the one that watched items chose among the rows there are of that
world and task, so that a further seed costs a third. Plain training is run at all.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from advice import filled, summary
from held import ADAPTER, asked_of, load_tuned, questions
from screen import DISTIL, SELF, memory, training, trains_adapter

from ground import BATCH, answers, load

RATES = {
    "people": (5e-4, 1e-3, 2e-3),
    "language": (5e-4, 1e-3, 2e-3),
    "science": (2e-4, 5e-4, 1e-3),
    "labels": (1e-4, 2e-4, 5e-4),
    "noisy": (5e-4, 1e-3, 2e-3),
}
"""The four tasks, and `people` again with a fifth of the answers wrong, on which few recipes are run."""
WORLDS, SEEDS = (0, 1), (0, 1, 2)
MODELS = {0: "ground:base", 1: "benchmarks/ground/seed1"}
OLD = "memory='ground:general/memory'"
METHODS = {
    "plain": "",
    "SelfRehearsal": "SelfRehearsal()",
    "Rehearsal": f"Rehearsal({OLD}, ratio=0.2)",
    "LayerwiseDecay": "LayerwiseDecay()",
    "TokenQuality": "TokenQuality()",
    "FreezeBottom": "FreezeBottom()",
    "AGEM": f"AGEM({OLD})",
    "MaskTheTarget": "MaskTheTarget()",
    "BaseL2": "BaseL2()",
}
"""The eight with the best mean place in the screen; of three that share the eighth, the cheapest."""
SUMS = {
    "FreezeBottom, WSD, distil": f"FreezeBottom() + WSD() + {DISTIL}",
    "FreezeBottom, distil": f"FreezeBottom() + {DISTIL}",
    "FreezeBottom, WSD, MaskTheTarget": "FreezeBottom() + WSD() + MaskTheTarget()",
    "LayerwiseDecay, distil": f"LayerwiseDecay() + {DISTIL}",
    "WSD, distil": f"WSD() + {DISTIL}",
}
"""The five best sums of the screen."""
LEASH = f"BaseKL(on='memory') + Rehearsal({OLD}, ratio=0.5)"
SELF_LEASH = "BaseKL(on='memory') + SelfRehearsal(ratio=0.5)"
MORE = {
    "distil": DISTIL,
    "self-distil": SELF,
    "WSD, leash": f"WSD() + {LEASH}",
    "WSD, self-leash": f"WSD() + {SELF_LEASH}",
}
"""The leash on old documents alone, given or written by the base, which three of the five have in common, and a weaker
one, which did better where a small real model learned Shakespeare (docs/studies/shakespeare.md)."""
ADAPTERS = {
    "LoRA": "LoRA()",
    "LoRA, WSD, MaskTheTarget": "LoRA() + WSD() + MaskTheTarget()",
    "LoRA, WSD, leash": f"LoRA() + WSD() + {LEASH}",
    "LoRA, WSD, self-leash": f"LoRA() + WSD() + {SELF_LEASH}",
}
"""For who can train nothing but an adapter."""
CLAIMED = {
    "Finch": "Finch()",
    "WSD": "WSD()",
    "Rehearsal 1%": f"Rehearsal({OLD}, ratio=0.01)",
    "EAFT": "EAFT()",
    "LowPerplexity": "LowPerplexity()",
}
"""What is claimed to be enough, on the tasks too where the screen did not have it; and WSD, which is another rate than
the cosine's as Finch is."""
REPAIRS = {
    "WiSEFT 0.9": "WiSEFT(alpha=0.9)",
    "WiSEFT 0.8": "WiSEFT(alpha=0.8)",
    "WiSEFT 0.65": "WiSEFT(alpha=0.65)",
    "FAPM 0.5": "FAPM(keep=0.5)",
    "FAPM 0.3": "FAPM(keep=0.3)",
    "TIES 0.5": "TIES(keep=0.5)",
}
"""Edits of what plain training made, more cautious than at their defaults, which take most of the learning away."""
LOWER = {"Finch": 0.2, "WSD": 0.5, "WSD, distil": 0.5, "WSD, leash": 0.5, "WSD, self-leash": 0.5}
"""What a recipe's learning rates are multiplied by: Finch raises the rate as the loss falls, WSD keeps it high."""
ROWS = Path("docs/studies/effect.jsonl")
ADVICE = Path("docs/which-method.md")
SPLITS = {"validation": "watch", "test": "proof"}


def recipes() -> dict[str, str]:
    return {**METHODS, **SUMS, **MORE, **ADAPTERS, **CLAIMED, **REPAIRS}


def times(name: str) -> float:
    """Returns what a dose is multiplied by to give a recipe's learning rate."""
    return ADAPTER if trains_adapter(recipes()[name]) else LOWER.get(name, 1.0)


def of_world(text: str, world: int) -> str:
    """Returns a recipe whose old documents are those of a world."""
    return text.replace("ground:general/memory", f"ground:general/memory@{world}")


@functools.cache
def asked(world: int, task: str) -> dict[str, list[Any]]:
    """Returns the items that are asked about a task, by suite: what is kept, and the questions of the task."""
    from holdfast.ground.tasks import task as made
    from holdfast.ground.world import World

    leaves = made(World(world), task).leaves
    found: dict[str, list[Any]] = {}
    for item in [*(item for item in asked_of(world) if leaves(item)), *questions(task, world)]:
        if item.suite != "text":
            found.setdefault(item.suite, []).append(item)
    return found


def packed(values: Sequence[float]) -> str:
    """Returns right and wrong answers as hexadecimal digits."""
    return np.packbits(np.array(values) > 50).tobytes().hex()


def unpacked(text: str, count: int) -> list[float]:
    return (100.0 * np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))[:count]).tolist()


def answered(model: Any, tokenizer: Any, world: int, task: str) -> dict[str, str]:
    items = asked(world, task)
    found = answers(model, tokenizer, [item for own in items.values() for item in own])
    return {suite: packed([found[suite][item.id] for item in own]) for suite, own in items.items()}


Place = tuple[int, str, int, str, float]


def place(row: dict[str, Any]) -> Place:
    return row["world"], row["task"], row["seed"], row["recipe"], row["dose"]


def written() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []


def file_of(out: Path, where: Place) -> Path:
    world, task, seed, name, dose = where
    return out / f"{task}-{name.replace(', ', '+')}-{dose:g}-world{world}-seed{seed}.json"


def trunk_of(where: Place) -> Place:
    """Returns the training that a run edits, which is done once for all edits of it; itself if it trains."""
    world, task, seed, name, dose = where
    return (world, task, seed, "trunk", dose) if name in REPAIRS else where


def run_group(given: tuple[list[Place], Path]) -> str:
    """Makes the runs of one training, one after the other; returns what to print."""
    places, out = given
    said = [run_one(where, out) for where in places]
    shutil.rmtree(out / "runs" / file_of(out, trunk_of(places[0])).stem, ignore_errors=True)
    return "\n".join(said)


def run_one(where: Place, out: Path) -> str:
    path = file_of(out, where)
    if path.exists():
        return f"{path.stem}: there"
    try:
        return _run_one(where, path)
    except Exception as error:
        return f"{path.stem}: FAILED: {type(error).__name__}: {error}"


def _run_one(where: Place, path: Path) -> str:
    import torch
    from rich.console import Console

    from holdfast.bench.files import write_json
    from holdfast.bench.run import train
    from holdfast.bench.specs import RunSpec

    torch.set_num_threads(1)
    world, task, seed, name, dose = where
    about = {"world": world, "task": task, "seed": seed, "recipe": name, "dose": dose}
    if name == "base":
        write_json(path, {**about, "answers": answered(*load(MODELS[world]), world, task)})
        return f"{path.stem}: asked"

    def spec_of(text: str, name: str) -> RunSpec:
        return RunSpec(
            model=MODELS[world], data=f"ground:{task}@{world}", held_out=0.0, out=str(path.parent / "runs"),
            name=name, recipe=text, seed=seed, max_length=128, batch_size=BATCH, resume=True,
            training={"save_strategy": "no"},
        )  # fmt: skip

    recipe = training(of_world(recipes()[name], world), dose * times(name))
    trunk = spec_of(training("", dose), file_of(path.parent, trunk_of(where)).stem)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    held, started, spent = memory("VmRSS"), time.monotonic(), time.process_time()
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        made = train(trunk, Console(file=nowhere)) if name in REPAIRS else None
        done = train(spec_of(recipe, path.stem), Console(file=nowhere), trained=made and made.folder)
    spent, wall, most = time.process_time() - spent, time.monotonic() - started, memory("VmHWM") - held
    if made is not None:
        spent, most = done.record.cost.cpu_seconds, made.record.cost.own_memory_mib  # in whichever run it was done
    found = answered(*load_tuned(MODELS[world], done.folder / "model"), world, task)
    cost = {"cpu": round(spent, 1), "memory": round(most), "steps": done.record.steps}
    trained = round(done.record.trained_parameters / done.record.parameters, 4)
    write_json(path, {**about, "text": recipe, **cost, "trained": trained, "answers": found})
    shutil.rmtree(done.folder)  # the weights of hundreds of runs; the recipe and the seed make them again
    return f"{path.stem}: {spent:.0f} s of the processor, {wall:.0f} s in all"


def run_all(given: argparse.Namespace) -> None:
    import torch  # noqa: F401  what every run needs is read once, and inherited
    import transformers.trainer  # noqa: F401

    import holdfast.bench.run  # noqa: F401

    os.environ["OMP_NUM_THREADS"] = "1"
    given.out.mkdir(parents=True, exist_ok=True)
    plan: list[Place] = []
    for seed in given.seeds:
        for world in given.worlds:
            for task in given.tasks:
                plan += [(world, task, 0, "base", 0.0)] if seed == given.seeds[0] else []
                doses = chosen(given.out, world, task) if given.chosen else {}
                for name in given.only or recipes():
                    own = [doses[name]] if name in doses and name != "plain" else RATES[task]
                    plan += [(world, task, seed, name, dose) for dose in own]
    there = {place(row) for row in written()}
    groups: dict[Place, list[Place]] = {}
    for where in plan:
        if where not in there:
            groups.setdefault(trunk_of(where), []).append(where)
    print(f"{sum(map(len, groups.values()))} runs, {len(there)} written before", flush=True)
    with multiprocessing.Pool(given.workers, maxtasksperchild=1) as pool:
        for said in pool.imap(run_group, [(places, given.out) for places in groups.values()]):
            print(said, flush=True)


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Returns every row there is, the written ones first replaced by those that were made since."""
    found = {place(row): row for row in written()}
    for path in sorted(out.glob("*-world*.json")):
        row = json.loads(path.read_text())
        found[place(row)] = row
    return [found[key] for key in sorted(found)]


def finished(rows: Sequence[dict[str, Any]], world: int, task: str) -> list[Any]:
    """Returns the runs of a task in a world as `holdfast report` reads them from folders."""
    from holdfast.bench.gather import Finished
    from holdfast.bench.record import Cost, RunRecord, SecondsRow
    from holdfast.bench.scores import ScoreRow

    own = [row for row in rows if (row["world"], row["task"]) == (world, task)]
    base = next((row for row in own if row["recipe"] == "base"), None)
    if base is None:
        return []
    items = asked(world, task)
    about = []
    for suite, those in items.items():
        part = suite.removeprefix(task).removeprefix("-") or "test"
        of_task = suite == task or suite in (f"{task}-validation", f"{task}-transfer")
        role = ("transfer" if part == "transfer" else "learned") if of_task else "retained"
        for item in those:
            split = SPLITS.get(part, "proof") if of_task else item.split
            name = "task" if role == "learned" else "transfer" if role == "transfer" else suite
            group = f"{part} {item.group or item.id}" if of_task else item.group or item.id
            about.append({"suite": name, "role": role, "split": split, "item": f"{suite}/{item.id}", "group": group})

    def scores(row: dict[str, Any], moment: str) -> list[ScoreRow]:
        values = [v for suite, those in items.items() for v in unpacked(row["answers"][suite], len(those))]
        same = {"run": row["recipe"], "moment": moment, "unit": "points", "higher_is_better": True}
        return [ScoreRow(**one, **same, value=value) for one, value in zip(about, values, strict=True)]

    before, found = scores(base, "before"), []
    for row in own:
        if row["recipe"] == "base":
            continue
        recipe = row["text"].replace(f"ground:general/memory@{world}", "old")
        spec = {"model": f"world {world}", "data": task, "recipe": recipe, "seed": row["seed"]}
        cpu = row["cpu"]
        cost = Cost(device="cpu", seconds=cpu, cpu_seconds=cpu, memory_mib=row["memory"], memory_before_mib=0.0)
        record = RunRecord(
            suites=(), seconds=SecondsRow(training=cpu, all=cpu), cost=cost, steps=row["steps"],
            trained_parameters=row["trained"], parameters=1,
        )  # fmt: skip
        run = Finished(Path(row["recipe"]), spec, record)
        run.__dict__["rows"] = [*before, *scores(row, "after")]
        found.append(run)
    return found


def chosen(out: Path, world: int, task: str) -> dict[str, float]:
    """Returns the dose of each recipe that watched items choose, by its name."""
    from holdfast.bench.tradeoff import tradeoff

    runs = finished(rows_of(out), world, task)
    names = {repr(run.undosed): run.folder.name for run in runs}
    found = {}
    for row in tradeoff(runs).recipes if runs else ():
        name = names[row.text]
        found[name] = round(row.rate / times(name), 10)
    return found


def report(given: argparse.Namespace) -> None:
    from scipy import stats

    from holdfast.bench.files import write_atomically
    from holdfast.bench.tradeoff import tradeoff
    from holdfast.report import tradeoff as table
    from holdfast.report.frontier import draw

    rows = rows_of(given.out)
    write_atomically(ROWS, "".join(json.dumps(row) + "\n" for row in rows))
    lines = [
        "Written by `python benchmarks/effect.py report`; what it shows: [which-method.md](../which-method.md).",
        "",
    ]
    volumes: dict[tuple[int, str], dict[str, float]] = {}
    tables: dict[tuple[int, str], dict[str, Any]] = {}
    for world in WORLDS:
        for task in RATES:
            runs = finished(rows, world, task)
            if not runs:
                continue
            found = tables[world, task] = tradeoff(runs)
            volumes[world, task] = {row.recipe: row.hypervolume for row in found.recipes}
            lines += [f"## {task}, world {world}", "", table.markdown(found)]
            draw(found, given.plots, f"effect-{task}-world{world}")
    agree = []
    for task in RATES:
        both = [volumes.get((world, task), {}) for world in WORLDS]
        names = sorted(both[0].keys() & both[1].keys())
        if len(names) > 2:
            rho = stats.spearmanr([both[0][n] for n in names], [both[1][n] for n in names]).statistic
            agree.append(f"- {task}: rank correlation of the volumes of {len(names)} recipes {rho:.2f}")
    lines[2:2] = summary(tables)
    hours = sum(row.get("cpu", 0.0) for row in rows) / 3600
    cost = [f"{len(rows)} rows; the trainings took {hours:.1f} hours of one processor."]
    lines += ["## Do the worlds agree?", "", *agree, "", *cost]
    write_atomically(given.plots / "effect-tables.md", "\n".join(lines) + "\n")
    if ADVICE.exists():
        write_atomically(ADVICE, filled(ADVICE.read_text(), tables, {"agree": agree, "cost": cost}))
    print("\n".join(lines))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", choices=RATES, default=list(RATES))
    parser.add_argument("--worlds", nargs="+", type=int, choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--chosen", action="store_true", help="one dose of each recipe, chosen from the rows there are")
    parser.add_argument("--only", nargs="+", default=[], help="names of recipes; all if not given")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plots", type=Path, default=Path("docs/studies"))
    given = parser.parse_args()
    {"run": run_all, "report": report}[given.what](given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
