"""What a run's guard watches: one side of each suite, so that the other is left for the verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from holdfast.bench.measured.prepare import Suite
from holdfast.bench.measured.scores import ScoreRow
from holdfast.core.budget import Budget
from holdfast.probes.suites import Split
from holdfast.probes.watched import documents, side_of
from holdfast.train.panel import Panel


def sides(suites: Sequence[Suite], budget: Budget) -> frozenset[str]:
    """Returns the names of the suites that are split: those that a guard can watch and still leave something to prove.

    They are retained suites that the budget limits, and what measures the learning.
    """
    found = set()
    for suite in suites:
        limited = suite.role == "retained" and suite.units() & budget.limits.keys()
        if (limited or suite.role == "learned") and {*_splits(suite)} == {"watch", "proof"}:
            found.add(suite.name)
    return frozenset(found)


def guarded(
    suites: Sequence[Suite],
    split: Collection[str],
    budget: Budget,
    tokenizer: Any,
    raw: bool,
    batch_tokens: int | None = None,
) -> Budget | None:
    """Returns the budget with the watched side of the suites that are split; None if none of them is to be kept."""
    how = Panel(tokenizer=tokenizer, raw=raw, batch_tokens=batch_tokens)
    kept = _panel([suite for suite in suites if suite.role == "retained" and suite.name in split], how)
    if not len(kept):
        return None
    learned = _panel([suite for suite in suites if suite.role == "learned" and suite.name in split], how)
    return dataclasses.replace(budget, keep=kept, learn=learned if len(learned) else None)


def said_of(suites: Sequence[Suite], split: Collection[str], budget: Budget, watched: bool) -> str:
    """Returns in words what a guard watches and what it does not; or why there is none.

    Args:
        suites: All that is measured.
        split: The suites that have two sides.
        budget: What may be lost.
        watched: Whether there is a guard.
    """
    able = [suite for suite in suites if suite.role == "retained" and suite.units() & budget.limits.keys()]
    alone = [f"{suite.name} ({len(_splits(suite))}, all on one side)" for suite in able if suite.name not in split]
    if not watched:
        return (
            f"No suite has items for a guard and for a proof: {', '.join(alone)}. Nothing watches while the model"
            " trains, and the budget is judged at the end, on all of them; a guard takes more items (a few dozen)."
        )
    sides = [side for suite in able if suite.name in split for side in _splits(suite)]
    rest = f" It does not watch {', '.join(alone)}." if alone else ""
    return (
        f"The guard watches {sides.count('watch'):,} of the {len(sides):,} items and texts that are to be kept while"
        f" the model trains; the verdict is on the others.{rest}"
    )


def proof(rows: Sequence[ScoreRow], split: Collection[str]) -> list[ScoreRow]:
    """Returns the scores without those that steered the run."""
    return [row for row in rows if row.suite not in split or row.split == "proof"]


def _splits(suite: Suite) -> list[Split]:
    texts = [side_of(windows[0]) for windows in documents(suite.examples)]
    return texts + [item.split for item in suite.items]


def _panel(suites: Sequence[Suite], how: Panel) -> Panel:
    items = [item for suite in suites for item in suite.items if item.split == "watch"]
    examples = [example for suite in suites for example in suite.examples if side_of(example) == "watch"]
    return dataclasses.replace(how, items=items, examples=examples)
