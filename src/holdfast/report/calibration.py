"""The table of calibration before and after, and the sentences on it, for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.bench.measured.calibration_record import CalibrationFigure, CalibrationRow, SuiteCalibration

NAMES = {
    "ece": "ECE",
    "adaptive_ece": "adaptive ECE",
    "brier": "Brier score",
    "overconfidence": "overconfidence",
}
"""Names of the figures in the table, in their order."""
BRIEF = ("ece", "brier", "overconfidence")
"""Figures of a suite if the table shows several suites."""
MEANS = (
    "ECE: expected calibration error, 0 to 1; calibrated: the ECE to expect of a perfectly calibrated model, before and"
    " after; Brier score: 0 to 2; lower is better. Overconfidence: mean confidence minus accuracy."
)


def show_calibration(record: CalibrationRow | None, console: Console) -> None:
    """Prints the table and its sentences; nothing without choices."""
    if record is None:
        return
    console.print()
    if record.suites:
        console.print(_table(record))
    for line in [*sentences(record), *([MEANS] if record.suites else [])]:
        console.print(line, style="dim", highlight=False, markup=False)


def _table(record: CalibrationRow) -> Table:
    table = Table(
        title="Calibration of choices",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("", overflow="fold", min_width=16)
    for name in ("before", "after", "change [95% interval]", "calibrated"):
        table.add_column(escape(name), justify="right", no_wrap=True)
    alone = len(record.suites) == 1
    if record.retained is not None:
        _add(table, record.retained, tuple(NAMES))
    for suite in record.suites:
        _add(table, suite, tuple(NAMES) if alone else BRIEF)
    return table


def _add(table: Table, suite: SuiteCalibration, figures: tuple[str, ...]) -> None:
    """Adds the rows of a suite: its name with its number of choices, then its figures."""
    table.add_row(f"[bold]{escape(suite.name)}[/bold] ({suite.items:,})")
    for name in figures:
        if (figure := getattr(suite, name)) is not None:
            sign = "+" if name == "overconfidence" else ""
            table.add_row(f"  {NAMES[name]}", *_cells(figure, sign))


def _cells(figure: CalibrationFigure, sign: str = "") -> tuple[str, str, str, str]:
    low, high = figure.change.low, figure.change.high
    ends = " [one group]" if low is None or high is None else f" [{low:+z.3f}, {high:+z.3f}]"
    expected = [figure.before_if_calibrated, figure.after_if_calibrated]
    return (
        f"{figure.before.value:{sign}z.3f}",
        f"{figure.after.value:{sign}z.3f}",
        escape(f"{figure.change.value:+z.3f}{ends}"),
        " ".join(f"{value:.3f}" for value in expected if value is not None),
    )


def sentences(record: CalibrationRow) -> Iterator[str]:
    """Yields what is not in the table, and why."""
    few = [suite for suite in record.suites if suite.ece is None]
    if few:
        names = ", ".join(f"{suite.name} ({suite.items})" for suite in few)
        yield f"No calibration error for {names}: it needs at least {record.least_items} items."
    if lacking := [suite.name for suite in record.suites if suite.brier is None]:
        yield f"No Brier score for {', '.join(lacking)}: the saved answers lack it; ask the models again."
    for reason, why in (
        ("no probabilities", "the saved answers hold no probabilities of choices"),
        ("graded", "several choices of an item are right"),
    ):
        rows = [row for row in record.unknown if row.reason == reason]
        if rows:
            names = ", ".join(f"{row.suite} ({row.items:,})" for row in rows)
            yield f"Calibration is unknown for {names}: {why}."
