"""Prices of trials: the formula by hand, and measured times in its place."""

from __future__ import annotations

import pytest

from holdfast.bench.fit.prices import Prices, step_factor
from holdfast.bench.fit.trials import Candidate
from holdfast.core.errors import HoldfastError
from holdfast.recipe import parse


@pytest.mark.parametrize(
    ("recipe", "factor"),
    [
        ("Train()", 1.0),
        ("LoRA()", 1.0),
        ("MaskTheTarget()", 4 / 3),
        ("BaseKL(strength=0.0)", 1.0),
        ("Rehearsal('old.jsonl', ratio=0.5)", 2.0),
        ("SelfRehearsal(ratio=0.2)", 1.25),
        ("SelfRehearsal(ratio=0.5) + BaseKL(on='memory')", (1 + 0.5 / 3) * 2),
        ("AGEM('old.jsonl')", 2.0),
        ("Rehearsal('a.jsonl', ratio=0.1) + Rehearsal('b.jsonl', ratio=0.1)", 1.25),
    ],
)
def test_formula(recipe, factor):
    assert step_factor(parse(recipe)) == pytest.approx(factor)


def test_price_is_in_plain_runs():
    prices = Prices(plain_epochs=2.0)
    assert prices.of(Candidate.of("Train(lr=1e-4, epochs=3) + MaskTheTarget()"), 0.5) == pytest.approx(
        0.5 * 1.5 * 4 / 3
    )


def test_measured_times_replace_the_formula():
    candidate = Candidate.of("Train(lr=1e-4, epochs=3) + MaskTheTarget()")
    prices = Prices(plain_epochs=3.0, measured={candidate.recipe: 1.1})
    assert prices.of(candidate, 1.0) == pytest.approx(1.1)
    assert prices.of(Candidate.of("Train(lr=1e-4, epochs=3) + LoRA()"), 1.0) == pytest.approx(1.0)


def test_recipe_that_writes_at_every_step_needs_a_measured_time():
    with pytest.raises(HoldfastError, match="OnPolicySDFT"):
        step_factor(parse("OnPolicySDFT()"))
    candidate = Candidate.of("Train(epochs=3) + OnPolicySDFT()")
    assert Prices(3.0, {candidate.recipe: 6.0}).of(candidate, 0.5) == pytest.approx(3.0)
