"""The tables of docs/which-method.md.

`effect.py report` writes them into it, between `<!-- effect: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from holdfast.bench.tradeoff_record import RecipeRow, TradeOff

Tables = Mapping[tuple[int, str], TradeOff]
"""What `tradeoff` makes of the runs of a task in a world."""
Column = tuple[str, int, str]
"""A title, a world and a task."""

PLAIN = {"plain": "plain"}
MAIN = {
    **PLAIN,
    "Holdfast(memory='old')": '`Holdfast("old.jsonl")`',
    "Holdfast()": "`Holdfast()`",
    "SelfRehearsal()": "`SelfRehearsal()`, a fifth of the tokens",
    "Rehearsal(memory='old', ratio=0.2)": '`Rehearsal("old.jsonl", ratio=0.2)`',
    "FreezeBottom() + WSD() + MaskTheTarget()": "`FreezeBottom() + WSD() + MaskTheTarget()`",
}
STRONG = "BaseKL(strength=3.0, on='memory') + Rehearsal(memory='old', ratio=0.5)"
SUMS = {
    "Holdfast(memory='old')": '`Holdfast("old.jsonl")`, whose leash has strength 1',
    f"WSD() + {STRONG}": "`WSD()` + a leash of strength 3",
    f"FreezeBottom() + WSD() + {STRONG}": "`FreezeBottom() + WSD()` + a leash of strength 3",
    f"FreezeBottom() + {STRONG}": "`FreezeBottom()` + a leash of strength 3",
    f"LayerwiseDecay() + {STRONG}": "`LayerwiseDecay()` + a leash of strength 3",
    STRONG: "a leash of strength 3",
    "BaseKL(strength=3.0, on='memory') + SelfRehearsal(ratio=0.5)": "a leash of strength 3 on what the base wrote",
}
ADAPTERS = {
    **PLAIN,
    "LoRA()": "`LoRA()`",
    "Holdfast(memory='old', adapter=True)": '`Holdfast("old.jsonl", adapter=True)`',
    "Holdfast(adapter=True)": "`Holdfast(adapter=True)`",
}
REPAIRS = {
    **PLAIN,
    "WiSEFT(alpha=0.9)": "`WiSEFT(0.9)`",
    "WiSEFT(alpha=0.8)": "`WiSEFT(0.8)`",
    "WiSEFT(alpha=0.65)": "`WiSEFT(0.65)`",
    "FAPM(keep=0.5)": "`FAPM(0.5)`",
    "FAPM(keep=0.3)": "`FAPM(0.3)`",
    "TIES(keep=0.5)": "`TIES(keep=0.5)`",
}
CLAIMED = {
    **PLAIN,
    "Finch()": "`Finch()`, a fifth of the rates",
    "WSD()": "`WSD()`, half of the rates",
    "Rehearsal(memory='old', ratio=0.01)": '`Rehearsal("old.jsonl", ratio=0.01)`',
    "MaskTheTarget()": "`MaskTheTarget()`",
    "EAFT()": "`EAFT()`",
    "LowPerplexity()": "`LowPerplexity()` (STM)",
    "TokenQuality()": "`TokenQuality()`",
    "FreezeBottom()": "`FreezeBottom()`",
    "LayerwiseDecay()": "`LayerwiseDecay()`",
    "AGEM(memory='old')": '`AGEM("old.jsonl")`',
    "BaseL2()": "`BaseL2()`",
}
TASKS = ("people", "language", "science", "labels")


def _of(world: int, *tasks: str) -> list[Column]:
    return [(task, world, task) for task in tasks]


SHOWN: dict[str, tuple[list[Column], dict[str, str]]] = {
    "main": (_of(0, *TASKS), MAIN),
    "other-world": (_of(1, *TASKS), MAIN),
    "sums": (_of(0, *TASKS), SUMS),
    "adapters": (_of(0, *TASKS), ADAPTERS),
    "repairs": (_of(0, *TASKS), REPAIRS),
    "alone": (_of(0, *TASKS), CLAIMED),
    "noisy": (_of(0, "noisy"), {**MAIN, **CLAIMED, **REPAIRS}),
}
"""Columns and rows of each table, by its name."""
RAISED = {2: "²", 3: "³"}


def cell(row: RecipeRow) -> str:
    """Returns learned / lost with its interval, * where the goal is not reached, and how many seeds, if several."""
    lost = row.lost
    ends = "" if lost.low is None else f" [{lost.low:.1f}, {lost.high:.1f}]"
    missed = "" if row.reached else "*"
    return f"{row.learned.value:.1f}{missed} / {lost.value:.1f}{ends}{RAISED.get(row.seeds, '')}"


def table(tables: Tables, columns: Sequence[Column], names: Mapping[str, str]) -> list[str]:
    """Returns the lines of a table: recipes down, tasks across, and their times; without what has not been run."""
    columns = [column for column in columns if column[1:] in tables]
    rows = [{row.recipe: row for row in tables[column[1:]].recipes} for column in columns]
    titles = [title for title, _, _ in columns]
    lines = [f"| learned / lost | {' | '.join(titles)} | time |", "|---" * (len(titles) + 2) + "|"]
    for name, shown in names.items():
        own = [row.get(name) for row in rows]
        times = [row.time_ratio for row in own if row is not None and row.time_ratio is not None]
        if any(row is not None for row in own):
            ends = " to ".join(dict.fromkeys(f"{end(times):.1f}x" for end in (min, max) if times))
            lines.append(f"| {shown} | {' | '.join('' if row is None else cell(row) for row in own)} | {ends} |")
    return lines


def summary(tables: Tables) -> list[str]:
    """Returns the tasks side by side for each world, with every recipe."""
    names = dict.fromkeys(row.recipe for found in tables.values() for row in found.recipes)
    lines = []
    for world in dict.fromkeys(world for world, _ in tables):
        columns = [(task, at, task) for at, task in tables if at == world]
        about = "Learned / lost at the chosen rate; * the goal is not reached; raised: how many seeds, if not one."
        lines += [f"## All tasks, world {world}", "", about, ""]
        lines += [*table(tables, columns, {name: name for name in names}), ""]
    return lines


def filled(text: str, tables: Tables, more: Mapping[str, Sequence[str]]) -> str:
    """Returns a document with its tables as they are now, and with `more` lines by their names."""
    lines = {name: table(tables, *given) for name, given in SHOWN.items()} | dict(more)

    def block(found: re.Match[str]) -> str:
        return f"{found[1]}\n" + "\n".join(lines[found[2]]) + "\n<!-- end -->"

    return re.sub(r"(<!-- effect: ([\w-]+) -->)\n.*?<!-- end -->", block, text, flags=re.DOTALL)
