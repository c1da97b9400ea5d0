"""What a healing says: how long it will take, and what it did."""

from __future__ import annotations

from holdfast.bench.heal.heal_record import HealRecord
from holdfast.bench.heal.validation import Validation
from holdfast.bench.machine.progress import format_duration

NOTHING = 0.005
"""Share of the learning that would be printed as 0%, or as less where the model is worse than its base."""
LITTLE = 0.5
"""Share of the learning below which the sentence advises a retraining."""


def forecast_line(validation: Validation, evaluations: int, seconds: float, *, ranks: bool = False) -> str:
    """Returns a line on the search to come.

    Args:
        validation: The validation items.
        evaluations: Most evaluations.
        seconds: Time that one item took the base.
        ranks: Whether the models rank documents, so that items are queries.
    """
    items, one = ("queries", "query") if ranks else ("items", "item")
    took = format_duration(evaluations * len(validation) * seconds) if seconds * len(validation) > 0.05 else ""
    line = (
        f"The search asks {len(validation):,} validation {items}{'' if ranks else ' and texts'}, at most {evaluations}"
        f" times{f', in about {took} or less' if took else ''}; the verdict is on the test {items} alone."
    )
    if validation.weight < 1:
        line += (
            f" The test {items} are few for this budget: the search leaves {validation.weight:.0%} of the room that a"
            f" verdict of 'kept' needs, which may take more {items}."
        )
    if not validation.learns:
        line += (
            f" No validation {one} measures what was learned (--test), so the search keeps as much change as it can."
        )
    return line


def sentence_of(record: HealRecord) -> str:
    """Returns what was done, in a sentence or two."""
    search, ranks = record.search, record.ranking is not None
    items = "queries" if ranks else "items"
    if record.form == "unchanged":
        return (
            f"{record.tuned} is inside the budget on the {search.items:,} validation {items}, so nothing was changed."
        )
    assert record.edit is not None
    taken = record.retraining is not None and record.retraining.taken
    edit, assertion = record.edit, ""
    if not edit.inside and not taken:
        assertion = f" It is the edit with the least loss: none was inside the budget on the validation {items}."
    how = f"The healed model has {edit.text} ({edit.name} at {edit.strength:g})"
    if taken and record.retraining is not None:
        how = f"The healed model was retrained for {record.retraining.steps:,} steps, from {edit.text}"
    form = {"adapter": "an adapter, as before", "whole": "whole weights"}[record.form]
    not_taken = (
        " A retraining did not help, so its weights were not taken."
        if record.retraining is not None and not taken
        else ""
    )
    more = ""
    if record.retraining is None and record.learning_left is not None and record.learning_left < LITTLE:
        old = "lists" if ranks else "examples"
        more = f" A short retraining with old {old} may keep more: give --memory and --data."
    return (
        f"{how}, found with {search.evaluations:g} of {search.allowed} evaluations; it ships as {form}."
        f"{assertion}{_left(record.learning_left, items)}{not_taken}{more}"
    )


def _left(share: float | None, items: str) -> str:
    """Returns a sentence on the share of the learning that is left; empty if it was not measured."""
    if share is None:
        return ""
    return f" It keeps {'nothing' if share < NOTHING else f'{share:.0%}'} of the learning (test {items})."
