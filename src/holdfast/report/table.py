"""The before/after table of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.bench.run import RunResult
from holdfast.core.budget import Budget
from holdfast.report.guard import guard_lines
from holdfast.report.reading import UNITS, alone_line, learned_lines, number, parts_line, reading, words_of


def show(done: RunResult, console: Console | None = None) -> None:
    """Prints the table of a finished run and where its files are."""
    console = console or Console()
    judged, learned = done.result.get("verdict"), done.result.get("learned")
    console.print(before_after(done.result["suites"], judged=judged, learned=learned))
    lines = verdict_lines(judged, done.result["suites"]) if judged is not None else []
    for line in [*lines, *(learned_lines(learned) if learned is not None else [])]:
        console.print(line, highlight=False, soft_wrap=True)
    if "guard" in done.result:
        for line in guard_lines(done.result["guard"], done.result["seconds"]["training"]):
            console.print(line, highlight=False, soft_wrap=True)
    for line in memory_lines(done.result.get("memories", [])):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for what, name in (("Model", "model"), ("Scores", "scores.jsonl")):
        console.print(f"{what}: {done.folder}/{name}", highlight=False, markup=False, soft_wrap=True)


def before_after(
    suites: Sequence[Mapping[str, Any]],
    title: str = "",
    judged: Mapping[str, Any] | None = None,
    learned: Mapping[str, Any] | None = None,
) -> Table:
    """Returns a table of suites: scores before and after, the change with its paired interval, and what it says.

    It fits 80 columns: numbers are never broken, a long name of a suite is.

    Args:
        suites: As in result.json: name, role, unit, documents (groups of items), items, tokens (of texts), before,
            after, change and, where there is one, low and high (nats per token, or points: percent of items right).
        title: Printed above.
        judged: The verdict, as in result.json: its words stand in place of the readings of the suites it is on.
        learned: The word on what was learned, likewise.
    """
    words = words_of(judged, learned)
    texts = not suites or any(suite.get("unit") != "points" for suite in suites)
    table = Table(
        title=escape(title) or None,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("suite", overflow="fold", min_width=8)
    for name in ("items", *(["tokens"] if texts else []), "before", "after", "change [95% interval]"):
        table.add_column(escape(name), justify="right", no_wrap=True)
    table.add_column("reading", min_width=9)
    for suite in suites:
        points = suite.get("unit") == "points"
        places = 1 if points else 3
        interval = (
            f" [{suite['low']:+.{places}f}, {suite['high']:+.{places}f}]" if "low" in suite else " [one document]"
        )
        table.add_row(
            escape(suite["name"]),
            f"{suite.get('items', suite['documents']):,}",
            *(["" if points else _short(suite["tokens"])] if texts else []),
            f"{suite['before']:.{places}f}",
            f"{suite['after']:.{places}f}",
            escape(f"{suite['change']:+.{places}f}{interval}"),
            words.get(suite["name"]) or reading(suite),
        )
    units = {suite.get("unit", "nats") for suite in suites}
    said = {"nats": "nats per supervised token, lower is better", "points": "percent right, higher is better"}
    table.caption = f"before, after: {'; or '.join(text for unit, text in said.items() if unit in units)}; paired"
    return table


def verdict_lines(judged: Mapping[str, Any], suites: Sequence[Mapping[str, Any]], brief: bool = False) -> list[str]:
    """Returns the verdict in sentences: the word, what it rests on, and what is not settled.

    Args:
        judged: As in result.json.
        suites: The rows of the table.
        brief: Whether to leave out what is not settled, and what is too small to be seen.
    """
    limits, own = judged["budget"], judged["suites"]
    allowed = Budget(points=limits.get("points"), nll=limits.get("nats"))
    of = "in the mean of the suites, and in none for certain more" if judged["claim"] == "mean" else "in every suite"
    lines = [f"[bold]Verdict: {judged['word']}[/bold] (budget: a loss of {allowed} {of})"]
    for mean in judged["means"]:
        if mean["suites"] == 1:
            continue
        change, low, high = (number(mean[name], mean["unit"], "+") for name in ("change", "low", "high"))
        lines.append(
            f"  mean of {mean['suites']} suites: {change} \\[{low}, {high}] {UNITS[mean['unit']]}, {mean['word']}"
        )
        lines += parts_line(mean)
    lines += [] if brief else _floors(judged, suites)
    found = {suite["name"]: suite for suite in suites if suite["name"] in own}
    forgot = [name for name in found if own[name]["word"] == "forgot"]
    if forgot:
        looked = f"{len(own)} suite{'s' if len(own) > 1 else ''}"
        lines.append(f"  forgot for certain, with {looked} looked at: {', '.join(map(escape, forgot))}")
    lines += alone_line(own, list(found))
    unsettled = {name: said for name, said in own.items() if said["word"] == "not enough evidence"}
    if unsettled and not brief:
        needs = [
            escape(name) + (f" (about {said['items_needed']:,} items)" if "items_needed" in said else "")
            for name, said in unsettled.items()
        ]
        lines.append(f"  not settled: {', '.join(needs)}")
    if judged["unjudged"] and not brief:
        lines.append(f"  without a limit: {', '.join(map(escape, judged['unjudged']))}")
    return lines


NEAR = {
    "same": "of the same kinds as what is measured as kept, which says little about what is not",
    "near": "near to what is measured as kept",
    "none": "of other kinds than what is measured as kept",
    "unsaid": "how near it is to what is measured as kept is not said: near='same', 'near' or 'none'",
}
"""What a memory's declared nearness means, in words."""


def memory_lines(memories: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a sentence for each memory that was rehearsed."""
    return [f"Rehearsed: {one['name']}, {one['share']:.0%} of the tokens; {NEAR[one['near']]}" for one in memories]


def _floors(judged: Mapping[str, Any], suites: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns what losses are too small to be seen, in each unit."""
    units = {suite["name"]: suite.get("unit", "nats") for suite in suites}
    lines = []
    for mean in judged["means"]:
        unit = mean["unit"]
        own = [said for name, said in judged["suites"].items() if units.get(name) == unit]
        floors = [
            number(said["floor"], unit)
            for said in sorted(own, key=lambda said: said.get("floor", 0.0))
            if "floor" in said
        ]
        said = [f"{number(mean['floor'], unit)} in the mean"] if mean["suites"] > 1 and "floor" in mean else []
        if floors:
            said.append(f"{' to '.join(dict.fromkeys((floors[0], floors[-1])))} in one suite")
        if said:
            lines.append(f"  too small to be seen: losses below {', '.join(said)} ({UNITS[unit]})")
    return lines


def _short(count: float) -> str:
    """Returns a count in at most six characters: 9,999, then 12.3k, 4.56M, 7.89B."""
    if count < 9999.5:
        return f"{count:,.0f}"
    unit, size = next(((u, s) for u, s in (("k", 1e3), ("M", 1e6)) if count < 999.5 * s), ("B", 1e9))
    return f"{count / size:.3g}{unit}"
