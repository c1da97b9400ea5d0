"""A study on the proving ground: `holdfast.compare` on its tasks, and a row for each run that it makes.

Each recipe is a complete fine-tuning of the base at several learning rates (doses). Rates are chosen by validation
questions and watched items alone; what was learned is stated on test questions, what was lost on proof items.

    python benchmarks/NAME.py run [--tasks people] [--recipes plain EWC] [--seeds 0]    (resumable)
    python benchmarks/NAME.py report                                                    (rows to tables; needs no model)

docs/studies/NAME.jsonl   a row for each run: what it was, what it cost, and what it learned and lost
runs/NAME/asked/          what the runs are asked
          people-world0/  a comparison, as `holdfast compare` leaves it

A run that has a row is not made again. Plain training is: it is run beside the others in every sitting, and the seconds
of their rows are scaled by it to those of the first sitting, whose machine may have been another.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import holdfast
from holdfast.bench.compare.finished_runs import FinishedRun, read_finished_runs
from holdfast.bench.compare.plan import with_settings
from holdfast.bench.diff.diff_record import DiffRecord
from holdfast.bench.machine.files import read_jsonl, write_jsonl
from holdfast.bench.measured.scores import Moment
from holdfast.bench.run.arguments import rate_of
from holdfast.bench.run.record import RunRecord
from holdfast.ground.names import items
from holdfast.ground.tasks import task as task_of
from holdfast.ground.world import World
from holdfast.methods.schedules.train import Train
from holdfast.probes.changes import changes, mean_of
from holdfast.probes.items import Item, Split, split_of
from holdfast.probes.score import Score
from holdfast.recipe import parse

EPOCHS, BATCH = 3, 16
ADAPTER = 5.0
"""Times the rate, for recipes that train an adapter."""
WATCHED, PROVED, TESTED = 60, 120, 200
"""Watched and proof items of each suite, and questions of each split of a task, taken evenly."""
MODELS = {0: "ground:base", 1: "benchmarks/ground/seed1"}
"""The base of each world."""
OLD = "ground:general/memory@{world}"
"""Old documents, of the kind that the base was taught."""
DISTIL = f"BaseKL(strength=3.0, on='memory') + Rehearsal(memory='{OLD}', ratio=0.5)"
SELF = "BaseKL(strength=3.0, on='memory') + SelfRehearsal(ratio=0.5)"

TOLD = {"learned": "task", "transfer": "transfer"}
"""What a suite of questions about the task is there to show."""
Row = dict[str, Any]
Doses = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Study:
    """What is run.

    Attributes:
        name: Of the file of its rows.
        recipes: What is added to the training, by name; "plain" adds nothing.
        rates: Learning rates at which each is run, by task.
        watched: Watched items that are asked of each suite.
        only: The tasks on which a recipe is run, by its name; all where it is not named.
        keeps: Whether runs stay on the disk; if not, one that has its row is deleted, but for those of plain training.
        answers: Whether a row holds every answer, and not what they come to.
        chosen: Returns the dose of each recipe that the rows of a world and task choose: `--chosen` runs no other, so
            that a further seed costs a third.
    """

    name: str
    recipes: Mapping[str, str]
    rates: Mapping[str, Sequence[float]]
    watched: int = WATCHED
    only: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    keeps: bool = True
    answers: bool = False
    chosen: Callable[[Sequence[Row], int, str], Doses] | None = None

    def rows(self, folder: Path) -> list[Row]:
        """Returns the rows that were written."""
        path = folder / f"{self.name}.jsonl"
        return list(read_jsonl(path)) if path.exists() else []

    def write(self, folder: Path, rows: Iterable[Row]) -> None:
        """Writes the rows."""
        write_jsonl(folder / f"{self.name}.jsonl", rows)

    def made(self, run: FinishedRun, world: int, task: str) -> Row | None:
        """Returns what a run is; None if it is none of a recipe (it was made to be edited)."""
        (train,) = (one for one in run.recipe.methods if isinstance(one, Train))
        texts = {name: text.format(world=world) for name, text in self.recipes.items()}
        name, times = named(run, texts, settings(train.epochs), ADAPTER)
        if not name:
            return None
        about = {"world": world, "task": task, "seed": run.spec["seed"], "recipe": name}
        return {**about, "dose": round(run.rate / times, 10), "rate": run.rate, "epochs": train.epochs}


def named(run: FinishedRun, texts: Mapping[str, str], settings: str, adapter_rate: float) -> tuple[str, float]:
    """Returns which of some recipes a run of a comparison is, and times what its learning rate was; "" if none."""
    for name, text in texts.items():
        whole = with_settings(parse(text or "Train()"), parse(settings), adapter_rate)
        if FinishedRun(Path(), {"recipe": repr(whole)}, {}).recipe_without_rate == run.recipe_without_rate:
            return name, rate_of(whole)
    return "", 1.0


def settings(epochs: float) -> str:
    """Returns what every recipe is trained with; doses are learning rates."""
    return f"Train(lr=1.0, epochs={epochs:g}, batch={BATCH}) + Cosine()"


def evenly(of: Iterable[Item], count: int) -> list[Item]:
    own = list(of)
    return own[:: max(1, len(own) // max(1, count))][:count]


@functools.cache
def asked(world: int, task: str, watched: int) -> dict[str, list[Item]]:
    """Returns what is asked about a task, by suite: what is kept and stays right, its questions, and its transfer.

    Validation questions are the watched side of the task, and test questions the proof.
    """
    found: dict[str, list[Item]] = {}
    for side, count in (("watch", watched), ("proof", PROVED)):
        for name, own in itertools.groupby(items(f"suites/{side}@{world}") or [], lambda item: item.suite):
            found.setdefault(name, []).extend(filter(task_of(World(world), task).leaves, evenly(own, count)))
    for part in ("validation", "test", "transfer"):
        suite, side = "transfer" if part == "transfer" else "task", "watch" if part == "validation" else "proof"
        for item in evenly(items(f"{task}/{part}@{world}") or [], TESTED):
            group = _on(side, f"{part} {item.group or item.id}")
            moved = dataclasses.replace(item, suite=suite, id=f"{part}/{item.id}", group=group)
            found.setdefault(suite, []).append(moved)
    return found


def _on(side: Split, group: str) -> str:
    """Returns a name for a group that puts it on a side, since nothing but its name says on which it is."""
    names = (f"{group} {i}" for i in itertools.count())
    return next(name for name in names if split_of(name) == side)


def written(path: Path, of: Iterable[Item]) -> str:
    """Writes items, and returns the name of the file."""
    write_jsonl(path, (item.to_dict() for item in of))
    return str(path)


def place(row: Row) -> tuple[Any, ...]:
    """Returns what makes a run one of its own."""
    return tuple(row.get(name) for name in ("world", "task", "seed", "recipe", "dose", "epochs"))


def run(study: Study, given: argparse.Namespace) -> None:
    """Makes the runs that have no row, and writes their rows."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for seed, world, task in itertools.product(given.seeds, given.worlds, given.tasks):
        rows = study.rows(given.write)
        there = set() if given.again else {place(row) for row in rows}
        chosen = study.chosen(rows, world, task) if given.chosen and study.chosen else {}
        todo: dict[tuple[float, ...], list[str]] = {}
        for name in (one for one in given.recipes if task in study.only.get(one, (task,))):
            doses = (chosen[name],) if name in chosen and name != "plain" else tuple(given.rates or study.rates[task])
            if any((world, task, seed, name, dose, given.epochs) not in there for dose in doses):
                todo.setdefault(doses, []).append(name)
        for doses, names in todo.items():
            print(f"{task}, world {world}, seed {seed}, doses {doses}: {', '.join(names)}", flush=True)
            made = compared(study, given, world, task, seed, doses, names)
            rows = merged(rows, [row for _, own in made for row in own])
            study.write(given.write, rows)
            for done, own in made:
                if not study.keeps and own[-1]["recipe"] != "plain":
                    shutil.rmtree(done.folder)


def compared(
    study: Study, given: argparse.Namespace, world: int, task: str, seed: int, doses: Sequence[float], names: list[str]
) -> list[tuple[FinishedRun, list[Row]]]:
    """Compares some recipes with plain training, and returns the runs and their rows; with the first, the base's."""
    suites, file = asked(world, task, study.watched), given.out / "asked" / f"{task}-world{world}"
    kept = [item for name, own in suites.items() if name not in ("task", "transfer") for item in own]
    found = holdfast.compare(
        model=MODELS[world], data=f"ground:{task}@{world}", held_out=0.0, max_length=128, batch_size=BATCH,
        test=written(file / "test.jsonl", suites["task"]), keep=[written(file / "keep.jsonl", kept)],
        transfer=written(file / "transfer.jsonl", suites["transfer"]),
        recipes=[study.recipes[name].format(world=world) or "Train()" for name in names], doses=doses, seeds=[seed],
        settings=settings(given.epochs), adapter_rate=ADAPTER, workers=given.workers,
        training={"save_strategy": "no"}, out=str(given.out / f"{task}-world{world}"),
    )  # fmt: skip
    runs: list[tuple[FinishedRun, list[Row]]] = []
    for one in read_finished_runs([str(folder) for folder in found.folders])[0]:
        if (made := study.made(one, world, task)) is None:
            continue
        rows = [{**made, **cost(one), **(packed(one, suites) if study.answers else scores(one))}]
        if study.answers and not runs:
            base = {"world": world, "task": task, "seed": 0, "recipe": "base", "dose": 0.0}
            rows.insert(0, {**base, **packed(one, suites, "before")})
        runs.append((one, rows))
    return runs


def record(of: FinishedRun | DiffRecord) -> Row:
    """Returns what came of a run or a diff, as its result.json or diff.json has it."""
    return dict((of.record if isinstance(of, FinishedRun) else of).to_dict())


def cost(run: FinishedRun) -> Row:
    """Returns how a run was trained and what that cost, seconds of the processor and MiB among it."""
    done = record(run)
    spent, seconds = done.get("cost", {}), done["seconds"]
    return {
        "text": run.spec["recipe"], "steps": done["steps"],
        **({"cpu": round(spent["cpu"], 1)} if spent else {}),
        **({"memory": round(spent["memory"] - spent["before"])} if "memory" in spent else {}),
        "seconds": {"training": seconds["training"], "asking": seconds["all"] - seconds["training"]},
        "trained": round(done["trained_parameters"] / done["parameters"], 4),
    }  # fmt: skip


def scores(run: FinishedRun) -> Row:
    """Returns what a run learned and lost on each side, and the change of every suite."""
    suites = {suite.pop("name"): suite for suite in map(dict, record(run)["suites"])}
    found = {"asked": sum(map(len, run.after.values())), "suites": suites}
    for side in ("watch", "proof"):
        before, after = ([score for score in run.scores[m] if score.split == side] for m in ("before", "after"))
        moved = {one.name: one for one in changes(before, after)}
        found["base"] = moved["task"].before
        found[side] = {n: {"value": moved[s].after} for n, s in TOLD.items() if s in moved}
        if kept := [one for one in moved.values() if one.role == "retained" and one.unit == "points"]:
            falls = {one.name: fall(one.change, *one.interval()) for one in kept}
            worst = max(falls, key=lambda name: falls[name]["value"])
            mean = mean_of(kept)
            found[side] |= {"lost": fall(mean.change, *mean.interval())}
            found[side] |= {"worst": {"suite": worst, **falls[worst]}, "suites": falls}
    return found


def fall(change: float, low: float, high: float) -> Row:
    """Returns what was lost, from a change and the ends of its interval, all in points."""
    return {"value": 0.0 - change, "low": 0.0 - high, "high": 0.0 - low}


def packed(run: FinishedRun, suites: Mapping[str, Sequence[Item]], moment: Moment = "after") -> Row:
    """Returns the answers of a run, by suite: right and wrong as bits in the order of the items, in hexadecimal."""
    said = {(row.suite, row.item): row.value > 50 for row in run.scores[moment] if row.unit == "points"}
    bits = {name: [said[name, item.id] for item in own] for name, own in suites.items() if name != "text"}
    return {"answers": {name: np.packbits(own).tobytes().hex() for name, own in bits.items()}}


def unpacked(text: str, count: int) -> list[float]:
    return (100.0 * np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))[:count]).tolist()


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Returns all rows, those of plain training as they were, and the seconds of new ones scaled by it."""

    def plain(rows: Sequence[Row]) -> dict[tuple[Any, ...], float]:
        return {place(row): row["cpu"] for row in rows if row["recipe"] == "plain" and "cpu" in row}

    found, then, now = {place(row): row for row in old}, plain(old), plain(new)
    both = [key for key in now if key in then]
    scale = sum(then[key] for key in both) / sum(now[key] for key in both) if both else 1.0
    for row in new:
        if row["recipe"] not in ("plain", "base") or place(row) not in found:
            found[place(row)] = {**row, "cpu": round(row["cpu"] * scale, 1)} if "cpu" in row else row
    return list(found.values())


def score_rows(row: Row, suites: Mapping[str, Sequence[Item]]) -> list[Score]:
    """Returns the scores of a row that holds answers."""
    found = []
    for name, text in row["answers"].items():
        role = next((role for role, suite in TOLD.items() if suite == name), "retained")
        same = {"suite": name, "role": role, "unit": "points"}
        for item, value in zip(suites[name], unpacked(text, len(suites[name])), strict=True):
            of = {"split": item.split, "item": item.id, "group": item.group or item.id}
            found.append(Score(**same, **of, value=value, higher_is_better=True))
    return found


def finished(row: Row, scores: dict[Moment, list[Score]]) -> FinishedRun:
    """Returns the run of a row, with its scores before and after, as `holdfast report` reads it from its folder."""
    recipe = row["text"].replace(OLD.format(world=row["world"]), "old")
    spec = {"model": f"world {row['world']}", "data": row["task"], "recipe": recipe, "seed": row["seed"]}
    cpu, parts = row["cpu"], 10_000
    spent = {"device": "cpu", "seconds": cpu, "cpu": cpu, "memory": row["memory"], "before": 0.0}
    came = {"suites": [], "seconds": {"training": cpu, "all": cpu}, "cost": spent, "steps": row["steps"]}
    came |= {"trained_parameters": round(parts * row["trained"]), "parameters": parts}
    made = FinishedRun(Path(row["recipe"]), spec, RunRecord.from_dict(came))
    made.__dict__["scores"] = scores
    return made


def main(study: Study, about: str, **commands: Callable[[argparse.Namespace], None]) -> int:
    """Reads the command line of a study: `run`, and what else it can do."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", *commands))
    parser.add_argument("--out", type=Path, default=Path("runs") / study.name, help="folder of the runs")
    parser.add_argument("--write", type=Path, default=Path("docs/studies"), help="folder of the rows and tables")
    parser.add_argument("--tasks", nargs="+", choices=study.rates, default=list(study.rates))
    parser.add_argument("--worlds", nargs="+", type=int, choices=MODELS, default=[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--recipes", nargs="+", choices=study.recipes, default=list(study.recipes), metavar="NAME")
    parser.add_argument("--rates", nargs="+", type=float, help="in place of those of the study")
    parser.add_argument("--epochs", type=float, default=EPOCHS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="make runs that have a row too")
    parser.add_argument("--chosen", action="store_true", help="one dose of each recipe: the one that its rows choose")
    given = parser.parse_args()
    {"run": functools.partial(run, study), **commands}[given.what](given)
    return 0
