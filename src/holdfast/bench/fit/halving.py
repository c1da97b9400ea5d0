"""Successive halving under a cost: how many trials at which fidelity, and which trial comes next.

All decisions are functions of the history, the cost and the seed, so that an interrupted search continues as if nothing
had happened, and several processes decide alike.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from holdfast.bench.fit.history import Entry, Expected, Growth, Source, counted, growth_of, spent
from holdfast.bench.fit.trials import Candidate
from holdfast.core.errors import HoldfastError

FIDELITIES = (1 / 9, 1 / 3, 1.0)
"""Shares of the epochs, a factor of three apart: of three candidates, one goes on (1603.06560, 1810.05934)."""
EPSILON = 1e-9
"""Rounding errors of sums of costs."""

Price = Callable[[Candidate, float], float]
"""Cost of a candidate at a fidelity, in plain runs."""


@dataclasses.dataclass(frozen=True)
class Rung:
    """The trials of one fidelity.

    Attributes:
        fidelity: Share of the epochs.
        trials: Most trials.
    """

    fidelity: float
    trials: int


@dataclasses.dataclass(frozen=True)
class Next:
    """The next trial.

    Attributes:
        candidate: The candidate; None if the sampler is to choose one.
        fidelity: Share of its epochs.
        source: Where it comes from.
        limit: What all trials together may cost, this one included: less than the whole while a whole run is to come.
        attempt: How often processes that made it ended before.
    """

    candidate: Candidate | None
    fidelity: float
    source: Source
    limit: float
    attempt: int = 0


def ladder(cost: float, whole: float) -> tuple[Rung, ...]:
    """Returns the rungs that a cost affords, the lowest fidelity first; the last one has fidelity 1.

    Every rung gets an equal share of the cost, but the last one at least a whole run. A low rung with fewer than two
    trials chooses nothing and is left out.

    Args:
        cost: The cost in plain runs.
        whole: Cost of a whole run of a typical candidate.

    Raises:
        HoldfastError: The cost does not suffice for a whole run.
    """
    if cost + EPSILON < whole:
        raise HoldfastError(
            f"--cost {cost:g}x does not suffice for one run of the cheapest recipe, which costs {whole:.3g} plain runs;"
            f" give --cost {math.ceil(100 * whole) / 100:g}x or more, or a recipe with fewer epochs."
        )
    for first in range(len(FIDELITIES)):
        fidelities = FIDELITIES[first:]
        share = cost / len(fidelities)
        low = share if share >= whole else (cost - whole) / max(1, len(fidelities) - 1)
        counts = [int((low + EPSILON) / (whole * fidelity)) for fidelity in fidelities[:-1]]
        if len(counts) > 1 and counts[-1] < 1:  # the middle rung is too dear: leave it out
            fidelities, counts = (fidelities[0], 1.0), [int((cost - whole + EPSILON) / (whole * fidelities[0]))]
        final = max(1, int((share + EPSILON) / whole))
        if not counts or counts[0] >= 2:
            return tuple(map(Rung, fidelities, (*counts, final)))
    raise AssertionError("the rung of whole runs alone is always affordable")


def next_trial(
    history: Sequence[Entry], rungs: Sequence[Rung], given: Sequence[Candidate], cost: float, price: Price
) -> Next | None:
    """Returns the next trial; None if there is none now, because running trials decide it or the search is over.

    Args:
        history: All trials so far, in their order.
        rungs: The rungs.
        given: Given candidates, which come first.
        cost: What all trials together may cost.
        price: Cost of a trial.
    """
    if (again := _abandoned(history)) is not None:
        ended = again.standing == "abandoned"
        return Next(again.candidate, again.fidelity, again.source, cost, again.attempt + ended)
    state = _State(counted(history), growth_of(history), price)
    for place in reversed(range(1, len(rungs))):
        if (candidate := state.promotable(rungs, place, cost)) is not None:
            fidelity = rungs[place].fidelity
            return Next(candidate, fidelity, "promoted", cost - state.to_come(fidelity, given))
    if len(state.at(rungs[0].fidelity)) < rungs[0].trials and (first := state.first(rungs[0], given, cost)) is not None:
        return first
    return state.rescue(rungs, cost)


def _abandoned(history: Sequence[Entry]) -> Entry | None:
    """Returns a trial whose process ended before it had an outcome, and which no later trial has taken over."""
    last: dict[tuple[Candidate, float], Entry] = {}
    for entry in history:
        if entry.standing != "withdrawn":
            last[entry.key] = entry
    return next((entry for entry in last.values() if entry.standing in ("abandoned", "stopped")), None)


@dataclasses.dataclass(frozen=True)
class _State:
    """The trials that count, how their numbers grow with fidelity, and what trials cost."""

    entries: Sequence[Entry]
    growth: Growth
    price: Price

    def at(self, fidelity: float) -> list[Entry]:
        """Returns the trials of a fidelity."""
        return [entry for entry in self.entries if entry.fidelity == fidelity]

    def ranked(self, fidelity: float) -> list[tuple[Entry, Expected]]:
        """Returns the trials of a fidelity that have an outcome, the best first."""
        pairs = [(entry, expected) for entry in self.at(fidelity) if (expected := self.growth.expected(entry))]
        return sorted(pairs, key=lambda pair: (pair[1].order, -pair[0].number), reverse=True)

    def promotable(self, rungs: Sequence[Rung], place: int, cost: float) -> Candidate | None:
        """Returns the best candidate of the rung below that goes on to a rung, if that is certain already."""
        here, below = self.at(rungs[place].fidelity), rungs[place - 1]
        wanted = rungs[place].trials
        if len(here) >= wanted:
            return None
        unknown = sum(entry.outcome is None for entry in self.at(below.fidelity))
        if not self._closed(below, cost):
            unknown += max(0, below.trials - len(self.at(below.fidelity)))
        there, left = {entry.candidate for entry in here}, cost - spent(self.entries)
        for rank, (entry, expected) in enumerate(self.ranked(below.fidelity)):
            if unknown and rank + unknown >= wanted:
                return None
            affordable = self.price(entry.candidate, rungs[place].fidelity) <= left + EPSILON
            if entry.candidate not in there and math.isfinite(expected.used) and affordable:
                return entry.candidate
        return None

    def _closed(self, rung: Rung, cost: float) -> bool:
        """Returns whether no further trial of a rung can begin, because the rest of the cost is for a whole run."""
        entries = self.at(rung.fidelity)
        if not entries:
            return False
        cheapest = min(self.price(entry.candidate, rung.fidelity) for entry in entries)
        room = cost - self.to_come(rung.fidelity, ()) - spent(self.entries)
        return cheapest > room + EPSILON

    def to_come(self, fidelity: float, given: Sequence[Candidate]) -> float:
        """Returns the cost to keep for a whole run of the candidate that is the best so far; 0 if one has begun."""
        if fidelity == 1.0 or self.at(1.0):
            return 0.0
        for place in reversed(FIDELITIES[:-1]):
            if ranked := self.ranked(place):
                return self.price(ranked[0][0].candidate, 1.0)
        return min((self.price(candidate, 1.0) for candidate in (*given, *self._candidates())), default=0.0)

    def _candidates(self) -> list[Candidate]:
        return [entry.candidate for entry in self.entries]

    def first(self, rung: Rung, given: Sequence[Candidate], cost: float) -> Next | None:
        """Returns the next trial of the lowest rung: a given candidate, or one of the sampler; None if it is closed."""
        limit = cost - self.to_come(rung.fidelity, given)
        there = {entry.candidate for entry in self.at(rung.fidelity)}
        room = limit - spent(self.entries) + EPSILON
        for candidate in given:
            if candidate not in there and self.price(candidate, rung.fidelity) <= room:
                return Next(candidate, rung.fidelity, "given", limit)
        if self._closed(rung, cost):
            return None
        return Next(None, rung.fidelity, "sampled", limit)

    def rescue(self, rungs: Sequence[Rung], cost: float) -> Next | None:
        """Returns a whole run of the next best candidate, if none is inside the budget and the cost allows one more."""
        whole, running = self.at(1.0), any(entry.outcome is None for entry in self.entries)
        if running or not whole or any(entry.outcome is not None and entry.outcome.inside for entry in whole):
            return None
        there, left = {entry.candidate for entry in whole}, cost - spent(self.entries)
        worst = min((expected.used for _, expected in self.ranked(1.0)), default=math.inf)
        expectations: dict[Candidate, Expected] = {}
        for rung in rungs[:-1]:  # a higher fidelity says more
            expectations |= {entry.candidate: expected for entry, expected in self.ranked(rung.fidelity)}
        ordered = sorted(expectations.items(), key=lambda pair: pair[1].order, reverse=True)
        for candidate, expected in ordered:
            if candidate in there or expected.used >= worst or self.price(candidate, 1.0) > left + EPSILON:
                continue
            return Next(candidate, 1.0, "rescue", cost)
        return None
