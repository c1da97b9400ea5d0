"""The items on which runs are compared: what each recipe learned and lost on them at each dose, with intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from holdfast.bench.changes import SuiteChange, ends, mean_of, over_seeds
from holdfast.bench.gather import Finished
from holdfast.bench.guarded import proof
from holdfast.bench.judge import parted
from holdfast.bench.learned import Seen, learning, seen
from holdfast.bench.records import ScoreRow
from holdfast.core.errors import HoldfastError
from holdfast.stats.draws import Draws, Suite

Floats = npt.NDArray[np.float64]
Key = tuple[int, int]
"""A recipe and a dose, by their places."""
ERROR = 0.05
"""One minus the confidence of all intervals."""


class Side:
    """The items of one side of every suite, or all that steered no run, and what the runs did on them.

    What is stated has the number, interval and word that the run's own table has (`holdfast.bench.changes`), with the
    seeds drawn where there are several. Repetitions are drawn for what no formula gives: who is on the front, and what
    is lost at the goal.

    Attributes:
        learned: Improvement over the base on what measures the learning, in each repetition, `[B]`, by recipe and dose.
        lost: Loss in the mean of the suites that are kept, likewise.
        kept: The suites that are kept whose mean is what is lost.
        beside: Suites that are kept, and measured in another unit than those.
        unit: The unit of what is lost.
        learned_unit: The unit of what is learned.
        before: What the base scored on what measures the learning.
        whole: Suites that have items of one side only, which stand on both.
        items: Number of items of what is learned, and of what is kept.
    """

    def __init__(
        self,
        runs: Mapping[tuple[Key, int], Finished],
        seeds: int,
        side: Literal["watch", "proof"] | None,
        draws: int,
    ) -> None:
        """Reads the scores of `runs`, by recipe, dose and the place of their seed.

        Raises:
            HoldfastError: No item was asked of all runs, or nothing measures what is learned or kept.
        """
        self.whole: list[str] = []
        self._runs = runs
        first = next(iter(runs.values()))
        self._items = self._common(list(runs.values()), side)
        roles = {suite: next(iter(items.values())).role for suite, items in self._items.items()}
        self.units = units = {suite: next(iter(items.values())).unit for suite, items in self._items.items()}
        kept = [suite for suite, role in roles.items() if role == "retained"]
        learned = [suite for suite, role in roles.items() if role == "learned"]
        if not learned or not kept:
            what, flag = ("is to be kept", "--keep") if learned else ("is learned", "--test")
            raise HoldfastError(f"The runs in {first.folder.parent} measure nothing of what {what}; give {flag}.")
        self.kept, self._learned = ([s for s in own if units[s] == "points"] or own for own in (kept, learned))
        self.beside = [suite for suite in kept if suite not in self.kept]
        self._moved = [suite for suite, role in roles.items() if role == "transfer"]
        self.unit, self.learned_unit = units[self.kept[0]], units[self._learned[0]]
        self.items = {
            name: sum(len(self._items[suite]) for suite in own)
            for name, own in (("learned", self._learned), ("kept", self.kept))
        }
        self._of: dict[Key, dict[str, Any]] = {}
        columns = list(runs.items())
        made = {suite: self._suite(suite, [run for _, run in columns]) for suite in self._items}
        drawn = Draws.of(list(made.values()), seeds, draws)
        over = {suite: drawn.means(one) for suite, one in made.items()}  # [B, C], before in the last column

        def worse(suite: str, column: int) -> Floats:
            sign = 1.0 if units[suite] == "points" else -1.0
            change: Floats = over[suite][:, -1] - over[suite][:, column]
            return sign * change

        def by_key(suites: Sequence[str], sign: float) -> dict[Key, Floats]:
            found = {}
            for key in sorted({key for key, _ in runs}):
                by_seed = np.full((len(drawn.seeds), seeds), np.nan)
                for column, ((own, seed), _) in enumerate(columns):
                    if own == key:
                        by_seed[:, seed] = np.mean([sign * worse(suite, column) for suite in suites], 0)
                found[key] = drawn.over_seeds(by_seed)
            return found

        self.before = statistics.fmean(float(over[suite][0, -1]) for suite in self._learned)
        self.learned, self.lost = by_key(self._learned, -1.0), by_key(self.kept, 1.0)

    def of(self, key: Key) -> dict[str, Any]:
        """Returns what a recipe did at a dose: `learned`, `transfer`, `lost` and `suites`, with intervals and words.

        `worst` is the suite that lost most of `of` suites, with the interval that holds for all of them together
        (Bonferroni): the largest of many noisy losses is larger than the truth, and its own interval does not know that
        it was picked. `set_off` is what some suites gained and others lost of the mean.
        """
        if key not in self._of:
            self._of[key] = self._made(key)
        return self._of[key]

    def changes(self, key: Key) -> list[SuiteChange]:
        """Returns what became of every suite with a recipe at a dose, over the seeds that there are."""
        before = [row for items in self._items.values() for row in items.values()]
        after = [
            [run.after[row.suite][row.item] for row in before] for (own, _), run in self._runs.items() if own == key
        ]
        return over_seeds(before, after)

    def _made(self, key: Key) -> dict[str, Any]:
        changes = self.changes(key)
        by_name = {one.name: one for one in changes}
        runs = [run for (own, _), run in self._runs.items() if own == key]
        word = learning(changes, _together([seen(run.result.get("guard", {}), run.rows) for run in runs]))
        gain = -1.0 if self.unit == "points" else 1.0
        learned = self._ends([by_name[suite] for suite in self._learned], self.learned_unit, 1.0, self.before)
        found: dict[str, Any] = {"learned": {**learned, "word": word["word"]}}
        if self._moved:
            moved = by_name[self._moved[0]]
            base = moved.evidence.before * moved.scale if moved.unit == "points" else 0.0
            found["transfer"] = {**self._ends([moved], moved.unit, 1.0, base), "unit": moved.unit}
        kept = [by_name[suite] for suite in self.kept]
        found["lost"] = self._ends(kept, self.unit, -1.0)
        found["suites"] = {one.name: self._ends([one], self.unit, -1.0) for one in kept}
        worst = max(kept, key=lambda one: gain * one.evidence.change)
        found["worst"] = {"suite": worst.name, **self._ends([worst], self.unit, -1.0, of=len(kept)), "of": len(kept)}
        parts = parted({one.name: one.scale * one.evidence.change for one in kept}, self.unit)
        found["set_off"] = {"lost": parts["lost"], "gained": parts["gained"], "gained_in": parts["gained_in"]}
        return found

    @staticmethod
    def _ends(
        suites: Sequence[SuiteChange], unit: str, sign: float, base: float = 0.0, of: int = 1
    ) -> dict[str, float]:
        """Returns a mean change as better (sign 1) or worse (-1), over `base`, with its interval where there is one."""
        evidence, scale = mean_of(suites), suites[0].scale
        sign = sign if unit == "points" else -sign
        base = base if unit == "points" else 0.0
        found = {"value": base + sign * scale * evidence.change}
        if not all(one.evidence.groups > 1 or getattr(one.evidence, "identical", False) for one in suites):
            return found
        low, high = sorted(sign * end for end in ends(evidence, unit, 1 - ERROR / of))
        return {**found, "low": base + low, "high": base + high} if math.isfinite(high - low) else found

    def _common(self, runs: Sequence[Finished], side: str | None) -> dict[str, dict[str, ScoreRow]]:
        """Returns the items of a side that all runs were asked, by suite, with the base's scores."""
        found: dict[str, dict[str, ScoreRow]] = {}
        by_suite: dict[str, list[ScoreRow]] = {}
        asked = set.intersection(*({(suite, item) for suite in run.after for item in run.after[suite]} for run in runs))
        rows = [row for row in runs[0].rows if row.moment == "before" and (row.suite, row.item) in asked]
        if side is None:
            for run in runs:
                rows = proof(rows, run.result.get("guard", {}).get("watched", ()))
        for row in rows:
            by_suite.setdefault(row.suite, []).append(row)
        for suite, own in by_suite.items():
            both = len({row.split for row in own}) == 2
            if not both and own[0].role != "transfer" and side is not None:
                self.whole.append(suite)
            found[suite] = {row.item: row for row in own if side is None or not both or row.split == side}
        if not found:
            raise HoldfastError(f"No item was asked of all runs in {runs[0].folder.parent}; compare alike runs.")
        return found

    def _suite(self, suite: str, runs: Sequence[Finished]) -> Suite:
        items = self._items[suite]
        columns = [[run.after[suite][item].value for item in items] for run in runs]
        columns.append([row.value for row in items.values()])
        rows = list(items.values())
        return Suite([r.group for r in rows], np.array([r.weight for r in rows]), np.array(columns).T)

    def flips(self, key: Key) -> dict[str, Any]:
        """Returns how many answers of what is kept were lost and gained, in the mean over seeds; nothing without."""
        counts = [self._flips(run) for (own, _), run in self._runs.items() if own == key]
        if not any(total for _, _, total in counts):
            return {}
        lost, gained, total = (statistics.mean(column) for column in zip(*counts, strict=True))
        return {"flips": {"lost": lost, "gained": gained, "items": int(total)}}

    def _flips(self, run: Finished) -> tuple[int, int, int]:
        lost = gained = total = 0
        for suite in self.kept:
            for item, before in self._items[suite].items():
                if before.unit == "points":
                    now = run.after[suite][item].value
                    lost, gained = lost + (now < before.value), gained + (now > before.value)
                    total += 1
        return lost, gained, total


def _together(guards: Sequence[Seen | None]) -> Seen | None:
    """Returns what the guards of several runs saw learned, in the mean of those that took their run back."""
    back = [one for one in guards if one is not None]
    if not back:
        return None
    return Seen(
        statistics.fmean(one.most for one in back),
        back[0].unit,
        len(back) == len(guards) and all(one.started for one in back),
    )
