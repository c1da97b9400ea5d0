"""The tables of the study on real models, from its rows alone.

    python benchmarks/real_report.py        (docs/studies/real.jsonl to docs/studies/real-tables.md; asks no model)

Lost is the mean over suites of the fall in the percentage of right answers, so that each suite counts alike; a suite
that gains makes up for one that loses. Right turned wrong is the percentage of the base's right answers that are wrong
now, mean over suites. Intervals are 95%, over items, of one training each. Text is the change of the negative
log-likelihood of a paragraph, in nats. Behind the loss of the worst suite stands what it would be by chance, if each
answer that changed had changed either way. Time is that of the processor, in trainings of LoRA. HOLDFAST_SUITES must
name the folder of public sets: the items of the rows are made from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from real import CHAT, RATE, ROWS, TASKS, rows
from real_pooled import beside_ground, beside_twin, by_recipe
from real_rows import (
    NAMES,
    Row,
    base_of,
    by_origin,
    kept_changes,
    learned,
    lost,
    time_of,
    told,
    worst,
    worst_by_chance,
    wronged,
)
from scipy import stats

from holdfast.bench.machine.files import write_atomically
from holdfast.stats.flips import Flips

TWO_FORMS = ("generated", "choices")


def worst_suite(parts: Mapping[str, Flips]) -> str:
    """Returns the suite that fell most, by how much, and how much the worst one would fall by chance."""
    name = min(parts, key=lambda name: parts[name].change)
    return f"{name.removeprefix('general/')} {worst(parts):.0f} ({worst_by_chance(parts):.0f})"


def table(all_rows: Sequence[Row], model: str, task: str) -> list[str]:
    """Returns the table of a model on a task: a line for each run, by what it lost."""
    chosen = [r for r in all_rows if (r["model"], r["task"]) == (model, task) and r["recipe"] != "base"]
    if not chosen:
        return []
    plain = [r for r in chosen if r["recipe"] == "LoRA" and r["dose"] == RATE]
    lines = []
    for row in chosen:
        base = base_of(row, all_rows)
        parts = kept_changes(row, base)
        rate = "" if row["dose"] == RATE else f", rate x {row['dose'] / RATE:g}"
        seed = "" if row["seed"] == 0 else f", seed {row['seed']}"
        nats = float(np.mean(row["nats"]) - np.mean(base["nats"]))
        time = time_of(row, plain[0]) if plain else ""
        forms = [f"{lost(kept_changes(row, base, form))[0]:.1f}" for form in TWO_FORMS]
        forms += [f"{lost(part)[0]:.1f}" for part in by_origin(parts)]
        drift = " / ".join(f"{row['drift'][part]['kl']:.3f}" for part in ("task", "general"))
        cells = [row["recipe"] + rate + seed, f"{learned(row):.1f}", told(lost(parts)), *forms]
        cells += [f"{wronged(parts):.1f}", worst_suite(parts)]
        lines.append((lost(parts)[0], [*cells, f"{nats:+.3f}", drift, time]))
    head = "| recipe | learned | lost | generated | choices | general | public |"
    head += " right turned wrong | worst suite | text, nats | drift, task / general | time |"
    body = [f"| {' | '.join(cells)} |" for _, cells in sorted(lines, key=lambda line: line[0])]
    start = learned(base_of(chosen[0], all_rows))
    before = f"Before training, {NAMES[model]} answers {start:.1f}% of the questions of the task."
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


def flip_lines(all_rows: Sequence[Row]) -> list[str]:
    """Returns how many answers flip in the runs that lost little, which says how many items a verdict needs."""
    shares = []
    for row in all_rows:
        if row["recipe"] != "base":
            parts = kept_changes(row, base_of(row, all_rows))
            if lost(parts)[0] <= 2:
                items = sum(part.items for part in parts.values())
                shares.append(100 * sum(part.lost + part.gained for part in parts.values()) / items)
    half, most = np.quantile(shares, [0.5, 0.75])
    few = f"Of the kept answers, {half:.1f}% flip in the median of the {len(shares)} runs that lost 2 points or less,"
    return [few, f"and fewer than {most:.1f}% in three of four.", ""]


def draw(all_rows: Sequence[Row], path: Path) -> None:
    """Draws learned against lost, a panel for each model and task that has three runs, with the name of each run."""
    import matplotlib
    from matplotlib.figure import Figure

    panels = [
        (model, task, chosen)
        for model in CHAT
        for task in TASKS
        if len(chosen := [r for r in all_rows if (r["model"], r["task"]) == (model, task) and r["recipe"] != "base"])
        > 2
    ]
    if not panels:
        return
    figure = Figure(figsize=(7.0, 3.6 * len(panels)), layout="constrained")
    for axis, (model, task, chosen) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        base = base_of(chosen[0], all_rows)
        for row in chosen:
            value, low, high = lost(kept_changes(row, base_of(row, all_rows)))
            dark = "black" if row["recipe"] in ("plain", "LoRA") else "C0"
            axis.errorbar(
                value, learned(row), xerr=[[value - low], [high - value]], marker="o", ms=4, lw=0.6, color=dark
            )
            rate = "" if row["dose"] == RATE else f" x {row['dose'] / RATE:g}"
            axis.annotate(row["recipe"] + rate, (value, learned(row)), (4, 4), textcoords="offset points", fontsize=7)
        axis.axhline(learned(base), color="grey", lw=0.8, ls=":")
        axis.axvline(0, color="grey", lw=0.8, ls=":")
        axis.invert_xaxis()
        axis.set(title=f"{NAMES[model]}, {task} (dotted: the base)", ylabel="learned, % right")
        axis.set_xlabel("points lost, mean of the kept suites, 95% interval (less to the right)")
        axis.grid(alpha=0.2)
    with matplotlib.rc_context({"svg.hashsalt": "holdfast"}):
        figure.savefig(path, metadata={"Date": None})


def hours(all_rows: Iterable[Row]) -> str:
    """Returns what the study took."""
    runs = [row for row in all_rows if row["recipe"] != "base"]
    seconds = sum(row["seconds"]["all"] for row in runs)
    return f"{len(runs)} runs took {seconds / 3600:.1f} hours by the clock, on one core each."


def main() -> None:
    """Writes the tables and the plot."""
    all_rows = rows()
    lines = ["# Tables of the study on real models", "", hours(all_rows), ""]
    lines += ["## By recipe", "", *by_recipe(all_rows)]
    if near := beside_twin(all_rows):
        lines += ["## The default beside its training alone", "", *near]
    if near := beside_ground(all_rows):
        lines += ["## Beside the proving ground", "", *near]
    lines += ["## By model and task", "", "![learned and lost](real.svg)", ""]
    draw(all_rows, ROWS.with_name("real.svg"))
    for model in CHAT:
        for task in TASKS:
            lines += table(all_rows, model, task)
    lines += ["## Drift as an early indicator", "", *drift_table(all_rows)]
    lines += ["## Answers that flip", "", *flip_lines(all_rows)]
    write_atomically(Path(ROWS.with_name("real-tables.md")), "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
