"""The before/after table of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from holdfast.bench.run import RunResult


def show(done: RunResult, console: Console | None = None) -> None:
    """Prints the table of a finished run and where its files are."""
    console = console or Console()
    console.print(before_after(done.result["suites"]))
    console.print(f"Model: {done.folder}/model   scores: {done.folder}/scores.jsonl", highlight=False)


def before_after(suites: Sequence[Mapping[str, Any]], title: str = "") -> Table:
    """Returns a table of suites: token NLL before and after, and the change with its paired interval.

    Args:
        suites: As in result.json: name, role, documents, tokens, before, after, change and, where there is one, low
            and high (nats per token).
        title: Printed above.
    """
    table = Table(title=title or None, title_justify="left", caption_justify="left")
    for name, justify in (("suite", "left"), ("role", "left"), ("documents", "right"), ("tokens", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("NLL before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("change [95% interval]", justify="right")
    table.add_column("", justify="left")
    for suite in suites:
        interval = f" [{suite['low']:+.3f}, {suite['high']:+.3f}]" if "low" in suite else " [one document]"
        table.add_row(
            suite["name"],
            suite["role"],
            f"{suite['documents']:,}",
            f"{suite['tokens']:,.0f}",
            f"{suite['before']:.3f}",
            f"{suite['after']:.3f}",
            f"{suite['change']:+.3f}{interval}",
            reading(suite),
        )
    table.caption = "NLL: nats per supervised token, lower is better. Paired by document."
    return table


def reading(suite: Mapping[str, Any]) -> str:
    """Returns in a word what the interval of a suite says: only what lies outside zero is called a change."""
    if "low" not in suite:
        return "not enough documents"
    if suite["high"] < 0:
        return "learned" if suite["role"] != "retained" else "better"
    if suite["low"] > 0:
        return "lost" if suite["role"] == "retained" else "worse"
    return "no change seen"
