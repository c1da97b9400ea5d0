"""What a run's guard watches: one side of each suite, so that the other is left for the verdict."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core.budget import Budget
from holdfast.probes.suite import Suite


def split_suites(suites: Sequence[Suite], budget: Budget) -> frozenset[str]:
    """Returns the names of the suites that are split: those that a guard can watch and still leave something to prove.

    They are retained suites that the budget limits, and what measures the learning.
    """
    return frozenset(
        suite.name
        for suite in suites
        if (suite.role == "learned" or (suite.role == "retained" and suite.units() & budget.limits.keys()))
        and {*suite.splits()} == {"watch", "proof"}
    )


def watched_names(suites: Sequence[Suite], budget: Budget) -> tuple[frozenset[str], str]:
    """Returns the names of the suites that a guard watches, and a sentence on what it watches and what it does not.

    There are no names, and no guard, where no suite to be kept has two sides; the sentence says so.
    """
    split = split_suites(suites, budget)
    able = [suite for suite in suites if suite.role == "retained" and suite.units() & budget.limits.keys()]
    alone = [f"{suite.name} ({len(suite.splits())}, all on one side)" for suite in able if suite.name not in split]
    splits = [side for suite in able if suite.name in split for side in suite.splits()]
    if not splits:
        return frozenset(), (
            f"No suite has items for a guard and for a proof: {', '.join(alone)}. Nothing watches while the model"
            " trains, and the budget is judged at the end, on all of them; a guard takes more items (a few dozen)."
        )
    rest = f" It does not watch {', '.join(alone)}." if alone else ""
    return split, (
        f"The guard watches {splits.count('watch'):,} of the {len(splits):,} items and texts that are to be kept while"
        f" the model trains; the verdict is on the others.{rest}"
    )
