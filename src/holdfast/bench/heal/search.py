"""The search for the edit and the strength that keep the most learning inside the budget, with few evaluations.

An edit's loss grows with its strength, so the strength at which the budget is spent can be bracketed. Three rounds,
as in successive halving: all edits on a quarter of the validation items, the best third on half of them, the best two
on all. A strength that is asked again on more items costs only the items that are new.

This file knows no model: it sees readings alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

PARTS = 4
"""The validation items are asked in so many parts; an evaluation is all of them."""
ROUNDS: tuple[tuple[int, int, float], ...] = ((1, 8, 0.40), (2, 3, 0.25), (PARTS, 2, 0.35))
"""For each round: the parts that it asks, the most edits in it, and its share of the evaluations."""
AIM, CAUTIOUS = 0.92, 0.6
"""Share of the budget at which a next strength is aimed: a little inside, because the curve is only guessed at."""
CLOSE = 0.04
"""Width of a bracket, as a share of its upper end, at which a search for a strength ends."""
POWER = 2.0
"""Assumed power of the loss as a function of the strength, until two readings tell it."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """What an evaluation says.

    Attributes:
        spent: Share of the budget that the loss takes at its upper bound; inside up to 1.
        gain: What was learned, in any unit; more is better.
    """

    spent: float
    gain: float


@dataclasses.dataclass(frozen=True)
class Point:
    """A reading with its edit, its strength and the number of parts that were asked."""

    edit: str
    strength: float
    parts: int
    reading: Reading

    @property
    def inside(self) -> bool:
        """Whether the loss is inside the budget."""
        return self.reading.spent <= 1.0


@dataclasses.dataclass(frozen=True)
class Search:
    """What came of a search.

    Attributes:
        best: The point with the most learning among those inside the budget on all parts; None if none is inside.
        nearest: The point on all parts with the least loss; None if none was asked on all parts.
        points: All points, in the order in which they were asked.
        evaluations: The evaluations that it took.
    """

    best: Point | None
    nearest: Point | None
    points: tuple[Point, ...]
    evaluations: float


@dataclasses.dataclass
class _Path:
    """An edit with its readings so far."""

    edit: str
    tuned: Reading
    nothing: float
    readings: dict[float, Point] = dataclasses.field(default_factory=dict)

    def at(self, parts: int) -> list[Point]:
        """Returns the points with at least so many parts, by their strength."""
        return sorted((p for p in self.readings.values() if p.parts >= parts), key=lambda point: point.strength)

    def bracket(self, parts: int) -> tuple[Point | None, Point]:
        """Returns the last point inside the budget before the first outside, and the first outside."""
        end = Point(self.edit, 1.0, PARTS, self.tuned)
        points = [*self.at(parts), end]
        outside = next(point for point in points if not point.inside or point is end)
        inside = [point for point in points if point.inside and point.strength < outside.strength]
        return (inside[-1] if inside else None), outside

    def is_settled(self, parts: int) -> bool:
        """Returns whether the strength is known closely enough."""
        low, high = self.bracket(parts)
        return low is not None and (high.strength - low.strength) < CLOSE * high.strength

    def crossing(self, parts: int, aim: float) -> float:
        """Returns the strength at which the loss should take the share `aim` of the budget.

        It interpolates the part of the loss above that of no change as a power of the strength.
        """
        while parts > 1 and not self.at(parts):
            parts //= 2
        low, high = self.bracket(parts)
        target, above = self._excess(aim), max(self._excess(high.reading.spent), 1e-6)
        if low is None:
            guess = high.strength * min(1.0, target / above) ** (1 / self._power(high))
            return min(max(guess, 0.15 * high.strength), 0.9 * high.strength)
        below = min(max(self._excess(low.reading.spent), 0.02), 0.98 * above)
        share = math.log(max(target, below) / below) / math.log(above / below)
        guess = low.strength * (high.strength / low.strength) ** share
        width = high.strength - low.strength
        return min(max(guess, low.strength + 0.1 * width), high.strength - 0.1 * width)

    def _power(self, lowest: Point) -> float:
        """Returns the power of the loss as a function of the strength, from the two lowest points outside."""
        above = [point for point in [*self.at(1), Point(self.edit, 1.0, PARTS, self.tuned)] if not point.inside]
        second = next((point for point in above if point.strength > lowest.strength), None)
        if second is None:
            return POWER
        rise = math.log(self._excess(second.reading.spent) / self._excess(lowest.reading.spent))
        return min(6.0, max(0.3, rise / math.log(second.strength / lowest.strength)))

    def _excess(self, spent: float) -> float:
        return max((spent - self.nothing) / max(1e-6, 1 - self.nothing), 1e-3)

    def gain_at(self, strength: float) -> float:
        """Returns the expected gain: readings that never fall with the strength, joined by straight lines."""
        points = [(0.0, 0.0), *((p.strength, p.reading.gain) for p in self.at(1)), (1.0, self.tuned.gain)]
        gains = monotone([gain for _, gain in points])
        return float(np.interp(strength, [place for place, _ in points], gains))

    @property
    def promise(self) -> float:
        """Returns the gain to expect where the budget is spent."""
        return self.gain_at(self.crossing(PARTS, 1.0))


def monotone(values: Sequence[float]) -> list[float]:
    """Returns the nearest values that never fall, by least squares (pool adjacent violators)."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (last, n), (first, m) = blocks.pop(), blocks.pop()
            blocks.append(((first * m + last * n) / (m + n), m + n))
    return [value for value, count in blocks for _ in range(count)]


class _Searching:
    """A search under way: it counts evaluations and keeps all points."""

    def __init__(self, evaluate: Callable[[str, float, int], Reading], evaluations: float) -> None:
        self.evaluate = evaluate
        self.most = evaluations
        self.used = 0.0
        self.points: list[Point] = []

    def cost(self, path: _Path, strength: float, parts: int) -> float:
        known = path.readings.get(strength)
        return (parts - (known.parts if known is not None else 0)) / PARTS

    def ask(self, path: _Path, strength: float, parts: int) -> Point:
        self.used += self.cost(path, strength, parts)
        point = Point(path.edit, strength, parts, self.evaluate(path.edit, strength, parts))
        path.readings[strength] = point
        self.points.append(point)
        return point


def search(
    edits: Sequence[str],
    evaluate: Callable[[str, float, int], Reading],
    tuned: Reading,
    evaluations: float,
    nothing: float = 0.0,
) -> Search:
    """Searches the edits for the most learning inside the budget.

    Args:
        edits: Names of the edits, the most promising first: with few evaluations only the first are tried.
        evaluate: Returns the reading of an edit at a strength above 0 and below 1, on so many of the `PARTS` parts.
        tuned: The reading of the tuned model on all parts, which is outside the budget.
        evaluations: Most evaluations, each of all parts.
        nothing: Share of the budget that the bound of the loss takes if nothing changes; below 1.
    """
    under_way, until = _Searching(evaluate, evaluations), 0.0
    paths = [_Path(edit, tuned, nothing) for edit in edits]
    for parts, most, share in ROUNDS:
        until += share * evaluations
        affordable = max(1, int((until - under_way.used) * PARTS / parts))
        paths = sorted(paths, key=lambda path: path.promise if path.readings else -math.inf, reverse=True)
        paths = paths[: min(most, affordable)]
        _round(under_way, paths, parts, min(until, evaluations) if parts < PARTS else evaluations)
    whole = [point for point in under_way.points if point.parts == PARTS]
    inside = [point for point in whole if point.inside]
    return Search(
        best=max(inside, key=lambda point: (point.reading.gain, -point.reading.spent), default=None),
        nearest=min(whole, key=lambda point: point.reading.spent, default=None),
        points=tuple(under_way.points),
        evaluations=under_way.used,
    )


def _round(under_way: _Searching, paths: Sequence[_Path], parts: int, until: float) -> None:
    """Asks each edit where it should spend the budget, and then the most promising again and again."""
    for path in paths:
        strength = _first_strength(path, parts)
        if under_way.used + under_way.cost(path, strength, parts) <= until + 1e-9:
            under_way.ask(path, strength, parts)
    turns = 0
    while under_way.used + parts / PARTS <= until + 1e-9:
        ready = [path for path in paths if path.at(parts) and not path.is_settled(parts)]
        if not ready:
            return
        # In the first rounds each edit has its turn; in the last the most promising one has it.
        path = ready[turns % len(ready)] if parts < PARTS else max(ready, key=lambda path: path.promise)
        turns += 1
        strength = _strength(path.crossing(parts, _aim(under_way, parts, until)))
        if strength in path.readings and path.readings[strength].parts >= parts:
            return
        under_way.ask(path, strength, parts)


def _first_strength(path: _Path, parts: int) -> float:
    """Returns the first strength of an edit in a round: one whose answers are paid for in part, if one is inside."""
    strength = _strength(path.crossing(parts, AIM))
    known = [point.strength for point in path.at(1) if point.inside and point.parts < parts]
    return min(known, key=lambda other: abs(other - strength)) if parts > 1 and known else strength


def _aim(under_way: _Searching, parts: int, until: float) -> float:
    """Returns the share of the budget to aim at: less if the last evaluation must find the first point inside."""
    is_last = parts == PARTS and under_way.used + 2 * parts / PARTS > until
    return CAUTIOUS if is_last and not any(p.inside and p.parts == PARTS for p in under_way.points) else AIM


def _strength(value: float) -> float:
    """Returns a strength with four digits, above 0 and below 1."""
    return min(0.999, max(0.001, round(value, 4)))
