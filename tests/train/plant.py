"""A simulated training that learns and forgets, of which the truth is known: for tests of the controller."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from holdfast.methods.schedules.wsd import wsd
from holdfast.train.controller import Control, Tick, after, shares

RATES, STRENGTHS, ODDS = 2.0 ** np.arange(-4, 1.5, 0.5), 2.0 ** np.arange(-2.0, 4.5), 2.0 ** np.arange(-1.0, 2.5)
"""The fixed factors of an exhaustive search: all within what the controller may set."""


@dataclasses.dataclass(frozen=True)
class Plant:
    """A first-order model of learning and forgetting.

        l' = k r s_new (1 - l) / (1 + c / 10)              learned, from 0 towards 1
        f' = g r^1.7 s_new (1.2 - l) - h r (c + s_old) f   lost, as a share of the budget

    r is the scheduled rate times its factor, c the share of old tokens times the factor of the penalty on them, s_old
    the share of old tokens in the task loss and s_new the rest. New facts overwrite what is known, at a high rate more
    than in proportion; old tokens and the penalty repair it.

    Attributes:
        learns: k, per run.
        overwrites: g, budgets per run.
        repairs: h, per run.
        ratio: Share of old tokens in the data.
        drift: KL per budget that is lost, nats.
        steps: Steps of the run.
        every: Steps between two looks.
        noise: Standard error of a look, as a share of the budget.
        wander: Relative standard error of the KL of a step.
    """

    learns: float = 8.0
    overwrites: float = 40.0
    repairs: float = 6.0
    ratio: float = 0.5
    drift: float = 0.1
    steps: int = 300
    every: int = 20
    noise: float = 0.4
    wander: float = 0.8

    def change(self, learned, lost, r, strength, odds):
        """Returns the derivatives of what is learned and lost."""
        old = shares(self.ratio, odds)[0]
        pull = strength * self.ratio
        gain = self.learns * r * (1 - old) * (1 - learned) / (1 + pull / 10)
        return gain, self.overwrites * r**1.7 * (1 - old) * (1.2 - learned) - self.repairs * r * (pull + old) * lost

    def fixed(self, rate=1.0, strength=1.0, odds=1.0):
        """Returns what is learned and lost at the end with fixed factors, which may be arrays."""
        learned = lost = 0.0
        for step in range(self.steps):
            gain, loss = self.change(learned, lost, rate * wsd(step, self.steps), strength, odds)
            learned, lost = learned + gain / self.steps, np.maximum(lost + loss / self.steps, 0.0)
        return learned, lost

    def best_fixed(self, limit=1.0):
        """Returns the most that fixed factors learn and end inside `limit`, by exhaustive search; -1 if none does."""
        rate, strength, odds = np.meshgrid(RATES, STRENGTHS, ODDS)
        learned, lost = self.fixed(rate, strength, odds)
        return float(np.where(lost <= limit, learned, -1.0).max())

    def steered(self, *, seed=0, signals=True, quality=1.0):
        """Returns what is learned and lost at the end under the controller, and (step, lost, control) at each tick."""
        rng, steps = np.random.default_rng(seed), self.steps
        learned, lost, now, course, kl = 0.0, 0.0, Control(), [], []
        for step in range(1, steps + 1):
            rate = now.rate(alone=False) * wsd(step - 1, steps)
            gain, loss = self.change(learned, lost, rate, now.strength, now.odds)
            learned, lost = learned + gain / steps, max(lost + loss / steps, 0.0)
            kl.append(self.drift * lost * math.exp(self.wander * rng.standard_normal() - self.wander**2 / 2))
            look = step % self.every == 0 or step == steps
            if not look and step % max(1, steps // 64):
                continue
            used = max(0.0, lost + self.noise * rng.standard_normal()) if look else math.nan
            tick = Tick(step, kl=float(np.mean(kl)) if signals else math.nan, quality=quality, used=used)
            now, kl = after(now, tick, steps), []
            course.append((step, lost, now))
        return learned, lost, course
