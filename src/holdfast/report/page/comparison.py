"""The part of a page on a comparison: the trade-off, its table, and how to make it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holdfast.bench.compare.finished_runs import FinishedRun
from holdfast.bench.compare.tradeoff_record import RecipeRow, TradeOff
from holdfast.bench.given.specs import CompareSpec
from holdfast.report.page.again import command
from holdfast.report.page.blocks import Block, Cell, Code, Paragraphs, Part, Table, Word, sections
from holdfast.report.page.charts import tradeoff_chart
from holdfast.report.page.clean import name
from holdfast.report.page.run import read_object
from holdfast.report.reading import UNITS, number
from holdfast.report.tradeoff import COLUMNS, columns_of, explained, heading

MORE = ("lost at the goal", "Brier", "confidence", "time", "memory", "trained", "front", "volume")
"""Columns of the second table."""


def comparison_part(record: TradeOff, runs: Sequence[FinishedRun]) -> Part:
    """Returns the part on a trade-off.

    Args:
        record: The trade-off.
        runs: Its runs; empty for a table of published results.
    """
    title, goal = heading(record)
    kinds = sorted({kind for row in record.recipes for kind in row.symptoms or {}})
    shown = [[name(row.recipe), *(str((row.symptoms or {}).get(kind, "")) for kind in kinds)] for row in record.recipes]
    symptoms: list[Block] = [Table("Runs that show a symptom", ("recipe", *kinds), shown)] if kinds else []
    return Part(
        kind="Recipes compared",
        title=title,
        word=None,
        sentence=best(record),
        sections=sections(
            ("Trade-off", [tradeoff_chart(record)]),
            ("Recipes", [Paragraphs([f"{goal}."]), *_tables(record)]),
            ("Symptoms", symptoms),
            ("Notes", [Paragraphs(record.notes)] if record.notes else []),
            ("Run it again", _again(runs)),
        ),
    )


def _tables(record: TradeOff) -> list[Block]:
    """Returns the columns of the trade-off in two tables, because a page is too narrow for all in one."""
    names = columns_of(record)
    tables: list[Block] = []
    for caption, more in (("What each recipe learned and lost", False), ("What each recipe cost, and more", True)):
        chosen = [column for column in names if column == "recipe" or (column in MORE) is more]
        rows = [[_cell(column, row, record) for column in chosen] for row in record.recipes]
        note = explained(record, chosen, how=not more)
        tables += [Table(caption, chosen, rows, note)] if len(chosen) > 1 else []
    return tables


def best(record: TradeOff) -> str:
    """Returns the sentence on the recipe that loses least among those that learn enough."""
    reached = [row for row in record.recipes if row.reached]
    if not reached:
        return f"None of {len(record.recipes)} recipes learned enough to be compared at the goal."
    first = min(reached, key=lambda row: row.lost.value)
    plain = next((row for row in record.recipes if row.recipe == "plain"), None)
    text = (
        f"Of {len(record.recipes)} recipes, {len(reached)} learned enough; of these, {name(first.recipe)} lost least: "
    )
    text += _amount(first, record)
    if plain is not None and plain is not first:
        text += f", where plain training lost {_amount(plain, record)}"
    if first.lost.high is not None and plain is not None and plain is not first and plain.lost.low is not None:
        apart = first.lost.high < plain.lost.low
        text += ". Their intervals do not overlap" if apart else ". Their intervals overlap, so this may be chance"
    return f"{text}."


def _amount(row: RecipeRow, record: TradeOff) -> str:
    low, high = row.lost.low, row.lost.high
    ends = "" if low is None else f" (95% interval {number(low, record.unit)} to {number(high, record.unit)})"
    return f"{number(row.lost.value, record.unit)} {UNITS.get(record.unit, record.unit)}{ends}"


def _cell(column: str, row: RecipeRow, record: TradeOff) -> Cell:
    text = COLUMNS[column](row, record)
    return Word(text) if column == "verdict" or (column in MORE and text == "not reached") else text


def _again(runs: Sequence[FinishedRun]) -> list[Block]:
    """Returns the commands of the comparisons beside the runs."""
    commands = []
    for folder in dict.fromkeys(run.folder.resolve().parent for run in runs):
        for path in sorted(folder.glob("compare-*.json")):
            asked = read_object(Path(path)).get("asked")
            if isinstance(asked, dict):
                commands.append(command("compare", CompareSpec, asked))
    if not commands and runs:
        return [Paragraphs(["The runs were made one by one; the page of each run holds its command."])]
    return [Code(text) for text in commands]
