"""The split of suites for the guard: it watches one side, and the verdict judges the other."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.probes.suite import Suite


def split_suites(suites: Sequence[Suite], budget: Budget) -> frozenset[str]:
    """Returns the names of the suites with both sides: one for the guard and one for the verdict.

    They are the retained suites that the budget limits, and the suites that measure learning.
    """
    return frozenset(
        suite.name
        for suite in suites
        if (suite.role == "learned" or (suite.role == "retained" and suite.units() & budget.limits.keys()))
        and {*suite.splits()} == {"watch", "proof"}
    )


def watched_names(suites: Sequence[Suite], budget: Budget) -> tuple[frozenset[str], str]:
    """Returns the names of the suites that a guard watches, and a sentence on what it watches.

    If no retained suite has two sides, there are no names and no guard, and the sentence says so.
    """
    names = split_suites(suites, budget)
    limited = [suite for suite in suites if suite.role == "retained" and suite.units() & budget.limits.keys()]
    one_sided = [
        f"{suite.name} ({len(suite.splits())}, all on one side)" for suite in limited if suite.name not in names
    ]
    splits = [side for suite in limited if suite.name in names for side in suite.splits()]
    if not splits:
        return frozenset(), (
            f"No suite has items for both guard and verdict: {', '.join(one_sided)}. No guard watches the"
            " training, and the verdict at the end is on all of them; a guard needs more items (a few dozen)."
        )
    rest = f" It does not watch {', '.join(one_sided)}." if one_sided else ""
    return names, (
        f"The guard watches {splits.count('watch'):,} of the {len(splits):,} items and texts to keep during"
        f" training; the verdict is on the others.{rest}"
    )


class NoValidationItems(HoldfastError):
    """Raised for a trial if no suite to keep, or none that measures learning, has validation items."""


def validation_side(suites: Sequence[Suite], watched: Collection[str]) -> tuple[Suite, ...]:
    """Returns the validation items of the watched suites.

    Raises:
        NoValidationItems: No suite to keep, or none that measures learning, is watched.
    """
    sides = tuple(suite.side("watch") for suite in suites if suite.name in watched)
    for role, flag in (("retained", "--keep"), ("learned", "--test")):
        if not any(suite.role == role for suite in sides):
            raise NoValidationItems(
                f"No suite of {flag} has both validation items and test items; give it more (a few dozen)."
            )
    return sides
