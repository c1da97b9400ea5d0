"""From finished runs to the trade-off: what each recipe learns, what it loses, and at what price.

Where a recipe has several doses, they are chosen on watched items alone and everything is stated on the others; where
each has one, nothing is chosen, and all items count that steered no run. Intervals are over items and, where there are
several, over seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from holdfast.bench.gather import Finished, labels, plain_of
from holdfast.bench.judge import verdict
from holdfast.bench.side import Key, Side
from holdfast.core.budget import Budget
from holdfast.core.method import Chain
from holdfast.stats.draws import interval
from holdfast.stats.frontier import hypervolume, lost_at, on_front
from holdfast.stats.size import LEAST

Floats = npt.NDArray[np.float64]
DRAWS = 1000
"""Imagined repetitions from which intervals are read."""


def tradeoff(runs: Sequence[Finished], *, reach: float = 0.95, budget: Budget | None = None) -> dict[str, Any]:
    """Returns the trade-off of runs that measured the same, ready for JSON; what was not measured is absent.

    Args:
        runs: Finished runs of one model on one set of data (`holdfast.bench.gather.side_by_side`).
        reach: Share of what the best plain dose learns that is to be learned (of the best of all, where none is plain).
        budget: What may be lost, by which each recipe is judged.

    Returns:
        `about` (what the runs have in common), `unit` and `learned_unit`, `goal` (what is to be learned over the base)
        and `base` (what it knew), `recipes` (see `_recipe`): those that reach the goal on watched items, by what they
        lose there, and then the others by what they learn; `hypervolume` of all together; and `notes`.

    Raises:
        HoldfastError: No item was asked of all runs, or nothing measures what is learned or kept.
    """
    return _Table(runs, reach, budget).to_dict()


class _Table:
    def __init__(self, runs: Sequence[Finished], reach: float, budget: Budget | None) -> None:
        self.budget, self.notes = budget, list[str]()
        self.recipes = list(dict.fromkeys(run.undosed for run in runs))
        self.names, self.plain = labels(self.recipes), plain_of(self.recipes)
        self.seeds = sorted({run.spec["seed"] for run in runs})
        self.runs: dict[tuple[Key, int], Finished] = {}
        self.rates: dict[Chain, list[float]] = {}
        for i, recipe in enumerate(self.recipes):
            own = [run for run in runs if run.undosed == recipe]
            self.rates[recipe] = sorted({run.rate for run in own})
            for run in own:
                place = (i, self.rates[recipe].index(run.rate)), self.seeds.index(run.spec["seed"])
                if place in self.runs:
                    self.notes.append(f"{run.folder} is the same run as {self.runs[place].folder} and left out.")
                self.runs.setdefault(place, run)
        self.keys = sorted({key for key, _ in self.runs})
        self.chooses = any(len(rates) > 1 for rates in self.rates.values())
        self.proof = Side(self.runs, len(self.seeds), "proof" if self.chooses else None, DRAWS)
        self.watch = Side(self.runs, len(self.seeds), "watch", 0) if self.chooses else self.proof
        self.unit = self.proof.unit
        if self.proof.whole:
            self.notes.append(
                f"Of {', '.join(self.proof.whole)} there is one side only: doses are chosen on what is stated."
            )
        for suite in self.proof.beside:
            self.notes.append(f"{suite} is measured in {self.proof.units[suite]}, beside the mean of what is lost.")
        plain = [key for key in self.keys if self.recipes[key[0]] == self.plain]
        if not plain:
            self.notes.append("No run is plain training: the goal is a share of what the best of all learns.")
        self.goals = {
            side: reach * max(float(side.learned[key][0]) for key in plain or self.keys)
            for side in (self.watch, self.proof)
        }
        self.chosen = {i: self._choose(i) for i in range(len(self.recipes))}
        for key, _ in self.chosen.values():
            there = sum(own == key for own, _ in self.runs)
            if there < len(self.seeds):
                self.notes.append(f"{self.names[self.recipes[key[0]]]} has {there} of {len(self.seeds)} seeds.")
        self.notes += _about_seeds(len(self.seeds))
        for i, (key, _) in self.chosen.items():
            self.notes += self._set_off(self.names[self.recipes[i]], self.proof.of(key)["set_off"])

    def _set_off(self, name: str, parts: Mapping[str, Any]) -> list[str]:
        """Returns a sentence where gains of some suites make up for losses of others that are of interest."""
        if min(parts["lost"], parts["gained"]) < LEAST[self.unit]:
            return []
        places = 1 if self.unit == "points" else 3
        gained = ", ".join(parts["gained_in"][:3]) + (", ..." if len(parts["gained_in"]) > 3 else "")
        return [
            f"{name}: suites that got better ({gained}) take {parts['gained']:.{places}f} off what is lost; the others "
            f"lost {parts['lost']:.{places}f}."
        ]

    def _choose(self, recipe: int) -> tuple[Key, bool]:
        """Returns the dose that loses least among those that reach the goal, else the one that learns most."""
        own = [key for key in self.keys if key[0] == recipe]
        goal = self.goals[self.watch]
        reach = [key for key in own if self.watch.learned[key][0] >= goal]
        if reach:
            return min(reach, key=lambda key: float(self.watch.lost[key][0])), True
        return max(own, key=lambda key: float(self.watch.learned[key][0])), False

    def to_dict(self) -> dict[str, Any]:
        first = next(iter(self.runs.values()))
        places = [self.chosen[i][0] for i in range(len(self.recipes))]
        learned_BR = np.stack([self.proof.learned[key] for key in places], 1)
        lost_BR = np.stack([self.proof.lost[key] for key in places], 1)
        front_BR = on_front(learned_BR, lost_BR)
        rows = [self._recipe(i, front_BR[:, i]) for i in range(len(self.recipes))]
        order = sorted(range(len(rows)), key=self._place)
        about = {
            name: first.spec[name] for name in ("model", "data", "test", "transfer", "keep") if first.spec.get(name)
        }
        return {
            "about": {**about, "seeds": self.seeds},
            "unit": self.unit,
            "learned_unit": self.proof.learned_unit,
            "items": self.proof.items,
            "chosen": self.chooses,
            "base": float(self.proof.before),
            "goal": self.goals[self.proof],
            "recipes": [rows[i] for i in order],
            **self._volume(self.keys),
            "notes": self.notes,
        }

    def _place(self, recipe: int) -> tuple[bool, float]:
        """Returns what recipes are ordered by: those that reach the goal by what they lose, the others by learning."""
        key, reached = self.chosen[recipe]
        return not reached, float(self.watch.lost[key][0] if reached else -self.watch.learned[key][0])

    def _recipe(self, place: int, front_B: npt.NDArray[np.bool_]) -> dict[str, Any]:
        """Returns a row: the chosen dose, what it learned and lost, what it cost, and every dose."""
        recipe, (key, reached) = self.recipes[place], self.chosen[place]
        own = [k for k in self.keys if k[0] == place]
        side = self.proof
        found: dict[str, Any] = {"recipe": self.names[recipe], "text": repr(recipe) or "Train()", "reached": reached}
        found |= {"seeds": sum(k == key for k, _ in self.runs)}
        found |= {"rate": self.rates[recipe][key[1]]} | side.of(key)
        found |= side.flips(key) | self._cost(place) | self._judged(key) | self._matched(own)
        known_B = ~np.isnan(side.lost[key][1:])
        found |= {"front": float(front_B[1:][known_B].mean()), "on_front": bool(front_B[0])}
        found |= self._volume(own)
        found["doses"] = [
            {
                "rate": self.rates[recipe][k[1]],
                "learned": side.of(k)["learned"],
                "lost": side.of(k)["lost"],
            }
            for k in own
        ]
        return found

    def _matched(self, own: Sequence[Key]) -> dict[str, Any]:
        """Returns what is lost at the goal, and in how many of the repetitions it is reached."""
        goal = self.goals[self.proof]
        learned_BD = np.stack([self.proof.learned[k] for k in own], 1)
        lost_BD = np.stack([self.proof.lost[k] for k in own], 1)
        drawn = np.array([lost_at(y, x, goal) for y, x in zip(learned_BD.tolist(), lost_BD.tolist(), strict=True)])
        known_B = ~np.isnan(learned_BD[1:]).any(1)
        share = float(np.mean(~np.isnan(drawn[1:][known_B])))
        if math.isnan(drawn[0]):
            return {"matched": {"reached": share}}
        return {"matched": {"reached": share, **_ends(drawn)}}

    def _volume(self, keys: Sequence[Key]) -> dict[str, float]:
        most_lost = max(float(self.proof.lost[key][0]) for key in self.keys)
        most = max(float(self.proof.learned[key][0]) for key in self.keys)
        if most <= 0 or most_lost <= 0:
            return {}
        learned, lost = ([float(of[key][0]) for key in keys] for of in (self.proof.learned, self.proof.lost))
        return {"hypervolume": hypervolume(learned, lost, most, most_lost)}

    def _cost(self, place: int) -> dict[str, Any]:
        """Returns time and memory as shares of plain's, and the share of what is trained.

        Shares are the mean over the seeds that both have, as seeds may have been run where machines differ in speed.
        """
        found: dict[str, Any] = {}
        own, plain = self._by_seed(self.recipes[place]), self._by_seed(self.plain)
        for name, of in (("time", _time), ("memory", _memory)):
            costs = [(_mean(of, own[seed]), _mean(of, plain[seed])) for seed in own.keys() & plain.keys()]
            shares = [mine / theirs for mine, theirs in costs if mine is not None and theirs]
            if shares and len(shares) == len(costs):
                found[name] = statistics.mean(shares)
        results = [result for those in own.values() for result in those]
        if all({"trained_parameters", "parameters"} <= result.keys() for result in results):
            found["trained"] = statistics.mean(r["trained_parameters"] / r["parameters"] for r in results)
        return found

    def _by_seed(self, recipe: Chain | None) -> dict[int, list[Mapping[str, Any]]]:
        """Returns what came of a recipe's runs, of all doses, by seed."""
        found: dict[int, list[Mapping[str, Any]]] = {}
        for (key, seed), run in self.runs.items():
            if self.recipes[key[0]] == recipe:
                found.setdefault(seed, []).append(run.result)
        return found

    def _judged(self, key: Key) -> dict[str, Any]:
        """Returns the verdict under the budget: of the run, or of the recipe where there are several seeds."""
        if self.budget is None:
            return {}
        said = verdict(self.proof.changes(key), self.budget)
        return {"verdict": {name: said[name] for name in ("word", "means", "suites", "seeds") if name in said}}


def _about_seeds(count: int) -> list[str]:
    """Returns what so many seeds can say."""
    if count == 1:
        return [
            "One seed: what is said holds for these runs alone; the same recipe with another seed may end elsewhere. "
            "Three to five seeds (--seeds 0 1 2) say something of the recipe."
        ]
    if count == 2:
        return [
            "Two seeds say little of how far seeds differ: intervals are wide, and a verdict is rare. Three to five "
            "say more."
        ]
    return []


def _ends(drawn_B: Floats) -> dict[str, float]:
    """Returns what was measured, with its interval where there is one."""
    found = {"value": float(drawn_B[0])}
    ends = interval(drawn_B)
    return found if ends is None else {**found, "low": ends[0], "high": ends[1]}


def _mean(of: Callable[[Mapping[str, Any]], float | None], results: Sequence[Mapping[str, Any]]) -> float | None:
    values = [of(result) for result in results]
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known and len(known) == len(values) else None


def _time(result: Mapping[str, Any]) -> float | None:
    """Returns the seconds that preparing and training took: of the processors, where they did the work."""
    cost = result.get("cost")
    return None if cost is None else float(cost["seconds" if cost["device"] == "cuda" else "cpu"])


def _memory(result: Mapping[str, Any]) -> float | None:
    """Returns the most memory that was held, in MiB: on a GPU all, else what came to that before."""
    cost = result.get("cost", {})
    if "memory" not in cost:
        return None
    return float(cost["memory"]) - (0.0 if cost["device"] == "cuda" else float(cost["before"]))
