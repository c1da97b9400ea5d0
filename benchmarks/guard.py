"""How often does a guard act when it should not, and does it when it should? Simulated runs whose truth is known.

    python benchmarks/guard.py --write docs/studies        (some minutes, no model)

A run is looked at ten times. Sixteen suites of so many watched items each are asked; the base answers 95% right. Losses
grow evenly to what is true at the end, item by item; besides, answers come and go by chance at every look, as often to
the better as to the worse. Each run is judged by the guard, by the same guard without smoothing, and by the 3% rule
(any suite that has fallen by more than 3 points). The budget is two points in the mean of the suites.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from holdfast.bench.machine.files import write_atomically
from holdfast.core.budget import Budget
from holdfast.probes.score import Score
from holdfast.train.control import Look, standing, used_by
from holdfast.train.looks import lost_by

SUITES, LOOKS, RIGHT = 16, 10, 0.95
COMES = 0.3
"""Chance that a wrong answer comes right at a look, by chance; right ones go wrong so that the mean stays."""
BUDGET = Budget(points=2)
FAMILIAR = 3.0
"""Points by which any one suite may fall under the rule that is common in this field."""
TRUTHS = {
    "nothing": [0.0] * SUITES,
    "1 point in each suite": [1.0] * SUITES,
    "2 points in each suite (the budget)": [2.0] * SUITES,
    "4 points in each suite": [4.0] * SUITES,
    "24 points in one suite": [24.0, *[0.0] * (SUITES - 1)],
}
"""Points lost at the end, by suite."""


def run(lost: list[float], items: int, rng: np.random.Generator) -> tuple[list[Look], list[bool], list[float]]:
    """Returns the looks of a run as the guard sees them, whether the 3% rule acts, and the true mean loss at each."""
    before = rng.random((SUITES, items)) < RIGHT
    place = rng.random((SUITES, items))
    share = np.array(lost)[:, None] / 100 / RIGHT
    goes = COMES * (1 - RIGHT) / RIGHT
    looks, familiar, truth = [], [], []
    first = _scores(before)
    for look in range(1, LOOKS + 1):
        chance = rng.random((SUITES, items))
        after = np.where(before, chance >= goes, chance < COMES) & (place >= share * look / LOOKS)
        looks.append(Look(look, *lost_by(zip(first, _scores(after), strict=True), BUDGET)))
        familiar.append(bool(100 * (before.mean(1) - after.mean(1)).max() > FAMILIAR))
        truth.append(float(np.mean(lost)) * look / LOOKS)
    return looks, familiar, truth


def _scores(right: np.ndarray) -> list[Score]:
    same = {"role": "retained", "split": "watch", "unit": "points", "higher_is_better": True}
    return [
        Score(**same, suite=f"{s}", item=f"{i}", group=f"{s} {i}", value=100.0 * bool(v))
        for s, row in enumerate(right)
        for i, v in enumerate(row)
    ]


def row(name: str, lost: list[float], items: int, runs: int, rng: np.random.Generator) -> str:
    acted = np.zeros(3)
    kept, over = [], 0
    for _ in range(runs):
        looks, familiar, truth = run(lost, items, rng)
        spent = [standing(looks[: i + 1], BUDGET, "log").spent for i in range(LOOKS)]
        at_once = [look.beyond or used_by(look, BUDGET) > 1 for look in looks]
        acted += [any(spent), any(at_once), any(familiar)]
        best = standing(looks, BUDGET, "log").best
        kept.append(0.0 if best is None else truth[best])
        over += kept[-1] > 2
    shares = " | ".join(f"{share:.3f}" for share in acted / runs)
    return f"| {name} | {SUITES} x {items} | {shares} | {np.mean(kept):.2f} | {over / runs:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--write", type=Path, default=Path("docs/studies"))
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    lines = [f"{given.runs:,} simulated runs a row, {LOOKS} looks each; a loss of 2 points is allowed.", ""]
    lines += ["| truly lost at the end | watched items | guard acts | acts, unsmoothed | acts, by the 3% rule "]
    lines[-1] += "| true loss of the model kept | that is above 2 |"
    lines += ["|---|---|---|---|---|---|---|"]
    lines += [row(name, lost, n, given.runs, rng) for name, lost in TRUTHS.items() for n in (8, 32, 128)]
    text = "\n".join(lines) + "\n"
    write_atomically(given.write / "guard-tables.md", text)
    print(text)


if __name__ == "__main__":
    main()
