"""Learning rates and refusals by the size of a model, as a plan advises them and the recipe `auto` takes them.

`holdfast.bench.plan.rules.training` states the evidence of each.
"""

from __future__ import annotations

import math

MILLION, BILLION = 10**6, 10**9
STUDIED, STUDIED_RATE = 2_800_000, 2.5e-4
"""Parameters of the studies' base, and the rate at which `Holdfast` loses least there."""
READ_RATE, LARGE_RATE = 2e-5, 5e-6
"""The rates that people read for 1 to 13 billion parameters, and for more."""
LARGE = 13 * BILLION
ADAPTER = 10.0
"""The rate of an adapter as a multiple of that of all weights."""
REAL = BILLION // 10
"""Parameters from which advice rests on the study of real models, which trained adapters of 0.27 and 0.5 billion
parameters, and not on that of the proving ground, which trained all weights of 2.8 million."""


def full_rate(parameters: int) -> float:
    """Returns the rate at which all weights train under `Holdfast`, two digits of it.

    It is that of our studies up to 10M parameters, and half of what people read from 1B, because the rate stays high
    until the end. Between the two the logarithm of the rate is linear in that of the size, which nobody measured.
    """
    if parameters < 10 * MILLION:
        return STUDIED_RATE
    if parameters >= BILLION:
        return (READ_RATE if parameters < LARGE else LARGE_RATE) / 2
    share = math.log(parameters / STUDIED) / math.log(BILLION / STUDIED)
    return float(f"{STUDIED_RATE * (READ_RATE / 2 / STUDIED_RATE) ** share:.1e}")


def adapter_rate(parameters: int) -> float:
    """Returns the rate of an adapter, two digits of it."""
    return float(f"{ADAPTER * full_rate(parameters):.1e}")


def may_refuse(parameters: int, has_template: bool) -> bool:
    """Returns whether a model may have learned to refuse harmful requests, by its size and its chat template."""
    return has_template and parameters >= REAL
