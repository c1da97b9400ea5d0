"""The tables and plots of the studies on the proving ground, from their rows alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from study import Row, Study, asked, finished, score_rows

from holdfast.bench.compare.finished_runs import FinishedRun
from holdfast.bench.compare.tradeoff import tradeoff
from holdfast.bench.compare.tradeoff_record import TradeOff
from holdfast.report import tradeoff as report
from holdfast.report.markdown import wrapped

Found = Mapping[tuple[int, str], Any]
"""What `holdfast report` says of the runs of a task, by world and task."""

REACHED = 0.95
"""Share of the best plain run's learning that is to be reached."""
LOST = 10.0
"""Points on a suite that count as forgetting in the summary of plain fine-tuning."""


def grid(head: str, rows: Iterable[Sequence[object]]) -> list[str]:
    """Returns the lines of a table."""
    return [f"| {head} |", "|---" * (head.count(" | ") + 1) + "|", *(f"| {' | '.join(map(str, r))} |" for r in rows)]


def learned(row: Row, side: str = "proof") -> float:
    return row[side]["learned"]["value"]


def lost(row: Row, side: str = "proof") -> float:
    return row[side]["lost"]["value"]


def ends(found: Mapping[str, float]) -> str:
    return f"{found['value']:.1f} ({found['low']:.1f} to {found['high']:.1f})"


def worst(found: Mapping[str, Any]) -> str:
    return f"{found['worst']['suite']} {ends(found['worst'])}"


def added(row: Row) -> str:
    """Returns what a recipe has beyond plain training."""
    return " + ".join(p for p in row["text"].split(" + ") if not p.startswith(("Train(", "Cosine(")))


def chosen(rows: Sequence[Row], task: str) -> tuple[list[Row], float]:
    """Returns the best dose of each recipe on a task, by validation and watched items alone, and the goal.

    Of the doses that learn at least 95% of what the best plain dose learns, the one that loses least; else, the one
    that learns most, which is then not a recipe that reaches it.
    """
    rows = [row for row in rows if (row["task"], row["seed"]) == (task, 0)]
    goal = REACHED * max(learned(row, "watch") for row in rows if row["recipe"] == "plain")
    best = []
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        doses = [row for row in rows if row["recipe"] == recipe]
        reach = [row for row in doses if learned(row, "watch") >= goal]
        best += [min(reach, key=lambda r: lost(r, "watch")) if reach else max(doses, key=lambda r: learned(r, "watch"))]
    return sorted(best, key=lambda row: (learned(row, "watch") < goal, lost(row, "watch"))), goal


def held(rows: Sequence[Row], study: Study) -> str:
    """Returns the tables of what it costs to keep."""
    lines: list[str] = []
    for task in study.rates:
        own = [row for row in rows if row["task"] == task]
        if not own:
            continue
        best, goal = chosen(own, task)
        steps = next(row["steps"] for row in best if row["recipe"] == "plain")
        lines += [f"### {task}", ""]
        lines += [f"Chosen on validation and watch (at least {goal:.1f} on validation), stated on test and proof.", ""]
        lines += grid(
            "recipe | rate | epochs | reaches it | learned | transfer | lost, mean | worst suite | steps",
            ([*_dose(row), "yes" if learned(row, "watch") >= goal else "no", f"{learned(row):.1f}",
              f"{row['proof']['transfer']['value']:.1f}", ends(row["proof"]["lost"]), worst(row["proof"]),
              f"{row['steps'] / steps:.1f}x"] for row in best),
        )  # fmt: skip
        lines += ["", f"Every dose ({task}):", ""]
        lines += grid(
            "recipe | rate | epochs | seed | validation | learned | watch | lost",
            ([*_dose(row), row["seed"], f"{learned(row, 'watch'):.1f}", f"{learned(row):.1f}",
              f"{lost(row, 'watch'):.1f}",
              f"{lost(row):.1f}, {row['proof']['worst']['suite']} {row['proof']['worst']['value']:.1f}"]
             for row in sorted(own, key=lambda row: (row["recipe"], row["rate"], row["epochs"]))),
        )  # fmt: skip
        lines += [""]
    if proved := [row for row in rows if "proved" in row]:
        lines += ["### Asked all proof items", ""]
        lines += grid(
            "task | recipe | rate | epochs | seed | learned | items | lost, mean | budget kept | worst suite",
            ([row["task"], *_dose(row), row["seed"], f"{learned(row):.1f}", f"{(all_ := row['proved'])['items']:,}",
              ends(all_["lost"]), f"{all_['lost']['most']:.2f}", worst(all_)] for row in proved),
        )  # fmt: skip
        lines += ["", "Budget kept: the smallest budget on the mean that the verdict would call kept.", ""]
    lines += ["### The recipes", ""]
    what = dict.fromkeys((row["recipe"], added(row)) for row in rows)
    lines += grid(
        "name | added to `Train(...) + Cosine()`", ([n, f"`{text}`" if text else "nothing"] for n, text in what)
    )
    return "\n".join(lines) + "\n"


def _dose(row: Row) -> list[str]:
    return [row["recipe"], f"{row['rate']:g}", f"{row['epochs']:g}"]


def screen(rows: Sequence[Row], study: Study, sums: Iterable[str]) -> str:
    """Returns the tables of the screen; `sums` have no place among the methods."""
    lines: list[str] = []
    places: dict[str, list[int]] = {}
    for task, doses in study.rates.items():
        own = [row for row in rows if row["task"] == task]
        if not own:
            continue
        best, goal = chosen(own, task)
        plains = {row["dose"]: row for row in own if row["recipe"] == "plain"}
        lines += [f"### {task}", ""]
        lines += wrapped(
            f"Least lost on watched items among the doses with at least {goal:.1f} on validation questions; those that"
            " have none follow, at the dose that learned most. `plain there` is what plain training loses when it has"
            " learned as much, between its doses. Time and memory are shares of plain's at that dose."
        )
        lines += [""]
        lines += grid(
            "method | rate | reaches it | learned | transfer | lost, mean | plain there | worst suite | time | memory",
            ([row["recipe"], f"{row['rate']:g}", "yes" if learned(row, "watch") >= goal else "no",
              f"{learned(row):.1f}", f"{row['proof']['transfer']['value']:.1f}", ends(row["proof"]["lost"]),
              _plain_there(row, plains.values()),
              f"{row['proof']['worst']['suite']} {row['proof']['worst']['value']:.1f}",
              *(f"{row[cost] / plains[row['dose']][cost]:.2f}" for cost in ("cpu", "memory"))] for row in best),
        )  # fmt: skip
        lines += ["", f"Every dose of `{task}`: learned (test) / lost (proof), in points.", ""]
        cells = {(row["recipe"], row["dose"]): f"{learned(row):.1f} / {lost(row):.1f}" for row in own}
        lines += grid(
            " | ".join(["method", *(f"dose {dose:g}" for dose in doses)]),
            ([row["recipe"], *(cells.get((row["recipe"], dose), "–") for dose in doses)] for row in best),
        )
        lines += [""]
        alone, _ = chosen([row for row in own if row["recipe"] not in sums], task)
        for number, row in enumerate(alone, 1):
            places.setdefault(row["recipe"], []).append(number)
    means = sorted(((sum(own) / len(own), name) for name, own in places.items()), key=lambda one: one[0])
    told = wrapped(", ".join(f"{name} {mean:.1f}" for mean, name in means) + ".")
    lines += ["### Mean place of the methods", "", *told, ""]
    lines += [
        "### What was run",
        "",
        "Each is added to `Train(...) + Cosine()`; an adapter has five times the dose.",
        "",
    ]
    what = dict.fromkeys((row["recipe"], added(row)) for row in rows if added(row))
    lines += grid("method | recipe", ([name, f"`{text}`"] for name, text in what))
    return "\n".join(lines) + "\n"


def _plain_there(row: Row, plains: Iterable[Row]) -> str:
    """Returns what plain training loses when it has learned as much: between its doses, the base being the first."""
    found = [(row["base"], 0.0), *sorted((learned(one), lost(one)) for one in plains)]
    if learned(row) > found[-1][0]:
        return "never learned it"
    return f"{np.interp(learned(row), *zip(*found, strict=True)):.1f}"


def ground(rows: Sequence[Row], study: Study) -> str:
    """Returns the tables of what plain fine-tuning forgets."""
    order = list(study.rates)
    base = next((row for row in rows if row["recipe"] == "base"), None)
    every = [row for row in rows if row["recipe"] != "base"]
    every.sort(key=lambda row: (order.index(row["task"]), row["recipe"], row["seed"], row["rate"]))
    rows = [row for row in every if row["recipe"] == "plain" and row["seed"] == every[0]["seed"]]
    suites = [name for name, found in rows[0]["suites"].items() if _in_points(found)]
    tasks = dict.fromkeys(row["task"] for row in rows)
    best = [
        max((row for row in rows if row["task"] == task), key=lambda row: (learned(row, "watch"), -row["rate"]))
        for task in tasks
    ]
    falls = [(row, _worst_of(row)) for row in best]
    lines = ["### Plain fine-tuning at its best rate", ""]
    lines += grid(
        "task | rate | test before | test after | transfer after | mean lost | worst suite | lost there",
        ([row["task"], f"{row['rate']:g}", f"{row['base']:.1f}", f"{learned(row):.1f}",
          f"{row['proof']['transfer']['value']:.1f}", f"{_mean_lost(row):.1f}", name,
          f"{-fall['change']:.1f} ({-fall['high']:.1f} to {-fall['low']:.1f})"] for row, (name, fall) in falls),
    )  # fmt: skip
    count = sum(fall["change"] <= -LOST for _, (_, fall) in falls)
    lines += ["", f"{count} of {len(best)} tasks lose at least {LOST:.0f} points on some suite.", ""]
    lines += ["### Points lost, every suite and rate", ""]
    lines += grid(
        " | ".join(["suite (base)", *(f"{row['task']} {row['rate']:g}" for row in rows)]),
        [
            *([f"{name} ({rows[0]['suites'][name]['before']:.0f})", *(_fall(row["suites"][name]) for row in rows)]
              for name in suites),
            ["text, nats per token", *(f"{row['suites']['text']['change']:+.2f}" for row in rows)],
            ["**learned (test)**", *(f"{learned(row):.0f}" for row in rows)],
        ],
    )  # fmt: skip
    lines += ["", "Bold: the 95% interval, paired and over groups of items, leaves out zero.", ""]
    several = {row["task"] for row in every if row["recipe"] != "plain" or row["seed"] != every[0]["seed"]}
    if several:
        lines += ["### Plain and held", ""]
        lines += grid(
            "task | recipe | rate | seed | learned | transfer | mean lost | worst suite",
            ([row["task"], row["recipe"], f"{row['rate']:g}", row["seed"], f"{learned(row):.1f}",
              f"{row['proof']['transfer']['value']:.1f}", f"{_mean_lost(row):.1f}",
              f"{(fall := _worst_of(row))[0]}, {-fall[1]['change']:.1f}"]
             for row in every if row["task"] in several),
        )  # fmt: skip
        said = {name: f" + {text}" if text else " alone" for name, text in study.recipes.items()}
        lines += ["", *(f"{name}: training{more}  " for name, more in said.items()), ""]
    times = {name: [row["seconds"][name] for row in every] for name in ("training", "asking")}
    first = f" (the base: {base['asked']:,} items in {base['seconds']['asking']:.0f} s)" if base else ""
    lines += [
        f"Time of a run, one thread: training {min(times['training']):.0f} to {max(times['training']):.0f} s, asking "
        f"{every[0]['asked']:,} items {min(times['asking']):.0f} to {max(times['asking']):.0f} s{first}.",
    ]
    return "\n".join(lines) + "\n"


def _in_points(found: Mapping[str, Any]) -> bool:
    return found["role"] == "retained" and found["unit"] == "points"


def _worst_of(row: Row) -> tuple[str, Mapping[str, float]]:
    return min(((n, s) for n, s in row["suites"].items() if _in_points(s)), key=lambda one: one[1]["change"])


def _mean_lost(row: Row) -> float:
    falls = [-found["change"] for found in row["suites"].values() if _in_points(found)]
    return sum(falls) / len(falls)


def _fall(found: Mapping[str, float]) -> str:
    sure = found["high"] < 0 or found["low"] > 0
    return f"**{-found['change']:.0f}**" if sure else f"{-found['change']:.0f}"


def tradeoffs(rows: Sequence[Row], study: Study) -> dict[tuple[int, str], Any]:
    """Returns what `holdfast report` makes of the runs of each world and task, from rows that hold their answers."""
    found = {}
    for base in sorted((row for row in rows if row["recipe"] == "base"), key=lambda row: row["world"]):
        found[base["world"], base["task"]] = tradeoff(runs_of(rows, study, base["world"], base["task"]))
    order = [(world, task) for world in dict.fromkeys(world for world, _ in found) for task in study.rates]
    return {key: found[key] for key in order if key in found}


def runs_of(rows: Sequence[Row], study: Study, world: int, task: str) -> list[FinishedRun]:
    own = [row for row in rows if (row["world"], row["task"]) == (world, task)]
    suites = asked(world, task, study.watched)
    before = [one for row in own if row["recipe"] == "base" for one in score_rows(row, suites)]
    after = ((row, score_rows(row, suites)) for row in own if before and row["recipe"] != "base")
    return [finished(row, {"before": before, "after": scores}) for row, scores in after]


def recipes(found: TradeOff) -> list[Row]:
    """Returns the rows of a trade-off, as its tradeoff.json has them."""
    return list(found.to_dict()["recipes"])


def beside(found: Found, columns: Sequence[tuple[str, int, str]], names: Mapping[str, str]) -> list[str]:
    """Returns a table of recipes down, tasks across, and their times; without what has not been run.

    Args:
        found: What `tradeoffs` returns.
        columns: Title, world and task of each.
        names: What each recipe is called in the table, by what the trade-off calls it.
    """
    columns = [column for column in columns if column[1:] in found]
    tasks = [{row["recipe"]: row for row in recipes(found[column[1:]])} for column in columns]
    lines = []
    for name, shown in names.items():
        own = [rows.get(name) for rows in tasks]
        times = [row["time"] for row in own if row is not None and "time" in row]
        if any(row is not None for row in own):
            last = " to ".join(dict.fromkeys(f"{end(times):.1f}x" for end in (min, max) if times))
            lines.append([shown, *("" if row is None else _cell(row) for row in own), last])
    return grid(" | ".join(["learned / lost", *(title for title, _, _ in columns), "time"]), lines)


def _cell(row: Mapping[str, Any]) -> str:
    """Returns learned / lost with its interval, * where the goal is not reached, and how many seeds, if several."""
    fall = row["lost"]
    interval = f" [{fall['low']:.1f}, {fall['high']:.1f}]" if "low" in fall else ""
    missed, seeds = "" if row["reached"] else "*", {2: "²", 3: "³"}.get(row["seeds"], "")
    return f"{row['learned']['value']:.1f}{missed} / {fall['value']:.1f}{interval}{seeds}"


def agreement(found: Found, tasks: Iterable[str]) -> list[str]:
    """Returns, for each task, how alike two worlds rank the recipes."""
    lines = []
    for task in tasks:
        both = [recipes(found[world, task]) if (world, task) in found else () for world in (0, 1)]
        one, other = ({r["recipe"]: r["hypervolume"] for r in rows if "hypervolume" in r} for rows in both)
        if len(names := sorted(one.keys() & other.keys())) > 2:
            rho = stats.spearmanr([one[n] for n in names], [other[n] for n in names]).statistic
            lines.append(f"- {task}: rank correlation of the volumes of {len(names)} recipes {rho:.2f}")
    return lines


def effect(found: Found, agree: Sequence[str], cost: Sequence[str]) -> str:
    """Returns every table of the effect study."""
    lines = [
        "Written by `python benchmarks/effect.py report`; what it shows: [which-method.md](../which-method.md).",
        "",
    ]
    names = {row["recipe"]: row["recipe"] for one in found.values() for row in recipes(one)}
    about = "Learned / lost at the chosen rate; * the goal is not reached; raised: how many seeds, if not one."
    for world in dict.fromkeys(world for world, _ in found):
        lines += [f"## All tasks, world {world}", "", about, ""]
        lines += [*beside(found, [(task, at, task) for at, task in found if at == world], names), ""]
    for (world, task), one in found.items():
        lines += [f"## {task}, world {world}", "", report.markdown(one)]
    return "\n".join([*lines, "## Do the worlds agree?", "", *agree, "", *cost]) + "\n"


def filled(text: str, blocks: Mapping[str, Sequence[str]]) -> str:
    """Returns a document with other lines between `<!-- effect: NAME -->`, or `table`, and `<!-- end -->`."""

    def block(found: re.Match[str]) -> str:
        return f"{found[1]}\n" + "\n".join(blocks[found[2]]) + "\n<!-- end -->"

    return re.sub(r"(<!-- (?:effect|table): ([\w-]+) -->)\n.*?<!-- end -->", block, text, flags=re.DOTALL)


def plot(rows: Sequence[Row], study: Study, folder: Path) -> None:
    """Draws learned against lost: a line for each recipe through its doses, the best corner at the upper right."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "holdfast"
    import matplotlib.pyplot as plt

    def kind(name: str) -> str:
        return " ".join(word for word in name.split() if not word[0].isdigit() and not word.startswith("x"))

    rows = [row for row in rows if row["seed"] == 0]
    tasks = [task for task in study.rates if any(row["task"] == task for row in rows)]
    names = [name for name in study.recipes if any(row["recipe"] == name for row in rows)]
    kinds = list(dict.fromkeys(map(kind, names)))
    figure, axes = plt.subplots(1, len(tasks), figsize=(5.2 * len(tasks), 4.8), squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        of_task = [row for row in rows if row["task"] == task]
        for name in names:
            own = sorted((row for row in of_task if row["recipe"] == name), key=lost)
            if not own:
                continue
            shade = "black" if name == "plain" else f"C{kinds.index(kind(name)) - 1}"
            mark = "osD^vPX*"[[one for one in names if kind(one) == kind(name)].index(name) % 8]
            x, y = [max(0.1, lost(row)) for row in own], [learned(row) for row in own]
            axis.errorbar(x, y, color=shade, marker=mark, ms=5, lw=2 if name == "plain" else 1, label=name)
            low = [min(at, max(0.1, row["proof"]["lost"]["low"])) for at, row in zip(x, own, strict=True)]
            axis.hlines(y, low, [row["proof"]["lost"]["high"] for row in own], color=shade, lw=0.6, alpha=0.5)
        goal = REACHED * max(learned(row) for row in of_task if row["recipe"] == "plain")
        least = min(map(learned, of_task))
        bottom = max(0.0, least - 0.15 * (100 - least))
        axis.axhline(goal, color="grey", lw=0.8, ls=":")
        axis.text(95, bottom + 0.02 * (100 - bottom), "dotted: 95% of the best plain run", color="grey", fontsize=8)
        axis.set(title=task, xscale="log", xlim=(110, 0.09), ylim=(bottom, 100 + 0.03 * (100 - bottom)))
        axis.set_xlabel("points lost, mean of 16 suites, 95% interval (log)")
        axis.set_xticks([100, 30, 10, 3, 1, 0.3, 0.1], ["100", "30", "10", "3", "1", "0.3", "<0.1"])
        axis.grid(alpha=0.2)
    axes[0][0].set_ylabel("learned, percent of test right")
    handles: dict[str, Any] = {}
    for axis in axes[0]:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend([handles[name] for name in names], names, loc="lower center", ncols=6, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    figure.savefig(folder / f"{study.name}.svg", dpi=120, metadata={"Date": None})
