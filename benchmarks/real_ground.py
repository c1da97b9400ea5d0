"""Does the proving ground rank recipes as real models do? The adapters of benchmarks/real.py, run on the ground.

    python benchmarks/real_ground.py run [--seeds 0 1] [--workers 1]       (resumable)
    python benchmarks/real_ground.py report                               (needs no model)

The base of the package learns the tasks that resemble those of the real models, `people` for facts and `labels` for
labels, with the same methods at one rate and half of it. It reads no English, so it rehearses documents that it wrote
itself where a real model rehearses its answers to prompts, at the same shares of the tokens.

docs/studies/real-ground.jsonl        a row for each run
docs/studies/real-ground-tables.md    learned and lost beside those of the real models, and rank correlations
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import study
from real import RATE
from real import rows as real_rows_written
from real_rows import NAMES, base_of, kept_changes, lost
from real_rows import learned as learned_by_real
from scipy import stats
from study import Row
from tables import grid

from holdfast.bench.machine.files import write_atomically
from holdfast.probes.changes import changes, mean_of

KL = "BaseKL(on='memory') + "
RECIPES = {
    "plain": "",
    "LoRA": "LoRA()",
    "LoRA, rate x 0.5": "Train(lr=2.5) + LoRA()",
    "LoRA, MaskTheTarget": "LoRA() + MaskTheTarget()",
    "LoRA, WiSEFT 0.5": "LoRA() + WiSEFT(0.5)",
    "LoRA, Self 100 20%, KL": f"LoRA() + {KL}SelfRehearsal(ratio=0.2, count=100)",
    "LoRA, prompts 10%, KL": f"LoRA() + {KL}SelfRehearsal(ratio=0.1)",
    "LoRA, prompts 25%, KL": f"LoRA() + {KL}SelfRehearsal(ratio=0.25)",
    "LoRA, prompts 50%, KL": f"LoRA() + {KL}SelfRehearsal(ratio=0.5)",
    "LoRA, WSD, the default's rate": "Train(lr=3.75) + LoRA() + WSD()",
    "Holdfast, prompts 25%, adapter": f"Train(lr=3.75) + LoRA() + WSD() + {KL}SelfRehearsal(ratio=0.25)",
}
"""Recipes, by their name in the study on real models. Adapters take five times the dose, as everywhere on the ground;
the default and its twin take 0.75 of that, as on the real models."""
TASKS = {"people": "facts", "labels": "labels"}
"""Tasks of the ground, with those of the real models that they resemble."""
RATES = {"people": (1e-3,), "labels": (2e-4,)}
STUDY = study.Study("real-ground", RECIPES, RATES, keeps=False, answers=True)

Figures = dict[str, tuple[float, float]]
"""Percentage learned and points lost, by recipe."""


def on_ground(rows: Sequence[Row], task: str, seed: int) -> Figures:
    """Returns what each recipe learned and lost on a task of the ground, on test questions and proof items."""
    suites = study.asked(0, task, study.WATCHED)
    own = [row for row in rows if row["task"] == task]

    def proof(row: Row) -> list[study.Score]:
        return [score for score in study.score_rows(row, suites) if score.split == "proof"]

    before = proof(next(row for row in own if row["recipe"] == "base"))
    found = {}
    for row in own:
        if row["recipe"] != "base" and row["seed"] == seed:
            moved = changes(before, proof(row))
            kept = [one for one in moved if one.role == "retained"]
            (task_suite,) = (one for one in moved if one.name == "task")
            found[_named(row, RATES[task][0])] = (task_suite.after, -mean_of(kept).change)
    return found


def on_real(rows: Sequence[Row], model: str, task: str) -> Figures:
    """Returns what each recipe learned and lost on a task of a real model, of its first seed."""
    found = {}
    for row in rows:
        if (row["model"], row["task"], row["seed"]) == (model, task, 0) and row["recipe"] != "base":
            found[_named(row, RATE)] = (learned_by_real(row), lost(kept_changes(row, base_of(row, rows)))[0])
    return found


def _named(row: Row, rate: float) -> str:
    """Returns the name of a run's recipe, with its rate where it is not the common one."""
    return row["recipe"] + (f", rate x {row['dose'] / rate:g}" if row["dose"] != rate else "")


def correlation(one: Figures, other: Figures, place: int, names: Sequence[str]) -> str:
    """Returns the rank correlation of two columns of figures, over the recipes that both have."""
    found = stats.spearmanr([one[name][place] for name in names], [other[name][place] for name in names])
    return f"{found.statistic:.2f}"


def both(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Returns the recipes that are in both, in the order of `RECIPES`, without plain training."""
    return [name for name in RECIPES if name in one and name in other and name != "plain"]


def report(given: argparse.Namespace) -> None:
    """Writes the tables."""
    rows, real = STUDY.rows(given.write), real_rows_written()
    lines = ["# The ranking of the proving ground beside that of real models", ""]
    agree = []
    for task, named in TASKS.items():
        seeds = sorted({row["seed"] for row in rows if row["task"] == task and row["recipe"] != "base"})
        if not seeds:
            continue
        ground = {seed: on_ground(rows, task, seed) for seed in seeds}
        for one, other in itertools.combinations(seeds, 2):
            agree.append(_row(task, f"ground, seed {one}", f"ground, seed {other}", ground[one], ground[other]))
        mean = {
            name: tuple(np.mean([ground[s][name] for s in seeds], axis=0)) for name in both(ground[seeds[0]], RECIPES)
        }
        for model in NAMES:
            theirs = on_real(real, model, named)
            names = both(mean, theirs)
            if len(names) < 3:
                continue
            agree.append(_row(named, "ground", NAMES[model], mean, theirs))
            lines += [f"### {named}, {NAMES[model]}", ""]
            lines += grid(
                "recipe | learned, ground | learned, real | lost, ground | lost, real",
                ([n, *(f"{side[n][k]:.1f}" for k in (0, 1) for side in (mean, theirs))] for n in names),
            )
            lines += [""]
    lines += ["### Rank correlations", ""]
    lines += grid("task | one | other | recipes | learned | lost", agree)
    write_atomically(given.write / "real-ground-tables.md", "\n".join(lines) + "\n")


def _row(task: str, one: str, other: str, figures: Figures, theirs: Figures) -> list[object]:
    names = both(figures, theirs)
    ranked = [correlation(figures, theirs, place, names) for place in (0, 1)]
    return [task, one, other, len(names), *ranked]


if __name__ == "__main__":
    sys.exit(study.main(STUDY, __doc__ or "", report=report))
