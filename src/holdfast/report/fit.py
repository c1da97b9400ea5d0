"""The output of `holdfast fit`: the sentence that a manager reads, the suites, and what each stage did and cost."""

from __future__ import annotations

import json

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.bench.fit.fit_record import FitRecord
from holdfast.bench.machine.lines import print_line, print_sentence
from holdfast.report.ranking import points_of, ranking_table
from holdfast.report.reading import learned_lines
from holdfast.report.symptoms import symptom_lines
from holdfast.report.table import before_after, verdict_lines


def show(record: FitRecord, console: Console | None = None, as_json: bool = False) -> None:
    """Prints the record for a reader, or as JSON for a program."""
    console = console or Console()
    if as_json:
        print_line(console, json.dumps(record.to_dict(), indent=2))
        return
    points = points_of(record.ranking)
    console.print(before_after(record.suites, "", record.verdict, record.learned, points, console.width))
    if record.ranking is not None:
        console.print(ranking_table(record.ranking))
    assert record.verdict is not None
    lines = verdict_lines(record.verdict, record.suites)
    lines += learned_lines(record.learned) if record.learned is not None else []
    for line in lines:
        print_sentence(console, line, markup=True)
    for line in [*symptom_lines(record.symptoms), *record.notes]:
        print_sentence(console, line)
    console.print()
    console.print(_stages(record))
    console.print(record.sentence, style="bold", highlight=False, markup=False)
    print_line(console, f"Recipe: {record.recipe}")
    print_line(console, f"Model: {record.model}")


def _stages(record: FitRecord) -> Table:
    """Returns a table of the stages: what came of each, and its cost in plain runs against what it was allowed."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), caption_justify="left")
    table.add_column("stage", no_wrap=True)
    table.add_column("what came of it", overflow="fold")
    for name in ("cost", "at most"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in record.stages:
        costs = (f"{row.spent:.2f}", f"{row.announced:.2f}") if row.done and row.announced else ("", "")
        table.add_row(row.name, escape(row.sentence), *costs)
    table.add_section()
    table.add_row("all", "", f"{record.cost.spent:.2f}", f"{record.cost.allowed:.2f}")
    table.caption = "costs: trainings in plain runs; asking is not counted"
    return table
