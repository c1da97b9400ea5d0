"""What `attach` is given to watch a budget, written flat."""

from __future__ import annotations

from holdfast.core.budget import Budget
from holdfast.core.guard import Guard

GUARD = ("on_spent", "every", "share", "items", "raw", "batch_tokens")


def watching(keep, learn=None, **flat):
    """Returns the arguments of `attach`: `watching(KEPT, nll=0.5, every=1)`."""
    guard = {name: flat.pop(name) for name in GUARD if name in flat}
    return {"budget": Budget(**flat), "keep": keep, "learn": learn, "guard": Guard(**guard) if guard else None}


def by_group(likelihood):
    """Returns what scores several groups of documents, from what scores one; nothing is asked of an empty group."""

    def scored(model, groups, **options):
        return [likelihood(model, group, **options) if group else [] for group in groups]

    return scored
