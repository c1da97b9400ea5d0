"""The output of `holdfast heal`: what the tuned and the healed model learned and lost, and what was done."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.bench.heal.heal_record import BeforeHealing, HealRecord
from holdfast.bench.machine.lines import print_line, print_sentence
from holdfast.bench.measured.outcome import Learning, SuiteRow, VerdictRow
from holdfast.report.ranking import points_of, ranking_table
from holdfast.report.reading import UNITS, learned_lines, number
from holdfast.report.symptoms import symptom_lines
from holdfast.report.table import verdict_lines


def show(record: HealRecord, console: Console | None = None, as_json: bool = False) -> None:
    """Prints the record for a reader, or as JSON for a program."""
    console = console or Console()
    if as_json:
        print_line(console, json.dumps(record.to_dict(), indent=2))
        return
    print_line(console, f"{record.base} -> {record.tuned}", style="bold")
    console.print(_table(record))
    console.print(_by_suite(record))
    if record.ranking is not None:
        console.print(ranking_table(record.ranking))
    assert record.verdict is not None
    lines = verdict_lines(record.verdict, record.suites)
    lines += learned_lines(record.learned) if record.learned is not None else []
    for line in lines:
        print_sentence(console, line, markup=True)
    steered = [] if record.steered is None else [record.steered.sentence]
    seen = [] if record.ranking is None else symptom_lines(record.symptoms)
    for line in (*seen, *steered, record.sentence):
        print_sentence(console, line)
    print_line(console, f"Model: {record.model}")


def _table(record: HealRecord) -> Table:
    """Returns a table of both models on test items: learned, lost, verdict; a line for each unit."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("on test items" if record.ranking is None else "on test queries")
    for name in ("learned", "lost"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    healed = BeforeHealing(
        suites=record.suites,
        learned=record.learned or record.before.learned,
        verdict=record.verdict or record.before.verdict,
    )
    for name, model in (("tuned", record.before), ("healed", healed)):
        table.add_row(name, *_row(model.learned, model.verdict))
    return table


def _row(learned: Learning, verdict: VerdictRow) -> tuple[str, str, str]:
    gains = [f"{number(unit.gain, unit.unit, '+')} {UNITS[unit.unit]}" for unit in learned.units]
    losses = []
    for mean in verdict.means:
        sign = -1.0 if mean.unit == "points" else 1.0
        ends = "" if mean.low is None or mean.high is None else _ends(mean.low * sign, mean.high * sign, mean.unit)
        losses.append(f"{number(0.0 + sign * mean.change, mean.unit)}{ends} {UNITS[mean.unit]}")
    return "\n".join(gains) or learned.word, "\n".join(losses), verdict.word


def _ends(one: float, other: float, unit: str) -> str:
    low, high = sorted((one, other))
    return escape(f" [{number(low, unit)}, {number(high, unit)}]")


def _by_suite(record: HealRecord) -> Table:
    """Returns a table of suites: the base's score, that of the tuned model, and that of the healed one."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), caption_justify="left")
    table.add_column("suite", overflow="fold", min_width=8)
    if record.ranking is not None:
        table.caption = f"{points_of(record.ranking)}, higher is better"
    for name in ("items" if record.ranking is None else "queries", "base", "tuned", "healed"):
        table.add_column(name, justify="right", no_wrap=True)
    tuned: dict[str, SuiteRow] = {row.name: row for row in record.before.suites}
    for row in record.suites:
        scores: Sequence[float] = (row.before, tuned[row.name].after, row.after)
        table.add_row(escape(row.name), f"{row.items:,}", *(number(score, row.unit) for score in scores))
    return table
