"""What the demo prints at its end: what plain and held training learned and lost, side by side."""

from __future__ import annotations

import statistics

from rich.console import Console
from rich.table import Table

from holdfast.bench.demo import DemoResult
from holdfast.bench.run import RunResult


def show(done: DemoResult, console: Console | None = None) -> None:
    """Prints the table of the demo, its reading, and what to do next."""
    console = console or Console()
    names = list(done.runs)
    table = Table(title="Token NLL (nats, lower is better): before, and after each recipe", title_justify="left")
    table.add_column("suite")
    table.add_column("before", justify="right")
    for name in names:
        table.add_column(name, justify="right")
    for i, suite in enumerate(done.runs[names[0]].result["suites"]):
        label = (
            "new people (learned)" if suite["role"] == "learned" else f"{suite['name'].removeprefix('keep-')} (to keep)"
        )
        table.add_row(label, f"{suite['before']:.3f}", *(_cell(done.runs[name], i) for name in names))
    console.print()
    for name in names:
        console.print(f"[bold]{name:6}[/bold] {done.runs[name].spec.recipe}", highlight=False, soft_wrap=True)
    console.print(table)
    learned = {name: -_mean(done.runs[name], "learned") for name in names}
    lost = {name: _mean(done.runs[name], "retained") for name in names}
    for name in names:
        console.print(
            f"{name:6} gained {learned[name]:.2f} nats per token on the new people"
            f" and lost {lost[name]:.2f} on what the model knew.",
            highlight=False,
            soft_wrap=True,
        )
    example = done.runs[names[-1]].folder
    console.print(
        f"\nEvery score, log and model: {example.parent}. Next, on your own model:\n"
        "  holdfast train --model MODEL --data new.jsonl --keep general.txt --recipe 'LoRA(rank=16) + MaskTheTarget()'",
        highlight=False,
        soft_wrap=True,
    )


def _cell(run: RunResult, suite: int) -> str:
    row = run.result["suites"][suite]
    return f"{row['after']:.3f} ({row['change']:+.3f})"


def _mean(run: RunResult, role: str) -> float:
    """Mean change over the suites of a role, each suite counting the same."""
    return float(statistics.mean(row["change"] for row in run.result["suites"] if row["role"] == role))
