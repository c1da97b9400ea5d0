"""The tables of the study on real models, from its rows alone.

    python benchmarks/real_report.py        (docs/studies/real.jsonl to docs/studies/real-tables.md; asks no model)

Lost is the mean over suites of the fall in the percentage of right answers, so that each suite counts alike. Intervals
are 95%, over items, of one training each. HOLDFAST_SUITES must name the folder of public sets: the items of the rows
are made from it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from real import CHAT, RATE, ROWS, TASKS, items_of_job, rows
from scipy import stats

from holdfast.bench.machine.files import read_jsonl, write_atomically
from holdfast.stats.flips import Flips, flips
from holdfast.stats.pooled import Pooled, pooled

Row = Mapping[str, Any]
NAMES = {"gemma": "Gemma 3 270M", "qwen": "Qwen2.5-Coder 0.5B Instruct"}
GROUND = {
    "plain": "plain",
    "LoRA": "LoRA",
    "LoRA, WSD": None,
    "Finch": "Finch",
    "WSD": "WSD",
    "MaskTheTarget": "MaskTheTarget",
    "Holdfast": "WSD, self-leash",
    "Holdfast, adapter": "LoRA, WSD, self-leash",
    "EAFT": "EAFT",
    "WiSEFT 0.8": "WiSEFT 0.8",
    "FreezeBottom, WSD": "FreezeBottom, WSD",
}
"""The recipes that the study on the proving ground has as well, and their names there."""
TWO_FORMS = ("generated", "choices")


@functools.cache
def suites_of(model: str, task: str) -> dict[str, list[Any]]:
    """Returns the items of a model and task, by suite; the first suite is that of the task."""
    return items_of_job(model, task)


def answers(row: Row) -> dict[str, np.ndarray]:
    """Returns whether each answer of a row is right, by suite."""
    return {
        name: np.unpackbits(np.frombuffer(bytes.fromhex(row["answers"][name]), np.uint8))[: len(items)]
        for name, items in suites_of(row["model"], row["task"]).items()
    }


def base_of(row: Row, all_rows: Sequence[Row]) -> Row:
    """Returns the row of the base on the same task."""
    (base,) = (r for r in all_rows if (r["model"], r["task"], r["recipe"]) == (row["model"], row["task"], "base"))
    return base


def changes(row: Row, base: Row) -> dict[str, Flips]:
    """Returns the change of each suite."""
    before, after = answers(base), answers(row)
    groups = {name: [i.group or i.id for i in items] for name, items in suites_of(row["model"], row["task"]).items()}
    return {name: flips(before[name], after[name], groups[name]) for name in after}


def kept_changes(row: Row, base: Row, form: str = "") -> dict[str, Flips]:
    """Returns the changes of the kept suites: of all, or of those whose answers are generated or chosen."""
    suites = suites_of(row["model"], row["task"])
    task = next(iter(suites))

    def is_generated(name: str) -> bool:
        return bool(suites[name][0].check)

    return {
        name: change
        for name, change in changes(row, base).items()
        if name != task and (not form or is_generated(name) == (form == "generated"))
    }


def lost(parts: Mapping[str, Flips]) -> tuple[float, float, float]:
    """Returns the mean loss over suites in points, and its 95% interval."""
    whole: Pooled = pooled(list(parts.values()))
    low, high = whole.interval()
    return -100 * whole.change, -100 * high, -100 * low


def learned(row: Row) -> float:
    """Returns the percentage of right answers to the questions of the task."""
    return 100 * float(answers(row)[next(iter(suites_of(row["model"], row["task"])))].mean())


def told(values: Sequence[float]) -> str:
    """Returns a value with its interval."""
    return f"{values[0]:.1f} [{values[1]:.1f}, {values[2]:.1f}]"


def worst(parts: Mapping[str, Flips]) -> str:
    """Returns the suite that fell most, and by how much."""
    name = min(parts, key=lambda name: parts[name].change)
    return f"{name.removeprefix('general/')} {-100 * parts[name].change:.0f}"


def table(all_rows: Sequence[Row], model: str, task: str) -> list[str]:
    """Returns the table of a model on a task: a line for each run, by what it lost."""
    chosen = [r for r in all_rows if (r["model"], r["task"]) == (model, task) and r["recipe"] != "base"]
    if not chosen:
        return []
    base = base_of(chosen[0], all_rows)
    plain = [r["seconds"]["training"] for r in chosen if r["recipe"] == "LoRA" and r["dose"] == RATE]
    lines = []
    for row in chosen:
        parts = kept_changes(row, base)
        rate = "" if row["dose"] == RATE else f", rate x {row['dose'] / RATE:g}"
        seed = "" if row["seed"] == 0 else f", seed {row['seed']}"
        nats = float(np.mean(row["nats"]) - np.mean(base["nats"]))
        time = f"{row['seconds']['training'] / plain[0]:.2f}x" if plain else ""
        forms = [f"{lost(kept_changes(row, base, form))[0]:.1f}" for form in TWO_FORMS]
        drift = " / ".join(f"{row['drift'][part]['kl']:.3f}" for part in ("task", "general"))
        cells = [row["recipe"] + rate + seed, f"{learned(row):.1f}", told(lost(parts)), *forms, worst(parts)]
        lines.append((lost(parts)[0], [*cells, f"{nats:+.3f}", drift, time]))
    head = "| recipe | learned | lost | generated | choices | worst suite | text, nats | drift, task / general | time |"
    body = [f"| {' | '.join(cells)} |" for _, cells in sorted(lines, key=lambda line: line[0])]
    before = f"Before training, {NAMES[model]} answers {learned(base):.1f}% of the questions of the task."
    return [f"### {task}, {NAMES[model]}", "", before, "", head, "|---" * (head.count("|") - 1) + "|", *body, ""]


def drift_table(all_rows: Sequence[Row]) -> list[str]:
    """Returns how well each drift predicts the loss: rank correlation, and the error of a line fitted on half the runs.

    Runs of both models count together; a forecast is fitted on the runs of even places in the order of their names and
    tested on the others, and the other way round.
    """
    runs = sorted((r for r in all_rows if r["recipe"] != "base"), key=lambda r: str([r[n] for n in ("recipe", "task")]))
    if len(runs) < 8:
        return []
    losses = np.array([lost(kept_changes(row, base_of(row, all_rows)))[0] for row in runs])
    measures = {
        "KL on task prompts": [r["drift"]["task"]["kl"] for r in runs],
        "KL on general prompts": [r["drift"]["general"]["kl"] for r in runs],
    }
    for part in ("task", "general"):
        for place, name in ((0.34, "a third of the way up"), (0.67, "two thirds"), (1.0, "the last layer")):
            depth = [r["drift"][part]["layers"] for r in runs]
            measures[f"states on {part} prompts, {name}"] = [d[round(place * (len(d) - 1))] for d in depth]
    measures["text, nats per token"] = [np.mean(r["nats"]) - np.mean(base_of(r, all_rows)["nats"]) for r in runs]
    even = np.arange(len(runs)) % 2 == 0
    constant = np.abs(losses - np.where(even, losses[~even].mean(), losses[even].mean())).mean()
    lines = ["| measure | rank correlation with the loss | error of the forecast, points |", "|---|---|---|"]
    for name, values in measures.items():
        x = np.log(np.maximum(np.array(values, dtype=float), 1e-6))
        error = np.zeros(len(runs))
        for half in (even, ~even):
            slope, start = np.polyfit(x[half], losses[half], 1)
            error[~half] = np.abs(losses[~half] - (start + slope * x[~half]))
        lines.append(f"| {name} | {stats.spearmanr(x, losses).statistic:.2f} | {error.mean():.2f} |")
    return [*lines, f"| none: the mean of the other half | | {constant:.2f} |", "", f"{len(runs)} runs.", ""]


def ground_table(all_rows: Sequence[Row]) -> list[str]:
    """Returns whether the order of recipes on the proving ground is that on the real models, by what they lose."""
    effect = list(read_jsonl(ROWS.with_name("effect.jsonl")))
    names = {row["recipe"] for row in effect}
    shared = {real: there for real, there in GROUND.items() if there in names}
    lines = []
    for model in NAMES:
        here: dict[str, list[float]] = {}
        for row in all_rows:
            if row["model"] == model and row["recipe"] in shared and row["dose"] == RATE and row["seed"] == 0:
                here.setdefault(row["recipe"], []).append(lost(kept_changes(row, base_of(row, all_rows)))[0])
        if len(here) > 3:
            lines.append(f"- {NAMES[model]}: {len(here)} shared recipes: {', '.join(here)}")
    return lines


def hours(all_rows: Iterable[Row]) -> str:
    """Returns what the study took."""
    runs = [row for row in all_rows if row["recipe"] != "base"]
    seconds = sum(row["seconds"]["all"] for row in runs)
    return f"{len(runs)} runs took {seconds / 3600:.1f} hours of one core."


def with_tables(page: str, parts: Mapping[str, Sequence[str]]) -> str:
    """Returns a page with other lines between its marks `<!-- real: NAME -->` and `<!-- end -->`."""
    for name, lines in parts.items():
        mark = f"<!-- real: {name} -->"
        page = re.sub(f"{mark}\n.*?<!-- end -->", lambda _, m=mark, x=lines: "\n".join([m, *x, "<!-- end -->"]), page, flags=re.S)  # fmt: skip
    return page


def main() -> None:
    """Writes the tables."""
    all_rows = rows()
    lines = ["# Tables of the study on real models", "", hours(all_rows), ""]
    for model in CHAT:
        for task in TASKS:
            lines += table(all_rows, model, task)
    lines += ["## Drift as an early indicator", "", *drift_table(all_rows)]
    write_atomically(Path(ROWS.with_name("real-tables.md")), "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
