"""What `holdfast diff` prints: the table, the verdict, what was lost and gained, and how far the model moved."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from holdfast.bench.diff import DiffResult
from holdfast.report.demo import short
from holdfast.report.reading import learned_lines
from holdfast.report.table import before_after, verdict_lines


def show(done: DiffResult, console: Console | None = None, as_json: bool = False) -> None:
    """Prints the result for a reader, or as JSON for a program."""
    console = console or Console()
    if as_json:
        console.print(json.dumps(done.result, indent=2), highlight=False, markup=False, soft_wrap=True)
        return
    result = done.result
    judged = result.get("verdict")
    console.print(f"{result['base']} -> {result['tuned']}", style="bold", highlight=False, markup=False, soft_wrap=True)
    console.print(before_after(result["suites"], judged=judged, learned=result["learned"]))
    for kind in ("lost", "gained"):
        total = sum(suite.get(kind, 0) for suite in result["suites"])
        examples = result["examples"][kind]
        if total:
            console.print(f"\n{total:,} answers {kind}{', for example' if examples else ''}:", highlight=False)
        for one in examples:
            console.print(f"  {one['suite']}: {short(one['asked'])}", highlight=False, markup=False, soft_wrap=True)
            for moment in ("before", "after"):
                text = f"    {moment + ':':7} {short(one[moment])}"
                console.print(text, highlight=False, markup=False, soft_wrap=True)
    if "calibration" in result:
        found = result["calibration"]
        ends = f" [{found['low']:+.3f}, {found['high']:+.3f}]" if "low" in found else ""
        console.print(
            f"\nExpected calibration error over {found['items']:,} choices: {found['before']:.3f} -> "
            f"{found['after']:.3f}, {found['change']:+.3f}{ends}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if "drift" in result:
        console.print("\nDrift, KL(base || tuned) in nats per token:", highlight=False)
        for name, found in result["drift"].items():
            console.print(f"  on {name} prompts {_drift(found)}", highlight=False, markup=False, soft_wrap=True)
    for line in _forgotten(result["forgetting"]):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print()
    if "steered" in result:
        console.print(result["steered"]["sentence"], highlight=False, markup=False, soft_wrap=True)
    if judged is None:
        console.print("No budget, no verdict: say what may be lost, as in --budget points=2.", highlight=False)
    lines = verdict_lines(judged, result["suites"]) if judged is not None else []
    for line in [*lines, *learned_lines(result["learned"])]:
        console.print(line, highlight=False, soft_wrap=True)


def _drift(found: Mapping[str, Any]) -> str:
    """Returns a drift with its interval, its size, and what that means for the words of the base."""
    ends = f" [{found['low']:.4f}, {found['high']:.4f}]" if "low" in found else ""
    times = math.exp(min(found["nats_per_token"], 99.0))
    means = f"{times:,.0f} times" if times >= 9.5 else f"{times:.1f} times" if times >= 1.5 else f"{1 - 1 / times:.0%}"
    size = f"{found['nats_per_token']:.4f}{ends}, {found['size']}"
    return f"{size}: each token that the base would say is {means} less likely"


def _forgotten(told: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns what was forgotten of what was known, lucky guesses taken out, suite by suite; nothing if nothing was."""
    rows = [
        f"  {name}: {100 * said['lost']:.1f} of {100 * said['known']:.1f} points"
        for name, said in told.items()
        if said.get("known") and said["lost"] > 0
    ]
    return ["\nForgotten of what was known, lucky guesses taken out:", *rows] if rows else []
