"""The study on real models by recipe: beside plain training on the same tasks, and beside the proving ground.

`real_report.py` writes what this computes. A recipe is compared with plain training of the same weights: an adapter
with `LoRA`, whole weights with `plain`. The difference of their losses is paired: both answered the same items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import effect
import numpy as np
import tables
from real import DEFAULT, RATE, RECIPES, TWIN
from real_rows import (
    NAMES,
    Row,
    answers,
    base_of,
    by_origin,
    kept_changes,
    learned,
    lost,
    suites_of,
    time_of,
    told,
    worst,
    worst_by_chance,
    wronged,
)
from scipy import stats

from holdfast.stats.flips import Flips, flips
from holdfast.stats.pooled import pooled

HELD = (
    *(DEFAULT, "Holdfast, one for ten, adapter"),
    *(f"Holdfast, prompts {share}%, adapter" for share in (5, 10, 25)),
)
"""The default and the same training with fixed shares of what the base answered."""
"""The default, and its training without what holds the model to its base."""
GROUND_TASKS = {"labels": "labels", "facts": "people", "science": "science", "icelandic": "language"}
"""The task of the proving ground that is nearest to a task of the study."""
GROUND = {
    "plain": "plain",
    "LoRA": "LoRA()",
    "Finch": "Finch()",
    "WSD": "WSD()",
    "MaskTheTarget": "MaskTheTarget()",
    "Holdfast": "Holdfast()",
    "Holdfast, adapter": "Holdfast(adapter=True)",
    "WiSEFT 0.8": "WiSEFT(alpha=0.8)",
    "EAFT": "EAFT()",
}
"""What the trade-off of the proving ground calls a recipe."""


def plain_of(recipe: str) -> str:
    """Returns the plain training that a recipe is compared with."""
    return "LoRA" if "LoRA()" in RECIPES[recipe] or "adapter=True" in RECIPES[recipe] else "plain"


def first_runs(all_rows: Sequence[Row]) -> dict[tuple[str, str, str], Row]:
    """Returns the runs at the common rate with the first seed, by model, task and recipe."""
    return {
        (row["model"], row["task"], row["recipe"]): row
        for row in all_rows
        if row["recipe"] == "base" or (row["dose"] == RATE and row["seed"] == 0)
    }


def between(row: Row, other: Row) -> dict[str, Flips]:
    """Returns the changes of the kept suites, by name, from another run to this one."""
    suites = suites_of(row["model"], row["task"])
    task = next(iter(suites))
    first, last = answers(other), answers(row)
    groups = {name: [item.group or item.id for item in items] for name, items in suites.items()}
    return {name: flips(first[name], last[name], groups[name]) for name in suites if name != task}


def by_recipe(all_rows: Sequence[Row]) -> list[str]:
    """Returns a line for each recipe: means over the models and tasks on which it and its plain training ran."""
    runs = first_runs(all_rows)
    lines = []
    for recipe in RECIPES:
        pairs = [
            (row, runs[model, task, plain_of(recipe)])
            for (model, task, name), row in runs.items()
            if name == recipe and (model, task, plain_of(recipe)) in runs
        ]
        if not pairs:
            continue
        gained = [
            (learned(row) - start) / max(learned(plain) - start, 1e-9)
            for row, plain in pairs
            for start in [learned(base_of(row, all_rows))]
        ]
        losses = [lost(kept_changes(row, base_of(row, all_rows)))[0] for row, _ in pairs]
        wrong = [wronged(kept_changes(row, base_of(row, all_rows))) for row, _ in pairs]
        worsts = [worst(kept_changes(row, base_of(row, all_rows))) for row, _ in pairs]
        nats = [np.mean(row["nats"]) - np.mean(base_of(row, all_rows)["nats"]) for row, _ in pairs]
        time = [float(told_time[:-1]) for row, plain in pairs if (told_time := time_of(row, plain))]
        parts = [part for row, plain in pairs for part in between(row, plain).values()]
        saved = ""
        if recipe != plain_of(recipe):
            whole = pooled(parts)
            low, high = whole.interval()
            saved = told((100 * whole.change, 100 * low, 100 * high))
        cells = [
            recipe, str(len(pairs)), f"{100 * np.mean(gained):.0f}%", f"{np.mean(losses):.1f}", saved,
            f"{np.mean(wrong):.1f}", f"{np.mean(worsts):.0f}", f"{np.mean(nats):+.2f}",
            f"{np.mean(time):.2f}x" if time else "",
        ]  # fmt: skip
        lines.append((plain_of(recipe), float(np.mean(losses)), f"| {' | '.join(cells)} |"))
    head = "| recipe | runs | learned, of plain's | lost | kept more than plain | right turned wrong | worst suite |"
    head += " text, nats | time |"
    return [head, "|---" * (head.count("|") - 1) + "|", *(line for *_, line in sorted(lines)), ""]


def beside_twin(all_rows: Sequence[Row]) -> list[str]:
    """Returns a line for each run of `HELD`: beside the same training without what holds the model to its base.

    Both have the same rate, schedule, adapter and seed, and answer the same questions, so the difference is paired.
    Behind the loss of the worst suite stands what it would be by chance.
    """
    twins = {(row["model"], row["task"], row["seed"]): row for row in all_rows if row["recipe"] == TWIN}
    pairs = [
        (row, twin)
        for row in all_rows
        if row["recipe"] in HELD and (twin := twins.get((row["model"], row["task"], row["seed"])))
    ]
    lines = []
    for row, twin in sorted(pairs, key=lambda pair: [pair[0][name] for name in ("task", "model", "seed", "recipe")]):
        share = row["recipe"].removeprefix("Holdfast, ").removeprefix("prompts").removesuffix(", adapter").strip(" ,")
        cells = [f"{row['task']}, {NAMES[row['model']]}", share or "default", str(row["seed"])]
        both = [kept_changes(run, base_of(run, all_rows)) for run in (row, twin)]
        cells += [f"{learned(run):.1f}" for run in (row, twin)] + [told(lost(parts)) for parts in both]
        cells += [f"{wronged(parts):.1f}" for parts in both]
        cells += [f"{worst(parts):.0f} ({worst_by_chance(parts):.0f})" for parts in both]
        less = between(twin, row)
        cells += [told(lost(part)) for part in (less, *by_origin(less))]
        cells.append(time_of(row, twin))
        lines.append(f"| {' | '.join(cells)} |")
    head = "| task | answers | seed | learned | without | lost | without | right turned wrong | without | worst suite |"
    head += " without | kept more, all suites | general | public | time |"
    return [head, "|---" * (head.count("|") - 1) + "|", *lines, ""] if lines else []


def beside_ground(all_rows: Sequence[Row]) -> list[str]:
    """Returns, for each model and task, the rank correlation of recipes with those of the proving ground."""
    runs = first_runs(all_rows)
    common = {
        (model, task): [name for name in GROUND if (model, task, name) in runs]
        for model in NAMES
        for task in GROUND_TASKS
    }
    if max(map(len, common.values())) < 4:
        return []
    found = tables.tradeoffs(effect.STUDY.rows(effect.PAGE.parent / "studies"), effect.STUDY)
    lines = ["| model | task | recipes | lost, rank correlation | learned, rank correlation |", "|---|---|---|---|---|"]
    for (model, task), ran in common.items():
        ground: Mapping[str, Any] = {row["recipe"]: row for row in tables.recipes(found[0, GROUND_TASKS[task]])}
        names = [name for name in ran if GROUND[name] in ground]
        if len(names) < 4:
            continue
        rows = [runs[model, task, name] for name in names]
        here = [[lost(kept_changes(row, base_of(row, all_rows)))[0] for row in rows], [learned(row) for row in rows]]
        there = [[ground[GROUND[name]][what]["value"] for name in names] for what in ("lost", "learned")]
        ranks = [f"{stats.spearmanr(a, b).statistic:.2f}" for a, b in zip(here, there, strict=True)]
        lines.append(f"| {NAMES[model]} | {task} | {len(names)} | {' | '.join(ranks)} |")
    return [*lines, ""] if len(lines) > 2 else []
