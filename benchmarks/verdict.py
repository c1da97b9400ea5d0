"""How often are intervals and verdicts wrong? Simulated evaluations whose truth is known, and the 3% rule beside them.

    python benchmarks/verdict.py --write docs/studies                        (a quarter of an hour, no model)
    python benchmarks/verdict.py --write docs/studies --only seeds recipe    (these tables; the others stay as they are)

Every row is a truth: so many items, in groups or not, of which some are lost and some gained. Losses within a group are
correlated (beta-binomial). At the border the true loss is exactly what is allowed, where either word is an error: what
is said there is the rate of false words at its worst.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from holdfast.bench.machine.files import write_atomically
from holdfast.stats.draws import Draws, Suite, interval
from holdfast.stats.flips import Flips, flips
from holdfast.stats.graded import graded
from holdfast.stats.pooled import pooled
from holdfast.stats.seeds import seeded
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


def small_suites(suites: int, items: int, lost: float, first: tuple[int, float], runs: int, seed: int) -> str:
    """Returns what is said of the mean of small suites, by our interval and by the sum of the suites' own (MOVER).

    Each suite lost exactly what is allowed, or nothing; the share `lost` of all answers became wrong and the others'
    gain makes up for the rest. `first` has the items of the first suite, and what it alone lost more of, for which the
    others lose less.
    """
    cells = []
    for allowed in (ALLOWED, 0.0):
        rng, said = np.random.default_rng(seed), np.zeros(4)
        more = first[1] if allowed else 0.0
        for _ in range(runs):
            parts = []
            for k in range(suites):
                n = first[0] if k == 0 else items
                share = max(0.0, lost + (more if k == 0 else -more / (suites - 1)))
                moves, gained = rng.random(n), max(0.0, lost - allowed)
                right = (moves < share) | ((moves < 1 - gained) & (rng.random(n) < 0.5))
                parts.append(flips(right, np.where(moves < share, False, right | (moves >= 1 - gained))))
            low, high = pooled(parts).interval(0.9)
            under, over = mover(parts, 0.9)
            said += [low > -ALLOWED, high < -ALLOWED, under > -ALLOWED, over < -ALLOWED]
        cells.append([f"{share:.3f}" for share in said / runs])
    (kept, forgot, summed, also), (proved, _, less, _) = cells
    about = f"| {suites} x {items} | {first[0]} | {lost:g} | {first[1]:g} |"
    return f"{about} {kept} | {forgot} | {proved} | {summed} | {also} | {less} |"


def mover(parts: Sequence[Flips], confidence: float) -> tuple[float, float]:
    """Returns the interval of a mean from those of its parts, as Zou and Donner sum them (2008)."""
    ends = np.array([(part.change, *part.interval(confidence)) for part in parts])
    down, up = (float(np.sqrt(((ends[:, 0] - ends[:, side]) ** 2).sum())) / len(ends) for side in (1, 2))
    return float(ends[:, 0].mean()) - down, float(ends[:, 0].mean()) + up


def masked_words(suites: int, items: int, runs: int, rng: np.random.Generator) -> str:
    """Returns what is said where one suite lost twice what is allowed and the others gained so much that none is lost.

    "Kept" is wrong of that suite; before its own test had a say, the mean alone decided.
    """
    said, alone = {"kept": 0, "forgot": 0, "not enough evidence": 0}, 0
    for _ in range(runs):
        parts = []
        for k in range(suites):
            change = -2 * ALLOWED if k == 0 else 2 * ALLOWED / (suites - 1)
            right, moves = rng.random(items) < 0.7, rng.random(items)
            lost, gained = (0.03 + max(0, -change)) / 0.7, (0.03 + max(0, change)) / 0.3
            parts.append(flips(right, np.where(right, moves >= lost, moves < gained)))
        verdicts, mean = [judge(part, ALLOWED) for part in parts], judge(pooled(parts), ALLOWED)
        said[together(verdicts, [mean])] += 1
        alone += mean.word == "kept"
    return f"| {suites} | {items} | {said['kept'] / runs:.3f} | {said['forgot'] / runs:.3f} | {alone / runs:.3f} |"


def recipe_words(seeds: int, spread: float, runs: int, rng: np.random.Generator) -> str:
    """Returns what is said of a recipe whose mean loss is what is allowed: seeds drawn, and seeds taken as fixed."""
    said = {drawn: {"kept": 0, "forgot": 0, "not enough evidence": 0} for drawn in (True, False)}
    items = 2000
    for _ in range(runs):
        before = (rng.random(items) < 0.7).astype(float)
        afters = []
        for loss in np.clip(ALLOWED + rng.normal(0, spread, seeds), -0.05, 0.3):
            lost, gained = (max(loss, 0) + 0.03) / 0.7, (0.03 + max(-loss, 0)) / 0.3
            afters.append(np.where(before == 1, rng.random(items) > lost, rng.random(items) < gained).astype(float))
        found = graded(before, np.mean(afters, 0))
        changes = [float((after - before).mean()) for after in afters]
        shifts = [
            dict(enumerate((after - before - change) / items)) for after, change in zip(afters, changes, strict=True)
        ]
        said[True][judge(seeded(found, changes, shifts), ALLOWED).word] += 1
        said[False][judge(found, ALLOWED).word] += 1
    words = [f"{said[drawn][word] / runs:.3f}" for drawn in (True, False) for word in ("kept", "forgot")]
    return f"| {seeds} | {100 * spread:g} | {' | '.join(words)} |"


def seed_coverage(seeds: int, spread: float, runs: int, rng: np.random.Generator) -> str:
    """Returns how often 95% intervals over items and seeds hold the truth: the stated one, and that of repetitions."""
    items, truth, held, redrawn = 300, 0.1, 0, 0
    for run in range(runs):
        shares, shared = truth + rng.normal(0, spread, seeds), rng.random(items)
        own = [np.where(rng.random(items) < 0.7, shared, rng.random(items)) < share for share in np.clip(shares, 0, 1)]
        scores = np.array(own, dtype=np.float64)
        shifts = [dict(enumerate((row - row.mean()) / items)) for row in scores]
        found = seeded(graded(np.zeros(items), scores.mean(0)), [float(row.mean()) for row in scores], shifts)
        low, high = found.interval()
        held += low <= truth <= high
        suite = Suite(range(items), np.ones(items), scores.T)
        draws = Draws.of([suite], seeds, 1000, run)
        low, high = interval(draws.over_seeds(draws.means(suite))) or (0.0, 0.0)
        redrawn += low <= truth <= high
    return f"| {seeds} | {100 * spread:g} | {held / runs:.3f} | {redrawn / runs:.3f} |"


def worst_coverage(suites: int, items: int, runs: int, rng: np.random.Generator) -> str:
    """Returns how often the interval of the worst of several suites, all of which lost two points, holds the truth."""
    own = all_ = 0
    worst = 0.0
    for _ in range(runs):
        parts = []
        for _ in range(suites):
            right, moves = rng.random(items) < 0.8, rng.random(items)
            parts.append(flips(right, np.where(right, moves >= 0.05 / 0.8, moves < 0.03 / 0.2)))
        picked = min(parts, key=lambda part: part.change)
        worst -= picked.change
        (low, high), (least, most) = picked.interval(), picked.interval(1 - 0.05 / suites)
        own, all_ = own + (low <= -ALLOWED <= high), all_ + (least <= -ALLOWED <= most)
    return f"| {suites} | {items} | {100 * worst / runs:.1f} | {own / runs:.3f} | {all_ / runs:.3f} |"


Section = tuple[str, list[str], Callable[[int, np.random.Generator], list[str]]]
_KINDS = ((0.04, 0.0), (0.2, 0.0), (0.04, 0.05), (0.2, 0.1))
_HEAD = ["groups x items", "lost", "gained", "correlation within a group"]
_SPREADS = (0.0, 0.02, 0.05)

SECTIONS: dict[str, Section] = {
    "coverage": (
        "How often a 95% interval holds the truth",
        [*_HEAD, "held"],
        lambda n, rng: [f"{_about(truth)} {coverage(truth, n, rng):.3f} |" for truth in COVERED],
    ),
    "border": (
        "What is said where the true loss is exactly what is allowed (either word is wrong)",
        [*_HEAD, "kept", "forgot", "forgot, by the 3% rule"],
        lambda n, rng: [_words(truth, n, rng) for truth in BORDER],
    ),
    "unchanged": (
        "What is said where nothing is lost (forgot is wrong)",
        [*_HEAD, "kept", "forgot", "forgot, by the 3% rule"],
        lambda n, rng: [_words(truth, n, rng) for truth in UNCHANGED],
    ),
    "graded": (
        "Graded answers, at the border: some items lose a part of their score",
        ["items", "share that lose", "lost by each", "all move by up to", "kept", "forgot"],
        lambda n, rng: [graded_words(items, *kind, n, rng) for items in (5, 20, 100, 300, 1000) for kind in _KINDS],
    ),
    "averaged": (
        "Answers averaged over seeds, at the border, the seeds taken as fixed",
        ["items", "seeds", "items alike in all seeds", "kept", "forgot"],
        lambda n, rng: [
            averaged_words(items, *of, n, rng) for items in (60, 300) for of in ((2, 0.8), (3, 0.8), (3, 0.5))
        ],
    ),
    "together": (
        "Several suites and their mean, each at the border (a quarter of the evaluations)",
        ["suites", "items of each", "lost of all", "kept", "forgot"],
        lambda n, rng: [together_words(*of, n // 4, rng) for of in ((4, 200, 0.05), (8, 200, 0.05), (16, 300, 0.05))],
    ),
    "masked": (
        "One suite lost twice what is allowed, and the others gained so much that the mean lost nothing (a quarter)",
        ["suites", "items of each", "kept", "forgot", "kept, by the mean alone"],
        lambda n, rng: [masked_words(*of, n // 4, rng) for of in ((4, 200), (4, 1000), (8, 200))],
    ),
    "recipe": (
        "A recipe whose mean loss is what is allowed, 2,000 items: seeds drawn, and seeds taken as fixed (a half)",
        ["seeds", "standard deviation of seeds, points", "kept", "forgot", "kept, fixed", "forgot, fixed"],
        lambda n, rng: [
            recipe_words(seeds, spread, n // 2, rng) for seeds in (2, 3, 5) for spread in (0.0, 0.02, 0.04)
        ],
    ),
    "seeds": (
        "How often 95% intervals over items and seeds hold the truth (a quarter)",
        ["seeds", "standard deviation of seeds, points", "held", "held, of repetitions (at the goal, the front)"],
        lambda n, rng: [seed_coverage(seeds, spread, n // 4, rng) for seeds in (2, 3, 5) for spread in _SPREADS],
    ),
    "worst": (
        "The worst of several suites that all lost two points: its loss in the mean, and how often intervals hold two",
        ["suites", "items of each", "said to be lost", "held, by its own interval", "held, by that for all suites"],
        lambda n, rng: [worst_coverage(*of, n // 2, rng) for of in ((1, 200), (4, 200), (16, 200))],
    ),
    "small": (
        "The mean of suites with few items, each at the border, and where nothing is lost: by our rule and by MOVER",
        ["suites x items", "of the first", "lost of all", "the first lost more by"]
        + [f"{rule}{word}" for rule in ("", "MOVER: ") for word in ("kept", "forgot", "kept, nothing lost")],
        lambda n, rng: [
            small_suites(*of, n // 2, int(rng.integers(1 << 30)))
            for of in (
                *((20, 29, 0.06, (29, 0.0)), (22, 51, 0.06, (51, 0.0)), (22, 51, 0.02, (51, 0.0))),
                *((22, 51, 0.02, (51, 0.4)), (16, 300, 0.05, (300, 0.0)), (2, 30, 0.05, (30, 0.0))),
                *((4, 60, 0.05, (60, 0.0)), (16, 60, 0.02, (10, 0.0)), (16, 300, 0.02, (10, 0.28))),
            )
        ],
    ),
}
"""Title, columns and rows of each table, by its name; each has a random stream of its own."""


def section(name: str, runs: int) -> str:
    """Returns a table."""
    title, columns, rows = SECTIONS[name]
    rng = np.random.default_rng(list(SECTIONS).index(name))
    head = f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"
    return f"### {title}\n\n{head}\n" + "\n".join(rows(runs, rng)) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--write", type=Path, default=Path("docs/studies"))
    given = parser.parse_args()
    path = given.write / "verdict-tables.md"
    text = path.read_text() if path.exists() else ""
    there = {found.split("\n", 1)[0]: f"### {found}" for found in re.split(r"^### ", text, flags=re.MULTILINE)[1:]}
    made = [f"{given.runs:,} simulated evaluations a row; a loss of {100 * ALLOWED:g} points is allowed.\n"]
    for name, (title, _, _) in SECTIONS.items():
        found = section(name, given.runs) if name in given.only else there.get(title, "").rstrip() + "\n"
        made += [found] if found.strip() else []
    write_atomically(path, "\n".join(made))
    print("\n".join(made))


def _about(truth: Truth) -> str:
    return f"| {truth.groups} x {truth.size} | {truth.lost:.3f} | {truth.gained:.3f} | {truth.within:g} |"


def _words(truth: Truth, runs: int, rng: np.random.Generator) -> str:
    return f"{_about(truth)} " + " | ".join(f"{share:.3f}" for share in words(truth, runs, rng)) + " |"


if __name__ == "__main__":
    main()
