"""Healing against brute force: how much of the learning that a grid of all edits keeps does a short search keep?

Plain fine-tunes of the shipped base on three tasks are healed by `holdfast heal` with at most twelve evaluations. Brute
force evaluates every edit at twelve strengths on all validation items, and takes the point with the most learning
inside the budget, by the same reading. The grid serves several
budgets. Both choices are then judged on the same test items.

    python benchmarks/heal.py run [--tasks people] [--seeds 0] [--seconds 240]     (resumable; stops after so long)
    python benchmarks/heal.py report                                                (rows to a table; needs no model)

docs/studies/heal.jsonl        a row for each fine-tune and budget
runs/heal/TASK-RATE-seedN      the fine-tune, a run of `holdfast train`
          asked/               what is asked
          healed/, grid/       what heal left, and the answers of brute force
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import scipy.stats
import study
from rich.console import Console

from holdfast.bench.given.heal_spec import EDITS as NAMES
from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.heal.candidates import EDITS
from holdfast.bench.heal.heal import heal
from holdfast.bench.heal.heal_record import BeforeHealing, HealRecord
from holdfast.bench.heal.inputs import HealInputs, inputs_of, suites_of
from holdfast.bench.heal.sides import editor_of, with_tokenizer
from holdfast.bench.heal.validation import Validation
from holdfast.bench.heal.weights import temporary_folder
from holdfast.bench.machine.files import read_jsonl, write_atomically, write_jsonl
from holdfast.bench.machine.verbosity import quiet_libraries
from holdfast.bench.measured.answers import read_answers
from holdfast.bench.measured.learning import learning_of
from holdfast.bench.measured.measurement import asker_of, measure
from holdfast.bench.measured.verdict import verdict
from holdfast.bench.run.run import train
from holdfast.probes.changes import changes, mean_of
from holdfast.report.markdown import table_row, wrapped

BASE = "ground:base"
RATES = {"people": "5e-4", "labels": "2e-4", "language": "5e-4"}
SUITES = ("facts", "hops", "open", "sums", "compare", "translate-into", "recall", "summary")
WATCHED, QUESTIONS = 40, 100
BUDGETS = (3.0, 6.0, 10.0)
"""Budgets in points, for each of which a fine-tune is healed; the grid of brute force serves them all."""
STRENGTHS = tuple(round(step / 12, 4) for step in range(1, 12))
"""Eleven strengths below that of the tuned model, which is the twelfth and the same for all edits."""


def finetuned(task: str, seed: int, out: Path) -> Path:
    """Returns the folder of a plain fine-tune, which is made if it is not there."""
    spec = RunSpec(
        model=BASE,
        data=f"ground:{task}",
        held_out=0.0,
        max_length=128,
        batch_size=16,
        recipe=f"Train(lr={RATES[task]}, epochs=3, batch=16) + Cosine()",
        seed=seed,
        out=str(out),
        name=f"{task}-{RATES[task]}-seed{seed}",
        training={"save_strategy": "no"},
        resume=True,
    )
    return train(spec, Console(quiet=True)).folder


def spec_of(task: str, tuned: Path, out: Path, points: float) -> HealSpec:
    """Returns the options of a healing; the questions are written if they are not there."""
    asked, suites = out / "asked", study.asked(0, task, WATCHED)
    kept = [item for name in SUITES for item in suites[name]]
    questions = [item for side in ("watch", "proof") for item in suites["task"] if item.split == side]
    fewer = [item for i, item in enumerate(questions) if item.split == "proof" or i < QUESTIONS]
    return HealSpec(
        base=BASE,
        tuned=str(tuned),
        test=study.written(asked / f"{task}-test.jsonl", fewer),
        keep=(study.written(asked / f"{task}-keep.jsonl", kept),),
        budget={"points": points},
        out=str(out / "healed" / f"{tuned.name}-{points:g}"),
    )


@dataclasses.dataclass
class Grid:
    """Brute force on one fine-tune."""

    inputs: HealInputs
    folder: Path

    def __post_init__(self) -> None:
        """Reads the suites, and takes the base's answers from those of the healing."""
        self.tokenizer = load_tokenizer(BASE)
        self.suites = suites_of(self.inputs, self.tokenizer, [])
        self.editor = editor_of(BASE, self.inputs.tuned, self.folder / "work", [])
        answers = Path(self.inputs.spec.out) / "answers"
        base = read_answers(str(answers / "base-validation.jsonl")).scores
        self.test = read_answers(str(answers / "base-test.jsonl"))
        path, test = self.folder / "grid.jsonl", self.test.scores
        self.validation = Validation(self.suites.validation, base, self.inputs.budget, path, test)

    def fill(self, until: float) -> bool:
        """Asks each edit at each strength all validation items; returns whether all were asked before `until`."""
        for name, strength in itertools.product(NAMES, STRENGTHS):
            if self.validation.has(name, strength):
                continue
            if time.monotonic() > until:
                return False
            with temporary_folder(self.folder / "work" / "candidate") as candidate:
                left = self.editor.write(EDITS[name], strength, candidate)
                with_tokenizer(candidate, self.tokenizer)
                scores = self.asked(load_model(str(candidate)), self.suites.validation)
                self.validation.add(name, strength, scores, left)
        return True

    def asked(self, model: Any, suites: Sequence[Any]) -> Sequence[Any]:
        """Returns the scores of a model."""
        ask = asker_of(self.inputs.spec, self.tokenizer)
        return measure(model, suites, ask, "after", lambda *_: lambda *_: None).scores

    def best(self) -> tuple[str, float, float]:
        """Returns the edit and strength with the most learning inside the budget, and that learning."""
        readings = {
            (name, strength): self.validation.reading(name, strength)
            for name, strength in itertools.product(NAMES, STRENGTHS)
        }
        inside = {key: reading for key, reading in readings.items() if reading.spent <= 1.0}
        chosen = max(inside, key=lambda key: (inside[key].gain, -inside[key].spent))
        return *chosen, inside[chosen].gain

    def judged(self, name: str, strength: float) -> study.Row:
        """Returns what an edit learned and lost on test items."""
        with temporary_folder(self.folder / "work" / "candidate") as candidate:
            self.editor.write(EDITS[name], strength, candidate)
            with_tokenizer(candidate, self.tokenizer)
            after = self.asked(load_model(str(candidate)), self.suites.test)
        moved = changes(self.test.scores, after)
        kept = mean_of([change for change in moved if change.role == "retained"])
        low, high = kept.interval()
        word = verdict(moved, self.inputs.budget).word
        return {
            "learned": learning_of(moved).units[0].gain,
            "lost": -kept.change,
            "low": -high,
            "high": -low,
            "word": word,
        }


def row_of(model: BeforeHealing | HealRecord) -> study.Row:
    """Returns what a model learned and lost on test items."""
    (mean,), learned = model.verdict.means, model.learned.units[0].gain
    return {
        "learned": learned,
        "lost": -mean.change,
        "low": -mean.high,
        "high": -mean.low,
        "word": model.verdict.word,
    }


@quiet_libraries()
def run(given: argparse.Namespace) -> None:
    """Heals each fine-tune that has no row, fills its grid, and writes its row."""
    until, path = time.monotonic() + given.seconds, given.write / "heal.jsonl"
    for seed, task, points in itertools.product(given.seeds, given.tasks, given.budgets):
        rows = list(read_jsonl(path)) if path.exists() else []
        if any((row["task"], row["seed"], row["budget"]) == (task, seed, points) for row in rows):
            continue
        if time.monotonic() > until:
            return
        tuned = finetuned(task, seed, given.out)
        spec = spec_of(task, tuned, given.out, points)
        record = heal(spec, Console(quiet=True))
        grid = Grid(inputs_of(spec), given.out / "grid" / tuned.name)
        if not grid.fill(until):
            return
        name, strength, gain = grid.best()
        brute = {"edit": name, "strength": strength, "validation": gain, **grid.judged(name, strength)}
        found = {"evaluations": record.search.evaluations, **row_of(record)}
        if record.edit is not None:
            (chosen,) = (
                point
                for point in record.search.points
                if (point.edit, point.strength) == (record.edit.name, record.edit.strength) and point.gain is not None
            )
            found |= {"edit": chosen.edit, "strength": chosen.strength, "validation": chosen.gain}
        row = {"task": task, "seed": seed, "rate": float(RATES[task]), "items": record.search.items, "budget": points}
        tuned_row = {**row_of(record.before), "validation": record.search.tuned_gain}
        row |= {"bound": record.search.bound, "tuned": tuned_row, "heal": found, "brute": brute}
        row["brute"]["evaluations"] = len(NAMES) * len(STRENGTHS) + 1
        write_jsonl(path, [*rows, row])
        print(row, flush=True)


def report(given: argparse.Namespace) -> None:
    """Writes the table of all rows, and what they come to."""
    rows = sorted(read_jsonl(given.write / "heal.jsonl"), key=lambda row: (row["task"], row["seed"], row["budget"]))
    head = (
        "task, seed, budget",
        "model",
        "edit",
        "evaluations",
        "learned (validation)",
        "learned (test)",
        "lost (test)",
        "word",
    )
    body = []
    for row in rows:
        for name in ("tuned", "heal", "brute"):
            of = row[name]
            edit = f"{of['edit']} {of['strength']:.3f}" if "edit" in of else ""
            lost = f"{of['lost']:.1f} ({of['low']:.1f} to {of['high']:.1f})"
            evaluations = f"{of['evaluations']:g}" if "evaluations" in of else ""
            first = f"{row['task']}, {row['seed']}, {row['budget']:g}" if name == "tuned" else ""
            learned = f"{of['validation']:.1f}", f"{of['learned']:.1f}"
            body.append((first, name, edit, evaluations, *learned, lost, of["word"]))
    lines = [table_row(head), "|" + "---|" * len(head), *map(table_row, body), ""]
    for side in ("validation", "learned"):
        shares = [row["heal"][side] / row["brute"][side] for row in rows if row["brute"][side] > 0]
        lines += wrapped(
            f"Learning of heal as a share of brute force's ({'test' if side == 'learned' else side} items): mean"
            f" {sum(shares) / len(shares):.1%}, least {min(shares):.1%}, at least 90% in"
            f" {sum(share >= 0.9 for share in shares)} of {len(shares)}.",
            "- ",
        )
    for name in ("heal", "brute"):
        kept, forgot = (sum(row[name]["word"] == word for row in rows) for word in ("kept", "forgot"))
        within = sum(row[name]["lost"] <= row["budget"] for row in rows)
        low, high = scipy.stats.binomtest(kept, len(rows)).proportion_ci(0.95, method="exact")
        lines += wrapped(
            f"{name}: shown to have kept the budget on test items in {kept} of {len(rows)} (95%: {low:.0%} to"
            f" {high:.0%}), forgot in {forgot}; the measured loss is within the budget in {within}.",
            "- ",
        )
    write_atomically(given.write / "heal-tables.md", "# Healing: tables\n\n" + "\n".join(lines) + "\n")


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--out", type=Path, default=Path("runs/heal"), help="folder of the runs")
    parser.add_argument("--write", type=Path, default=Path("docs/studies"), help="folder of the rows and tables")
    parser.add_argument("--tasks", nargs="+", choices=RATES, default=list(RATES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--budgets", nargs="+", type=float, default=list(BUDGETS), metavar="POINTS")
    parser.add_argument("--seconds", type=float, default=1e9, help="no new evaluation begins after so long")
    given = parser.parse_args()
    {"run": run, "report": report}[given.what](given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
