"""The trade-off table: for a terminal, as Markdown, as CSV; what was not measured is a blank."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.report.published import published
from holdfast.report.reading import SHORT, number
from holdfast.stats.size import LEAST

Row = Mapping[str, Any]
WIDE = 150
"""Columns of a terminal from which the whole table fits."""


def _value(of: Row | None, unit: str, ends: bool = False) -> str:
    if of is None:
        return ""
    text = number(of["value"], unit)
    return f"{text} [{number(of['low'], unit)}, {number(of['high'], unit)}]" if ends and "low" in of else text


def _times(row: Row, name: str) -> str:
    return f"{row[name]:.2f}x" if name in row else ""


def _matched(row: Row, unit: str) -> str:
    found = row.get("matched")
    return "" if found is None else _value(found, unit, ends=True) if "value" in found else "not reached"


def _worst(row: Row, unit: str) -> str:
    return f"{row['worst']['suite']} {_value(row['worst'], unit)}"


def _set_off(row: Row, unit: str) -> str:
    """Returns what suites that got better gained of the mean, and what the others lost, where both are of interest."""
    parts = row.get("set_off")
    if parts is None or min(parts["gained"], parts["lost"]) < LEAST[unit]:
        return ""
    return f"-{number(parts['lost'], unit)} +{number(parts['gained'], unit)}"


def _flips(row: Row) -> str:
    return f"-{row['flips']['lost']:.0f} +{row['flips']['gained']:.0f}" if "flips" in row else ""


def _verdict(row: Row) -> str:
    if "verdict" not in row:
        return ""
    word, learned = row["verdict"]["word"], row["learned"].get("word", "learned")
    return ", ".join([SHORT.get(word, word), *([] if learned == "learned" else [_learning(learned)])])


def _learning(word: str) -> str:
    """Returns the word on learning where another word stands beside it."""
    return "learning unsettled" if word == "not enough evidence" else word


Cell = Callable[[Row, Mapping[str, Any]], str]

COLUMNS: dict[str, Cell] = {
    "recipe": lambda row, _: str(row["recipe"]),
    "rate": lambda row, _: f"{row['rate']:g}" if "rate" in row else "",
    "learned": lambda row, all: _value(row["learned"], all["learned_unit"]),
    "goal": lambda row, _: "reached" if row["reached"] else "not reached",
    "transfer": lambda row, _: _value(row["transfer"], row["transfer"]["unit"]) if "transfer" in row else "",
    "lost [95%]": lambda row, all: _value(row["lost"], all["unit"], ends=True),
    "worst suite": lambda row, all: _worst(row, all["unit"]),
    "set off": lambda row, all: _set_off(row, all["unit"]),
    "flips": lambda row, _: _flips(row),
    "lost at the goal": lambda row, all: _matched(row, all["unit"]),
    "time": lambda row, _: _times(row, "time"),
    "memory": lambda row, _: _times(row, "memory"),
    "trained": lambda row, _: f"{row['trained']:.1%}" if "trained" in row else "",
    "front": lambda row, _: f"{row['front']:.0%}",
    "volume": lambda row, _: f"{row['hypervolume']:.2f}" if "hypervolume" in row else "",
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


def explained(found: Mapping[str, Any], names: Sequence[str]) -> str:
    """Returns what the columns of these names mean."""
    worst = max(row["worst"].get("of", 1) for row in found["recipes"])
    suites = f"{worst} suites" if worst > 1 else "the one there is"
    said = [f"{name}: {text.format(worst=suites)}" for name, text in EXPLAINED.items() if name in names]
    return "; ".join([CHOSEN if found.get("chosen", True) else ALL, *said]) + "."


def columns_of(found: Mapping[str, Any]) -> list[str]:
    """Returns the columns of which some row has something to say."""
    return [name for name, cell in COLUMNS.items() if any(cell(row, found) for row in found["recipes"])]


def heading(found: Mapping[str, Any]) -> list[str]:
    """Returns what the runs have in common, and what is to be learned, in sentences."""
    about, unit = found["about"], found["learned_unit"]
    kept = f", keeping {', '.join(about['keep'])}" if about.get("keep") else ""
    seeds = len(about["seeds"])
    goal, base = found["goal"], found.get("base", 0.0)
    to_learn = f"{base + goal:.1f} points" if unit == "points" else f"{goal:.3f} nats per token better than the base"
    return [
        f"{about['model']} learns {about['data']}{kept}",
        f"Goal: {to_learn}; lost in {found['unit']}; {found['items']['learned']:,} items of what is learned, "
        f"{found['items']['kept']:,} of what is kept, {seeds} seed{'s' if seeds > 1 else ''}",
    ]


def terminal(found: Mapping[str, Any], console: Console) -> None:
    """Prints the table, as much of it as the terminal has room for, and the sentences that belong to it."""
    first, second = heading(found)
    console.print(first, style="bold", highlight=False, markup=False, soft_wrap=True)
    console.print(second, highlight=False, markup=False, soft_wrap=True)
    names = [name for name in columns_of(found) if console.width >= WIDE or name in NARROW]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        text = name in ("recipe", "worst suite", "verdict")
        table.add_column(escape(name), justify="left" if text else "right", overflow="fold", no_wrap=not text)
    for row in found["recipes"]:
        cells = [COLUMNS[name](row, found) for name in names]
        if "goal" not in names and not row["reached"]:
            cells[1] += "*"
        table.add_row(*map(escape, cells))
    console.print(table)
    if "goal" not in names and not all(row["reached"] for row in found["recipes"]):
        console.print("* the goal is not reached", highlight=False)
    for line in _words(found, "verdict" in names):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for line in [explained(found, names), *found["notes"]]:
        console.print(line, highlight=False, markup=False, style="dim")


def _words(found: Mapping[str, Any], shown: bool) -> list[str]:
    """Returns the verdicts where the table has no column for them, and which recipes did not learn."""
    rows = found["recipes"]
    if any("verdict" in row for row in rows):
        of = "this run" if len(found["about"]["seeds"]) == 1 else "the recipe"
        return [] if shown else [f"verdict on {of}, {row['recipe']}: {_verdict(row)}" for row in rows]
    words = {row["recipe"]: row["learned"].get("word", "learned") for row in rows}
    return [
        f"{'not shown to have learned' if word == 'not enough evidence' else word}: "
        f"{', '.join(name for name, own in words.items() if own == word)}"
        for word in dict.fromkeys(words.values())
        if word != "learned"
    ]


def markdown(found: Mapping[str, Any]) -> str:
    """Returns the whole table as Markdown, every dose, and what was published about the methods."""
    names = columns_of(found)
    lines = [f"**{heading(found)[0]}**", "", heading(found)[1] + ".", ""]
    lines += _table(names, [[COLUMNS[name](row, found) for name in names] for row in found["recipes"]])
    lines += ["", explained(found, names), *found["notes"], "", "Every dose: learned / lost.", ""]
    most = max(len(row["doses"]) for row in found["recipes"])
    cells = [[row["recipe"], *(_dose(dose, found) for dose in row["doses"])] for row in found["recipes"]]
    lines += _table(
        ["recipe", *(f"dose {n + 1}" for n in range(most))], [c + [""] * (most + 1 - len(c)) for c in cells]
    )
    beside = _beside(found)
    if beside:
        lines += ["", "What was published, and what was measured here (learned / lost):", ""]
        lines += _table(["method", "published", "under which conditions", "source", "here"], beside)
    return "\n".join(lines) + "\n"


def _dose(dose: Row, found: Mapping[str, Any]) -> str:
    rate = f"{dose['rate']:g}: " if "rate" in dose else ""
    return f"{rate}{_value(dose['learned'], found['learned_unit'])} / {_value(dose['lost'], found['unit'])}"


def _beside(found: Mapping[str, Any]) -> list[list[str]]:
    """Returns what was published about each recipe of one method, with what it did here."""
    here = {row["recipe"].partition("(")[0]: row for row in found["recipes"] if " + " not in row["recipe"]}
    return [
        [
            one.method,
            one.said,
            one.under,
            one.source,
            f"{_value(here[one.method]['learned'], found['learned_unit'])} / "
            f"{_value(here[one.method]['lost'], found['unit'])}",
        ]
        for one in published(list(here))
    ]


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(names), "|" + "---|" * len(names), *map(line, rows)]


def as_csv(found: Mapping[str, Any]) -> str:
    """Returns a line for each dose of each recipe, numbers in full; what was not measured is empty."""
    names = ["recipe", "text", "rate", "chosen", "learned", "learned_low", "learned_high", "lost", "lost_low"]
    names += ["lost_high", "reached", "transfer", "worst_suite", "worst_lost", "answers_lost", "answers_gained"]
    names += [
        "worst_of",
        "suites_lost",
        "suites_gained",
        "lost_at_goal",
        "verdict",
        "learning",
        "time",
        "memory",
        "trained",
        "front",
        "hypervolume",
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in found["recipes"]:
        for dose in row["doses"]:
            line = {name: row[name] for name in ("recipe", "text", "time", "memory", "trained") if name in row}
            chosen = dose.get("rate") == row.get("rate")
            line |= {"rate": dose.get("rate", ""), "chosen": chosen}
            if chosen:
                line |= {name: row[name] for name in ("reached", "front", "hypervolume") if name in row}
                line |= {"worst_suite": row["worst"]["suite"], "worst_lost": row["worst"]["value"]}
                line |= {"transfer": row["transfer"]["value"]} if "transfer" in row else {}
                line |= {f"answers_{way}": row["flips"][way] for way in ("lost", "gained") if "flips" in row}
                line |= {"lost_at_goal": row["matched"]["value"]} if "value" in row.get("matched", {}) else {}
                line |= {"verdict": row["verdict"]["word"]} if "verdict" in row else {}
                line |= {"learning": row["learned"]["word"]} if "word" in row["learned"] else {}
                line |= {"worst_of": row["worst"]["of"]} if "of" in row["worst"] else {}
                line |= {f"suites_{way}": row["set_off"][way] for way in ("lost", "gained") if "set_off" in row}
            for name in ("learned", "lost"):
                line |= {name: dose[name]["value"]}
                line |= {f"{name}_{end}": dose[name][end] for end in ("low", "high") if end in dose[name]}
            writer.writerow(line)
    return out.getvalue()
