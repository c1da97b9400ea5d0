"""Intervals over the seeds of the study of rerankers, and its tables (`benchmarks/rerank.py seeds` and `report`)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rerank_scores import scores_of, seeds_of

from holdfast.probes.changes import mean_of, over_seeds
from holdfast.report.markdown import wrapped
from holdfast.stats.draws import Draws, Suite

Row = dict[str, Any]


def with_intervals(rows: Sequence[Row], bases: Sequence[str]) -> list[Row]:
    """Returns the rows, those with intervals made anew where the scores of all the seeds of a recipe are there.

    An interval over seeds whose scores are not there stays, until more seeds have scores than it is about.
    """
    runs = [row for row in rows if row.get("seed") is not None]
    old = {(row["base"], row["name"]): row for row in rows if row.get("seed") is None}
    made = dict(old)
    for base in bases:
        for name in dict.fromkeys(row["name"] for row in runs if row["base"] == base):
            seeds = seeds_of(base, name)
            if seeds and len(seeds) >= len(old.get((base, name), {}).get("seeds", ())):
                made[base, name] = seeds_row(base, name, seeds)
    return [*runs, *made.values()]


def seeds_row(base: str, name: str, seeds: Sequence[int]) -> Row:
    """Returns the row of a recipe over its seeds: means, with intervals over queries and seeds.

    The share of plain training's gain is that of the same seeds, with an interval of paired draws of queries and seeds.
    """
    moved = over_seeds(*scores_of(base, name, seeds))
    row: Row = {"base": base, "name": name, "seeds": list(seeds)}
    for role in ("learned", "retained"):
        mean = mean_of([change for change in moved if change.role == role])
        low, high = mean.interval()
        row[role] = {"change": round(mean.change, 2), "low": round(low, 2), "high": round(high, 2)}
    both = sorted({*seeds} & {*seeds_of(base, "plain")})
    if name != "plain" and both:
        row["share"] = _share(base, name, both)
    return row


def _share(base: str, name: str, seeds: Sequence[int]) -> dict[str, float]:
    """Returns the learned gain as a share of plain training's, with its interval."""
    gains, groups = [], list[str]()
    for of in ("plain", name):
        before, runs = scores_of(base, of, seeds)
        learned = [place for place, score in enumerate(before) if score.role == "learned"]
        gains.append(np.array([[run[place].value - before[place].value for run in runs] for place in learned]))
        groups = [before[place].group for place in learned]
    suites = [Suite(groups, np.ones(len(groups)), gain) for gain in gains]
    draws = Draws.of(suites, len(seeds), 4000)
    weights = draws.seeds / draws.seeds.sum(1, keepdims=True)
    plain, other = ((draws.means(suite) * weights).sum(1) for suite in suites)
    low, high = np.percentile(other[1:] / plain[1:], [2.5, 97.5])
    return {"value": round(float(other[0] / plain[0]), 3), "low": round(float(low), 3), "high": round(float(high), 3)}


def tables(rows: Sequence[Row], bases: Sequence[str], recipes: Sequence[str]) -> str:
    """Returns the tables in Markdown: for each base, what each recipe learned and lost, in the order of `recipes`."""
    parts = ["# Rerankers: in and out of domain\n\nMade by `python benchmarks/rerank.py report`.\n"]
    everything = [row for row in rows if row.get("seed") is not None]
    over = {(row["base"], row["name"]): row for row in rows if row.get("seed") is None}
    for base in bases:
        of_base = [row for row in everything if row["base"] == base]
        if not of_base:
            continue
        plain = {row["seed"]: _mean(row, "learned", "change") for row in of_base if row["name"] == "plain"}
        first = of_base[0]["suites"]
        counts = ", ".join(f"{name} {suite['queries']}" for name, suite in first.items())
        parts.append(
            f"\n## {base}\n\n"
            + _lines(
                f"Queries: {counts}. nDCG@10 in points, mean of the seeds: after training, and its change, with the 95%"
                " interval of the change over groups of queries and seeds (where the scores of all of them are kept);"
                " the share of plain training's gain is that of the same seeds; the change of the kept domains with"
                " each seed, in the order of the seeds."
            )
            + "\n\n"
        )
        parts.append(
            "| recipe | seeds | in domain | of plain's gain | kept domains | each seed | worst kept | transfer"
            " | CPU s |\n"
        )
        parts.append("|---|---|---|---|---|---|---|---|---|\n")
        for name in recipes:
            found = sorted((row for row in of_base if row["name"] == name), key=lambda row: row["seed"])
            known = over.get((base, name), {})
            if found:
                is_of_all = known.get("seeds") == [row["seed"] for row in found]
                parts.append(_line(name, found, plain, known if is_of_all else None))
        parts.append("\n" + _lines(f"Before: {_befores(first)}. BM25: {_befores(first, 'bm25')}.") + "\n")
    return "".join(parts)


CALLED = {
    "plain": "plain",
    "kl": "`BaseKL()`",
    "mask the target": "`MaskTheTarget()`",
    "mse": "`BaseMSE()`",
    "l2": "`BaseL2(strength=0.1)`",
    "ewc": "`EWC(samples=200)`",
    "rehearsal 5%": "`Rehearsal(..., ratio=0.05)`",
    "rehearsal 20%": "`Rehearsal(..., ratio=0.2)`",
    "sum": "`BaseKL() + Rehearsal(..., ratio=0.2)`",
    "lora, twice the rate": "`LoRA(rank=16)` at twice the rate",
    "half": "`WiSEFT(0.5)`",
    "half the rate": "plain at half the rate",
    "healed": "plain, healed to 1 point",
    "kl on old": "`BaseKL(strength=3, on='memory') + Rehearsal(ratio=0.2)`",
    "kl, longer": "`BaseKL()` for five passes instead of three",
    "lora": "`LoRA(rank=16)` at ten times the rate",
}
"""What docs/rerank.md calls each recipe."""


def page_table(rows: Sequence[Row], base: str) -> list[str]:
    """Returns the lines of a table of docs/rerank.md: what each recipe learned and kept on a base.

    Recipes are in the order of what they keep outside the domain.
    """
    runs = [row for row in rows if row["base"] == base and row.get("seed") is not None]
    over = {row["name"]: row for row in rows if row["base"] == base and row.get("seed") is None}
    lines = [
        "| recipe | in the domain | of plain's gain | mean of five other domains | each seed | worst domain |",
        "|---|---|---|---|---|---|",
    ]
    found = []
    for name, text in CALLED.items():
        own = sorted((row for row in runs if row["name"] == name), key=lambda row: row["seed"])
        if own:
            kept = [_mean(row, "retained", "change") for row in own]
            found.append((statistics.fmean(kept), _page_line(name, text, own, runs, over.get(name, {}))))
    return lines + [line for _, line in sorted(found, reverse=True)]


def _page_line(name: str, text: str, own: Sequence[Row], runs: Sequence[Row], over: Row) -> str:
    if over.get("seeds") != [row["seed"] for row in own]:
        over = {}
    learned = statistics.fmean(_mean(row, "learned", "change") for row in own)
    kept = [_mean(row, "retained", "change") for row in own]
    plain = {row["seed"]: _mean(row, "learned", "change") for row in runs if row["name"] == "plain"}
    gained = sum(plain[row["seed"]] for row in own)
    share = f"{sum(_mean(row, 'learned', 'change') for row in own) / gained:.0%}"
    if "share" in over:
        share = f"{over['share']['value']:.0%} [{over['share']['low']:.0%}, {over['share']['high']:.0%}]"
    worst, suite = _worst(own)
    cells = [
        text,
        f"{learned:+.1f}{_ends(over.get('learned'))}",
        "" if name == "plain" else share,
        f"{_signed(statistics.fmean(kept))}{_ends(over.get('retained'))}",
        ", ".join(map(_signed, kept)),
        f"{worst:+.1f} ({suite})",
    ]
    return f"| {' | '.join(cells)} |"


def _signed(value: float) -> str:
    """Returns a change with its sign, and one that rounds to zero as +0.0."""
    return f"{round(value, 1) + 0.0:+.1f}"


def _ends(known: Mapping[str, float] | None) -> str:
    return "" if known is None else f" [{known['low']:+.1f}, {known['high']:+.1f}]"


def _worst(rows: Sequence[Row]) -> tuple[float, str]:
    """Returns the largest fall of a kept suite in the mean of some runs, and its name."""
    return min(
        (statistics.fmean(row["suites"][suite]["change"] for row in rows), suite)
        for suite, about in rows[0]["suites"].items()
        if about["role"] == "retained"
    )


def _lines(text: str) -> str:
    """Returns a paragraph in short lines."""
    return "\n".join(wrapped(text))


def _line(name: str, rows: Sequence[Row], plain: Mapping[int, float], over: Row | None) -> str:
    learned = statistics.fmean(_mean(row, "learned", "change") for row in rows)
    kept = [_mean(row, "retained", "change") for row in rows]
    worst = _worst(rows)
    both = [row for row in rows if row["seed"] in plain]
    gained = sum(plain[row["seed"]] for row in both)
    share = f"{sum(_mean(row, 'learned', 'change') for row in both) / gained:.0%}" if gained else ""
    ends, of_learned = "", None
    if over is not None:
        of_learned, ends = over["learned"], _ends(over["retained"])
        if "share" in over:
            found = over["share"]
            share = f"{found['value']:.0%} [{found['low']:.0%}, {found['high']:.0%}]"
    costs = [row["cpu_seconds"] for row in rows if row["cpu_seconds"] is not None]
    transfer = [_mean(row, "transfer", "change") for row in rows if _of(row, "transfer")]
    return (
        f"| {name} | {len(rows)} | {_change(rows, 'learned', learned, of_learned)} | {share} |"
        f" {statistics.fmean(kept):+.1f}{ends} | {', '.join(f'{change:+.1f}' for change in kept)} |"
        f" {worst[0]:+.1f} ({worst[1]}) |"
        f" {f'{statistics.fmean(transfer):+.1f}' if transfer else ''} |"
        f" {f'{statistics.fmean(costs):.0f}' if costs else ''} |\n"
    )


def _change(rows: Sequence[Row], role: str, change: float, over: Row | None) -> str:
    after = statistics.fmean(_mean(row, role, "after") for row in rows)
    suites = _of(rows[0], role)
    known = over or (suites[0] if len(rows) == 1 and "low" in suites[0] else None)
    return f"{after:.1f} ({change:+.1f}{_ends(known)})"


def _of(row: Row, role: str) -> list[Row]:
    return [suite for suite in row["suites"].values() if suite["role"] == role]


def _mean(row: Row, role: str, key: str) -> float:
    return statistics.fmean(suite[key] for suite in _of(row, role))


def _befores(suites: Row, key: str = "before") -> str:
    return ", ".join(f"{name} {suite[key]:.1f}" for name, suite in suites.items())
