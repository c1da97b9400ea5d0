"""Finished runs by recipe, dose and seed, and what each recipe cost."""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Mapping, Sequence

from holdfast.bench.compare.finished_runs import FinishedRun, labels, plain_of
from holdfast.bench.run.record import RunRecord
from holdfast.core.method import Chain

Key = tuple[int, int]
"""A recipe and a dose, by their places."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """Runs that measured the same, each in its place.

    Attributes:
        recipes: The recipes without their learning rates, in the order in which they come.
        seeds: The seeds, in order.
        rates: The learning rates of each recipe, in order.
        runs: The runs, by recipe and dose, and the place of their seed.
        notes: A sentence about each run that is another's double.
    """

    recipes: Sequence[Chain]
    seeds: Sequence[int]
    rates: Mapping[Chain, Sequence[float]]
    runs: Mapping[tuple[Key, int], FinishedRun]
    notes: Sequence[str]

    @classmethod
    def of(cls, runs: Sequence[FinishedRun]) -> Grid:
        """Returns the runs in their places; one that is another's double is left out."""
        recipes = list(dict.fromkeys(run.recipe_without_rate for run in runs))
        seeds = sorted({int(run.spec["seed"]) for run in runs})
        rates = {recipe: sorted({run.rate for run in runs if run.recipe_without_rate == recipe}) for recipe in recipes}
        placed: dict[tuple[Key, int], FinishedRun] = {}
        notes = []
        for i, recipe in enumerate(recipes):
            for run in runs:
                if run.recipe_without_rate != recipe:
                    continue
                place = (i, rates[recipe].index(run.rate)), seeds.index(run.spec["seed"])
                if place in placed:
                    notes.append(f"{run.folder} is the same run as {placed[place].folder} and left out.")
                placed.setdefault(place, run)
        return cls(recipes, seeds, rates, placed, notes)

    @functools.cached_property
    def names(self) -> dict[Chain, str]:
        """Returns what each recipe is called."""
        return labels(self.recipes)

    @functools.cached_property
    def plain(self) -> Chain | None:
        """Returns the recipe that is plain training; None if there is none."""
        return plain_of(self.recipes)

    @functools.cached_property
    def keys(self) -> list[Key]:
        """Returns every recipe at every dose, in order."""
        return sorted({key for key, _ in self.runs})

    @property
    def chooses(self) -> bool:
        """Whether a recipe has several doses, of which one is to be chosen."""
        return any(len(rates) > 1 for rates in self.rates.values())

    @property
    def plain_keys(self) -> list[Key]:
        """Returns plain training at every dose; nothing if there is none."""
        return [key for key in self.keys if self.recipes[key[0]] == self.plain]

    def name(self, key: Key) -> str:
        """Returns what a recipe is called."""
        return self.names[self.recipes[key[0]]]

    def rate(self, key: Key) -> float:
        """Returns the learning rate of a dose."""
        return self.rates[self.recipes[key[0]]][key[1]]

    def doses(self, recipe: int) -> list[Key]:
        """Returns a recipe at every dose."""
        return [key for key in self.keys if key[0] == recipe]

    def seeds_of(self, key: Key) -> int:
        """Returns the number of seeds that a recipe was run with at a dose."""
        return sum(own == key for own, _ in self.runs)

    def costs(self, recipe: int) -> tuple[float | None, float | None]:
        """Returns time and memory of a recipe as times plain's; None where they are not known.

        They are the mean over the seeds that both have, as seeds may have been run where machines differ in speed.
        """
        own, plain = self._by_seed(self.recipes[recipe]), self._by_seed(self.plain)
        both = own.keys() & plain.keys()
        times = _ratio([(_seconds(own[seed]), _seconds(plain[seed])) for seed in both])
        return times, _ratio([(_memory_mib(own[seed]), _memory_mib(plain[seed])) for seed in both])

    def trained_share(self, recipe: int) -> float:
        """Returns the share of the parameters that a recipe trains."""
        records = [record for those in self._by_seed(self.recipes[recipe]).values() for record in those]
        return statistics.mean(record.trained_parameters / record.parameters for record in records)

    def _by_seed(self, recipe: Chain | None) -> dict[int, list[RunRecord]]:
        """Returns what came of a recipe's runs, of all doses, by seed."""
        found: dict[int, list[RunRecord]] = {}
        for (key, seed), run in self.runs.items():
            if self.recipes[key[0]] == recipe:
                found.setdefault(seed, []).append(run.record)
        return found


def _ratio(costs: Sequence[tuple[float | None, float | None]]) -> float | None:
    """Returns the mean of the first as times the second; None if one of them is not known."""
    ratios = [mine / theirs for mine, theirs in costs if mine is not None and theirs]
    return statistics.mean(ratios) if ratios and len(ratios) == len(costs) else None


def _seconds(records: Sequence[RunRecord]) -> float | None:
    """Returns the mean time that preparing and training took; None if it is not known of each."""
    known = [record.cost.work_seconds for record in records if record.cost is not None]
    return statistics.mean(known) if known and len(known) == len(records) else None


def _memory_mib(records: Sequence[RunRecord]) -> float | None:
    """Returns the mean of the most memory that was held; None if it is not known of each."""
    held = [None if record.cost is None else record.cost.own_memory_mib for record in records]
    known = [mib for mib in held if mib is not None]
    return statistics.mean(known) if known and len(known) == len(records) else None
