"""PEFT's own comparison of its methods as a trade-off, to be read beside ours: one model, one task, 63 configurations.

The table has a line for each configuration: the accuracy on GSM8K after training on MetaMathQA, the rise of the
loss on encyclopedia text, trained parameters, time and memory. There are no items, and so no intervals.
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

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
"""What the names of plain runs begin with."""


def is_yardstick(path: str) -> bool:
    """Returns whether a path is that of such a table."""
    return path.endswith(".csv") and Path(path).expanduser().is_file()


def yardstick(path: str, reach: float = 0.95) -> dict[str, Any]:
    """Returns the table as a trade-off, each configuration a recipe of one dose.

    Args:
        path: The table.
        reach: Share of what the best plain configuration learns at which they are compared.

    Raises:
        HoldfastError: A column is missing, or a value is no number; names file, line and column.
    """
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
    plains = [row for row in rows if row["recipe"].startswith(FULL)]
    plain = max(plains or rows, key=lambda row: row["learned"]["value"])
    goal = reach * plain["learned"]["value"]
    whole = max(row["trained"] for row in plains) if plains else None
    usual = {name: plain[name] for name in ("time", "memory")}
    if none := [COLUMNS[name] for name, value in usual.items() if value <= 0]:
        raise HoldfastError(f"{path}: column {none[0]} of {plain['recipe']} is not above 0, and others are set by it.")
    learned = np.array([[row["learned"]["value"] for row in rows]])
    lost = np.array([[row["lost"]["value"] for row in rows]])
    most = float(learned.max()), max(float(lost.max()), 1e-9)
    for row, front in zip(rows, on_front(learned, lost)[0], strict=True):
        row |= {"front": float(front), "on_front": bool(front), "reached": row["learned"]["value"] >= goal}
        row |= {name: row[name] / usual[name] for name in usual}
        row["hypervolume"] = hypervolume([row["learned"]["value"]], [row["lost"]["value"]], *most)
        if whole is None:
            del row["trained"]
        else:
            row["trained"] /= whole
    rows.sort(
        key=lambda row: (not row["reached"], row["lost"]["value"] if row["reached"] else -row["learned"]["value"])
    )
    reference = "plain training" if plains else "the best of all"
    return {
        "about": {"model": "Llama-3.2-3B", "data": "MetaMathQA (PEFT's comparison)", "seeds": [0]},
        "unit": "nats",
        "learned_unit": "points",
        "items": {"learned": 1319, "kept": 100},
        "goal": goal,
        "recipes": rows,
        "hypervolume": hypervolume(learned[0].tolist(), lost[0].tolist(), *most),
        "notes": [f"No items, and so no intervals. Time and memory are times those of {reference}: {plain['recipe']}."],
    }


def _row(line: dict[str, str], where: str) -> dict[str, Any]:
    found: dict[str, float] = {}
    for name, column in COLUMNS.items():
        try:
            found[name] = float(line[column])
        except (TypeError, ValueError):
            found[name] = math.nan
        if not math.isfinite(found[name]):
            raise HoldfastError(f"{where}: column {column} is {line[column]!r}; give a number.")
    learned, lost = {"value": 100 * found["learned"]}, {"value": found["lost"]}
    return {
        "recipe": line["method"],
        "text": line["method"],
        "seeds": 1,
        "learned": learned,
        "lost": lost,
        "worst": {"suite": "FineWiki", **lost},
        "doses": [{"learned": learned, "lost": lost}],
        **{name: found[name] for name in ("time", "memory", "trained")},
    }
