"""Points to try by Optuna's samplers, from what the trials so far let expect of whole runs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from holdfast.bench.fit.history import Entry, Expected, counted, growth_of
from holdfast.bench.fit.space import RECIPE, Point, Space
from holdfast.bench.fit.trials import Candidate

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

STARTUP = 3
"""Trials with an outcome before which the estimator draws at random."""


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Returns the dimensions of a space as Optuna has them."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    named: dict[str, BaseDistribution] = {}
    if len(space.given) > 1:
        named[RECIPE] = CategoricalDistribution(tuple(range(len(space.given))))
    for dimension in space.dimensions:
        if dimension.low == dimension.high:
            continue
        if dimension.integer:
            named[dimension.name] = IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
        else:
            log = dimension.log and dimension.low > 0
            named[dimension.name] = FloatDistribution(dimension.low, dimension.high, log=log)
    return named


def points(space: Space, history: Sequence[Entry], seed: int, *, uniform: bool = False) -> Iterator[Point]:
    """Yields points to try, by the tree-structured Parzen estimator (TPE) with the budget as a constraint.

    The sampler sees each candidate once, with what its trial of the highest fidelity lets expect of a whole run.
    Bergstra et al., Algorithms for Hyper-Parameter Optimization (2011).

    Args:
        space: The space.
        history: All trials so far.
        seed: Seed of the draws.
        uniform: Whether to draw at random instead.
    """
    import optuna

    entries, named = counted(history), distributions(space)
    if not named:
        return
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=_sampler(uniform, seed))
    study.add_trials(_trials(space, entries, named))
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of features that Optuna calls experimental
            yield _rounded(space, study.ask(named).params)


def _rounded(space: Space, point: Point) -> dict[str, Any]:
    """Returns a point with values of four digits, which candidates print."""
    fixed = {d.name: d.clipped(float(point.get(d.name, d.low))) for d in space.dimensions}
    return {**point, **fixed}


def _sampler(uniform: bool, seed: int) -> BaseSampler:
    from optuna.samplers import RandomSampler, TPESampler

    if uniform:
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=True)


def _trials(space: Space, entries: Sequence[Entry], named: dict[str, BaseDistribution]) -> list[FrozenTrial]:
    """Returns one trial of Optuna for each candidate: finished, or running where no outcome is known."""
    growth, last = growth_of(entries), dict[Candidate, Expected | None]()
    for entry in sorted(entries, key=lambda entry: entry.fidelity):
        expected = growth.expected(entry)
        if expected is not None or entry.candidate not in last:
            last[entry.candidate] = expected
    known = [expected for expected in last.values() if expected is not None and math.isfinite(expected.used)]
    worst = Expected(min((e.learned for e in known), default=0.0), 1.0 + max((e.used for e in known), default=1.0))
    points = {candidate: space.point(candidate) for candidate in last}
    return [_trial(point, last[candidate], worst, named) for candidate, point in points.items() if point is not None]


def _trial(point: Point, expected: Expected | None, worst: Expected, named: dict[str, BaseDistribution]) -> FrozenTrial:
    """Returns a trial of Optuna; a failed one counts as worse than the worst."""
    from optuna.trial import TrialState, create_trial

    at: dict[str, Any] = {"params": {name: point[name] for name in named}, "distributions": named}
    if expected is None:
        return create_trial(state=TrialState.RUNNING, **at)
    known = expected if math.isfinite(expected.used) else worst
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return create_trial(value=known.learned, constraints={"budget": known.used - 1.0}, **at)
