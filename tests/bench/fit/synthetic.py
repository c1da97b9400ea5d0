"""A problem without models: formulas for what a candidate learns and loses, with an optimum that a grid finds."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import random

import numpy as np

from holdfast.bench.fit.trials import TrialOutcome

GIVEN = "Train(lr=1e-4, epochs=3.0) + MaskTheTarget()"


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """Learning saturates in the dose and falls at too high rates; loss is a power of the dose, less with a penalty.

        d = (lr / l) e^b,   learned = L (1 - exp(-d^a)) / (1 + c s) - o d^2,   lost = K d^p / (1 + k s)^r

    with e the epochs and s the strength of the penalty. The budget is 2 points. If it `holds`, whole runs have a guard
    that goes back to the last moment inside the budget, where the rate has not yet fallen: 5% are not learned.
    """

    seed: int
    noise: float = 0.0
    factor: float = 1.0
    width: float = 0.2
    holds: bool = False

    @property
    def identity(self) -> str:
        return f"synthetic {self.seed} {self.noise} {self.holds}"

    @functools.cached_property
    def numbers(self):
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

    def values(self, rate, strength, epochs):
        n = self.numbers
        dose = (rate / n["l"]) * (epochs / 3) ** n["b"]
        learned = n["L"] * (1 - np.exp(-(dose ** n["a"]))) / (1 + n["c"] * strength) - n["o"] * dose**2
        return learned, n["K"] * dose ** n["p"] / (1 + n["k"] * strength) ** n["r"]

    def price(self, candidate, fidelity):
        return self.factor * fidelity * candidate.epochs / 3

    def evaluate(self, candidate, fidelity):
        parts = {type(part).__name__: part for part in candidate.chain().parts()}
        strength = parts["MaskTheTarget"].strength if "MaskTheTarget" in parts else 0.0
        learned, lost = self.values(candidate.train.lr, strength, candidate.epochs * fidelity)
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
            used=float(lost / 2.0 + self.width),
            cost=self.price(candidate, fidelity),
        )

    def held(self, candidate, strength):
        """What is learned and lost where the budget is spent."""
        epochs = candidate.epochs * np.linspace(0.001, 1.0, 1000)
        learned, lost = self.values(candidate.train.lr, strength, epochs)
        last = int(np.flatnonzero(lost / 2.0 + self.width <= 1.0).max(initial=0))
        return 0.95 * learned[last], lost[last]

    @functools.cached_property
    def best(self):
        """What the best candidate inside the budget learns, over the whole space at the given number of epochs."""
        rates, strengths = np.meshgrid(np.geomspace(1e-5, 1e-3, 400), np.geomspace(0.1, 10, 200))
        learned, lost = self.values(rates, strengths, 3.0)
        return float(learned[lost / 2.0 + self.width <= 1.0].max())

    def truth(self, candidate):
        """What a candidate learns without noise, as a share of the best; below 0 if it is outside the budget."""
        outcome = dataclasses.replace(self, noise=0.0).evaluate(candidate, 1.0)
        return outcome.learned / self.best if outcome.used <= 1.0 else -outcome.used
