"""The trade-off table: for a terminal, as Markdown, as CSV; a value that was not measured is blank."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.bench.compare.tradeoff_record import DoseRow, RecipeRow, TradeOff
from holdfast.bench.machine.lines import print_line
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
    matched = row.matched
    if matched is None:
        return ""
    if matched.value is None:
        return "not reached"
    return _value(Amount(value=matched.value, low=matched.low, high=matched.high), unit, ends=True)


def _set_off(row: RecipeRow, unit: str) -> str:
    """Returns the gains and losses of suites within the mean, if both are large enough to be of interest."""
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
    """Returns the word on learning for use after another word."""
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
    "Brier": lambda row, _: "" if row.calibration is None else f"{row.calibration.brier:+z.3f}",
    "confidence": lambda row, _: "" if row.calibration is None else f"{row.calibration.overconfidence:+z.3f}",
    "lost at the goal": lambda row, all: _matched(row, all.unit),
    "time": lambda row, _: _times(row.time_ratio),
    "memory": lambda row, _: _times(row.memory_ratio),
    "trained": lambda row, _: "" if row.trained_share is None else f"{row.trained_share:.1%}",
    "front": lambda row, _: f"{row.front_share:.0%}",
    "volume": lambda row, _: "" if row.hypervolume is None else f"{row.hypervolume:.2f}",
    "verdict": lambda row, _: _verdict(row),
}
NARROW = ("recipe", "learned", "lost [95%]", "worst suite", "time", "front")
"""Columns in a narrow terminal."""

CHOSEN = (
    "learned, lost: on test items, at the learning rate that loses least on validation items among those that learn"
    " enough"
)
ALL = "learned, lost: on all items that steered no run; each recipe has one learning rate, so nothing was chosen"
EXPLAINED = {
    "worst suite": "the largest loss of {count} suites; it looks worse than it is, because it was chosen as the worst",
    "set off": "losses and gains of suites within the mean loss",
    "lost at the goal": "interpolated to where the goal is just reached",
    "flips": "answers lost and gained",
    "Brier": "change of the Brier score of choices to keep, lower is better",
    "confidence": "change of mean confidence minus accuracy on these choices, positive if the model became surer",
    "time": "relative to plain training",
    "memory": "relative to plain training",
    "front": "share of resampled repetitions in which the recipe is on the Pareto front",
    "volume": "hypervolume, the share of the plane of learned and kept that the doses cover",
}
"""Meanings of the columns whose heading does not explain them."""


def explained(record: TradeOff, names: Sequence[str], *, how: bool = True) -> str:
    """Returns the meanings of these columns.

    Args:
        record: The trade-off.
        names: The columns.
        how: Whether to say on which items, and at which learning rate, the recipes learned and lost.
    """
    worst = max(row.worst.of or 1 for row in record.recipes)
    texts = EXPLAINED if worst > 1 else {**EXPLAINED, "worst suite": "the only suite"}
    meanings = [f"{name}: {text.format(count=worst)}" for name, text in texts.items() if name in names]
    first = [CHOSEN if record.chosen else ALL] if how else []
    return "; ".join([*first, *meanings]) + "."


def columns_of(record: TradeOff) -> list[str]:
    """Returns the columns that are not empty."""
    return [name for name, cell in COLUMNS.items() if any(cell(row, record) for row in record.recipes)]


def heading(record: TradeOff) -> list[str]:
    """Returns the common settings of the runs, and the goal of learning, in sentences."""
    about, goal = record.about, record.goal
    kept = f", keeping {', '.join(about.keep)}" if about.keep else ""
    seeds = len(about.seeds)
    to_learn = f"{goal:.3f} nats per token better than the base"
    if record.learned_unit == "points":
        to_learn = f"{(record.base or 0.0) + goal:.1f} points"
    return [
        f"{about.model} learns {about.data}{kept}",
        f"Goal: {to_learn}; lost in {record.unit}; {record.items.learned:,} items for learned, "
        f"{record.items.kept:,} for lost, {seeds} seed{'s' if seeds > 1 else ''}",
    ]


def terminal(record: TradeOff, console: Console) -> None:
    """Prints the columns that fit in the terminal, and the sentences on the table."""
    first, second = heading(record)
    print_line(console, first, style="bold")
    print_line(console, second)
    names = [name for name in columns_of(record) if console.width >= WIDE or name in NARROW]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        text = name in ("recipe", "worst suite", "verdict")
        table.add_column(escape(name), justify="left" if text else "right", overflow="fold", no_wrap=not text)
    for row in record.recipes:
        cells = [COLUMNS[name](row, record) for name in names]
        if "goal" not in names and not row.reached:
            cells[1] += "*"
        table.add_row(*map(escape, cells))
    console.print(table)
    if "goal" not in names and not all(row.reached for row in record.recipes):
        console.print("* did not reach the goal", highlight=False)
    for line in _words(record, "verdict" in names):
        print_line(console, line)
    for line in [explained(record, names), *record.notes]:
        console.print(line, highlight=False, markup=False, style="dim")


def _words(record: TradeOff, shown: bool) -> list[str]:
    """Returns the verdicts if the table does not show them, and the recipes that did not learn."""
    rows = record.recipes
    if any(row.verdict is not None for row in rows):
        of = "this run" if len(record.about.seeds) == 1 else "the recipe"
        return [] if shown else [f"verdict on {of}, {row.recipe}: {_verdict(row)}" for row in rows]
    words = {row.recipe: row.learned.word or "learned" for row in rows}
    return [
        f"{'not shown to have learned' if word == 'not enough evidence' else word}: "
        f"{', '.join(name for name, its_word in words.items() if its_word == word)}"
        for word in dict.fromkeys(words.values())
        if word != "learned"
    ]


def markdown(record: TradeOff) -> str:
    """Returns the whole table as Markdown, with every dose and the published results on the methods."""
    names = columns_of(record)
    title, goal = heading(record)
    lines = [f"**{title}**", "", *wrapped(f"{goal}."), ""]
    lines += _table(names, [[COLUMNS[name](row, record) for name in names] for row in record.recipes])
    paragraphs = (line for text in (explained(record, names), *record.notes) for line in wrapped(text))
    lines += ["", *paragraphs, "", "Every dose (learning rate): learned / lost.", ""]
    most = max(len(row.doses) for row in record.recipes)
    cells = [[row.recipe, *(_dose(dose, record) for dose in row.doses)] for row in record.recipes]
    lines += _table(
        ["recipe", *(f"dose {n + 1}" for n in range(most))], [c + [""] * (most + 1 - len(c)) for c in cells]
    )
    beside = _beside(record)
    if beside:
        lines += ["", "Published results, and results measured here (learned / lost):", ""]
        lines += _table(["method", "published", "conditions", "source", "here"], beside)
    return "\n".join(lines) + "\n"


def _dose(dose: DoseRow, record: TradeOff) -> str:
    rate = "" if dose.rate is None else f"{dose.rate:g}: "
    return f"{rate}{_both(dose, record)}"


def _both(row: DoseRow | RecipeRow, record: TradeOff) -> str:
    return f"{_value(row.learned, record.learned_unit)} / {_value(row.lost, record.unit)}"


def _beside(record: TradeOff) -> list[list[str]]:
    """Returns the published results of each recipe with a single method, with its results here."""
    here = {row.recipe.partition("(")[0]: row for row in record.recipes if " + " not in row.recipe}
    return [
        [figure.method, figure.result, figure.conditions, figure.source, _both(here[figure.method], record)]
        for figure in published(list(here))
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
"""Columns of the CSV for every dose."""
OF_CHOSEN: dict[str, Callable[[RecipeRow], object]] = {
    "reached": lambda row: row.reached,
    "transfer": lambda row: row.transfer and row.transfer.value,
    "worst_suite": lambda row: row.worst.suite,
    "worst_lost": lambda row: row.worst.value,
    "answers_lost": lambda row: row.flips and row.flips.lost,
    "answers_gained": lambda row: row.flips and row.flips.gained,
    "ece_change": lambda row: row.calibration and row.calibration.ece,
    "brier_change": lambda row: row.calibration and row.calibration.brier,
    "overconfidence_change": lambda row: row.calibration and row.calibration.overconfidence,
    "worst_of": lambda row: row.worst.of,
    "suites_lost": lambda row: row.set_off and row.set_off.lost,
    "suites_gained": lambda row: row.set_off and row.set_off.gained,
    "lost_at_goal": lambda row: row.matched and row.matched.value,
    "verdict": lambda row: row.verdict and row.verdict.word,
    "learning": lambda row: row.learned.word,
    "symptoms": lambda row: "; ".join(row.symptoms or ()),
}
"""Columns of the CSV for the chosen dose of a recipe."""
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
"""Last columns of the CSV, for the chosen dose."""


def as_csv(record: TradeOff) -> str:
    """Returns a line for each dose of each recipe, with full precision; a value that was not measured is empty."""
    names = ["recipe", "text", "rate", "chosen", *OF_DOSE, *OF_CHOSEN, *OF_RECIPE, *OF_FRONT]
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in record.recipes:
        for dose in row.doses:
            chosen = dose.rate == row.rate
            line: dict[str, object] = {"recipe": row.recipe, "text": row.text, "rate": dose.rate, "chosen": chosen}
            line |= {name: of(dose) for name, of in OF_DOSE.items()}
            line |= {name: of(row) for name, of in OF_RECIPE.items()}
            if chosen:
                line |= {name: of(row) for name, of in (OF_CHOSEN | OF_FRONT).items()}
            writer.writerow(line)
    return out.getvalue()
