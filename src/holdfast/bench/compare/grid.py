"""Finished runs by recipe, dose and seed, and the cost of each recipe."""

from __future__ import annotations

import collections
import dataclasses
import functools
import statistics
from collections.abc import Mapping, Sequence

from holdfast.bench.compare.finished_runs import FinishedRun, labels, plain_of
from holdfast.bench.run.record import RunRecord
from holdfast.core.method import Chain

Key = tuple[int, int]
"""Indices of a recipe and of a dose."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """Comparable runs in a grid of recipes, doses and seeds.

    Attributes:
        recipes: The recipes without their learning rates, in order of appearance.
        seeds: The seeds, in order.
        rates: The learning rates of each recipe, in order.
        runs: The runs, by recipe and dose, and by the index of their seed.
        notes: A note on each duplicate run.
    """

    recipes: Sequence[Chain]
    seeds: Sequence[int]
    rates: Mapping[Chain, Sequence[float]]
    runs: Mapping[tuple[Key, int], FinishedRun]
    notes: Sequence[str]

    @classmethod
    def of(cls, runs: Sequence[FinishedRun]) -> Grid:
        """Returns the grid of some runs, without duplicates."""
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
                    notes.append(f"{run.folder} repeats the run {placed[place].folder} and is left out.")
                placed.setdefault(place, run)
        return cls(recipes, seeds, rates, placed, notes)

    @functools.cached_property
    def names(self) -> dict[Chain, str]:
        """Returns the label of each recipe."""
        return labels(self.recipes)

    @functools.cached_property
    def plain(self) -> Chain | None:
        """Returns the recipe of plain training; None if there is none."""
        return plain_of(self.recipes)

    @functools.cached_property
    def keys(self) -> list[Key]:
        """Returns every recipe at every dose, in order."""
        return sorted({key for key, _ in self.runs})

    @property
    def chooses(self) -> bool:
        """Returns whether a recipe has several doses, so that one must be chosen."""
        return any(len(rates) > 1 for rates in self.rates.values())

    @property
    def plain_keys(self) -> list[Key]:
        """Returns plain training at every dose; empty without plain training."""
        return [key for key in self.keys if self.recipes[key[0]] == self.plain]

    def name(self, key: Key) -> str:
        """Returns the label of a recipe."""
        return self.names[self.recipes[key[0]]]

    def rate(self, key: Key) -> float:
        """Returns the learning rate of a dose."""
        return self.rates[self.recipes[key[0]]][key[1]]

    def doses(self, recipe: int) -> list[Key]:
        """Returns a recipe at every dose."""
        return [key for key in self.keys if key[0] == recipe]

    def seeds_of(self, key: Key) -> int:
        """Returns the number of seeds of a recipe at a dose."""
        return sum(run_key == key for run_key, _ in self.runs)

    def symptoms_of(self, key: Key) -> dict[str, int]:
        """Returns the number of runs of a recipe at a dose that show each symptom, by its name."""
        records = [run.record for (run_key, _), run in self.runs.items() if run_key == key]
        return dict(collections.Counter(row.name for record in records for row in record.symptoms if row.present))

    def costs(self, recipe: int) -> tuple[float | None, float | None]:
        """Returns the time and memory of a recipe as multiples of plain training's; None if unknown.

        Both are means over shared seeds, because runs of different seeds may come from machines of different speed.
        """
        records, plain_records = self._by_seed(self.recipes[recipe]), self._by_seed(self.plain)
        shared_seeds = records.keys() & plain_records.keys()
        times = _ratio([(_seconds(records[seed]), _seconds(plain_records[seed])) for seed in shared_seeds])
        return times, _ratio([(_memory_mib(records[seed]), _memory_mib(plain_records[seed])) for seed in shared_seeds])

    def trained_share(self, recipe: int) -> float:
        """Returns the share of the parameters that a recipe trains."""
        records = [record for those in self._by_seed(self.recipes[recipe]).values() for record in those]
        return statistics.mean(record.trained_parameters / record.parameters for record in records)

    def _by_seed(self, recipe: Chain | None) -> dict[int, list[RunRecord]]:
        """Returns the records of a recipe's runs, over all doses, by seed."""
        by_seed: dict[int, list[RunRecord]] = {}
        for (key, seed), run in self.runs.items():
            if self.recipes[key[0]] == recipe:
                by_seed.setdefault(seed, []).append(run.record)
        return by_seed


def _ratio(costs: Sequence[tuple[float | None, float | None]]) -> float | None:
    """Returns the mean ratio of the first to the second value; None if a value is unknown."""
    ratios = [mine / theirs for mine, theirs in costs if mine is not None and theirs]
    return statistics.mean(ratios) if ratios and len(ratios) == len(costs) else None


def _seconds(records: Sequence[RunRecord]) -> float | None:
    """Returns the mean time of preparation and training, in seconds; None if a time is unknown."""
    known = [record.cost.work_seconds for record in records if record.cost is not None]
    return statistics.mean(known) if known and len(known) == len(records) else None


def _memory_mib(records: Sequence[RunRecord]) -> float | None:
    """Returns the mean peak memory, in MiB; None if a value is unknown."""
    held = [None if record.cost is None else record.cost.own_memory_mib for record in records]
    known = [mib for mib in held if mib is not None]
    return statistics.mean(known) if known and len(known) == len(records) else None
