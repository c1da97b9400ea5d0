"""What does it cost to keep what a model knows? The frontier of learned against lost, for recipes and their sums.

python benchmarks/held.py run [--tasks people] [--recipes plain "distil 0.5"] [--seeds 0]          (resumable)
python benchmarks/held.py prove --recipes "distil 0.5"       (all proof items, of the best doses and of plain's)
python benchmarks/held.py report                                                             (needs no model)
"""

from __future__ import annotations

import argparse
import itertools
import sys

import study
import tables

from holdfast.bench.compare.finished_runs import read_finished_runs
from holdfast.bench.diff.diff import diff
from holdfast.bench.diff.diff_record import DiffRecord
from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.machine.files import write_atomically
from holdfast.ground.names import items
from holdfast.ground.tasks import task as task_of
from holdfast.ground.world import World


def memory(ratio: float) -> str:
    return f"Rehearsal(memory='{study.OLD}', ratio={ratio})"


def distil(ratio: float, strength: float = 3.0) -> str:
    return f"BaseKL(strength={strength}, on='memory') + {memory(ratio)}"


RECIPES = {
    "plain": "",
    "finch": "Finch()",
    "kl": "BaseKL()",
    "mask": "MaskTheTarget()",
    "rehearse 0.2": memory(0.2),
    "rehearse 0.5": memory(0.5),
    "mask + rehearse 0.2": f"MaskTheTarget() + {memory(0.2)}",
    "mask + rehearse 0.5": f"MaskTheTarget() + {memory(0.5)}",
    "mask + distil 0.5": f"MaskTheTarget(on='new') + {distil(0.5)}",
    "distil 0.2": distil(0.2),
    "distil 0.5": distil(0.5),
    "distil 0.5 x10": distil(0.5, 10.0),
    "distil 0.8": distil(0.8),
    "distil 0.8 x10": distil(0.8, 10.0),
    "distil 0.9": distil(0.9),
    "distil 0.95": distil(0.95),
    "rehearse 0.8": memory(0.8),
    "rehearse 0.95": memory(0.95),
    "lora": "LoRA(rank=16)",
    "lora + distil 0.5": f"LoRA(rank=16) + {distil(0.5)}",
}
RATES = {"people": (5e-4, 1e-3, 2e-3), "language": (5e-4, 1e-3, 2e-3), "labels": (1e-4, 2e-4, 5e-4)}
STUDY = study.Study("held", RECIPES, RATES)
BUDGET = {"points": 2}
"""By which the verdict says what would be called kept, whatever is allowed."""


def prove(given: argparse.Namespace) -> None:
    """Asks the best dose of plain and of some recipes all proof items there are, by `holdfast diff`."""
    rows = STUDY.rows(given.write)
    for world, task in itertools.product(given.worlds, given.tasks):
        best = [(row["recipe"], row["dose"], row["epochs"]) for row in tables.chosen(rows, task)[0]]
        asked = (item for item in items(f"suites/proof@{world}") or [] if item.suite != "text")
        kept = filter(task_of(World(world), task).leaves, asked)
        keep = study.written(given.out / "asked" / f"{task}-world{world}" / "proof.jsonl", kept)
        for run in read_finished_runs([str(given.out / f"{task}-world{world}")])[0]:
            made = study.place(STUDY.made(run, world, task) or {})
            row = next((row for row in rows if study.place(row) == made), {})
            if row.get("recipe") not in ("plain", *given.recipes) or "proved" in row:
                continue
            if (row["recipe"], row["dose"], row["epochs"]) in best:
                model = str(run.folder / "model")
                row["proved"] = proved(diff(DiffSpec(base=run.spec["model"], tuned=model, keep=(keep,), budget=BUDGET)))
                STUDY.write(given.write, rows)


def proved(found: DiffRecord) -> study.Row:
    """Returns what was lost in the mean of the suites and in the worst of them, and what would be called kept."""
    came = study.record(found)
    (mean,) = came["verdict"]["means"]
    falls = {one["name"]: _fall(one) for one in came["suites"]}
    worst = max(falls, key=lambda name: falls[name]["value"])
    lost = {**_fall(mean), "most": mean["most"]}
    items = sum(one["items"] for one in came["suites"])
    return {"items": items, "lost": lost, "worst": {"suite": worst, **falls[worst]}, "suites": falls}


def _fall(of: study.Row) -> study.Row:
    return study.fall(of["change"], of["low"], of["high"])


def report(given: argparse.Namespace) -> None:
    rows = STUDY.rows(given.write)
    write_atomically(given.write / "held-tables.md", tables.held(rows, STUDY))
    tables.plot(rows, STUDY, given.write)


if __name__ == "__main__":
    sys.exit(study.main(STUDY, __doc__, prove=prove, report=report))
