"""Turns finished runs into the trade-off: what each recipe learns, loses and costs.

If a recipe has several doses, the dose is chosen on watched items only, and all results are on the other items. If each
recipe has one dose, all items count that steered no run. Intervals are over items, and over seeds if there are several.
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
"""Number of bootstrap repetitions."""


def tradeoff(runs: Sequence[FinishedRun], *, reach: float = 0.95, budget: Budget | None = None) -> TradeOff:
    """Returns the trade-off of comparable runs; values that were not measured are absent.

    Args:
        runs: Finished runs of one model on one data set (`holdfast.bench.compare.finished_runs.comparable_runs`).
        reach: The goal, as a share of what the best plain dose learns (of the best of all without plain training).
        budget: The budget for a verdict on each recipe; None without one.

    Raises:
        HoldfastError: No item was asked of all runs, or no suite measures what is learned or kept.
    """
    grid = Grid.of(runs)
    proof = Side(grid, "proof" if grid.chooses else None, DRAWS)
    watch = Side(grid, "watch", 0) if grid.chooses else proof
    chosen = [_choose(grid.doses(i), watch, _goal(grid, watch, reach)) for i in range(len(grid.recipes))]
    front_BR = on_front(
        np.stack([proof.learned[choice.key] for choice in chosen], 1),
        np.stack([proof.lost[choice.key] for choice in chosen], 1),
    )
    goal = _goal(grid, proof, reach)
    rows = [_recipe(grid, proof, choice, goal, front_BR[:, i], budget) for i, choice in enumerate(chosen)]
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
        notes=tuple(_notes(grid, proof, [choice.key for choice in chosen])),
    )


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """The chosen dose of a recipe: its key, whether it reaches the goal, and its sort key: recipes that reach the goal
    come first, by their loss, and then the others by their gain.
    """

    key: Key
    reached: bool
    place: tuple[bool, float]


def _goal(grid: Grid, side: Side, reach: float) -> float:
    """Returns the goal: the gain over the base to reach."""
    return reach * max(float(side.learned[key][0]) for key in grid.plain_keys or grid.keys)


def _choose(doses: Sequence[Key], watch: Side, goal: float) -> _Chosen:
    """Returns the dose with the least loss among those that reach the goal, else the one with the largest gain."""
    reach = [key for key in doses if watch.learned[key][0] >= goal]
    if reach:
        key = min(reach, key=lambda key: float(watch.lost[key][0]))
        return _Chosen(key, True, (False, float(watch.lost[key][0])))
    key = max(doses, key=lambda key: float(watch.learned[key][0]))
    return _Chosen(key, False, (True, -float(watch.learned[key][0])))


def _recipe(grid: Grid, side: Side, chosen: _Chosen, goal: float, front_B: Bools, budget: Budget | None) -> RecipeRow:
    """Returns the row of a recipe: the results and the cost of the chosen dose, and every dose."""
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
        symptoms=grid.symptoms_of(key) or None,
        doses=tuple(
            DoseRow(rate=grid.rate(dose), learned=side.of(dose).learned, lost=side.of(dose).lost) for dose in doses
        ),
    )


def _matched(side: Side, doses: Sequence[Key], goal: float) -> MatchedRow:
    """Returns the loss at the goal, and the share of repetitions that reach it."""
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
    """Returns the hypervolume of some doses, in the plane of learned and kept that the doses `every` span."""
    most = max(float(side.learned[key][0]) for key in every or keys)
    most_lost = max(float(side.lost[key][0]) for key in every or keys)
    if most <= 0 or most_lost <= 0:
        return None
    learned, lost = ([float(of[key][0]) for key in keys] for of in (side.learned, side.lost))
    return hypervolume(learned, lost, most, most_lost)


def _about(spec: Mapping[str, object], seeds: Sequence[int]) -> AboutRow:
    """Returns the options that all runs share."""
    named = {name: spec[name] for name in ("model", "data", "test", "transfer", "keep") if spec.get(name)}
    return AboutRow.from_dict({**named, "seeds": list(seeds)}, "spec.json")


def _notes(grid: Grid, proof: Side, chosen: Sequence[Key]) -> list[str]:
    """Returns notes on what is left out, and on the limits of the results."""
    common, notes = proof.common, list(grid.notes)
    if common.whole:
        notes.append(
            f"{', '.join(common.whole)}: one side only, so doses are chosen on the items that the table states."
        )
    for suite in common.beside:
        notes.append(f"{suite} is measured in {common.unit(suite)} and not part of the mean loss.")
    if not grid.plain_keys:
        notes.append("No run is plain training: the goal is a share of what the best run learns.")
    for key in chosen:
        if (there := grid.seeds_of(key)) < len(grid.seeds):
            notes.append(f"{grid.name(key)} has {there} of {len(grid.seeds)} seeds.")
    notes += _about_seeds(len(grid.seeds))
    for key in chosen:
        notes += _set_off(grid.name(key), proof.of(key).set_off, proof.unit)
        if counts := grid.symptoms_of(key):
            runs = grid.seeds_of(key)
            named = ", ".join(
                name if runs == 1 else f"{name} ({count} of {runs} runs)" for name, count in counts.items()
            )
            notes.append(f"{grid.name(key)} shows symptoms: {named}.")
    return notes


def _set_off(name: str, parts: SetOff, unit: str) -> list[str]:
    """Returns a note if gains of some suites hide notable losses of others."""
    if min(parts.lost, parts.gained) < LEAST[unit]:
        return []
    places = 1 if unit == "points" else 3
    gained = ", ".join(parts.gained_in[:3]) + (", ..." if len(parts.gained_in) > 3 else "")
    return [
        f"{name}: suites that got better ({gained}) take {parts.gained:.{places}f} off what is lost; the others "
        f"lost {parts.lost:.{places}f}."
    ]


def _about_seeds(count: int) -> list[str]:
    """Returns a note on the limits of one or two seeds."""
    if count == 1:
        return [
            "One seed: these statements hold for these runs only; another seed may give another result. "
            "Three to five seeds (--seeds 0 1 2) allow statements about the recipe."
        ]
    if count == 2:
        return [
            "Two seeds show little of the spread between seeds: intervals are wide, and a verdict is rare. Three to "
            "five show more."
        ]
    return []
