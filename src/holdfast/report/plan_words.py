"""Lines, facts, numbers, sizes and durations as a plan prints them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable

from rich import box
from rich.table import Table

from holdfast.bench.plan.record import TimeRow

WIDTH = 79
"""Most characters of a line of text."""
NEARLY = 0.9995
"""Share of a unit from which a number in three digits is one of that unit: 999.6 million would be 1e+03M."""


def wrapped(text: str, indent: str, first: str | None = None) -> list[str]:
    """Returns text in lines of at most `WIDTH` characters; a word that is longer stays whole."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def facts_in_columns(facts: Iterable[tuple[str, str]]) -> Table:
    """Returns facts as a table of two columns: what each is about, and the fact."""
    table = Table(title="Facts", title_justify="left", box=box.SIMPLE_HEAD, show_header=False, padding=(0, 1, 0, 0))
    table.add_column("about", no_wrap=True, style="bold")
    table.add_column("fact", overflow="fold")
    for about, fact in facts:
        table.add_row(about, fact)
    return table


def count(number: int) -> str:
    """Returns a number of parameters in a few characters."""
    for amount, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= NEARLY * amount:
            return f"{number / amount:.3g}{letter}"
    return str(number)


def size(number: int) -> str:
    """Returns bytes in a few characters."""
    for amount, unit in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB")):
        if number >= NEARLY * amount:
            return f"{number / amount:.3g} {unit}"
    return f"{number / 1000:.3g} kB"


def duration(seconds: float) -> str:
    """Returns a duration in one unit, with two digits."""
    for amount, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * amount:
            value = seconds / amount
            return f"{value:.1f} {unit}" if value < 10 else f"{math.floor(value + 0.5):,} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{math.floor(seconds + 0.5)} s"


def time_fact(row: TimeRow) -> str:
    """Returns the time of a recipe as text."""
    interval = "" if row.low is None or row.high is None else f" [{duration(row.low)}, {duration(row.high)}]"
    writing = f", after {duration(row.writing_seconds)} of writing" if row.writing_seconds else ""
    return (
        f"{row.recipe}: {row.seconds_per_thousand:.2g} s for 1,000 tokens; {row.run_steps:,} steps take"
        f" {duration(row.seconds)}{interval}{writing} (from {row.steps} timed steps)"
    )
