"""The forecasts of a plan as text: a table, the suites that go first, what they cost, and how far to trust them."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.table import Table

from holdfast.bench.plan.record import ForecastRecord, ForecastRow, IntervalRow
from holdfast.report.plan_words import duration, wrapped

SMALL = 9.95
"""Points below which a forecast is shown with a decimal."""


def forecast_table(record: ForecastRecord) -> Table:
    """Returns the forecasts as a table, best first."""
    limit = "" if record.points is None else f", {record.points:g} points allowed"
    table = Table(
        title=f"Forecast from {record.steps} steps: points with {record.confidence:.0%} intervals{limit}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("recipe", overflow="fold")
    for name in ("learned", "lost", "worst suite"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("first to go", overflow="fold")
    for row in record.rows:
        table.add_row(row.recipe, *map(_cell, (row.learned, row.lost, row.worst)), ", ".join(row.first_to_go))
    return table


def _cell(interval: IntervalRow | None) -> str:
    """Returns a forecast with its interval, with a decimal where it is small."""
    if interval is None:
        return ""
    digits = 1 if interval.value < SMALL else 0
    return f"{interval.value:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def forecast_lines(record: ForecastRecord) -> Iterator[str]:
    """Yields what a forecast does not know, what it cost, and what was measured of it."""
    if all(row.learned is None for row in record.rows):
        yield from wrapped(
            "No questions measure learning (--test), so that only the fall of surprise is known: "
            + "; ".join(f"{row.gain_nats:.2f} nats per token by {row.recipe}" for row in record.rows)
            + ".",
            "  ",
        )
    for phrase, rows in beyond(record).items():
        who = "every recipe" if len(rows) == len(record.rows) else "; ".join(row.recipe for row in rows)
        yield from wrapped(f"Extrapolates ({who}): {phrase}.", "    ", "  ")
    yield from wrapped(
        f"It took {duration(record.seconds)}: {record.cost:.2g} trainings by {record.plain} (about"
        f" {duration(record.plain_seconds)} each).",
        "  ",
    )
    for check in record.checks:
        yield from wrapped(check, "    ", "  ")
    yield ""


def beyond(record: ForecastRecord) -> dict[str, list[ForecastRow]]:
    """Returns in what forecasts lie outside what the fit has seen, each with the forecasts concerned."""
    phrases: dict[str, list[ForecastRow]] = {}
    for row in record.rows:
        for phrase in row.beyond:
            phrases.setdefault(phrase, []).append(row)
    return phrases
