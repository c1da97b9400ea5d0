"""PEFT's published comparison of its methods as a trade-off: one model, one task, 63 configurations.

The table has a line for each configuration: the accuracy on GSM8K after training on MetaMathQA, the rise of the loss on
encyclopedia text, trained parameters, time and memory. It has no items, so there are no intervals.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from pathlib import Path

import numpy as np

from holdfast.bench.compare.tradeoff_record import (
    AboutRow,
    DoseRow,
    ItemCounts,
    LearnedAmount,
    RecipeRow,
    TradeOff,
    WorstSuite,
)
from holdfast.bench.measured.outcome import Amount
from holdfast.core.errors import HoldfastError
from holdfast.stats.frontier import hypervolume, on_front

COLUMNS = {
    "learned": "test_accuracy_gsm8k",
    "lost": "forgetting_wiki_ce_delta",
    "trained": "trainable_params",
    "memory": "accel_mem_max_GiB",
    "time": "train_time_s",
}
FULL = "full-finetuning"
"""Prefix of the names of plain runs."""


def is_yardstick(path: str) -> bool:
    """Returns whether a path is the path of such a table."""
    return path.endswith(".csv") and Path(path).expanduser().is_file()


def yardstick(path: str, reach: float = 0.95) -> TradeOff:
    """Returns the table as a trade-off, each configuration a recipe of one dose.

    Args:
        path: The table.
        reach: The goal, as a share of the learning of the best plain configuration.

    Raises:
        HoldfastError: A column is missing, or a value is not a number; the message names file, line and column.
    """
    rows = _read(path)
    plains = [row for row in rows if row.name.startswith(FULL)]
    plain = max(plains or rows, key=lambda row: row.learned)
    if none := [COLUMNS[name] for name in ("time", "memory") if getattr(plain, name) <= 0]:
        raise HoldfastError(
            f"{path}: column {none[0]} of {plain.name} is not above 0, but the other rows are relative to it."
        )
    goal, whole = reach * plain.learned, max((row.trained for row in plains), default=None)
    learned, lost = np.array([[row.learned for row in rows]]), np.array([[row.lost for row in rows]])
    most = float(learned.max()), max(float(lost.max()), 1e-9)
    recipes = []
    for row, front in zip(rows, on_front(learned, lost)[0], strict=True):
        amount = Amount(value=row.lost)
        recipes.append(
            RecipeRow(
                recipe=row.name,
                text=row.name,
                reached=row.learned >= goal,
                seeds=1,
                learned=LearnedAmount(value=row.learned),
                lost=amount,
                worst=WorstSuite(suite="FineWiki", value=row.lost),
                time_ratio=row.time / plain.time,
                memory_ratio=row.memory / plain.memory,
                trained_share=None if whole is None else row.trained / whole,
                front_share=float(front),
                on_front=bool(front),
                hypervolume=hypervolume([row.learned], [row.lost], *most),
                doses=(DoseRow(learned=LearnedAmount(value=row.learned), lost=amount),),
            )
        )
    recipes.sort(key=lambda row: (not row.reached, row.lost.value if row.reached else -row.learned.value))
    reference = "plain training" if plains else "the best of all"
    return TradeOff(
        about=AboutRow(model="Llama-3.2-3B", data="MetaMathQA (PEFT's comparison)", seeds=(0,)),
        unit="nats",
        learned_unit="points",
        items=ItemCounts(learned=1319, kept=100),
        goal=goal,
        recipes=tuple(recipes),
        hypervolume=hypervolume(learned[0].tolist(), lost[0].tolist(), *most),
        notes=(f"It has no items, so no intervals. Time and memory are relative to {reference}: {plain.name}.",),
    )


@dataclasses.dataclass(frozen=True)
class _Row:
    """A configuration: accuracy in percent, rise of the loss in nats, and cost in the units of the table."""

    name: str
    learned: float
    lost: float
    trained: float
    memory: float
    time: float


def _read(path: str) -> list[_Row]:
    """Returns the configurations of a table."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HoldfastError(f"{path}: cannot be read as UTF-8 ({error}); give PEFT's method comparison.") from error
    with io.StringIO(text, newline="") as file:
        reader = csv.DictReader(file)
        missing = {"method", *COLUMNS.values()} - set(reader.fieldnames or [])
        if missing:
            raise HoldfastError(f"{path}: has no column {', '.join(sorted(missing))}; give PEFT's method comparison.")
        rows = [_row(line, f"{path}:{number}") for number, line in enumerate(reader, 2)]
    if not rows:
        raise HoldfastError(f"{path}: holds no configuration.")
    return rows


def _row(line: dict[str, str], where: str) -> _Row:
    values: dict[str, float] = {}
    for name, column in COLUMNS.items():
        try:
            values[name] = float(line[column])
        except (TypeError, ValueError):
            values[name] = math.nan
        if not math.isfinite(values[name]):
            raise HoldfastError(f"{where}: column {column} is {line[column]!r}; give a number.")
    return _Row(line["method"], **{**values, "learned": 100 * values["learned"]})
