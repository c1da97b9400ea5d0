"""The items that compare runs, and what each recipe learned and lost on them at each dose, with intervals."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from holdfast.bench.compare.finished_runs import FinishedRun
from holdfast.bench.compare.grid import Grid, Key
from holdfast.bench.compare.tradeoff_record import FlipsRow, ItemCounts, LearnedAmount, SetOff, WorstSuite
from holdfast.bench.measured.learning import LearnedBeforeRewind, learning_of
from holdfast.bench.measured.outcome import Amount, UnitAmount
from holdfast.bench.measured.verdict import gains_and_losses
from holdfast.bench.run.rewind import learned_before_rewind
from holdfast.core.errors import HoldfastError
from holdfast.probes.changes import SuiteChange, mean_of, over_seeds
from holdfast.probes.score import Score, proof
from holdfast.stats.draws import Draws, Suite

Floats = npt.NDArray[np.float64]
Items = Mapping[str, Mapping[str, Score]]
"""The base's scores, by suite and item."""
ERROR = 0.05
"""One minus the confidence of all intervals."""


@dataclasses.dataclass(frozen=True)
class CommonItems:
    """The items of a side that all runs were asked, and the roles of their suites.

    Attributes:
        items: The base's scores on them, by suite and item.
        whole: Suites whose items all lie on one side; they count on both.
        kept: Retained suites whose mean is the loss: those in points, or all if none is in points.
        beside: Retained suites in another unit than `kept`.
        learned: Suites that measure learning: those in points, or all if none is in points.
        moved: Suites that measure transfer.
    """

    items: Items
    whole: Sequence[str]
    kept: Sequence[str]
    beside: Sequence[str]
    learned: Sequence[str]
    moved: Sequence[str]

    @classmethod
    def of(cls, runs: Sequence[FinishedRun], side: Literal["watch", "proof"] | None) -> CommonItems:
        """Returns the items of a side; with None, all items that steered no run.

        Raises:
            HoldfastError: No item was asked of all runs, or no suite measures what is learned or kept.
        """
        items, whole = _of_side(_asked_of_all(runs, side is None), side)
        if not items:
            raise HoldfastError(
                f"No item was asked of all runs in {runs[0].folder.parent}; compare runs that measure the same files."
            )
        roles: dict[str, list[str]] = {"learned": [], "retained": [], "transfer": []}
        for suite, scores in items.items():
            roles[_first(scores).role].append(suite)
        learned, kept = roles["learned"], roles["retained"]
        if not learned or not kept:
            what, flag = ("no suite to keep", "--keep") if learned else ("no learning", "--test")
            raise HoldfastError(f"The runs in {runs[0].folder.parent} measure {what}; give {flag}.")
        judged = _in_points(kept, items)
        beside = [suite for suite in kept if suite not in judged]
        return cls(items, whole, judged, beside, _in_points(learned, items), roles["transfer"])

    def unit(self, suite: str) -> str:
        """Returns the unit of a suite."""
        return _first(self.items[suite]).unit

    def count(self, suites: Sequence[str]) -> int:
        """Returns the number of items of some suites."""
        return sum(len(self.items[suite]) for suite in suites)


def _first(items: Mapping[str, Score]) -> Score:
    return next(iter(items.values()))


def _in_points(suites: list[str], items: Items) -> list[str]:
    """Returns the suites in points; all if none is in points."""
    return [suite for suite in suites if _first(items[suite]).unit == "points"] or suites


def _asked_of_all(runs: Sequence[FinishedRun], unsteered: bool) -> dict[str, list[Score]]:
    """Returns the base's scores on the items of all runs, by suite; `unsteered` leaves out items that steered a run."""
    asked = set.intersection(*({(suite, item) for suite in run.after for item in run.after[suite]} for run in runs))
    rows = [row for row in runs[0].before if (row.suite, row.item) in asked]
    for guard in (run.record.guard for run in runs) if unsteered else ():
        rows = proof(rows, () if guard is None else guard.watched)
    by_suite: dict[str, list[Score]] = {}
    for row in rows:
        by_suite.setdefault(row.suite, []).append(row)
    return by_suite


def _of_side(asked: Mapping[str, list[Score]], side: str | None) -> tuple[Items, list[str]]:
    """Returns the items of a side by suite, and the suites whose items all lie on one side."""
    items, one_side_only = dict[str, dict[str, Score]](), []
    for suite, scores in asked.items():
        one_sided = len({row.split for row in scores}) < 2
        if one_sided and scores[0].role != "transfer" and side is not None:
            one_side_only.append(suite)
        items[suite] = {row.item: row for row in scores if side is None or one_sided or row.split == side}
    return items, one_side_only


@dataclasses.dataclass(frozen=True)
class DoseResult:
    """The results of a recipe at a dose, as `tradeoff_record.RecipeRow` holds them."""

    learned: LearnedAmount
    transfer: UnitAmount | None
    lost: Amount
    suites: Mapping[str, Amount]
    worst: WorstSuite
    set_off: SetOff


class Side:
    """The results of the runs on the items of one side of every suite, or on all items that steered no run.

    Numbers, intervals and words are those of a run's own table (`holdfast.probes.changes`), with seeds drawn if there
    are several. A bootstrap gives what has no formula: which recipes are on the front, and the loss at the goal.

    Attributes:
        common: The items.
        unit: Unit of losses.
        learned_unit: Unit of learning.
        items: Number of items that measure learning, and of items to keep.
        before: Mean score of the base on the suites that measure learning.
        learned: Gain over the base in each repetition, `[B]`, by recipe and dose.
        lost: Loss in the mean of the retained suites in each repetition, `[B]`, by recipe and dose.
    """

    def __init__(self, grid: Grid, side: Literal["watch", "proof"] | None, draws: int) -> None:
        """Reads the scores of the runs.

        Raises:
            HoldfastError: No item was asked of all runs, or no suite measures what is learned or kept.
        """
        self.runs = grid.runs
        self._stated: dict[Key, DoseResult] = {}
        self.common = common = CommonItems.of(list(self.runs.values()), side)
        self.unit, self.learned_unit = common.unit(common.kept[0]), common.unit(common.learned[0])
        self.items = ItemCounts(learned=common.count(common.learned), kept=common.count(common.kept))
        columns = {suite: self._drawn(suite) for suite in common.items}
        drawn = Draws.of(list(columns.values()), len(grid.seeds), draws)
        over = {suite: drawn.means(scores) for suite, scores in columns.items()}  # [B, C], before in the last column
        self.before = statistics.fmean(float(over[suite][0, -1]) for suite in common.learned)
        self.learned = {key: self._over_seeds(drawn, over, key, grid, common.learned, -1.0) for key in grid.keys}
        self.lost = {key: self._over_seeds(drawn, over, key, grid, common.kept, 1.0) for key in grid.keys}

    def _drawn(self, suite: str) -> Suite:
        """Returns the scores of a suite's items, `[N, C]`: a column for each run, and the base in the last column."""
        rows = list(self.common.items[suite].values())
        columns = [[run.after[suite][row.item].value for row in rows] for run in self.runs.values()]
        columns.append([row.value for row in rows])
        return Suite([row.group for row in rows], np.array([row.weight for row in rows]), np.array(columns).T)

    def _over_seeds(
        self, drawn: Draws, over: Mapping[str, Floats], key: Key, grid: Grid, suites: Sequence[str], sign: float
    ) -> Floats:
        """Returns the loss of a recipe at a dose (the gain if `sign` is -1), `[B]`, in the mean of suites and seeds."""
        by_seed = np.full((len(drawn.seeds), len(grid.seeds)), np.nan)
        for column, (run_key, seed) in enumerate(self.runs):
            if run_key == key:
                by_seed[:, seed] = np.mean([sign * self._worse(over[suite], suite, column) for suite in suites], 0)
        return drawn.over_seeds(by_seed)

    def _worse(self, means: Floats, suite: str, column: int) -> Floats:
        change: Floats = means[:, -1] - means[:, column]
        return change if self.common.unit(suite) == "points" else -change

    def changes(self, key: Key) -> list[SuiteChange]:
        """Returns the change of every suite with a recipe at a dose, over its seeds."""
        before = [row for items in self.common.items.values() for row in items.values()]
        return over_seeds(before, [[run.after[row.suite][row.item] for row in before] for run in self.runs_of(key)])

    def runs_of(self, key: Key) -> list[FinishedRun]:
        """Returns the runs of a recipe at a dose, one for each seed."""
        return [run for (run_key, _), run in self.runs.items() if run_key == key]

    def of(self, key: Key) -> DoseResult:
        """Returns the results of a recipe at a dose, with intervals and words.

        The interval of the worst suite holds for all suites together (Bonferroni), because the largest of many noisy
        losses overstates the truth.
        """
        if key not in self._stated:
            self._stated[key] = self._state(key)
        return self._stated[key]

    def _state(self, key: Key) -> DoseResult:
        changes = {change.name: change for change in self.changes(key)}
        runs = self.runs_of(key)
        guards = [learned_before_rewind(run.record.guard, run.before) for run in runs]
        kept = [changes[suite] for suite in self.common.kept]
        learned = mean_amount([changes[suite] for suite in self.common.learned], 1.0, self.before)
        word = learning_of(list(changes.values()), _mean_over_guards(guards)).word
        worst = max(kept, key=lambda change: change.lost)
        parts = gains_and_losses({change.name: change.change for change in kept}, self.unit)
        return DoseResult(
            learned=LearnedAmount(**vars(learned), word=word),
            transfer=_transfer([changes[suite] for suite in self.common.moved]),
            lost=mean_amount(kept, -1.0),
            suites={change.name: mean_amount([change], -1.0) for change in kept},
            worst=WorstSuite(suite=worst.name, **vars(mean_amount([worst], -1.0, of=len(kept))), of=len(kept)),
            set_off=SetOff(lost=parts.lost, gained=parts.gained, gained_in=parts.gained_in),
        )

    def flips(self, key: Key) -> FlipsRow | None:
        """Returns the lost and gained answers to items to keep, in the mean over seeds; None without answers."""
        counts = [self._flips(run) for run in self.runs_of(key)]
        if not any(total for _, _, total in counts):
            return None
        lost, gained, total = (statistics.mean(column) for column in zip(*counts, strict=True))
        return FlipsRow(lost=lost, gained=gained, items=int(total))

    def _flips(self, run: FinishedRun) -> tuple[int, int, int]:
        pairs = [
            (before.value, run.after[suite][item].value)
            for suite in self.common.kept
            for item, before in self.common.items[suite].items()
            if before.unit == "points"
        ]
        return sum(now < was for was, now in pairs), sum(now > was for was, now in pairs), len(pairs)


def mean_amount(suites: Sequence[SuiteChange], sign: float, base: float = 0.0, of: int = 1) -> Amount:
    """Returns a mean change as a gain or a loss, with its interval if there is one.

    Args:
        suites: Changes of suites of one unit.
        sign: 1 for a gain, -1 for a loss.
        base: Added to changes in points.
        of: Number of suites from which this one was picked; the interval then holds for all of them.
    """
    mean = mean_of(suites)
    sign, base = (sign, base) if mean.unit == "points" else (-sign, 0.0)
    value = base + sign * mean.change
    if not all(suite.known for suite in suites):
        return Amount(value=value)
    low, high = sorted(sign * end for end in mean.interval(1 - ERROR / of))
    if not math.isfinite(high - low):
        return Amount(value=value)
    return Amount(value=value, low=base + low, high=base + high)


def _transfer(suites: Sequence[SuiteChange]) -> UnitAmount | None:
    """Returns the gain in a shifted domain, which has at most one suite; None without one."""
    if not suites:
        return None
    moved = suites[0]
    return UnitAmount(**vars(mean_amount([moved], 1.0, moved.before)), unit=moved.unit)


def _mean_over_guards(guards: Sequence[LearnedBeforeRewind | None]) -> LearnedBeforeRewind | None:
    """Returns the mean over the runs whose guard restored an earlier model; None if none did."""
    rewinds = [rewind for rewind in guards if rewind is not None]
    if not rewinds:
        return None
    return LearnedBeforeRewind(
        statistics.fmean(rewind.most for rewind in rewinds),
        rewinds[0].unit,
        len(rewinds) == len(guards) and all(rewind.started for rewind in rewinds),
    )
