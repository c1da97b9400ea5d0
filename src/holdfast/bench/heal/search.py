"""The search for the edit and the strength that keep the most learning inside the budget, with few evaluations.

It asks in two ways. A *glance* reads a quarter of the validation items: how much less likely the base's own right
answers have become, and how much of the way to the tuned model the right answers of the task have come. Likelihoods
are smooth where answers flip, so two glances give the curve of an edit, and edits can be compared at the same drift.
A *reading* asks all validation items and says what is learned and which share of the budget is spent. Readings tell at
which drift the budget is spent; the most promising edits get them.

This file knows no model: it sees glances and readings alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

GLANCE = 0.25
"""Share of the validation items that a glance reads, and evaluations that it counts."""
GLANCES, OF_ALL = 2, 0.4
"""Glances at each edit, and most of the evaluations that they may take together."""
EXPLORED = 3
"""Edits that get a reading before the most promising one gets a second."""
AIM, CAUTIOUS = 0.92, 0.6
"""Share of the budget at which a strength is aimed: a little inside, because the curve is only guessed at."""
CLOSE = 0.03
"""Width of a bracket, as a share of its upper end, at which the search for a strength ends."""
POWER = 2.5
"""Assumed power of the drift as a function of the strength, before the first glance."""
LEAST = 1e-9
"""Least drift, as a share of that of the tuned model, in logarithms."""


@dataclasses.dataclass(frozen=True)
class Glance:
    """What a glance says.

    Attributes:
        drift: How far the model is from the base on what is to be kept: 0 for the base, 1 for the tuned model.
        way: How far it is on the way to what was learned: 0 for the base, 1 for the tuned model.
    """

    drift: float
    way: float


@dataclasses.dataclass(frozen=True)
class Reading:
    """What all validation items say.

    Attributes:
        spent: Share of the budget that the loss takes, with the room for its verdict; inside up to 1.
        gain: What was learned, in any unit; more is better.
    """

    spent: float
    gain: float


@dataclasses.dataclass(frozen=True)
class Point:
    """A glance at, or a reading of, an edit at a strength."""

    edit: str
    strength: float
    result: Glance | Reading

    @property
    def reading(self) -> Reading:
        """Returns the reading; for a glance it is an error to ask."""
        assert isinstance(self.result, Reading)
        return self.result

    @property
    def inside(self) -> bool:
        """Whether a reading is inside the budget."""
        return self.reading.spent <= 1.0


@dataclasses.dataclass(frozen=True)
class Search:
    """What came of a search.

    Attributes:
        best: The reading with the most learning among those inside the budget; None if none is inside.
        nearest: The reading with the least loss; None without a reading.
        points: All glances and readings, in order.
        evaluations: The evaluations that they took.
    """

    best: Point | None
    nearest: Point | None
    points: tuple[Point, ...]
    evaluations: float


@dataclasses.dataclass
class _Curve:
    """An edit with its glances and readings so far; its ends are the base and the tuned model."""

    edit: str
    glances: dict[float, Glance] = dataclasses.field(default_factory=dict)
    readings: dict[float, Reading] = dataclasses.field(default_factory=dict)

    def _knots(self) -> tuple[list[float], list[float], list[float]]:
        """Returns strengths and the logarithms of the drifts that never fall with them, and the ways."""
        known = sorted(self.glances.items())
        strengths = [*(strength for strength, _ in known), 1.0]
        drifts = monotone([*(math.log(max(glance.drift, LEAST)) for _, glance in known), 0.0])
        return strengths, drifts, monotone([*(glance.way for _, glance in known), 1.0])

    def strength_at(self, drift: float) -> float:
        """Returns the strength with a drift, which is a power of the strength between two glances, and below them."""
        strengths, logs, _ = self._knots()
        places, wanted = [math.log(strength) for strength in strengths], math.log(max(drift, LEAST))
        if len(places) == 1:
            return math.exp(wanted / POWER)
        if wanted < logs[0]:
            rise = (logs[1] - logs[0]) / (places[1] - places[0])
            return math.exp(places[0] - (logs[0] - wanted) / min(6.0, max(0.5, rise)))
        steps = [log + 1e-12 * number for number, log in enumerate(logs)]
        return float(math.exp(np.interp(wanted, steps, places)))

    def drift_at(self, strength: float) -> float:
        """Returns the drift at a strength."""
        strengths, logs, _ = self._knots()
        places = [math.log(value) for value in strengths]
        place = math.log(strength)
        if len(places) == 1:
            return float(strength**POWER)
        if place < places[0]:
            rise = float(logs[1] - logs[0]) / (places[1] - places[0])
            return math.exp(logs[0] - (places[0] - place) * min(6.0, max(0.5, rise)))
        return float(math.exp(np.interp(place, places, logs)))

    def way_at(self, strength: float) -> float:
        """Returns the way at a strength, on straight lines between the glances."""
        strengths, _, ways = self._knots()
        return float(np.interp(strength, [0.0, *strengths], [0.0, *ways]))

    def is_settled(self) -> bool:
        """Returns whether the strength at which the budget is spent is known closely enough."""
        outside = [strength for strength, reading in self.readings.items() if reading.spent > 1]
        inside = [strength for strength, reading in self.readings.items() if reading.spent <= 1]
        high = min(outside, default=1.0)
        low = max((strength for strength in inside if strength < high), default=0.0)
        return high - low < CLOSE * high


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
    """A search under way: what it knows, and what it has cost."""

    def __init__(
        self,
        glance: Callable[[str, float], Glance],
        read: Callable[[str, float], Reading],
        tuned: Reading,
        evaluations: float,
        nothing: float,
    ) -> None:
        self.glance, self.read = glance, read
        self.tuned, self.nothing = tuned, nothing
        self.left = evaluations
        self.points: list[Point] = []
        self.curves: list[_Curve] = []

    def look(self, curve: _Curve, strength: float) -> None:
        """Glances at an edit."""
        curve.glances[strength] = self.glance(curve.edit, strength)
        self.points.append(Point(curve.edit, strength, curve.glances[strength]))
        self.left -= GLANCE

    def ask(self, curve: _Curve, strength: float) -> None:
        """Reads an edit."""
        curve.readings[strength] = self.read(curve.edit, strength)
        self.points.append(Point(curve.edit, strength, curve.readings[strength]))
        self.left -= 1.0

    def limit(self, aim: float, curve: _Curve | None = None) -> float:
        """Returns the drift at which a share `aim` of the budget is spent.

        The share is a function of the drift that never falls, joined by straight lines from no drift to the tuned model
        through the readings of the edit, or through those of all edits for one without readings.
        """
        curves = [curve] if curve is not None and curve.readings else self.curves
        known = sorted((c.drift_at(s), r.spent) for c in curves for s, r in c.readings.items())
        drifts = [0.0, *(drift for drift, _ in known), 1.0]
        spent = monotone([self.nothing, *(share for _, share in known), self.tuned.spent])
        over = next(place for place, share in enumerate(spent) if share >= aim or place == len(spent) - 1)
        if over == 0:
            return LEAST
        rise = spent[over] - spent[over - 1]
        part = (aim - spent[over - 1]) / rise if rise > 0 else 0.0
        return drifts[over - 1] + min(1.0, max(0.0, part)) * (drifts[over] - drifts[over - 1])

    def gain_at(self, curve: _Curve, strength: float) -> float:
        """Returns the gain to expect: that of any edit so far on the way, corrected by the edit's own readings."""
        known = sorted((c.way_at(s), r.gain) for c in self.curves for s, r in c.readings.items())
        ways, gains = [0.0, *(way for way, _ in known), 1.0], [0.0, *(gain for _, gain in known), self.tuned.gain]
        gains = monotone(gains)

        def expected(place: float) -> float:
            return float(np.interp(curve.way_at(place), ways, gains))

        own = [reading.gain - expected(place) for place, reading in curve.readings.items()]
        return expected(strength) + (sum(own) / len(own) if own else 0.0)

    def promise(self, curve: _Curve) -> float:
        """Returns the gain to expect where an edit spends the budget."""
        return self.gain_at(curve, self.next_strength(curve, 1.0))

    def next_strength(self, curve: _Curve, aim: float) -> float:
        """Returns a strength at which an edit spends a share of the budget, inside its bracket."""
        strength = curve.strength_at(self.limit(aim, curve))
        high = min((s for s, r in curve.readings.items() if r.spent > 1), default=1.0)
        low = max((s for s, r in curve.readings.items() if r.spent <= 1 and s < high), default=0.0)
        width = high - low
        most = high - 0.1 * width if low or high == 1.0 else high * self._step(curve, aim)
        return _rounded(min(max(strength, low + 0.1 * width if low else 0.1 * high), most))

    def _step(self, curve: _Curve, aim: float) -> float:
        """Returns the factor on the lowest strength outside to try next, if nothing is inside: glances may be wrong.

        The loss above that of no change is taken as a power of the strength, which the two lowest readings tell.
        """
        outside = sorted(
            (s, reading.spent - self.nothing) for s, reading in curve.readings.items() if reading.spent > 1
        )
        strength, above = outside[0]
        power = 2.0
        if len(outside) > 1:
            rise = math.log(max(outside[1][1] / above, 1.0)) / math.log(outside[1][0] / strength)
            power = min(4.0, max(0.3, rise))
        return float(min(0.9, max(0.1, ((aim - self.nothing) / above) ** (1 / power))))

    @property
    def readings(self) -> list[Point]:
        """Returns the readings so far."""
        return [point for point in self.points if isinstance(point.result, Reading)]


def search(
    edits: Sequence[str],
    glance: Callable[[str, float], Glance],
    read: Callable[[str, float], Reading],
    tuned: Reading,
    evaluations: float,
    nothing: float = 0.0,
) -> Search:
    """Searches the edits for the most learning inside the budget.

    Args:
        edits: Names of the edits, the most promising first: with few evaluations only the first are tried.
        glance: Returns a glance at an edit at a strength above 0 and below 1.
        read: Returns the reading of an edit at such a strength.
        tuned: The reading of the tuned model, which is outside the budget.
        evaluations: Most evaluations; at least 2.
        nothing: Share of the budget that the bound of the loss takes if nothing changes; below 1.
    """
    under_way = _Searching(glance, read, tuned, evaluations, nothing)
    tried = max(1, int(OF_ALL * evaluations / (GLANCES * GLANCE)))
    under_way.curves = [_Curve(edit) for edit in edits[:tried]]
    for _ in range(GLANCES):
        limit = under_way.limit(AIM)
        for curve in under_way.curves:
            strength = _rounded(curve.strength_at(limit))
            if strength not in curve.glances and under_way.left >= 1.0 + GLANCE:
                under_way.look(curve, strength)
    _read_the_best(under_way)
    inside = [point for point in under_way.readings if point.inside]
    return Search(
        best=max(inside, key=lambda point: (point.reading.gain, -point.reading.spent), default=None),
        nearest=min(under_way.readings, key=lambda point: point.reading.spent, default=None),
        points=tuple(under_way.points),
        evaluations=evaluations - under_way.left,
    )


def _read_the_best(under_way: _Searching) -> None:
    """Reads the most promising edits once, and then the most promising again and again."""
    while under_way.left >= 1.0 - 1e-9 and (ready := _ready(under_way)):
        curve = max(ready, key=under_way.promise)
        is_last = under_way.left < 2.0 and not any(point.inside for point in under_way.readings)
        strength = under_way.next_strength(curve, CAUTIOUS if is_last else AIM)
        if strength in curve.readings:
            return
        under_way.ask(curve, strength)


def _ready(under_way: _Searching) -> list[_Curve]:
    """Returns the edits of which one is to be read next."""
    read = [curve for curve in under_way.curves if curve.readings]
    fresh = [curve for curve in under_way.curves if not curve.readings]
    if not read or (fresh and len(read) < EXPLORED and under_way.left >= 3.0):
        return fresh
    return [curve for curve in read if not curve.is_settled()] or fresh


def _rounded(strength: float) -> float:
    """Returns a strength with four digits, above 0 and below 1."""
    return min(0.999, max(0.001, round(strength, 4)))
