"""How good the search of `fit` is where the optimum is known: `python benchmarks/search_synthetic.py --seeds 100:160`.

Each seed is a problem without models: formulas, drawn at random, say what a candidate learns and loses, and a grid
finds the best candidate inside the budget. The table compares the search with random searches of whole runs, at its
cost and at that of forty runs, by what the chosen candidate learns as a share of that of the best one.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from holdfast.bench.fit.sampling import Sampler
from holdfast.bench.fit.search import search
from holdfast.bench.fit.space import space_of
from holdfast.bench.fit.trials import Candidate, TrialOutcome

GIVEN = "Train(lr=1e-4, epochs=3.0) + MaskTheTarget()"


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """Learning saturates in the dose and falls at too high rates; loss is a power of the dose, less with a penalty.

        d = (lr / l) e^b,   learned = L (1 - exp(-d^a)) / (1 + c s) - o d^2,   lost = K d^p / (1 + k s)^r

    with e the epochs and s the strength of the penalty. The budget is 2 points. If it `holds`, whole runs have a guard
    that goes back to the last moment inside the budget, where the rate has not yet fallen: 5% are not learned.

    If the loss `falls`, it is what a whole run loses times f^-q at a share f of the steps: a penalty to the base on old
    examples acts late. A run on the proving ground lost 9.3 points after a ninth of the steps and 3 at the end, a q of
    0.5 (docs/decisions/0020).
    """

    seed: int
    noise: float = 0.0
    factor: float = 1.0
    width: float = 0.2
    holds: bool = False
    falls: float = 0.0

    @property
    def identity(self) -> str:
        """What tells problems apart."""
        return f"synthetic {self.seed} {self.noise} {self.holds} {self.falls}"

    @functools.cached_property
    def numbers(self) -> dict[str, float]:
        """The constants of the formulas."""
        draw = random.Random(self.seed)
        return {
            "l": 1e-4 * math.exp(draw.uniform(-1.2, 1.2)),
            "L": draw.uniform(30, 60),
            "a": draw.uniform(0.6, 1.0),
            "b": draw.uniform(0.4, 0.8),
            "o": draw.uniform(0.1, 0.6),
            "K": draw.uniform(1.0, 4.0),
            "p": draw.uniform(0.9, 1.6),
            "k": draw.uniform(0.5, 2.0),
            "r": draw.uniform(0.5, 1.0),
            "c": draw.uniform(0.02, 0.15),
        }

    def values(self, rate: Any, strength: Any, epochs: Any) -> tuple[Any, Any]:
        """Returns what is learned and lost, in points."""
        n = self.numbers
        dose = (rate / n["l"]) * (epochs / 3) ** n["b"]
        learned = n["L"] * (1 - np.exp(-(dose ** n["a"]))) / (1 + n["c"] * strength) - n["o"] * dose**2
        return learned, n["K"] * dose ** n["p"] / (1 + n["k"] * strength) ** n["r"]

    def price(self, candidate: Candidate, fidelity: float) -> float:
        """Returns the cost of a trial."""
        return self.factor * fidelity * candidate.epochs / 3

    def evaluate(self, candidate: Candidate, fidelity: float) -> TrialOutcome:
        """Returns the outcome of a trial, with the noise of its reading."""
        parts = {type(part).__name__: part for part in candidate.chain().parts()}
        strength = parts["MaskTheTarget"].strength if "MaskTheTarget" in parts else 0.0
        learned, lost = self.values(candidate.train.lr, strength, candidate.epochs * fidelity)
        if self.falls:
            lost = self.values(candidate.train.lr, strength, candidate.epochs)[1] * fidelity**-self.falls
        if self.holds and fidelity == 1.0 and lost / 2.0 + self.width > 1.0:
            learned, lost = self.held(candidate, strength)
        digest = hashlib.blake2b(f"{self.seed} {candidate} {fidelity}".encode(), digest_size=8).digest()
        draw = random.Random(digest)
        learned, lost = learned + 3 * self.noise * draw.gauss(0, 1), lost + self.noise * draw.gauss(0, 1)
        return TrialOutcome(
            state="finished",
            learned=float(learned),
            lost=float(lost),
            limit=2.0,
            learned_error=3 * self.noise,
            lost_error=self.noise,
            used=float(lost / 2.0 + self.width),
            cost=self.price(candidate, fidelity),
        )

    def held(self, candidate: Candidate, strength: float) -> tuple[Any, Any]:
        """What is learned and lost where the budget is spent."""
        epochs = candidate.epochs * np.linspace(0.001, 1.0, 1000)
        learned, lost = self.values(candidate.train.lr, strength, epochs)
        last = int(np.flatnonzero(lost / 2.0 + self.width <= 1.0).max(initial=0))
        return 0.95 * learned[last], lost[last]

    @functools.cached_property
    def best(self) -> float:
        """What the best candidate inside the budget learns, over the whole space at the given number of epochs."""
        rates, strengths = np.meshgrid(np.geomspace(1e-5, 1e-3, 400), np.geomspace(0.1, 10, 200))
        learned, lost = self.values(rates, strengths, 3.0)
        return float(learned[lost / 2.0 + self.width <= 1.0].max())

    def truth(self, candidate: Candidate | None) -> float:
        """What a candidate learns without noise, as a share of the best; 0 if it is outside the budget."""
        if candidate is None:
            return 0.0
        outcome = dataclasses.replace(self, noise=0.0).evaluate(candidate, 1.0)
        assert outcome.learned is not None
        assert outcome.used is not None
        return outcome.learned / self.best if outcome.used <= 1.0 else 0.0


def searched(problem: Synthetic, cost: float, sampler: Sampler) -> tuple[float, float]:
    """Returns what the search's candidate learns, as a share of the best, and what the search cost."""
    result = search(problem, [Candidate.of(GIVEN)], cost=cost, storage=None, seed=problem.seed, sampler=sampler)
    return problem.truth(result.best), result.record.spent


def at_random(problem: Synthetic, runs: int) -> float:
    """Returns what the best of some whole runs of random candidates learns, by its own reading."""
    space, draw = space_of([Candidate.of(GIVEN)], 9), random.Random(problem.seed)
    tried: list[tuple[tuple[bool, float], Candidate]] = []
    for _ in range(runs):
        candidate = space.candidate({d.name: d.at(draw.random()) for d in space.dimensions if d.name != "Train.epochs"})
        outcome = problem.evaluate(candidate, 1.0)
        order = (True, outcome.learned) if outcome.inside else (False, -(outcome.used or 0.0))
        tried.append(((order[0], float(order[1] or 0.0)), candidate))
    return problem.truth(max(tried, key=lambda pair: pair[0])[1])


def row(name: str, shares: Sequence[float], costs: Sequence[float]) -> str:
    """Returns a row of the table."""
    inside = [share for share in shares if share > 0]
    low, middle = (float(np.quantile(inside, q)) for q in (0.1, 0.5))
    cells = [f"{max(costs):.2f}", f"{len(inside)} of {len(shares)}"]
    cells += [f"{value:.3f}" for value in (np.mean(shares), low, middle, min(inside))]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="100:160", help="problems, FIRST:END")
    parser.add_argument("--noise", type=float, default=0.24, help="standard error of a reading of the loss, in points")
    parser.add_argument("--cost", type=float, default=3.0, help="cost of the search, in plain runs")
    parser.add_argument("--falls", type=float, default=0.0, help="power with which a loss falls with the steps")
    parser.add_argument("--holds", action="store_true", help="whole runs have a guard")
    parser.add_argument("--samplers", default="surrogate,tpe,random", help="samplers of the search")
    options = parser.parse_args()
    problems = [
        Synthetic(seed, options.noise, holds=options.holds, falls=options.falls)
        for seed in range(*map(int, options.seeds.split(":")))
    ]
    print("| search | cost | inside | mean | 10% | median | least inside |\n|---|---|---|---|---|---|---|")
    given = [problem.truth(Candidate.of(GIVEN)) for problem in problems]
    print(row("the given candidate", given, [1.0]), flush=True)
    samplers: Any = options.samplers.split(",")
    for sampler in samplers:
        pairs = [searched(problem, options.cost, sampler) for problem in problems]
        print(row(f"search, {sampler}", *zip(*pairs, strict=True)), flush=True)
    for runs in (int(options.cost), 40):
        shares = [at_random(problem, runs) for problem in problems]
        print(row(f"{runs} random whole runs", shares, [float(runs)]), flush=True)


if __name__ == "__main__":
    main()
