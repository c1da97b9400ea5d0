"""The forecasts of a plan as text."""

from __future__ import annotations

import dataclasses
import io

from rich.console import Console

from holdfast.bench.plan.record import ForecastRecord, ForecastRow, IntervalRow
from holdfast.report.plan_forecast import forecast_lines, forecast_table


def ends(value, low, high):
    return IntervalRow(value=value, low=low, high=high)


ROWS = tuple(
    ForecastRow(
        recipe=name, learned=ends(88.0, 5.0, 99.0), lost=lost, worst=lost, first_to_go=("facts", "lists"),
        drift_nats=0.1, gain_nats=1.25, run_steps=300, seconds=8.0, cost=0.3, beyond=beyond,
    )
    for name, lost, beyond in (
        ("Held()", ends(1.26, 0.2, 4.4), ("270M parameters (fit: 2.8M)",)),
        ("Train()", ends(10.0, 4.0, 20.0), ("270M parameters (fit: 2.8M)", "rate ahead 9 (fit: 1 to 4)")),
    )
)  # fmt: skip
RECORD = ForecastRecord(
    rows=ROWS, steps=30, confidence=0.9, points=2.0, plain="Train()", plain_seconds=33.0, seconds=20.0, cost=0.61,
    checks=("Measured on 64 runs.",),
)  # fmt: skip


def shown(record):
    console = Console(file=io.StringIO(), width=80)
    console.print(forecast_table(record))
    return console.file.getvalue() + "\n".join(forecast_lines(record))


def test_it_has_intervals_suites_cost_and_checks_best_first():
    text = shown(RECORD)
    for part in ("90% intervals, 2 points allowed", "1.3 [0.2, 4.4]", "10 [4, 20]", "88 [5, 99]", "facts, lists"):
        assert part in text
    assert text.index("Held()") < text.index("10 [4, 20]")
    assert "0.61 trainings by Train()" in text
    assert "Measured on 64 runs." in text


def test_it_says_which_recipes_extrapolate_and_in_what():
    text = shown(RECORD)
    assert "Extrapolates (every recipe): 270M parameters (fit: 2.8M)." in text
    assert "Extrapolates (Train()): rate ahead 9 (fit: 1 to 4)." in text


def test_without_questions_it_shows_the_fall_of_surprise_instead_of_learning():
    rows = tuple(dataclasses.replace(row, learned=None) for row in ROWS)
    text = shown(dataclasses.replace(RECORD, rows=rows, points=None))
    assert "88" not in text
    assert "points allowed" not in text
    assert "1.25 nats per token by Held()" in text
