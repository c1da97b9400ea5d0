"""Fits the forecast on short runs and what came of their whole runs, and checks it on what the fit has not seen.

    python benchmarks/forecast_fit.py [--real FILE]       (needs no model)

It reads docs/studies/{forecast,effect,real}.jsonl, and writes src/holdfast/bench/forecast/fit.json, and the tables of
docs/studies/forecast-tables.md and docs/forecast.md. A group is a task in a world. Real models are no part of any fit.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import forecast
import numpy as np
import scipy.stats
import tables
from study import unpacked

from holdfast.bench.forecast.features import FEATURES, fall_by_suite, features_of, first_to_go
from holdfast.bench.forecast.fitted import TARGETS, Fit, Target, logit, points
from holdfast.bench.forecast.looked import Reading
from holdfast.bench.forecast.short_run import ShortRun
from holdfast.bench.machine.files import read_jsonl, write_atomically, write_json
from holdfast.probes.shift import Shift
from holdfast.report.markdown import table_row, wrapped
from holdfast.stats.conformal import grouped_quantile
from holdfast.stats.ridge import left_out, ridge

CONFIDENCE, STRENGTH = 0.9, 0.01
USED: Mapping[Target, tuple[str, ...]] = {
    "learned": ("task surprise left", "drift on task prompts", "rate ahead", "old share"),
    "lost": ("drift on what is kept", "rate ahead", "old share"),
    "worst": ("drift on what is kept", "rate ahead", "old share"),
}
"""The features of each target."""
TRIED: Mapping[Target, Sequence[tuple[str, ...]]] = {
    "learned": (("task surprise left",), ("task surprise left", "rate ahead"), ("drift on task prompts", "rate ahead")),
    "lost": (
        ("rate ahead", "old share"),
        ("drift on what is kept",),
        ("drift on what is kept", "rate ahead"),
        ("drift on what is kept", "rate ahead", "old share", "held"),
        ("drift on what is kept", "rate ahead", "old share", "adapter"),
        ("drift on what is kept", "drift on task prompts", "rate ahead", "old share"),
        ("drift on task prompts", "rate ahead", "old share"),
        ("change of states", "rate ahead", "old share"),
    ),
    "worst": (("drift of the worst suite", "rate ahead", "old share"),),
}
"""Other features, whose errors stand beside those of the ones in use."""
PARAMETERS = 2_803_456
FIT = Path("src/holdfast/bench/forecast/fit.json")
PAGE, TABLES = Path("docs/forecast.md"), forecast.ROWS / "forecast-tables.md"
COUNT, LEAST = 3, 2.0
"""Suites that a forecast names as the first to go, and points that a run must lose for them to be compared."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A short run and what came of the whole one, in points.

    Attributes:
        group: World and task.
        recipe: Name and learning rate, for tables.
        features: Features of the short run.
        early: Fall of the probability of right answers after it, by suite; empty where it was not read.
        falls: Points lost by suite.
        came: What came of each target.
    """

    group: tuple[Any, str]
    recipe: str
    features: Mapping[str, float]
    early: Mapping[str, float]
    falls: Mapping[str, float]
    came: Mapping[Target, float]


def short_run(row: Mapping[str, Any]) -> ShortRun:
    """Returns the short run of a row."""
    reading = row["reading"]
    suites = {name: Shift(**shift) for name, shift in reading["suites"].items()}
    values = {field.name: row[field.name] for field in dataclasses.fields(ShortRun) if field.name in row}
    parts = Reading(Shift(**reading["prompts"]), Shift(**reading["answers"]), suites)
    return ShortRun(**{**values, "recipe": row["text"], "reading": parts})


def right(text: str, count: int) -> float:
    """Returns the percent of right answers among the bits of a row."""
    return float(np.mean(unpacked(text, count)))


def cases(real: Path) -> tuple[list[Case], int]:
    """Returns the cases, and the number of short runs whose whole run has no row."""
    whole = {forecast.place(row): row for row in read_jsonl(forecast.ROWS / "effect.jsonl")}
    for row in read_jsonl(real):
        whole[forecast.place({**row, "world": row["model"]})] = row
    made, missing = [], 0
    for row in read_jsonl(forecast.ROWS / "forecast.jsonl"):
        base = whole.get((row["world"], row["task"], "base", 0.0, 0))
        came = whole.get(forecast.place(row))
        if base is None or came is None:
            missing += 1
            continue
        made.append(case(row, base["answers"], came["answers"]))
    return made, missing


def case(row: Mapping[str, Any], before: Mapping[str, str], after: Mapping[str, str]) -> Case:
    """Returns the case of a short run, from the answers of the base and of the whole run."""
    short, count = short_run(row), row["items"]
    was, now = (
        {name: right(text, count[name]) for name, text in answers.items() if name in count}
        for answers in (before, after)
    )
    falls = {name: was[name] - now[name] for name in now if name != "task"}
    came: dict[Target, float] = {
        "learned": 100.0 * (now["task"] - was["task"]) / (100.0 - was["task"]),
        "lost": float(np.mean([*falls.values()])),
        "worst": max(falls.values()),
    }
    early = {name: value for name, value in fall_by_suite(short.reading).items() if name in falls}
    if not any(shift.windows for shift in short.reading.suites.values()):
        early = {}
    return Case(
        (row["world"], row["task"]), f"{row['recipe']} at {row['rate']:g}", features_of(short), early, falls, came
    )


def arrays(
    rows: Sequence[Case], target: Target, names: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray, list[object]]:
    """Returns features (those in use by default), outcomes on the logit scale, and groups of cases."""
    features = [[row.features[name] for name in names or USED[target]] for row in rows]
    return np.array(features), np.array([logit(row.came[target]) for row in rows]), [row.group for row in rows]


def fitted(rows: Sequence[Case], guaranteed: bool = False) -> Fit:
    """Returns the fit on some cases; its intervals come from groups that were left out."""
    intercepts, slopes, halves = {}, {}, {}
    for target in TARGETS:
        x, y, groups = arrays(rows, target)
        line = ridge(x, y, groups, STRENGTH)
        intercepts[target] = round(line.intercept, 6)
        slopes[target] = {n: round(float(s), 6) for n, s in zip(USED[target], line.slopes_F, strict=True)}
        halves[target] = round(half(np.abs(left_out(x, y, groups, STRENGTH) - y), groups, guaranteed), 6)
    names = [name for name in FEATURES if any(name in used for used in USED.values())]
    ends = {name: [row.features[name] for row in rows] for name in names}
    return Fit(
        confidence=CONFIDENCE,
        rows=len(rows),
        groups=tuple(dict.fromkeys(f"{task}, world {world}" for world, task in (row.group for row in rows))),
        parameters=(PARAMETERS,),
        intercepts=intercepts,
        slopes=slopes,
        halves=halves,
        low={name: round(min(values), 6) for name, values in ends.items()},
        high={name: round(max(values), 6) for name, values in ends.items()},
    )


def half(residuals: np.ndarray, groups: Sequence[object], guaranteed: bool) -> float:
    """Returns the conformal quantile of residuals of groups, or the largest where the groups are too few for one."""
    return float(min(grouped_quantile(residuals, groups, CONFIDENCE, guaranteed=guaranteed), residuals.max()))


@dataclasses.dataclass(frozen=True)
class Check:
    """How the forecast of a target did on cases outside its fit, a number for each case.

    Attributes:
        cases: The cases.
        came: What came, in points.
        middle: The forecast.
        inside: Whether its interval covers what came.
        width: Width of the interval in points.
    """

    cases: Sequence[Case]
    came: Sequence[float]
    middle: Sequence[float]
    inside: Sequence[bool]
    width: Sequence[float]

    def __add__(self, other: Check) -> Check:
        names = (field.name for field in dataclasses.fields(Check))
        return Check(*([*getattr(self, name), *getattr(other, name)] for name in names))


def check(rows: Sequence[Case], outside: Callable[[Case], object], target: Target, guaranteed: bool = False) -> Check:
    """Returns how fits did on each part that they had not seen; `outside` names the part of a case."""
    done = Check([], [], [], [], [])
    for name in dict.fromkeys(outside(row) for row in rows):
        fit = fitted([row for row in rows if outside(row) != name], guaranteed)
        done += against(fit, [row for row in rows if outside(row) == name], target)
    return done


def against(fit: Fit, rows: Sequence[Case], target: Target) -> Check:
    """Returns how a fit did on some cases."""
    told = [fit.forecast(target, row.features) for row in rows]
    came = [points(logit(row.came[target])) for row in rows]
    inside = [t.low - 1e-9 <= c <= t.high + 1e-9 for t, c in zip(told, came, strict=True)]
    return Check(rows, came, [t.value for t in told], inside, [t.high - t.low for t in told])


def ranks(done: Check, groups: bool) -> float:
    """Returns Spearman's rank correlation of forecast and outcome: over all cases, or the mean over groups."""
    if not groups:
        return correlation(done.middle, done.came)
    each = []
    for group in dict.fromkeys(row.group for row in done.cases):
        here = [i for i, row in enumerate(done.cases) if row.group == group]
        each.append(correlation([done.middle[i] for i in here], [done.came[i] for i in here]))
    known = [value for value in each if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def correlation(some: Sequence[float], others: Sequence[float]) -> float:
    if len(some) < 3 or len({*some}) < 2 or len({*others}) < 2:
        return float("nan")
    return float(scipy.stats.spearmanr(some, others)[0])


def compared(rows: Sequence[Case]) -> list[Case]:
    """Returns the cases that lose `LEAST` points or more, and whose short runs read probabilities."""
    return [row for row in rows if row.came["lost"] >= LEAST and row.early]


def suites(rows: Sequence[Case]) -> tuple[float, float, float]:
    """Returns how well short runs name the suites that lose most.

    Returns:
        Share of the three named suites among the three that lose most; what chance would give; the mean rank
        correlation of early fall and loss over suites.
    """
    hits, by_chance, each = [], [], []
    for row in rows:
        falls = {name: row.falls[name] for name in row.early}
        hits.append(len({*first_to_go(row.early, COUNT)} & {*first_to_go(falls, COUNT)}) / COUNT)
        by_chance.append(COUNT / len(falls))
        each.append(correlation([row.early[name] for name in falls], [*falls.values()]))
    return float(np.mean(hits)), float(np.mean(by_chance)), float(np.nanmean(each))


def suites_line(who: str, rows: Sequence[Case]) -> str:
    """Returns how well short runs name the suites that lose most, as a sentence; empty without such runs."""
    some = compared(rows)
    if not some:
        return ""
    hits, chance, order = suites(some)
    return (
        f"{who.format(len(some))} that lose {LEAST:g} points or more, the {COUNT} suites that the forecast names hold"
        f" {hits:.0%} of the {COUNT} that lose most (chance: {chance:.0%}); the rank correlation of early fall and loss"
        f" over the suites of a run is {order:.2f} in the mean."
    )


Checks = Mapping[Target, Check]
CHECKS = {
    "a task in a world": lambda row: row.group,
    "a task in both worlds": lambda row: row.group[1],
    "a world": lambda row: row.group[0],
}
"""What is left out of a fit, and then forecast by it."""
NAMES = {"learned": "learned", "lost": "lost, mean of suites", "worst": "lost, worst suite"}


def line_of(name: str, target: Target, done: Check) -> str:
    """Returns a row of the table of checks."""
    error = np.abs(np.array(done.middle) - done.came)
    cells = [name, NAMES[target], str(len(error)), f"{100 * np.mean(done.inside):.0f}%"]
    cells += [f"{np.median(done.width):.0f}", f"{np.median(error):.1f}"]
    return table_row([*cells, *(f"{ranks(done, groups):.2f}" for groups in (False, True))])


def tried(rows: Sequence[Case]) -> list[str]:
    """Returns a table of the errors of several sets of features on tasks left out of the fit."""
    lines = [
        "| forecast | features | error on the logit scale, root mean square | rank correlation |",
        "|---|---|---|---|",
    ]
    for target in TARGETS:
        for names in (USED[target], *TRIED[target]):
            x, y, groups = arrays(rows, target, names)
            told = left_out(x, y, groups, STRENGTH)
            error = f"{np.sqrt(np.mean((told - y) ** 2)):.2f}"
            name = ", ".join(names) + (" (in use)" if names == USED[target] else "")
            lines.append(table_row([NAMES[target], name, error, f"{correlation(list(told), list(y)):.2f}"]))
    return lines


def sentences(left: Checks, worlds: Checks, real: Checks | None) -> tuple[str, ...]:
    """Returns what was measured outside the fit, as sentences for its users."""

    def covered(done: Checks) -> str:
        lost, learned = (f"{100 * np.mean(done[target].inside):.0f}%" for target in ("lost", "learned"))
        return f"{lost} of what was lost and {learned} of what was learned"

    lost, learned = (f"{ranks(left[target], True):.2f}" for target in ("lost", "learned"))
    told = [
        f"Measured on {len(left['lost'].cases)} runs of tasks that a fit had not seen: the {CONFIDENCE:.0%} interval"
        f" holds {covered(left)}; rank correlation within a task {lost} and {learned}.",
        f"Of a world that a fit had not seen: {covered(worlds)}.",
    ]
    if real is not None:
        told.append(f"Of {len(real['lost'].cases)} runs of real models, which no fit has seen: {covered(real)}.")
    return tuple(told)


HEAD = (
    "| left out of the fit | forecast | runs | covered | width | error | rank correlation | within a task |",
    "|---|---|---|---|---|---|---|---|",
)


def main() -> int:
    """Writes the fit, its tables, and those of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, default=forecast.ROWS / "real.jsonl", help="rows of real models")
    made, missing = cases(parser.parse_args().real)
    ground = [row for row in made if not isinstance(row.group[0], str)]
    outside = [row for row in made if isinstance(row.group[0], str)]
    checks = {name: {t: check(ground, part, t) for t in TARGETS} for name, part in CHECKS.items()}
    fit = fitted(ground)
    real = {target: against(fit, outside, target) for target in TARGETS} if outside else None
    fit = dataclasses.replace(fit, checks=sentences(checks["a task in a world"], checks["a world"], real))
    write_json(FIT, fit.to_dict())
    table = [*HEAD, *(line_of(name, t, done[t]) for name, done in checks.items() for t in TARGETS)]
    sure = {t: check(ground, CHECKS["a task in a world"], t, guaranteed=True) for t in TARGETS}
    table += [line_of("a task in a world, guaranteed interval", t, sure[t]) for t in TARGETS]
    table += [line_of("real models", t, real[t]) for t in TARGETS] if real is not None else []
    slopes = ["| feature | " + " | ".join(NAMES[target] for target in TARGETS) + " |", "|---|---|---|---|"]
    for name in (name for name in FEATURES if name in fit.low):
        slopes.append(
            table_row([name, *(f"{fit.slopes[t][name]:.2f}" if name in fit.slopes[t] else "" for t in TARGETS)])
        )
    told = [suites_line("Of {} runs", ground), suites_line("On {} runs of real models", outside)]
    first = [line for sentence in filter(None, told) for line in wrapped(sentence)]
    cases_table = ["| world | task | recipe | forecast of | forecast | came |", "|---" * 6 + "|"]
    for done in filter(None, (checks["a task in a world"], real)):
        for target in TARGETS:
            for row, middle, came in zip(done[target].cases, done[target].middle, done[target].came, strict=True):
                about = [str(row.group[0]), row.group[1], row.recipe, NAMES[target]]
                cases_table.append(table_row([*about, f"{middle:.1f}", f"{came:.1f}"]))
    said = f"{len(ground)} short runs of the proving ground and {len(outside)} of real models"
    said += f"; {missing} without a whole run are left out." if missing else "."
    page = [f"# Forecasts and what came of them\n\n{said}\n", *table, "", *slopes, "", *first, "", *tried(ground), ""]
    page += ["Each run, forecast by a fit without its task in its world (real models: by the fit of the package):", ""]
    write_atomically(TABLES, "\n".join([*page, *cases_table]) + "\n")
    if PAGE.exists():
        blocks = {"checks": table, "slopes": slopes, "first": first, "said": [said]}
        write_atomically(PAGE, tables.filled(PAGE.read_text(), blocks))
    print("\n".join([said, *table, *slopes, *first]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
