"""What `holdfast diff` prints: the table, the verdict, what was lost and gained, and how far the model moved."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from rich.console import Console

from holdfast.bench.diff.diff_record import AnswerRow, CalibrationRow, DiffRecord, DriftRow, ForgettingRow
from holdfast.report.demo import short
from holdfast.report.reading import learned_lines
from holdfast.report.table import before_after, verdict_lines


def show(record: DiffRecord, console: Console | None = None, as_json: bool = False) -> None:
    """Prints the record for a reader, or as JSON for a program."""
    console = console or Console()
    if as_json:
        console.print(json.dumps(record.to_dict(), indent=2), highlight=False, markup=False, soft_wrap=True)
        return
    console.print(f"{record.base} -> {record.tuned}", style="bold", highlight=False, markup=False, soft_wrap=True)
    console.print(before_after(record.suites, judged=record.verdict, learned=record.learned))
    lines = [*_changed_lines(record), *_calibration(record.calibration), *_drifts(record.drift or {})]
    lines += [*_forgotten(record.forgetting), "", *([] if record.steered is None else [record.steered.sentence])]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if record.verdict is None:
        console.print("No budget, no verdict: say what may be lost, as in --budget points=2.", highlight=False)
    said = verdict_lines(record.verdict, record.suites) if record.verdict is not None else []
    said += learned_lines(record.learned) if record.learned is not None else []
    for line in said:
        console.print(line, highlight=False, soft_wrap=True)


def _changed_lines(record: DiffRecord) -> list[str]:
    """Returns how many answers were lost and gained, each with examples."""
    lost = sum(suite.answers_lost or 0 for suite in record.suites)
    gained = sum(suite.answers_gained or 0 for suite in record.suites)
    lines = []
    for count, kind, rows in ((lost, "lost", record.examples.lost), (gained, "gained", record.examples.gained)):
        if count:
            lines.append(f"\n{count:,} answers {kind}{', for example' if rows else ''}:")
        for row in rows:
            lines += _example(row)
    return lines


def _example(row: AnswerRow) -> list[str]:
    """Returns a question, and what was answered to it before and after."""
    said = {"before": row.before, "after": row.after}
    return [f"  {row.suite}: {short(row.asked)}"] + [f"    {name + ':':7} {short(text)}" for name, text in said.items()]


def _calibration(found: CalibrationRow | None) -> list[str]:
    if found is None:
        return []
    ends = "" if found.low is None else f" [{found.low:+.3f}, {found.high:+.3f}]"
    return [
        f"\nExpected calibration error over {found.items:,} choices: {found.before:.3f} -> "
        f"{found.after:.3f}, {found.change:+.3f}{ends}"
    ]


def _drifts(found: Mapping[str, DriftRow]) -> list[str]:
    rows = [f"  on {name} prompts {_drift(one)}" for name, one in found.items()]
    return ["\nDrift, KL(base || tuned) in nats per token:", *rows] if rows else []


def _drift(found: DriftRow) -> str:
    """Returns a drift with its interval, its size, and what that means for the words of the base."""
    ends = "" if found.low is None else f" [{found.low:.4f}, {found.high:.4f}]"
    times = math.exp(min(found.nats_per_token, 99.0))
    means = f"{times:,.0f} times" if times >= 9.5 else f"{times:.1f} times" if times >= 1.5 else f"{1 - 1 / times:.0%}"
    size = f"{found.nats_per_token:.4f}{ends}, {found.size}"
    return f"{size}: each token that the base would say is {means} less likely"


def _forgotten(told: Mapping[str, ForgettingRow]) -> list[str]:
    """Returns what was forgotten of what was known, lucky guesses taken out, suite by suite; nothing if nothing was."""
    rows = [
        f"  {name}: {100 * said.lost_share:.1f} of {100 * said.known_share:.1f} points"
        for name, said in told.items()
        if said.known_share and said.lost_share
    ]
    return ["\nForgotten of what was known, lucky guesses taken out:", *rows] if rows else []
