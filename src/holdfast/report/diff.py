"""The output of `holdfast diff`: the table, the verdict, lost and gained answers, and the drift of the model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from rich.console import Console

from holdfast.bench.diff.diff_record import AnswerRow, DiffRecord, DriftRow, ForgettingRow
from holdfast.bench.machine.lines import print_line, print_sentence
from holdfast.report.asked import show_asked
from holdfast.report.calibration import show_calibration
from holdfast.report.ranking import points_of, ranking_table, tie_lines
from holdfast.report.reading import learned_lines, short
from holdfast.report.recovery import recovery_lines
from holdfast.report.symptoms import symptom_lines
from holdfast.report.table import before_after, verdict_lines


def show(record: DiffRecord, console: Console | None = None, as_json: bool = False) -> None:
    """Prints the record for a reader, or as JSON for a program."""
    console = console or Console()
    if as_json:
        print_line(console, json.dumps(record.to_dict(), indent=2))
        return
    print_line(console, f"{record.base} -> {record.tuned}", style="bold")
    show_asked(record.asked, record.base, record.tuned, console)
    if record.asked and not record.suites:
        return
    points = points_of(record.ranking)
    console.print(before_after(record.suites, "", record.verdict, record.learned, points, console.width))
    show_calibration(record.calibration, console)
    if record.ranking is not None:
        console.print(ranking_table(record.ranking))
    lines = [*tie_lines(record.ranking or {}), *_changed_lines(record), *_drifts(record.drift or {})]
    lines += [*_forgotten(record.forgetting), *recovery_lines(record.recovery)]
    lines += symptom_lines(record.symptoms, "; name them with --data")
    lines += ["", *([] if record.steered is None else [record.steered.sentence])]
    for line in lines:
        print_sentence(console, line)
    if record.verdict is None:
        console.print("There is no verdict without a budget: give one, as in --budget points=2.", highlight=False)
    sentences = verdict_lines(record.verdict, record.suites) if record.verdict is not None else []
    sentences += learned_lines(record.learned) if record.learned is not None else []
    for line in sentences:
        print_sentence(console, line, markup=True)


def _changed_lines(record: DiffRecord) -> list[str]:
    """Returns the numbers of lost and gained answers, each with examples."""
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
    """Returns a question with the answers before and after."""
    answers = {"before": row.before, "after": row.after}
    return [f"  {row.suite}: {short(row.asked)}"] + [
        f"    {name + ':':7} {short(text)}" for name, text in answers.items()
    ]


def _drifts(drifts: Mapping[str, DriftRow]) -> list[str]:
    rows = [f"  on {name} prompts {_drift(row)}" for name, row in drifts.items()]
    return ["\nDrift, KL(base || tuned) in nats per token:", *rows] if rows else []


def _drift(row: DriftRow) -> str:
    """Returns a drift with its interval, its size, and its meaning for the likelihood of the base's tokens."""
    ends = "" if row.low is None else f" [{row.low:.4f}, {row.high:.4f}]"
    times = math.exp(min(row.nats_per_token, 99.0))
    means = f"{times:,.0f} times" if times >= 9.5 else f"{times:.1f} times" if times >= 1.5 else f"{1 - 1 / times:.0%}"
    size = f"{row.nats_per_token:.4f}{ends}, {row.size}"
    return f"{size}: a token that the base would write is {means} less likely"


def _forgotten(forgetting: Mapping[str, ForgettingRow]) -> list[str]:
    """Returns the forgotten share of known answers for each suite, corrected for lucky guesses; nothing if it is 0."""
    rows = [
        f"  {name}: {100 * row.lost_share:.1f} of {100 * row.known_share:.1f} points"
        for name, row in forgetting.items()
        if row.known_share and row.lost_share
    ]
    return ["\nForgotten points of known points, corrected for lucky guesses:", *rows] if rows else []
