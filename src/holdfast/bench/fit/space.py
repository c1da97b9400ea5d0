"""The search space of recipes: their learning rate, their epochs, and every setting with a declared `search` range."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from holdfast.bench.fit.trials import Candidate
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Method, chain
from holdfast.core.settings import settings_of
from holdfast.methods.schedules.train import Train
from holdfast.train.settings import with_train

RECIPE, RATE, EPOCHS = "recipe", "rate", "Train.epochs"
"""Names of the dimensions that all recipes share: which recipe, the factor on its given rate, and the epochs."""
LEARNING_RATE = "Train.lr"
"""Name of the setting that `RATE` stands for."""
SPAN = 10.0
"""Largest factor between a rate and the given one, because rates of recipes differ and the given one has reasons."""
ROUNDING = 1e-3
"""Largest relative error of a value that a candidate prints in four digits."""
PER_DIMENSION = 4
"""Trials of the lowest fidelity for each dimension that is searched."""

Point = Mapping[str, Any]
"""A value for each dimension; the value of `RECIPE` is the number of a given candidate."""


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One dimension of a space.

    Attributes:
        name: "rate", or a method and its setting ("LoRA.rank").
        low: Lowest value.
        high: Highest value.
        log: Whether its scale is logarithmic.
        integer: Whether its values are integers.
    """

    name: str
    low: float
    high: float
    log: bool = False
    integer: bool = False

    def including(self, value: float) -> Dimension:
        """Returns the dimension, widened to include a value."""
        return dataclasses.replace(self, low=min(self.low, value), high=max(self.high, value))

    def clipped(self, value: float) -> float:
        """Returns the nearest value inside."""
        inside = min(max(value, self.low), self.high)
        return round(inside) if self.integer else float(f"{inside:.4g}")

    @property
    def is_log(self) -> bool:
        """Whether places are on a logarithmic scale, which a range from 0 has not."""
        return self.log and self.low > 0

    def place(self, value: float) -> float:
        """Returns the place of a value on the scale: 0 for the lowest, 1 for the highest."""
        if self.low == self.high:
            return 0.0
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def at(self, place: float) -> float:
        """Returns the value at a place from 0 to 1 on the scale."""
        if self.is_log:
            return self.clipped(math.exp(math.log(self.low) + place * math.log(self.high / self.low)))
        return self.clipped(self.low + place * (self.high - self.low))


@dataclasses.dataclass(frozen=True)
class Space:
    """The candidates that a search may try: given recipes with other values of some settings.

    Attributes:
        given: The given candidates, one for each recipe.
        dimensions: What is searched, the most important first; without the choice of the recipe.
        held: Names of the settings with a search range that keep the given values.
    """

    given: tuple[Candidate, ...]
    dimensions: tuple[Dimension, ...]
    held: tuple[str, ...] = ()

    def candidate(self, point: Point) -> Candidate:
        """Returns the candidate of a point; a dimension that its recipe does not have does nothing."""
        given = self.given[int(point.get(RECIPE, 0))]
        recipe = chain(*(_moved(method, point) for method in given.chain().parts()))
        if (times := point.get(RATE, 1.0)) != 1.0:
            low, high = _rates()
            recipe = with_train(recipe, lr=float(f"{min(max((given.train.lr or 0.0) * times, low), high):.4g}"))
        return Candidate.of(repr(recipe))

    def point(self, candidate: Candidate) -> dict[str, Any] | None:
        """Returns the point of a candidate; None if it is not in the space.

        A dimension that its recipe does not have has the middle of its range.
        """
        searched = frozenset(dimension.name for dimension in self.dimensions)
        for number, given in enumerate(self.given):
            if _form(candidate, searched) != _form(given, searched):
                continue
            values: dict[str, Any] = {RECIPE: number} if len(self.given) > 1 else {}
            for dimension in self.dimensions:
                value = self._value(candidate, number, dimension)
                values[dimension.name] = dimension.at(0.5) if value is None else value
            near = {d.name: min(max(values[d.name], d.low), d.high) for d in self.dimensions}
            if all(abs(values[name] - near[name]) <= ROUNDING * near[name] for name in near):
                return values | near
            return None
        return None

    def _value(self, candidate: Candidate, number: int, dimension: Dimension) -> float | None:
        """Returns the value of a candidate in a dimension, seen from a given candidate; None if it has none."""
        if dimension.name == RATE:
            return (candidate.train.lr or 0.0) / (self.given[number].train.lr or math.inf)
        values = {name: getattr(method, name.partition(".")[2]) for name, method in _searched(candidate)}
        return values.get(dimension.name)


def space_of(candidates: Sequence[Candidate], trials: int | None = None) -> Space:
    """Returns the space around given candidates.

    The rate lies within a factor of `SPAN` of that of the given candidate with the same methods, inside the declared
    range; every other setting in its declared range, widened to include the given values. Candidates that differ in
    nothing that is searched share a recipe.

    Args:
        candidates: The given candidates, the most promising first.
        trials: Trials that the search can afford at its lowest fidelity; one dimension is searched for every
            `PER_DIMENSION` of them, at least one, and the other settings keep the given values. None searches all.

    Raises:
        HoldfastError: No candidate is given.
    """
    if not candidates:
        raise HoldfastError("A search needs at least one recipe to begin with.")
    ranges: dict[str, Dimension] = {RATE: Dimension(RATE, 1.0 / SPAN, SPAN, log=True)}
    for candidate in candidates:
        for name, method in _searched(candidate):
            about = settings_of(type(method))[name.partition(".")[2]]
            assert about.search is not None
            low, high = map(float, about.search)
            plain = Dimension(name, low, high, about.log, about.integer)
            ranges[name] = ranges.get(name, plain).including(getattr(method, name.partition(".")[2]))
    names = sorted(ranges, key=_importance)
    most = len(names) if trials is None else max(1, trials // PER_DIMENSION)
    forms: dict[str, Candidate] = {}
    for candidate in candidates:
        forms.setdefault(_form(candidate, frozenset(names[:most])), candidate)
    given = tuple(forms.values())
    rates = [(c.train.lr or 0.0) / (forms[_form(c, frozenset(names[:most]))].train.lr or 1.0) for c in candidates]
    for rate in rates:
        ranges[RATE] = ranges[RATE].including(rate)
    return Space(given, tuple(ranges[name] for name in names[:most]), tuple(names[most:]))


def _moved(method: Method, point: Point) -> Method:
    """Returns a method with the values of a point."""
    names = {name: f"{type(method).__name__}.{name}" for name in settings_of(type(method))}
    return dataclasses.replace(method, **{name: point[key] for name, key in names.items() if key in point})


def _rates() -> tuple[float, float]:
    """Returns the declared range of learning rates."""
    about = settings_of(Train)["lr"].search
    assert about is not None
    return about


def _searched(candidate: Candidate) -> Iterator[tuple[str, Method]]:
    """Yields the settings of a candidate with a search range and a value, other than the rate, with their methods."""
    for method in candidate.chain().parts():
        for name, about in settings_of(type(method)).items():
            given = getattr(method, name)
            key = f"{type(method).__name__}.{name}"
            if about.search is not None and given is not None and key != LEARNING_RATE:
                yield key, method


def _importance(name: str) -> tuple[int, str]:
    """Returns the place of a setting: rate, strengths, epochs, shares of old examples, ranks, and the others by name.

    Loss and learning follow the rate and the strength of a penalty most (docs/studies).
    """
    field = name.partition(".")[2]
    order = [name == RATE, field == "strength", name == EPOCHS, field == "ratio", field == "rank", True]
    return order.index(True), name


def _form(candidate: Candidate, searched: frozenset[str]) -> str:
    """Returns what two candidates of one recipe share: everything that is not searched."""
    parts = []
    for method in with_train(candidate.chain(), lr=1.0).parts():
        fields = {field.name: field.default for field in dataclasses.fields(method)}
        free = {name: fields[name] for name in fields if f"{type(method).__name__}.{name}" in searched}
        parts.append(repr(dataclasses.replace(method, **free)))
    return " + ".join(parts)
