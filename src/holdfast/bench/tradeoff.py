"""From finished runs to the trade-off: what each recipe learns, what it loses, and at what price.

Doses are chosen on watched items alone, and everything is stated on the others. Intervals are over items (drawn in
their groups, the same for all recipes) and over seeds.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from holdfast.bench.gather import Finished, labels, plain_of
from holdfast.bench.judge import changes, verdict
from holdfast.bench.records import ScoreRow
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain
from holdfast.stats.draws import Draws, Suite, interval
from holdfast.stats.frontier import hypervolume, lost_at, on_front

Floats = npt.NDArray[np.float64]
DRAWS = 1000
"""Imagined repetitions from which intervals are read."""

Key = tuple[int, int]
"""A recipe and a dose, by their places."""


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
        self.watch = _Side(self, "watch", 0)
        self.proof = _Side(self, "proof", DRAWS)
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
        if len(self.seeds) == 1:
            self.notes.append("One seed: intervals are over items alone.")

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
        found |= {"rate": self.rates[recipe][key[1]], "learned": _ends(side.score(key))}
        if key in side.transfer:
            found |= {"transfer": {**_ends(side.transfer[key]), "unit": side.transfer_unit}}
        found |= {"lost": _ends(side.lost[key])}
        suites = {name: values[key] for name, values in side.suites.items()}
        worst = max(suites, key=lambda name: float(suites[name][0]))
        found |= {"worst": {"suite": worst, **_ends(suites[worst])}}
        found |= {"suites": {name: _ends(values) for name, values in suites.items()}}
        found |= self._flips(key) | self._cost(place) | self._judged(key) | self._matched(own)
        known_B = ~np.isnan(side.lost[key][1:])
        found |= {"front": float(front_B[1:][known_B].mean()), "on_front": bool(front_B[0])}
        found |= self._volume(own)
        found["doses"] = [
            {
                "rate": self.rates[recipe][k[1]],
                "learned": _ends(side.score(k)),
                "lost": _ends(side.lost[k]),
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

    def _flips(self, key: Key) -> dict[str, Any]:
        """Returns how many answers of what is kept were lost and gained, in the mean over seeds."""
        own = [run for (k, _), run in self.runs.items() if k == key]
        counts = [self.proof.flips(run) for run in own]
        if not any(total for _, _, total in counts):
            return {}
        lost, gained, total = (statistics.mean(column) for column in zip(*counts, strict=True))
        return {"flips": {"lost": lost, "gained": gained, "items": int(total)}}

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
        """Returns the verdict under the budget, on the mean of the seeds' scores of each item."""
        if self.budget is None:
            return {}
        before, after = self.proof.averaged([run for (k, _), run in self.runs.items() if k == key])
        said = verdict(changes(before, after), self.budget)
        return {"verdict": {"word": said["word"], "means": said["means"]}}


class _Side:
    """The watched items of the runs, or the others: what was learned and lost on them by each recipe at each dose.

    Attributes:
        learned: Improvement over the base on what measures the learning, in each repetition, `[B]`.
        lost: Loss in the mean of the suites that are kept, likewise.
        suites: Loss of each of them.
        transfer: Score (points) or improvement (nats) on the shifted domain.
        before: What the base scored on what measures the learning.
        beside: Suites that are kept, and measured in another unit than most are.
        whole: Suites that have items of one side only, which stand on both.
    """

    def __init__(self, table: _Table, side: str, draws: int) -> None:
        self.whole: list[str] = []
        runs = list(table.runs.values())
        self._items = self._common(runs, side)
        roles = {suite: next(iter(items.values())).role for suite, items in self._items.items()}
        self.units = units = {suite: next(iter(items.values())).unit for suite, items in self._items.items()}
        kept = [suite for suite, role in roles.items() if role == "retained"]
        points = [suite for suite in kept if units[suite] == "points"]
        self.kept = points or kept
        self.beside = [suite for suite in kept if suite not in self.kept]
        learned = [suite for suite, role in roles.items() if role == "learned"]
        if not learned or not self.kept:
            what, flag = ("is to be kept", "--keep") if learned else ("is learned", "--test")
            raise HoldfastError(f"The runs in {runs[0].folder.parent} measure nothing of what {what}; give {flag}.")
        self.unit, self.learned_unit = units[self.kept[0]], units[learned[0]]
        columns = list(table.runs.items())
        made = {suite: self._suite(suite, [run for _, run in columns]) for suite in self._items}
        drawn = Draws.of(list(made.values()), len(table.seeds), draws)
        over = {suite: drawn.means(one) for suite, one in made.items()}  # [B, C], before in the last column

        def by_key(values: Callable[[int], Floats]) -> dict[Key, Floats]:
            found = {}
            for key in table.keys:
                by_seed = np.full((len(drawn.seeds), len(table.seeds)), np.nan)
                for column, ((own, seed), _) in enumerate(columns):
                    if own == key:
                        by_seed[:, seed] = values(column)
                found[key] = drawn.over_seeds(by_seed)
            return found

        def worse(suite: str, column: int) -> Floats:
            sign = 1.0 if units[suite] == "points" else -1.0
            change: Floats = over[suite][:, -1] - over[suite][:, column]
            return sign * change

        self.before = float(over[learned[0]][0, -1])
        self.learned = by_key(lambda column: -worse(learned[0], column))
        self.suites = {suite: by_key(lambda column, suite=suite: worse(suite, column)) for suite in self.kept}  # type: ignore[misc]
        self.lost = {key: np.mean([self.suites[suite][key] for suite in self.kept], 0) for key in table.keys}
        moved = [suite for suite, role in roles.items() if role == "transfer"]
        self.transfer, self.transfer_unit = dict[Key, Floats](), units[moved[0]] if moved else ""
        if moved:
            sign = 1.0 if self.transfer_unit == "points" else 0.0
            self.transfer = by_key(lambda column: sign * over[moved[0]][:, -1] - worse(moved[0], column))
        self.items = {"learned": len(self._items[learned[0]]), "kept": sum(len(self._items[s]) for s in self.kept)}

    def _common(self, runs: Sequence[Finished], side: str) -> dict[str, dict[str, ScoreRow]]:
        """Returns the items of a side that all runs were asked, by suite, with the base's scores."""
        found: dict[str, dict[str, ScoreRow]] = {}
        by_suite: dict[str, list[ScoreRow]] = {}
        asked = set.intersection(*({(suite, item) for suite in run.after for item in run.after[suite]} for run in runs))
        for row in runs[0].rows:
            if row.moment == "before" and (row.suite, row.item) in asked:
                by_suite.setdefault(row.suite, []).append(row)
        for suite, rows in by_suite.items():
            both = len({row.split for row in rows}) == 2
            if not both and rows[0].role != "transfer":
                self.whole.append(suite)
            found[suite] = {row.item: row for row in rows if not both or row.split == side}
        if not found:
            raise HoldfastError(f"No item was asked of all runs in {runs[0].folder.parent}; compare alike runs.")
        return found

    def _suite(self, suite: str, runs: Sequence[Finished]) -> Suite:
        items = self._items[suite]
        columns = []
        for run in runs:
            columns.append([run.after[suite][item].value for item in items])
        columns.append([row.value for row in items.values()])
        rows = list(items.values())
        return Suite([r.group for r in rows], np.array([r.weight for r in rows]), np.array(columns).T)

    def score(self, key: Key) -> Floats:
        """Returns what is shown as learned: the score in points, or by how many nats it is better."""
        return self.learned[key] + (self.before if self.learned_unit == "points" else 0.0)

    def flips(self, run: Finished) -> tuple[int, int, int]:
        """Returns how many answers of what is kept a run lost and gained, and how many there are."""
        lost = gained = total = 0
        for suite in self.kept:
            for item, before in self._items[suite].items():
                if before.unit == "points":
                    now = run.after[suite][item].value
                    lost, gained = lost + (now < before.value), gained + (now > before.value)
                    total += 1
        return lost, gained, total

    def averaged(self, runs: Sequence[Finished]) -> tuple[list[ScoreRow], list[ScoreRow]]:
        """Returns the scores of every kept item before, and after in the mean of some runs."""
        kept = [*self.kept, *self.beside]
        before = [row for suite in kept for row in self._items[suite].values()]
        after = []
        for row in before:
            value = statistics.mean(run.after[row.suite][row.item].value for run in runs)
            after.append(dataclasses.replace(row, moment="after", value=value))
        return before, after


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
