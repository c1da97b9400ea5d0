"""From finished runs to the trade-off: what each recipe learns, what it loses, and at what price.

Where a recipe has several doses, they are chosen on watched items alone and everything is stated on the others; where
each has one, nothing is chosen, and all items count that steered no run. Intervals are over items and, where there are
several, over seeds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from holdfast.bench.compare.finished_runs import FinishedRun
from holdfast.bench.compare.grid import Grid, Key
from holdfast.bench.compare.side import Side
from holdfast.bench.compare.tradeoff_record import AboutRow, DoseRow, MatchedRow, RecipeRow, SetOff, TradeOff
from holdfast.bench.measured.verdict import verdict
from holdfast.core.budget import Budget
from holdfast.stats.draws import interval
from holdfast.stats.frontier import hypervolume, lost_at, on_front
from holdfast.stats.size import LEAST

Bools = npt.NDArray[np.bool_]
DRAWS = 1000
"""Imagined repetitions from which intervals are read."""


def tradeoff(runs: Sequence[FinishedRun], *, reach: float = 0.95, budget: Budget | None = None) -> TradeOff:
    """Returns the trade-off of runs that measured the same; what was not measured is absent.

    Args:
        runs: Finished runs of one model on one set of data (`holdfast.bench.compare.finished_runs.comparable_runs`).
        reach: Share of what the best plain dose learns that is to be learned (of the best of all, where none is plain).
        budget: What may be lost, by which each recipe is judged.

    Raises:
        HoldfastError: No item was asked of all runs, or nothing measures what is learned or kept.
    """
    grid = Grid.of(runs)
    proof = Side(grid, "proof" if grid.chooses else None, DRAWS)
    watch = Side(grid, "watch", 0) if grid.chooses else proof
    chosen = [_choose(grid.doses(i), watch, _goal(grid, watch, reach)) for i in range(len(grid.recipes))]
    front_BR = on_front(
        np.stack([proof.learned[one.key] for one in chosen], 1), np.stack([proof.lost[one.key] for one in chosen], 1)
    )
    goal = _goal(grid, proof, reach)
    rows = [_recipe(grid, proof, one, goal, front_BR[:, i], budget) for i, one in enumerate(chosen)]
    order = sorted(range(len(rows)), key=lambda i: chosen[i].place)
    return TradeOff(
        about=_about(next(iter(grid.runs.values())).spec, grid.seeds),
        unit=proof.unit,
        learned_unit=proof.learned_unit,
        items=proof.items,
        chosen=grid.chooses,
        base=float(proof.before),
        goal=goal,
        recipes=tuple(rows[i] for i in order),
        hypervolume=_volume(proof, grid.keys),
        notes=tuple(_notes(grid, proof, [one.key for one in chosen])),
    )


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """The dose of a recipe: where it stands, whether it reaches the goal, and what recipes are ordered by: those that
    reach it by what they lose, the others by what they learn.
    """

    key: Key
    reached: bool
    place: tuple[bool, float]


def _goal(grid: Grid, side: Side, reach: float) -> float:
    """Returns what is to be learned over the base."""
    return reach * max(float(side.learned[key][0]) for key in grid.plain_keys or grid.keys)


def _choose(doses: Sequence[Key], watch: Side, goal: float) -> _Chosen:
    """Returns the dose that loses least among those that reach the goal, else the one that learns most."""
    reach = [key for key in doses if watch.learned[key][0] >= goal]
    if reach:
        key = min(reach, key=lambda key: float(watch.lost[key][0]))
        return _Chosen(key, True, (False, float(watch.lost[key][0])))
    key = max(doses, key=lambda key: float(watch.learned[key][0]))
    return _Chosen(key, False, (True, -float(watch.learned[key][0])))


def _recipe(grid: Grid, side: Side, chosen: _Chosen, goal: float, front_B: Bools, budget: Budget | None) -> RecipeRow:
    """Returns a row: the chosen dose, what it learned and lost, what it cost, and every dose."""
    key, place = chosen.key, chosen.key[0]
    stated, doses = side.of(key), grid.doses(place)
    time, memory = grid.costs(place)
    known_B = ~np.isnan(side.lost[key][1:])
    return RecipeRow(
        recipe=grid.name(key),
        text=repr(grid.recipes[place]) or "Train()",
        reached=chosen.reached,
        seeds=grid.seeds_of(key),
        rate=grid.rate(key),
        **vars(stated),
        flips=side.flips(key),
        time_ratio=time,
        memory_ratio=memory,
        trained_share=grid.trained_share(place),
        verdict=None if budget is None else verdict(side.changes(key), budget),
        matched=_matched(side, doses, goal),
        front_share=float(front_B[1:][known_B].mean()),
        on_front=bool(front_B[0]),
        hypervolume=_volume(side, doses, grid.keys),
        doses=tuple(
            DoseRow(rate=grid.rate(dose), learned=side.of(dose).learned, lost=side.of(dose).lost) for dose in doses
        ),
    )


def _matched(side: Side, doses: Sequence[Key], goal: float) -> MatchedRow:
    """Returns what is lost at the goal, and in how many of the repetitions it is reached."""
    learned_BD = np.stack([side.learned[key] for key in doses], 1)
    lost_BD = np.stack([side.lost[key] for key in doses], 1)
    drawn = np.array([lost_at(y, x, goal) for y, x in zip(learned_BD.tolist(), lost_BD.tolist(), strict=True)])
    known_B = ~np.isnan(learned_BD[1:]).any(1)
    share = float(np.mean(~np.isnan(drawn[1:][known_B])))
    if math.isnan(drawn[0]):
        return MatchedRow(reached=share)
    low, high = interval(drawn) or (None, None)
    return MatchedRow(reached=share, value=float(drawn[0]), low=low, high=high)


def _volume(side: Side, keys: Sequence[Key], every: Sequence[Key] | None = None) -> float | None:
    """Returns the share of the plane of learned and kept that some doses cover, the plane spanned by `every` dose."""
    most = max(float(side.learned[key][0]) for key in every or keys)
    most_lost = max(float(side.lost[key][0]) for key in every or keys)
    if most <= 0 or most_lost <= 0:
        return None
    learned, lost = ([float(of[key][0]) for key in keys] for of in (side.learned, side.lost))
    return hypervolume(learned, lost, most, most_lost)


def _about(spec: Mapping[str, object], seeds: Sequence[int]) -> AboutRow:
    """Returns what the runs have in common."""
    named = {name: spec[name] for name in ("model", "data", "test", "transfer", "keep") if spec.get(name)}
    return AboutRow.from_dict({**named, "seeds": list(seeds)}, "spec.json")


def _notes(grid: Grid, proof: Side, chosen: Sequence[Key]) -> list[str]:
    """Returns sentences about what was left out, and about what can be said."""
    common, notes = proof.common, list(grid.notes)
    if common.whole:
        notes.append(f"Of {', '.join(common.whole)} there is one side only: doses are chosen on what is stated.")
    for suite in common.beside:
        notes.append(f"{suite} is measured in {common.unit(suite)}, beside the mean of what is lost.")
    if not grid.plain_keys:
        notes.append("No run is plain training: the goal is a share of what the best of all learns.")
    for key in chosen:
        if (there := grid.seeds_of(key)) < len(grid.seeds):
            notes.append(f"{grid.name(key)} has {there} of {len(grid.seeds)} seeds.")
    notes += _about_seeds(len(grid.seeds))
    for key in chosen:
        notes += _set_off(grid.name(key), proof.of(key).set_off, proof.unit)
    return notes


def _set_off(name: str, parts: SetOff, unit: str) -> list[str]:
    """Returns a sentence where gains of some suites make up for losses of others that are of interest."""
    if min(parts.lost, parts.gained) < LEAST[unit]:
        return []
    places = 1 if unit == "points" else 3
    gained = ", ".join(parts.gained_in[:3]) + (", ..." if len(parts.gained_in) > 3 else "")
    return [
        f"{name}: suites that got better ({gained}) take {parts.gained:.{places}f} off what is lost; the others "
        f"lost {parts.lost:.{places}f}."
    ]


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
