"""The law of the controller: signals of a training in, three factors out; no model involved.

The guard looks rarely, because a look costs time. Between two looks the steps themselves show how far the model drifts:
the divergence from the base, or the loss of old examples. A `Tick` holds the means of such signals over some steps, and
the loss that a look measured, if one stands at its end. `controlled` folds the ticks of a run into where its controller
stands, so that a checkpoint needs nothing but the ticks.

The law is that of a PI-controlled Lagrange multiplier (Stooke, Achiam, Abbeel, Responsive Safety in Reinforcement
Learning by PID Lagrangian Methods, 2020, arXiv 2007.03964, algorithm 2, without its derivative): dual ascent on a
constraint is the integral of its violation, and a proportional term damps the oscillation of that integral. Here the
multiplier is a power of two, 2^u, so that it stays positive and one doubling counts the same everywhere.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable

TARGET = 0.6
"""Share of the budget that the controller aims at. The rest is for the noise of looks: with 512 items, a look at a
model that has lost 2 points has a standard error of about one point."""
RAMP = 0.25
"""Share of the run over which the aim rises from nothing to `TARGET`: early steps must not spend what later ones
need."""
LOOK = 0.3
"""Least weight of a look against the estimate that the signals have carried on; the first looks weigh more, because the
start, of which nothing is lost, counts as one look."""
SIGNAL = 0.05
"""Time constant of the smoothed drift, as a share of the run. The KL of three steps of 16 rows varies by half."""
PROPORTIONAL, INTEGRAL = 1.0, 4.0
"""Doublings for a relative error of 1: at once, and for each run that the error lasts."""
LEAST, MOST = -2.0, 6.0
"""Bounds of the pressure, in doublings: a penalty has between a quarter and 64 times its strength."""
FIRST = 2.0
"""Doublings that the penalty takes before the learning rate falls, because a lower rate costs the most learning."""
LARGEST = 2.0
"""Largest relative error that counts: an infinite loss is an error too."""
FORGETS = 0.5
"""Weight that the older looks keep in the slope of the loss over the drift, with each new look."""


@dataclasses.dataclass(frozen=True)
class Tick:
    """The signals of some steps of a training; NaN stands for what was not measured.

    Attributes:
        step: Optimizer steps done at its end.
        task_nll: Mean loss of new tokens, nats.
        old_nll: Mean loss of old tokens, nats.
        kl: Mean divergence KL(base || model) of the tokens that the recipe compares with the base, nats.
        quality: Mean typicality of new tokens under the model, in [0, 1] (`Tokens.typicality_N`).
        used: Share of the budget that a look at `step` found lost; infinite if a score was not finite.
        back: Share of the budget that was lost at the model to which the run went back at `step`.
    """

    step: int
    task_nll: float = math.nan
    old_nll: float = math.nan
    kl: float = math.nan
    quality: float = math.nan
    used: float = math.nan
    back: float = math.nan


@dataclasses.dataclass(frozen=True)
class Control:
    """Where a controller stands after some ticks.

    Attributes:
        step: Optimizer steps done.
        estimate: Estimated share of the budget that is lost now; NaN before the first look.
        integral: Integral of the error, in doublings.
        pressure: How far the run is held back, in doublings; below 0 it is let loose.
        drift: The smoothed drift, nats; NaN if it is not known.
        looks: Number of looks.
        looked: The estimate at the last look, or that of the model to which the run went back.
        looked_drift: The drift there, nats; NaN if it is not known.
        first_old: Loss of old tokens at the first tick that has one, nats.
        products: Weighted sum of loss times drift over the looks.
        squares: Weighted sum of squared drifts over the looks.
    """

    step: int = 0
    estimate: float = math.nan
    integral: float = 0.0
    pressure: float = 0.0
    drift: float = math.nan
    looks: int = 0
    looked: float = math.nan
    looked_drift: float = math.nan
    first_old: float = math.nan
    products: float = 0.0
    squares: float = 0.0

    @property
    def strength(self) -> float:
        """Returns the factor on the recipe's penalties to the base model."""
        return float(2.0**self.pressure)

    @property
    def odds(self) -> float:
        """Returns the factor on the odds of an old token against a new one in the task loss."""
        return float(2.0 ** (self.pressure / 4))

    def rate(self, alone: bool) -> float:
        """Returns the factor on the learning rate.

        Args:
            alone: Whether the recipe has neither a penalty nor old examples, so that the rate must do everything. With
                them, a lower rate also slows down the repair of what was lost, so it falls later, and less.
        """
        pressure = self.pressure
        if pressure > 0:
            pressure = 2 * pressure if alone else max(pressure - FIRST, 0.0)
        return float(2.0 ** (-pressure / 2))


def controlled(ticks: Iterable[Tick], steps: int) -> Control:
    """Returns where a controller stands after `ticks`, in their order.

        x = x' + a (d - d'),   and at a look   x' <- x + max(w, 1 / (n + 1)) (used - x)      the estimate
        e  = min((x - target(t)) / TARGET, LARGEST),   target(t) = TARGET min(1, t / RAMP)   the error, at least -1
        I <- I + INTEGRAL e dt,   but no further than u is at a bound                           anti-windup
        u  = PROPORTIONAL e + I,   LEAST <= u <= MOST;   below 0 times the token quality     the pressure

    t is the share of the run that is done, x' the estimate at the n-th and last look, d the drift (`drift_of`, smoothed
    over the time `SIGNAL`), d' the one at that look, and w is `LOOK`. The slope of the loss over the drift,
    a = sum x d / (sum d^2 + max(d, d')^2), at least 0, comes from the looks so far, with `FORGETS` for the older ones.
    Its last term lowers it where the drift is larger than at any look, so that the noise of a look at a small drift is
    not carried far. Before the first look nothing is known, and u is 0. The token quality limits how far a run is let
    loose, because tokens that contradict a sure prediction overwrite what the model knows.

    Args:
        ticks: The ticks of the run.
        steps: Optimizer steps of the whole run.
    """
    return functools.reduce(functools.partial(after, steps=steps), ticks, Control())


def after(now: Control, tick: Tick, steps: int) -> Control:
    """Returns where a controller stands after one more tick; the arguments as in `controlled`."""
    since = max(tick.step - now.step, 0) / max(steps, 1)
    now = _estimated(_drifted(now, tick, since), tick)
    now = dataclasses.replace(now, step=tick.step)
    if math.isnan(now.estimate):
        return now
    goal = TARGET * min(1.0, tick.step / max(steps, 1) / RAMP)
    error = min(max((now.estimate - goal) / TARGET, -1.0), LARGEST)
    integral = now.integral + INTEGRAL * error * since
    wanted = PROPORTIONAL * error + integral
    if wanted > MOST and error > 0:
        integral = max(now.integral, MOST - PROPORTIONAL * error)
    elif wanted < LEAST and error < 0:
        integral = min(now.integral, LEAST - PROPORTIONAL * error)
    pressure = min(max(PROPORTIONAL * error + integral, LEAST), MOST)
    if pressure < 0 and not math.isnan(tick.quality):
        pressure *= min(max(tick.quality, 0.0), 1.0)
    if not math.isnan(tick.back):  # the run goes on from an earlier model, whose drift the next tick shows
        now = dataclasses.replace(now, estimate=tick.back, looked=tick.back, drift=math.nan, looked_drift=math.nan)
    return dataclasses.replace(now, integral=integral, pressure=pressure)


def drift_of(tick: Tick, first_old: float = math.nan) -> float:
    """Returns how far a model has drifted, in nats: KL to the base, else the rise of the loss of old tokens, else NaN.

    Args:
        tick: The tick.
        first_old: Loss of old tokens at the first tick.
    """
    if math.isfinite(tick.kl):
        return max(tick.kl, 0.0)
    rise = tick.old_nll - first_old
    return max(rise, 0.0) if math.isfinite(rise) else math.nan


def _drifted(now: Control, tick: Tick, since: float) -> Control:
    """Returns the standing with the drift of a tick; one without a signal keeps the drift before it."""
    first_old = tick.old_nll if math.isnan(now.first_old) else now.first_old
    drift = drift_of(tick, first_old)
    if math.isnan(drift):
        drift = now.drift
    elif not math.isnan(now.drift):
        drift = now.drift + (1 - math.exp(-since / SIGNAL)) * (drift - now.drift)
    looked_drift = drift if math.isnan(now.looked_drift) else now.looked_drift
    return dataclasses.replace(now, first_old=first_old, drift=drift, looked_drift=looked_drift)


def _estimated(now: Control, tick: Tick) -> Control:
    """Returns the standing with the estimate that the drift carries on from the last look, and that a look corrects."""
    estimate, drift, change = now.looked, now.drift, now.drift - now.looked_drift
    if now.squares > 0 and not math.isnan(change):
        slope = max(now.products, 0.0) / (now.squares + max(drift, now.looked_drift) ** 2)
        estimate = max(0.0, estimate + slope * change)
    if math.isnan(tick.used):
        return dataclasses.replace(now, estimate=estimate)
    used = min(tick.used, 2 * (1 + LARGEST))  # finite, so that the run recovers from it
    looks, before = now.looks + 1, 0.0 if math.isnan(estimate) else estimate  # nothing is lost at the start
    estimate = before + max(LOOK, 1 / (looks + 1)) * (used - before)
    now = dataclasses.replace(now, estimate=estimate, looks=looks, looked=estimate, looked_drift=drift)
    if math.isnan(drift):
        return now
    products, squares = FORGETS * now.products + used * drift, FORGETS * now.squares + drift**2
    return dataclasses.replace(now, products=products, squares=squares)


def shares(ratio: float, odds: float) -> tuple[float, float, float]:
    """Returns the share of old tokens at changed odds, and the weights of a new and of an old token that give it.

        share' = odds r / (1 - r + odds r),   (1 - r) new + r old = 1

    The order of the examples is made before training, so the weights of their tokens change the share instead. The
    weights keep the sum of all weights, and so the size of the loss.

    Args:
        ratio: Share r of old tokens in the order of the examples, in [0, 1).
        odds: Factor on the odds of an old token.
    """
    share = odds * ratio / (1 - ratio + odds * ratio)
    return share, (1 - share) / (1 - ratio), share / ratio if ratio else 1.0
