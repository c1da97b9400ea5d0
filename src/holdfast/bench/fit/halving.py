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
WHOLE = 2
"""Least whole runs of a search with short trials. The first trial is one of them, because short trials alone do not
say how loss and learning grow with the steps: with held recipes a loss may fall (docs/decisions/0021)."""
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

    Every rung gets an equal share of the cost, but the last one at least two whole runs: the first of all trials, and
    the one that the search ends with. A low rung with fewer than two trials chooses nothing and is left out.

    Args:
        cost: The cost in plain runs.
        whole: Cost of a whole run of a typical candidate.

    Raises:
        HoldfastError: The cost does not suffice for a whole run.
    """
    if cost + EPSILON < whole:
        raise HoldfastError(
            f"--cost {cost:g}x does not suffice for one run of the cheapest recipe, which costs {whole:.3g} plain runs;"
            f" give --cost {round(whole + 0.005, 2):g}x or more, or a recipe with fewer epochs."
        )
    for first in range(len(FIDELITIES) - 1):
        fidelities = FIDELITIES[first:]
        share = cost / len(fidelities)
        low = share if share >= WHOLE * whole else (cost - WHOLE * whole) / (len(fidelities) - 1)
        counts = [int((low + EPSILON) / (whole * fidelity)) for fidelity in fidelities[:-1]]
        if len(counts) > 1 and counts[-1] < 1:  # the middle rung is too dear: leave it out
            fidelities, counts = (fidelities[0], 1.0), [int((cost - WHOLE * whole + EPSILON) / (whole * fidelities[0]))]
        if counts[0] >= 2:
            return tuple(map(Rung, fidelities, (*counts, max(WHOLE, int((share + EPSILON) / whole)))))
    return (Rung(1.0, int((cost + EPSILON) / whole)),)


def next_trial(
    history: Sequence[Entry],
    rungs: Sequence[Rung],
    given: Sequence[Candidate],
    cost: float,
    price: Price,
    *,
    promotes: bool,
) -> Next | None:
    """Returns the next trial; None if there is none now, because running trials decide it or the search is over.

    Args:
        history: All trials so far, in their order.
        rungs: The rungs.
        given: Given candidates, which come first, the first of them with a whole run.
        cost: What all trials together may cost.
        price: Cost of a trial.
        promotes: Whether the best candidates of a rung go on to the next one; else a sampler chooses those of every
            rung, once all trials below have an outcome.
    """
    if (again := _abandoned(history)) is not None:
        ended = again.standing == "abandoned"
        return Next(again.candidate, again.fidelity, again.source, cost, again.attempt + ended)
    whole = max((price(candidate, 1.0) for candidate in given), default=0.0)
    state = _State(counted(history), growth_of(history), price, cost, whole, rungs[-1].trials)
    if len(rungs) > 1 and given and not state.at(1.0):
        return Next(given[0], 1.0, "given", cost)
    if len(state.at(1.0)) >= rungs[-1].trials:
        return state.rescue(rungs, promotes)
    for place in reversed(range(1, len(rungs))):
        fidelity, limit = rungs[place].fidelity, state.limit(rungs[place].fidelity)
        if promotes and (candidate := state.promotable(rungs, place)) is not None:
            return Next(candidate, fidelity, "promoted", limit)
        if not promotes and state.is_open(rungs[place]) and state.are_known(rungs[:place]):
            return Next(None, fidelity, "sampled", limit)
    return state.first(rungs[0], given)


def _abandoned(history: Sequence[Entry]) -> Entry | None:
    """Returns a trial whose process ended before it had an outcome, and which no later trial has taken over."""
    last: dict[tuple[Candidate, float], Entry] = {}
    for entry in history:
        if entry.standing != "withdrawn":
            last[entry.key] = entry
    return next((entry for entry in last.values() if entry.standing in ("abandoned", "stopped")), None)


@dataclasses.dataclass(frozen=True)
class _State:
    """The trials that count, how their numbers grow with fidelity, what trials cost, all together and one whole run.

    Attributes:
        runs: Most whole runs.
    """

    entries: Sequence[Entry]
    growth: Growth
    price: Price
    cost: float
    whole: float
    runs: int

    def at(self, fidelity: float) -> list[Entry]:
        """Returns the trials of a fidelity."""
        return [entry for entry in self.entries if entry.fidelity == fidelity]

    def limit(self, fidelity: float) -> float:
        """Returns what all trials may cost with one of a fidelity: the cost, less the whole run that ends a search."""
        return self.cost if fidelity == 1.0 or len(self.at(1.0)) >= min(WHOLE, self.runs) else self.cost - self.whole

    def left(self, fidelity: float) -> float:
        """Returns what a trial of a fidelity may cost."""
        return self.limit(fidelity) - spent(self.entries) + EPSILON

    def is_open(self, rung: Rung) -> bool:
        """Returns whether another trial of a rung may begin: one is missing, and the cost allows it."""
        here = self.at(rung.fidelity)
        cheapest = min(
            (self.price(entry.candidate, rung.fidelity) for entry in here), default=self.whole * rung.fidelity
        )
        return len(here) < rung.trials and min(cheapest, self.whole * rung.fidelity) <= self.left(rung.fidelity)

    def are_known(self, rungs: Sequence[Rung]) -> bool:
        """Returns whether some rungs have all their trials, each with an outcome."""
        return not any(self.is_open(rung) for rung in rungs) and not any(
            entry.outcome is None for rung in rungs for entry in self.at(rung.fidelity)
        )

    def ranked(self, fidelity: float) -> list[tuple[Entry, Expected]]:
        """Returns the trials of a fidelity that have an outcome, the best first."""
        pairs = [(entry, expected) for entry in self.at(fidelity) if (expected := self.growth.expected(entry))]
        return sorted(pairs, key=lambda pair: (pair[1].order, -pair[0].number), reverse=True)

    def promotable(self, rungs: Sequence[Rung], place: int) -> Candidate | None:
        """Returns the best candidate of the rung below that goes on to a rung, if that is certain already."""
        here, below = self.at(rungs[place].fidelity), rungs[place - 1]
        if len(here) >= rungs[place].trials:
            return None
        wanted = rungs[place].trials - (rungs[place].fidelity == 1.0)  # the first trial of all did not come from below
        unknown = sum(entry.outcome is None for entry in self.at(below.fidelity))
        if self.is_open(below):
            unknown += below.trials - len(self.at(below.fidelity))
        left = self.left(rungs[place].fidelity)
        there = {entry.candidate for entry in self.entries if entry.fidelity >= rungs[place].fidelity}
        for rank, (entry, expected) in enumerate(self.ranked(below.fidelity)):
            if unknown and rank + unknown >= wanted:
                return None
            affordable = self.price(entry.candidate, rungs[place].fidelity) <= left
            if entry.candidate not in there and math.isfinite(expected.used) and affordable:
                return entry.candidate
        return None

    def first(self, rung: Rung, given: Sequence[Candidate]) -> Next | None:
        """Returns the next trial of the lowest rung: a given candidate, or one of the sampler; None if it is closed."""
        if len(self.at(rung.fidelity)) >= rung.trials:
            return None
        there = {entry.candidate for entry in self.at(rung.fidelity)}
        for candidate in given:
            if candidate not in there and self.price(candidate, rung.fidelity) <= self.left(rung.fidelity):
                return Next(candidate, rung.fidelity, "given", self.limit(rung.fidelity))
        return Next(None, rung.fidelity, "sampled", self.limit(rung.fidelity)) if self.is_open(rung) else None

    def rescue(self, rungs: Sequence[Rung], promotes: bool) -> Next | None:
        """Returns one more whole run, if none is inside the budget and the cost allows one."""
        whole = self.at(1.0)
        if any(entry.outcome is None or entry.outcome.inside for entry in [*whole, *self._running()]):
            return None
        if not promotes:
            return Next(None, 1.0, "rescue", self.cost) if self.whole <= self.left(1.0) else None
        there = {entry.candidate for entry in whole}
        least = min((expected.used for _, expected in self.ranked(1.0)), default=math.inf)
        expectations: dict[Candidate, Expected] = {}
        for rung in rungs[:-1]:  # a higher fidelity says more
            expectations |= {entry.candidate: expected for entry, expected in self.ranked(rung.fidelity)}
        for candidate, expected in sorted(expectations.items(), key=lambda pair: pair[1].order, reverse=True):
            if candidate not in there and expected.used < least and self.price(candidate, 1.0) <= self.left(1.0):
                return Next(candidate, 1.0, "rescue", self.cost)
        return None

    def _running(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.outcome is None]
