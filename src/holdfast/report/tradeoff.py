"""The trade-off table: for a terminal, as Markdown, as CSV; what was not measured is a blank."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.bench.compare.tradeoff_record import DoseRow, RecipeRow, TradeOff
from holdfast.bench.measured.outcome import Amount
from holdfast.report.markdown import table_row, wrapped
from holdfast.report.published import published
from holdfast.report.reading import SHORT, number
from holdfast.stats.size import LEAST

WIDE = 150
"""Columns of a terminal from which the whole table fits."""


def _value(of: Amount | None, unit: str, ends: bool = False) -> str:
    if of is None:
        return ""
    text = number(of.value, unit)
    return f"{text} [{number(of.low, unit)}, {number(of.high, unit)}]" if ends and of.low is not None else text


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}x"


def _matched(row: RecipeRow, unit: str) -> str:
    found = row.matched
    if found is None:
        return ""
    if found.value is None:
        return "not reached"
    return _value(Amount(value=found.value, low=found.low, high=found.high), unit, ends=True)


def _set_off(row: RecipeRow, unit: str) -> str:
    """Returns what suites that got better gained of the mean, and what the others lost, where both are of interest."""
    parts = row.set_off
    if parts is None or min(parts.gained, parts.lost) < LEAST[unit]:
        return ""
    return f"-{number(parts.lost, unit)} +{number(parts.gained, unit)}"


def _verdict(row: RecipeRow) -> str:
    if row.verdict is None:
        return ""
    word, learned = row.verdict.word, row.learned.word or "learned"
    return ", ".join([SHORT.get(word, word), *([] if learned == "learned" else [_learning(learned)])])


def _learning(word: str) -> str:
    """Returns the word on learning where another word stands beside it."""
    return "learning unsettled" if word == "not enough evidence" else word


Cell = Callable[[RecipeRow, TradeOff], str]

COLUMNS: dict[str, Cell] = {
    "recipe": lambda row, _: row.recipe,
    "rate": lambda row, _: "" if row.rate is None else f"{row.rate:g}",
    "learned": lambda row, all: _value(row.learned, all.learned_unit),
    "goal": lambda row, _: "reached" if row.reached else "not reached",
    "transfer": lambda row, _: "" if row.transfer is None else _value(row.transfer, row.transfer.unit),
    "lost [95%]": lambda row, all: _value(row.lost, all.unit, ends=True),
    "worst suite": lambda row, all: f"{row.worst.suite} {_value(row.worst, all.unit)}",
    "set off": lambda row, all: _set_off(row, all.unit),
    "flips": lambda row, _: "" if row.flips is None else f"-{row.flips.lost:.0f} +{row.flips.gained:.0f}",
    "lost at the goal": lambda row, all: _matched(row, all.unit),
    "time": lambda row, _: _times(row.time_ratio),
    "memory": lambda row, _: _times(row.memory_ratio),
    "trained": lambda row, _: "" if row.trained_share is None else f"{row.trained_share:.1%}",
    "front": lambda row, _: f"{row.front_share:.0%}",
    "volume": lambda row, _: "" if row.hypervolume is None else f"{row.hypervolume:.2f}",
    "verdict": lambda row, _: _verdict(row),
}
NARROW = ("recipe", "learned", "lost [95%]", "worst suite", "time", "front")
"""What a narrow terminal shows."""

CHOSEN = (
    "learned, lost: on test questions and proof items, at the dose that loses least on watched items among those that "
    "learn enough"
)
ALL = "learned, lost: on all items that steered no run; each recipe has one learning rate, and nothing was chosen"
EXPLAINED = {
    "worst suite": "of {worst}, and picked because it is the worst, so that it looks worse than it is",
    "set off": "what suites lost and gained of the mean that is called lost",
    "lost at the goal": "between doses, when just enough is learned",
    "flips": "answers lost and gained",
    "time": "times plain's",
    "memory": "times plain's",
    "front": "in how many repetitions nobody is better in both",
    "volume": "share of the plane of learned and kept that the doses cover",
}
"""What columns mean, beside those of which the heading says it."""


def explained(found: TradeOff, names: Sequence[str]) -> str:
    """Returns what the columns of these names mean."""
    worst = max(row.worst.of or 1 for row in found.recipes)
    suites = f"{worst} suites" if worst > 1 else "the one there is"
    said = [f"{name}: {text.format(worst=suites)}" for name, text in EXPLAINED.items() if name in names]
    return "; ".join([CHOSEN if found.chosen else ALL, *said]) + "."


def columns_of(found: TradeOff) -> list[str]:
    """Returns the columns of which some row has something to say."""
    return [name for name, cell in COLUMNS.items() if any(cell(row, found) for row in found.recipes)]


def heading(found: TradeOff) -> list[str]:
    """Returns what the runs have in common, and what is to be learned, in sentences."""
    about, goal = found.about, found.goal
    kept = f", keeping {', '.join(about.keep)}" if about.keep else ""
    seeds = len(about.seeds)
    to_learn = f"{goal:.3f} nats per token better than the base"
    if found.learned_unit == "points":
        to_learn = f"{(found.base or 0.0) + goal:.1f} points"
    return [
        f"{about.model} learns {about.data}{kept}",
        f"Goal: {to_learn}; lost in {found.unit}; {found.items.learned:,} items of what is learned, "
        f"{found.items.kept:,} of what is kept, {seeds} seed{'s' if seeds > 1 else ''}",
    ]


def terminal(found: TradeOff, console: Console) -> None:
    """Prints the table, as much of it as the terminal has room for, and the sentences that belong to it."""
    first, second = heading(found)
    console.print(first, style="bold", highlight=False, markup=False, soft_wrap=True)
    console.print(second, highlight=False, markup=False, soft_wrap=True)
    names = [name for name in columns_of(found) if console.width >= WIDE or name in NARROW]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        text = name in ("recipe", "worst suite", "verdict")
        table.add_column(escape(name), justify="left" if text else "right", overflow="fold", no_wrap=not text)
    for row in found.recipes:
        cells = [COLUMNS[name](row, found) for name in names]
        if "goal" not in names and not row.reached:
            cells[1] += "*"
        table.add_row(*map(escape, cells))
    console.print(table)
    if "goal" not in names and not all(row.reached for row in found.recipes):
        console.print("* the goal is not reached", highlight=False)
    for line in _words(found, "verdict" in names):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for line in [explained(found, names), *found.notes]:
        console.print(line, highlight=False, markup=False, style="dim")


def _words(found: TradeOff, shown: bool) -> list[str]:
    """Returns the verdicts where the table has no column for them, and which recipes did not learn."""
    rows = found.recipes
    if any(row.verdict is not None for row in rows):
        of = "this run" if len(found.about.seeds) == 1 else "the recipe"
        return [] if shown else [f"verdict on {of}, {row.recipe}: {_verdict(row)}" for row in rows]
    words = {row.recipe: row.learned.word or "learned" for row in rows}
    return [
        f"{'not shown to have learned' if word == 'not enough evidence' else word}: "
        f"{', '.join(name for name, own in words.items() if own == word)}"
        for word in dict.fromkeys(words.values())
        if word != "learned"
    ]


def markdown(found: TradeOff) -> str:
    """Returns the whole table as Markdown, every dose, and what was published about the methods."""
    names = columns_of(found)
    title, goal = heading(found)
    lines = [f"**{title}**", "", *wrapped(f"{goal}."), ""]
    lines += _table(names, [[COLUMNS[name](row, found) for name in names] for row in found.recipes])
    told = (line for text in (explained(found, names), *found.notes) for line in wrapped(text))
    lines += ["", *told, "", "Every dose: learned / lost.", ""]
    most = max(len(row.doses) for row in found.recipes)
    cells = [[row.recipe, *(_dose(dose, found) for dose in row.doses)] for row in found.recipes]
    lines += _table(
        ["recipe", *(f"dose {n + 1}" for n in range(most))], [c + [""] * (most + 1 - len(c)) for c in cells]
    )
    beside = _beside(found)
    if beside:
        lines += ["", "What was published, and what was measured here (learned / lost):", ""]
        lines += _table(["method", "published", "under which conditions", "source", "here"], beside)
    return "\n".join(lines) + "\n"


def _dose(dose: DoseRow, found: TradeOff) -> str:
    rate = "" if dose.rate is None else f"{dose.rate:g}: "
    return f"{rate}{_both(dose, found)}"


def _both(row: DoseRow | RecipeRow, found: TradeOff) -> str:
    return f"{_value(row.learned, found.learned_unit)} / {_value(row.lost, found.unit)}"


def _beside(found: TradeOff) -> list[list[str]]:
    """Returns what was published about each recipe of one method, with what it did here."""
    here = {row.recipe.partition("(")[0]: row for row in found.recipes if " + " not in row.recipe}
    return [
        [one.method, one.said, one.under, one.source, _both(here[one.method], found)] for one in published(list(here))
    ]


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [table_row(names), "|" + "---|" * len(names), *map(table_row, rows)]


OF_DOSE: dict[str, Callable[[DoseRow], object]] = {
    "learned": lambda dose: dose.learned.value,
    "learned_low": lambda dose: dose.learned.low,
    "learned_high": lambda dose: dose.learned.high,
    "lost": lambda dose: dose.lost.value,
    "lost_low": lambda dose: dose.lost.low,
    "lost_high": lambda dose: dose.lost.high,
}
"""Columns of the CSV that every dose has."""
OF_CHOSEN: dict[str, Callable[[RecipeRow], object]] = {
    "reached": lambda row: row.reached,
    "transfer": lambda row: row.transfer and row.transfer.value,
    "worst_suite": lambda row: row.worst.suite,
    "worst_lost": lambda row: row.worst.value,
    "answers_lost": lambda row: row.flips and row.flips.lost,
    "answers_gained": lambda row: row.flips and row.flips.gained,
    "worst_of": lambda row: row.worst.of,
    "suites_lost": lambda row: row.set_off and row.set_off.lost,
    "suites_gained": lambda row: row.set_off and row.set_off.gained,
    "lost_at_goal": lambda row: row.matched and row.matched.value,
    "verdict": lambda row: row.verdict and row.verdict.word,
    "learning": lambda row: row.learned.word,
}
"""Columns of the CSV that the chosen dose of a recipe has."""
OF_RECIPE: dict[str, Callable[[RecipeRow], object]] = {
    "time": lambda row: row.time_ratio,
    "memory": lambda row: row.memory_ratio,
    "trained": lambda row: row.trained_share,
}
"""Columns of the CSV that are the same for all doses of a recipe."""
OF_FRONT: dict[str, Callable[[RecipeRow], object]] = {
    "front": lambda row: row.front_share,
    "hypervolume": lambda row: row.hypervolume,
}
"""Columns of the CSV that the chosen dose has, at the end."""


def as_csv(found: TradeOff) -> str:
    """Returns a line for each dose of each recipe, numbers in full; what was not measured is empty."""
    names = ["recipe", "text", "rate", "chosen", *OF_DOSE, *OF_CHOSEN, *OF_RECIPE, *OF_FRONT]
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in found.recipes:
        for dose in row.doses:
            chosen = dose.rate == row.rate
            line: dict[str, object] = {"recipe": row.recipe, "text": row.text, "rate": dose.rate, "chosen": chosen}
            line |= {name: of(dose) for name, of in OF_DOSE.items()}
            line |= {name: of(row) for name, of in OF_RECIPE.items()}
            if chosen:
                line |= {name: of(row) for name, of in (OF_CHOSEN | OF_FRONT).items()}
            writer.writerow(line)
    return out.getvalue()
