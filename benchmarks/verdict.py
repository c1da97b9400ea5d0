"""How often are intervals and verdicts wrong? Simulated evaluations whose truth is known, and the 3% rule beside them.

    python benchmarks/verdict.py --write docs/studies        (some minutes, no model)

Every row is a truth: so many items, in groups or not, of which some are lost and some gained. Losses within a group are
correlated (beta-binomial). At the border the true loss is exactly what is allowed, where either word is an error: what
is said there is the rate of false words at its worst.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from holdfast.bench.files import write_atomically
from holdfast.stats.draws import Draws, Suite, interval
from holdfast.stats.flips import flips
from holdfast.stats.graded import graded
from holdfast.stats.pooled import pooled
from holdfast.stats.verdict import judge, together

ALLOWED = 0.02


@dataclasses.dataclass(frozen=True)
class Truth:
    """Groups of so many items, the shares of items lost and gained, and how far the items of a group fall together."""

    groups: int
    size: int
    lost: float
    gained: float
    within: float = 0.0

    @property
    def change(self) -> float:
        """Returns the true change of the share right."""
        return (1 - self.lost) * self.gained - self.lost

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Returns what is right before and after, and the group of each item."""
        place = np.repeat(np.arange(self.groups), self.size)
        share = np.full(self.groups, self.lost)
        if self.within and self.lost:
            spread = 1 / self.within - 1
            share = rng.beta(self.lost * spread, (1 - self.lost) * spread, self.groups)
        gone = rng.random(len(place)) < share[place]
        before = gone | (rng.random(len(place)) >= self.gained)
        return before.astype(int), (~gone).astype(int), place if self.size > 1 else None


def border(groups: int, size: int, gained: float, within: float) -> Truth:
    """Returns a truth whose loss is exactly what is allowed."""
    return Truth(groups, size, (ALLOWED + gained) / (1 + gained), gained, within)


COVERED = (
    Truth(5, 1, 0.0, 0.0),
    Truth(5, 1, 0.1, 0.05),
    Truth(26, 1, 0.05, 0.05),
    Truth(100, 1, 0.02, 0.01),
    Truth(1000, 1, 0.001, 0.0),
    Truth(1000, 1, 0.05, 0.03),
    Truth(100, 10, 0.02, 0.02, 0.0),
    Truth(100, 10, 0.02, 0.02, 0.3),
    Truth(100, 10, 0.05, 0.02, 0.9),
    Truth(20, 20, 0.05, 0.02, 0.5),
    Truth(36, 15, 0.02, 0.0, 0.9),
    Truth(10, 30, 0.05, 0.05, 0.3),
)
BORDER = (
    border(5, 1, 0.0, 0.0),
    border(26, 1, 0.0, 0.0),
    border(26, 1, 0.05, 0.0),
    border(100, 1, 0.02, 0.0),
    border(1000, 1, 0.0, 0.0),
    border(1000, 1, 0.05, 0.0),
    border(100, 10, 0.02, 0.1),
    border(100, 10, 0.02, 0.5),
    border(20, 20, 0.02, 0.5),
)
UNCHANGED = (Truth(26, 1, 0.02, 0.02), Truth(100, 1, 0.02, 0.02), Truth(1000, 1, 0.02, 0.02))


def coverage(truth: Truth, runs: int, rng: np.random.Generator) -> float:
    held = 0
    for _ in range(runs):
        low, high = flips(*truth.draw(rng)).interval()
        held += low <= truth.change <= high
    return held / runs


def words(truth: Truth, runs: int, rng: np.random.Generator) -> tuple[float, float, float]:
    """Returns how often it is said to be kept, to have forgotten, and by the 3% rule to have forgotten."""
    kept = forgot = rule = 0
    for _ in range(runs):
        found = flips(*truth.draw(rng))
        word = judge(found, ALLOWED).word
        kept, forgot, rule = kept + (word == "kept"), forgot + (word == "forgot"), rule + (found.change < -0.03)
    return kept / runs, forgot / runs, rule / runs


def graded_words(items: int, share: float, stir: float, runs: int, rng: np.random.Generator) -> str:
    """Returns what is said of graded answers: some lose as much as makes up what is allowed, and all move a little."""
    said = {"kept": 0, "forgot": 0, "not enough evidence": 0}
    for _ in range(runs):
        before = rng.choice([0.6, 0.7, 0.8], items)
        after = before + np.where(rng.random(items) < share, -ALLOWED / share, 0) + rng.uniform(-stir, stir, items)
        said[judge(graded(before, after), ALLOWED).word] += 1
    about = f"| {items} | {share:g} | {ALLOWED / share:g} | {stir:g} |"
    return f"{about} {said['kept'] / runs:.3f} | {said['forgot'] / runs:.3f} |"


def averaged_words(items: int, seeds: int, alike: float, runs: int, rng: np.random.Generator) -> str:
    """Returns what is said of the mean over seeds of items that are right or wrong, some alike in all seeds."""
    said = {"kept": 0, "forgot": 0, "not enough evidence": 0}
    for _ in range(runs):
        shared = rng.random(items)
        own = [np.where(rng.random(items) < alike, shared, rng.random(items)) >= ALLOWED for _ in range(seeds)]
        said[judge(graded(np.ones(items), np.mean(own, 0)), ALLOWED).word] += 1
    return f"| {items} | {seeds} | {alike:g} | {said['kept'] / runs:.3f} | {said['forgot'] / runs:.3f} |"


def together_words(suites: int, items: int, lost: float, runs: int, rng: np.random.Generator) -> str:
    """Returns what is said of several suites and of their mean, each of which lost exactly what is allowed."""
    said = {"kept": 0, "forgot": 0, "not enough evidence": 0}
    for _ in range(runs):
        parts = []
        for _ in range(suites):
            right, moves = rng.random(items) < 0.8, rng.random(items)
            parts.append(flips(right, np.where(right, moves >= lost / 0.8, moves < (lost - ALLOWED) / 0.2)))
        said[together([judge(part, ALLOWED) for part in parts], [judge(pooled(parts), ALLOWED)])] += 1
    return f"| {suites} | {items} | {lost:g} | {said['kept'] / runs:.3f} | {said['forgot'] / runs:.3f} |"


def seed_coverage(seeds: int, spread: float, runs: int, rng: np.random.Generator) -> str:
    """Returns how often the interval over items and seeds of a comparison holds the truth."""
    items, truth, held = 300, 0.1, 0
    for run in range(runs):
        shares, shared = truth + rng.normal(0, spread, seeds), rng.random(items)
        own = [np.where(rng.random(items) < 0.7, shared, rng.random(items)) < share for share in shares]
        suite = Suite(range(items), np.ones(items), np.array(own, dtype=np.float64).T)
        draws = Draws.of([suite], seeds, 1000, run)
        low, high = interval(draws.over_seeds(draws.means(suite))) or (0.0, 0.0)
        held += low <= truth <= high
    return f"| {seeds} | {100 * spread:g} | {held / runs:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--write", type=Path, default=Path("docs/studies"))
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    lines = [f"{given.runs:,} simulated evaluations a row; a loss of {100 * ALLOWED:g} points is allowed.", ""]
    head = "| groups x items | lost | gained | correlation within a group |"
    lines += [f"### How often a 95% interval holds the truth\n\n{head} held |", "|---|---|---|---|---|"]
    for truth in COVERED:
        lines.append(f"{_about(truth)} {coverage(truth, given.runs, rng):.3f} |")
    said = f"{head} kept | forgot | forgot, by the 3% rule |"
    lines += ["", "### What is said where the true loss is exactly what is allowed (either word is wrong)", "", said]
    lines += ["|---|---|---|---|---|---|---|"]
    lines += [_words(truth, given.runs, rng) for truth in BORDER]
    lines += ["", "### What is said where nothing is lost (forgot is wrong)", "", said, "|---|---|---|---|---|---|---|"]
    lines += [_words(truth, given.runs, rng) for truth in UNCHANGED]
    fewer = given.runs // 4
    lines += ["", "### Graded answers, at the border: some items lose a part of their score", ""]
    lines += [
        "| items | share that lose | lost by each | all move by up to | kept | forgot |",
        "|---|---|---|---|---|---|",
    ]
    kinds = ((0.04, 0.0), (0.2, 0.0), (0.04, 0.05), (0.2, 0.1))
    lines += [graded_words(n, *kind, given.runs, rng) for n in (5, 20, 100, 300, 1000) for kind in kinds]
    lines += ["", "### Answers averaged over seeds, at the border", ""]
    lines += ["| items | seeds | items alike in all seeds | kept | forgot |", "|---|---|---|---|---|"]
    lines += [averaged_words(n, *of, given.runs, rng) for n in (60, 300) for of in ((2, 0.8), (3, 0.8), (3, 0.5))]
    lines += ["", f"### Several suites and their mean, each at the border ({fewer:,} evaluations a row)", ""]
    lines += ["| suites | items of each | lost of all | kept | forgot |", "|---|---|---|---|---|"]
    lines += [together_words(*of, fewer, rng) for of in ((4, 200, 0.05), (8, 200, 0.05), (16, 300, 0.05))]
    lines += [
        "",
        f"### How often the 95% interval of a comparison, over items and seeds, holds the truth ({fewer:,} a row)",
        "",
    ]
    lines += ["| seeds | standard deviation of seeds, points | held |", "|---|---|---|"]
    lines += [seed_coverage(seeds, spread, fewer, rng) for seeds in (2, 3, 5) for spread in (0.0, 0.02, 0.05)]
    text = "\n".join(lines) + "\n"
    write_atomically(given.write / "verdict-tables.md", text)
    print(text)


def _about(truth: Truth) -> str:
    return f"| {truth.groups} x {truth.size} | {truth.lost:.3f} | {truth.gained:.3f} | {truth.within:g} |"


def _words(truth: Truth, runs: int, rng: np.random.Generator) -> str:
    return f"{_about(truth)} " + " | ".join(f"{share:.3f}" for share in words(truth, runs, rng)) + " |"


if __name__ == "__main__":
    main()
