"""What the rows of the study on real models say: answers, and what was learned and lost from them. It asks no model."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from real import items_of_job

from holdfast.stats.flips import Flips, flips
from holdfast.stats.pooled import Pooled, pooled

Row = Mapping[str, Any]
NAMES = {"gemma": "Gemma 3 270M", "qwen": "Qwen2.5-Coder 0.5B Instruct"}


@functools.cache
def suites_of(model: str, task: str) -> dict[str, list[Any]]:
    """Returns the items of a model and task, by suite; the first suite is that of the task."""
    return items_of_job(model, task)


def answers(row: Row) -> dict[str, np.ndarray]:
    """Returns whether each answer of a row is right, by suite."""
    return {
        name: np.unpackbits(np.frombuffer(bytes.fromhex(row["answers"][name]), np.uint8))[: len(items)]
        for name, items in suites_of(row["model"], row["task"]).items()
    }


def base_of(row: Row, all_rows: Sequence[Row]) -> Row:
    """Returns the row of the base on the same task, with what it answered on the processor of the run."""
    (base,) = (r for r in all_rows if (r["model"], r["task"], r["recipe"]) == (row["model"], row["task"], "base"))
    return {**base, **row.get("before", {})}


def changes(row: Row, base: Row) -> dict[str, Flips]:
    """Returns the change of each suite."""
    before, after = answers(base), answers(row)
    groups = {name: [i.group or i.id for i in items] for name, items in suites_of(row["model"], row["task"]).items()}
    return {name: flips(before[name], after[name], groups[name]) for name in after}


def kept_changes(row: Row, base: Row, form: str = "") -> dict[str, Flips]:
    """Returns the changes of the kept suites: of all, or of those whose answers are generated or chosen."""
    suites = suites_of(row["model"], row["task"])
    task = next(iter(suites))

    def is_generated(name: str) -> bool:
        return bool(suites[name][0].check)

    return {
        name: change
        for name, change in changes(row, base).items()
        if name != task and (not form or is_generated(name) == (form == "generated"))
    }


def lost(parts: Mapping[str, Flips]) -> tuple[float, float, float]:
    """Returns the mean loss over suites in points, and its 95% interval."""
    whole: Pooled = pooled(list(parts.values()))
    low, high = whole.interval()
    return -100 * whole.change, -100 * high, -100 * low


def by_origin(parts: Mapping[str, Flips]) -> tuple[dict[str, Flips], dict[str, Flips]]:
    """Returns the changes of `general`, whose kinds `PromptRehearsal` resembles, and those of the public suites."""
    ours = {name: part for name, part in parts.items() if name.startswith("general/")}
    return ours, {name: part for name, part in parts.items() if name not in ours}


def worst(parts: Mapping[str, Flips]) -> float:
    """Returns the loss of the suite that fell most, in points."""
    return -100 * min(part.change for part in parts.values())


def worst_by_chance(parts: Mapping[str, Flips], draws: int = 4000) -> float:
    """Returns the mean loss of the worst suite, in points, if each answer that changed had changed either way.

    The suites have some forty items, of which some change in every training, so the worst of twenty loses much even
    where nothing is lost in any of them.
    """
    rng = np.random.default_rng(0)
    sizes = [(part.lost + part.gained, part.items) for part in parts.values()]
    losses = [(2 * rng.binomial(changed, 0.5, draws) - changed) / items for changed, items in sizes]
    return 100 * float(np.max(losses, axis=0).mean())


def wronged(parts: Mapping[str, Flips]) -> float:
    """Returns the percentage of the base's right answers that are wrong now, mean over suites: gains make up for none.

    A suite without right answers does not count.
    """
    shares = [part.lost / (part.right + part.lost) for part in parts.values() if part.right + part.lost]
    return 100 * float(np.mean(shares))


def learned(row: Row) -> float:
    """Returns the percentage of right answers to the questions of the task."""
    return 100 * float(answers(row)[next(iter(suites_of(row["model"], row["task"])))].mean())


def time_of(row: Row, other: Row) -> str:
    """Returns the processor time of a training, in those of another; empty if they do not compare.

    They do not if one multiplied in another precision, as on another processor, or if only one read padded batches.
    """
    same = all(row.get(name) == other.get(name) for name in ("precision", "padded"))
    return f"{row['cost']['cpu'] / other['cost']['cpu']:.2f}x" if row["cost"] and other["cost"] and same else ""


def told(values: Sequence[float]) -> str:
    """Returns a value with its interval."""
    return f"{values[0]:.1f} [{values[1]:.1f}, {values[2]:.1f}]"
