"""The next candidate to try: by the surrogate, by Optuna's estimator, or at random."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from holdfast.bench.fit.history import Entry, counted
from holdfast.bench.fit.optuna_sampling import points
from holdfast.bench.fit.space import RECIPE, Point, Space
from holdfast.bench.fit.surrogate import Surrogate
from holdfast.bench.fit.trials import Candidate

Sampler = Literal["surrogate", "tpe", "random"]
"""Gaussian processes with assumed trends, which few trials suffice for; the tree-structured Parzen estimator; or
uniform draws."""

TRIES = 20
"""Draws of Optuna after which the space counts as exhausted."""
POOL, NEAR, CENTRES = 384, 128, 4
"""Points from which the surrogate chooses: anywhere, and near the best tried candidates, so many of these."""
STEP = 0.1
"""Standard deviation of a step from a tried candidate, as a share of the range."""
PROMISING = 0.1
"""Share of the points, by expected improvement, among which a trial of a low fidelity goes where it says most."""


def propose(
    space: Space,
    history: Sequence[Entry],
    fidelity: float,
    seed: int,
    sampler: Sampler,
    fits: Callable[[Candidate], bool],
    *,
    holds: bool = False,
) -> Candidate | None:
    """Returns a candidate that was not tried at a fidelity yet; None if the space seems exhausted.

    The choice follows from the seed and the history, so that an interrupted search makes the same choice again.

    Args:
        space: The space.
        history: All trials so far.
        fidelity: The fidelity of the next trial.
        seed: Seed of the search.
        sampler: The sampler.
        fits: Whether a candidate is affordable.
        holds: Whether a guard brings whole runs inside the budget.
    """
    entries = counted(history)
    tried = {entry.candidate for entry in entries if entry.fidelity == fidelity}
    draw = _seed(seed, len(entries))
    ordered: Iterable[Point]
    if sampler == "surrogate":
        ordered = _by_surrogate(space, entries, fidelity, np.random.default_rng(draw), holds)
    else:
        ordered = itertools.islice(points(space, history, draw, uniform=sampler == "random"), TRIES)
    candidates = map(space.candidate, ordered)
    return next((candidate for candidate in candidates if candidate not in tried and fits(candidate)), None)


def _by_surrogate(
    space: Space, entries: Sequence[Entry], fidelity: float, draw: np.random.Generator, holds: bool
) -> Iterator[Point]:
    """Yields points, the best first.

    A whole run goes to the point with the highest expected learning that counts. A shorter trial goes, among the points
    with the highest expected improvement of whole runs, to that which says most.
    """
    known = {entry.candidate: point for entry in entries if (point := space.point(entry.candidate)) is not None}
    surrogate = Surrogate(space, entries, holds=holds)
    there = [*known.values(), *(point for given in space.given if (point := space.point(given)) is not None)]
    values = surrogate.predict(there).value
    best = [there[place] for place in np.argsort(-values, kind="stable")[:CENTRES]]
    pool = [*there, *_anywhere(space, POOL, draw), *_near(space, best, NEAR, draw)]
    if fidelity == 1.0:
        score = surrogate.predict(pool).value
    else:
        improvement = surrogate.predict(pool).improvement(float(values.max()))
        least = np.quantile(improvement, 1.0 - PROMISING)
        score = np.where(
            improvement >= least, 1.0 + surrogate.information(pool, fidelity), improvement / (least or 1.0)
        )
    for place in np.argsort(-score, kind="stable"):
        yield pool[place]


def _anywhere(space: Space, count: int, draw: np.random.Generator) -> list[dict[str, Any]]:
    """Returns points from the whole space."""
    return [
        _point(space, int(draw.integers(len(space.given))), draw.random(len(space.dimensions))) for _ in range(count)
    ]


def _near(space: Space, centres: Sequence[Point], count: int, draw: np.random.Generator) -> list[dict[str, Any]]:
    """Returns points near others, in turn."""
    near = []
    for centre in itertools.islice(itertools.cycle(centres), count):
        places = np.array([dimension.place(float(centre[dimension.name])) for dimension in space.dimensions])
        moved = np.clip(places + STEP * draw.standard_normal(len(places)), 0.0, 1.0)
        near.append(_point(space, int(centre.get(RECIPE, 0)), moved))
    return near


def _point(space: Space, recipe: int, places: Iterable[float]) -> dict[str, Any]:
    values = {d.name: d.at(float(place)) for d, place in zip(space.dimensions, places, strict=True)}
    return values | ({RECIPE: recipe} if len(space.given) > 1 else {})


def _seed(seed: int, count: int) -> int:
    """Returns the seed of one draw."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {count}".encode(), digest_size=4).digest(), "big") % 2**31
