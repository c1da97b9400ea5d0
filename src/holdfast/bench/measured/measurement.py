"""Measures suites on a model, and turns their changes into rows of a table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from holdfast.bench.given.specs import MeasuringSpec
from holdfast.bench.measured.outcome import SuiteRow
from holdfast.bench.measured.scores import Moment
from holdfast.probes.changes import SuiteChange
from holdfast.probes.score import Answers
from holdfast.probes.suite import Asker, Suite, ask_together
from holdfast.stats.flips import Flips
from holdfast.stats.paired import Change


def asker_of(spec: MeasuringSpec, tokenizer: Any) -> Asker:
    """Returns the way in which a spec asks its suites."""
    return Asker(tokenizer, spec.raw, spec.eval_batch_tokens, spec.precision)


def measure(
    model: nn.Module,
    suites: Sequence[Suite],
    asker: Asker,
    moment: Moment,
    show: Callable[[str, int], Callable[[int, int], None]],
) -> Answers:
    """Returns the scores and texts of a model on all suites, in their order.

    Args:
        model: A causal language model, which stays unchanged.
        suites: The suites to measure.
        asker: The way in which to ask them.
        moment: "before" or "after" training, for the progress bar.
        show: Takes the name of the task and its number of items and text windows, and returns a function
            `(done, total)` that moves its progress bar.

    Raises:
        HoldfastError: As `holdfast.probes.suite.ask_together` does.
    """
    if not suites:
        return Answers((), ())
    name = suites[0].name if len(suites) == 1 else f"{len(suites)} suites"
    answers = ask_together(model, suites, asker, show(f"measuring {name} {moment}", sum(map(len, suites))))
    return Answers(
        tuple(itertools.chain.from_iterable(of_suite.scores for of_suite in answers)),
        tuple(itertools.chain.from_iterable(of_suite.said for of_suite in answers)),
    )


def row_of(change: SuiteChange) -> SuiteRow:
    """Returns the change of a suite as a row of a table, in its unit."""
    counted = change.evidence if isinstance(change.evidence, Flips) else None
    texts = change.evidence if isinstance(change.evidence, Change) and change.unit != "points" else None
    low, high = change.interval() if change.known else (None, None)
    return SuiteRow(
        name=change.name,
        role=change.role,
        unit=change.unit,
        groups=change.evidence.groups,
        items=change.items,
        answers_lost=None if counted is None else counted.lost,
        answers_gained=None if counted is None else counted.gained,
        mcnemar_p=None if counted is None else counted.mcnemar(),
        tokens=None if texts is None else texts.weight,
        before=change.before,
        after=change.after,
        change=change.change,
        low=low,
        high=high,
    )
