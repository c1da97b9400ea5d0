"""The before/after table of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.bench.run import RunResult


def show(done: RunResult, console: Console | None = None) -> None:
    """Prints the table of a finished run and where its files are."""
    console = console or Console()
    console.print(before_after(done.result["suites"]))
    for what, name in (("Model", "model"), ("Scores", "scores.jsonl")):
        console.print(f"{what}: {done.folder}/{name}", highlight=False, markup=False, soft_wrap=True)


def before_after(suites: Sequence[Mapping[str, Any]], title: str = "") -> Table:
    """Returns a table of suites: scores before and after, the change with its paired interval, and what it says.

    It fits 80 columns: numbers are never broken, a long name of a suite is.

    Args:
        suites: As in result.json: name, role, unit, documents (groups of items), items, tokens (of texts), before,
            after, change and, where there is one, low and high (nats per token, or points: percent of items right).
        title: Printed above.
    """
    table = Table(
        title=escape(title) or None,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("suite", overflow="fold", min_width=8)
    for name in ("items", "tokens", "before", "after", "change [95% interval]"):
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
            "" if points else _short(suite["tokens"]),
            f"{suite['before']:.{places}f}",
            f"{suite['after']:.{places}f}",
            escape(f"{suite['change']:+.{places}f}{interval}"),
            reading(suite),
        )
    units = {suite.get("unit", "nats") for suite in suites}
    said = {"nats": "nats per supervised token, lower is better", "points": "percent right, higher is better"}
    table.caption = f"before, after: {'; or '.join(text for unit, text in said.items() if unit in units)}; paired"
    return table


def reading(suite: Mapping[str, Any]) -> str:
    """Returns in a word what the interval of a suite says: only what lies outside zero is called a change."""
    if "low" not in suite:
        return "not enough documents"
    gains = suite["low"] > 0 if suite.get("unit") == "points" else suite["high"] < 0
    if gains:
        return "learned" if suite["role"] != "retained" else "better"
    if suite["high"] < 0 or suite["low"] > 0:
        return "lost" if suite["role"] == "retained" else "worse"
    return "no change seen"


def _short(count: float) -> str:
    """Returns a count in at most six characters: 9,999, then 12.3k, 4.56M, 7.89B."""
    if count < 9999.5:
        return f"{count:,.0f}"
    unit, size = next(((u, s) for u, s in (("k", 1e3), ("M", 1e6)) if count < 999.5 * s), ("B", 1e9))
    return f"{count / size:.3g}{unit}"
