"""The surrogate: against Bayesian linear regression, by its limits, and by what it does with trials."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from holdfast.bench.fit import gaussian_process as gp
from holdfast.bench.fit.gaussian_process import Features, Process, Trend
from holdfast.bench.fit.history import Entry
from holdfast.bench.fit.sampling import propose
from holdfast.bench.fit.space import space_of
from holdfast.bench.fit.surrogate import UNFINISHED, Prediction, Surrogate
from holdfast.bench.fit.trials import Candidate, TrialOutcome
from tests.bench.fit.synthetic import GIVEN, Synthetic

SPACE = space_of([Candidate.of(GIVEN)], 9)


def features(rows):
    rows = np.asarray(rows, float)
    trends = [Trend((1.0, 0.5), (0.0, 1.0)), Trend((-0.5, 0.3), (0.0, 1.0))]
    return Features(rows, np.zeros_like(rows), np.zeros(len(rows), dtype=np.int64), trends)


def entries(problem, points, fidelity=1 / 9):
    candidates = [SPACE.candidate(point) for point in points]
    return [
        Entry(n, c, fidelity, "sampled", fidelity, "done", problem.evaluate(c, fidelity))
        for n, c in enumerate(candidates)
    ]


def test_process_without_bumps_is_bayesian_linear_regression(monkeypatch):
    monkeypatch.setattr(gp, "BUMPS", 0.0)
    draw = np.random.default_rng(0)
    rows, new, noise = draw.normal(size=(7, 2)), draw.normal(size=(5, 2)), draw.uniform(0.1, 0.4, 7)
    y = rows @ [1.4, -0.2] + 3.0 + noise * draw.normal(size=7)
    process = Process(features(rows), y, noise)
    prior_mean = np.array([0.0, 0.0, 1.0, -0.5])
    level = (y - rows @ prior_mean[2:]).mean()
    prior_mean[0] = level
    prior = np.diag([gp.LEVEL.lost[1] ** 2, gp.RECIPES.lost[1] ** 2, 0.25, 0.09])
    design, design_new = (np.column_stack([np.ones((len(x), 2)), x]) for x in (rows, new))
    precision = np.linalg.inv(prior) + design.T @ np.diag(noise**-2) @ design
    posterior = np.linalg.inv(precision)
    mean = posterior @ (np.linalg.inv(prior) @ prior_mean + design.T @ (noise**-2 * y))
    got_mean, got_sd = process.predict(features(new))
    assert got_mean == pytest.approx(design_new @ mean, abs=1e-8)
    assert got_sd == pytest.approx(np.sqrt(np.einsum("nd,de,ne->n", design_new, posterior, design_new)), abs=1e-8)


def test_process_without_data_has_its_prior():
    process = Process(features(np.zeros((0, 2))), np.zeros(0), np.zeros(0))
    mean, sd = process.predict(features([[2.0, 1.0]]))
    assert mean == pytest.approx([1.5])
    variance = gp.LEVEL.lost[1] ** 2 + gp.RECIPES.lost[1] ** 2 + 4 * 0.25 + 0.09 + gp.BUMPS**2
    assert sd == pytest.approx([math.sqrt(variance)])


def prediction(over, over_sd=0.3, learned=20.0, learned_sd=0.2, holds=False):
    return Prediction(*(np.array([value]) for value in (learned, learned_sd, over, over_sd)), holds)


@pytest.mark.parametrize("best", [0.0, 10.0, 20.0, 40.0])
def test_expected_improvement_is_the_integral_that_defines_it(best):
    law = scipy.stats.lognorm(s=0.2, scale=20.0)
    integral = scipy.integrate.quad(lambda x: (x - best) * law.pdf(x), max(best, 1e-9), 200.0)[0]
    expected = 20.0 if best == 0 else integral
    assert prediction(0.0).improvement(best)[0] == pytest.approx(expected * 0.5, rel=1e-4)


@pytest.mark.parametrize("over", [-1.0, -0.1, 0.4])
def test_what_counts_of_a_held_run_is_the_integral_that_defines_it(over):
    law = scipy.stats.norm(over, 0.3)
    kept = 0.5  # 0.3 / 0.6, the powers of the steps with which learning and loss grow
    inside = law.cdf(0.0)
    outside = scipy.integrate.quad(lambda u: math.exp(-kept * u) * law.pdf(u), 0.0, 5.0)[0]
    assert prediction(over, holds=True).counts[0] == pytest.approx(inside + UNFINISHED * outside, rel=1e-4)
    assert prediction(over).counts[0] == pytest.approx(inside)


class TestSurrogate:
    def test_it_learns_a_power_law(self):
        problem = Synthetic(3)
        grid = [{"rate": r, "MaskTheTarget.strength": s} for r in (0.3, 0.6, 1.0, 1.8) for s in (0.2, 1.0, 4.0)]
        surrogate = Surrogate(SPACE, [*entries(problem, grid), *entries(problem, grid[::3], 1 / 3)])
        new = [{"rate": 0.8, "MaskTheTarget.strength": 0.5}, {"rate": 1.4, "MaskTheTarget.strength": 2.0}]
        got = surrogate.predict(new)
        true = [dataclasses.replace(problem).evaluate(SPACE.candidate(point), 1.0) for point in new]
        assert got.learned == pytest.approx([outcome.learned for outcome in true], rel=0.2)
        shares = [outcome.lost / 2 for outcome in true]
        assert np.exp(got.over) * (1 - problem.width) == pytest.approx(shares, rel=0.35)

    def test_higher_rates_are_less_surely_inside(self):
        surrogate = Surrogate(SPACE, entries(Synthetic(3), [{"rate": 1.0, "MaskTheTarget.strength": 1.0}]))
        inside = surrogate.predict([{"rate": r, "MaskTheTarget.strength": 1.0} for r in (0.2, 1.0, 5.0)]).inside
        assert inside[0] > inside[1] > inside[2]

    def test_failed_trials_keep_it_away(self):
        point = {"rate": 2.0, "MaskTheTarget.strength": 1.0}
        known = entries(Synthetic(3), [{"rate": 0.5, "MaskTheTarget.strength": 1.0}])
        broken = Entry(1, SPACE.candidate(point), 1 / 9, "sampled", 0.1, "done", TrialOutcome(state="failed", cost=0.1))
        before, after = (Surrogate(SPACE, some).predict([point]).inside[0] for some in (known, [*known, broken]))
        assert after < before

    def test_only_failed_trials_and_none_at_all_give_a_prediction(self):
        point = {"rate": 2.0, "MaskTheTarget.strength": 1.0}
        broken = Entry(0, SPACE.candidate(point), 1 / 9, "sampled", 0.1, "done", TrialOutcome(state="failed", cost=0.1))
        for some in ([], [broken]):
            assert np.isfinite(Surrogate(SPACE, some).predict([point]).value).all()

    def test_running_trials_say_where_not_to_look_again(self):
        known = entries(Synthetic(3), [{"rate": 1.0, "MaskTheTarget.strength": 1.0}])
        point = {"rate": 3.0, "MaskTheTarget.strength": 3.0}
        running = Entry(1, SPACE.candidate(point), 1 / 9, "sampled", 0.1)
        before, after = (Surrogate(SPACE, some).information([point], 1 / 9)[0] for some in (known, [*known, running]))
        assert after < 0.7 * before

    def test_a_loss_of_few_items_counts_less(self):
        points = [{"rate": r, "MaskTheTarget.strength": 1.0} for r in (0.5, 1.0)]
        precise, vague = (Surrogate(SPACE, entries(Synthetic(3, noise=noise), points)) for noise in (0.01, 0.6))
        assert precise.predict(points).over_sd.max() < vague.predict(points).over_sd.max()
        assert precise.predict(points).learned_sd.max() < vague.predict(points).learned_sd.max()

    def test_without_a_standard_error_the_bound_tells_the_noise(self):
        points = [{"rate": r, "MaskTheTarget.strength": 1.0} for r in (0.5, 1.0)]
        spreads = []
        for width in (0.01, 0.6):
            trials = entries(dataclasses.replace(Synthetic(3), width=width), points)
            unknown = {"lost_error": None, "learned_error": None}
            trials = [dataclasses.replace(e, outcome=dataclasses.replace(e.outcome, **unknown)) for e in trials]
            spreads.append(Surrogate(SPACE, trials).predict(points).over_sd.max())
        assert spreads[0] < spreads[1]


class TestPropose:
    @pytest.mark.parametrize("sampler", ["surrogate", "tpe", "random"])
    def test_choice_follows_from_seed_and_history(self, sampler):
        history = entries(Synthetic(3), [{"rate": r, "MaskTheTarget.strength": 1.0} for r in (0.3, 1.0, 2.0, 3.0)])
        chosen = [propose(SPACE, history, 1 / 9, seed, sampler, lambda candidate: True) for seed in (0, 0, 1, 2, 3)]
        assert chosen[0] == chosen[1]
        assert len({*chosen}) > 1

    def test_samplers_choose_differently(self):
        history = entries(Synthetic(3), [{"rate": r, "MaskTheTarget.strength": 1.0} for r in (0.3, 1.0, 2.0, 3.0)])
        chosen = {propose(SPACE, history, 1 / 9, 0, name, lambda c: True) for name in ("surrogate", "tpe", "random")}
        assert len(chosen) == 3

    @pytest.mark.parametrize("sampler", ["surrogate", "tpe", "random"])
    def test_what_does_not_fit_is_not_chosen(self, sampler):
        history = entries(Synthetic(3), [{"rate": 1.0, "MaskTheTarget.strength": 1.0}])
        chosen = propose(SPACE, history, 1 / 9, 0, sampler, lambda candidate: candidate.train.lr < 1e-4)
        assert chosen.train.lr < 1e-4
        assert propose(SPACE, history, 1 / 9, 0, sampler, lambda candidate: False) is None

    def test_whole_runs_are_less_cautious_where_a_guard_holds_them(self):
        problem = Synthetic(3, noise=0.3, width=0.4)
        history = entries(problem, [{"rate": r, "MaskTheTarget.strength": 1.0} for r in (0.3, 0.5, 0.8)])
        held, free = (
            propose(SPACE, history, 1.0, 0, "surrogate", lambda candidate: True, holds=holds) for holds in (True, False)
        )
        odds = Surrogate(SPACE, history).predict([SPACE.point(held), SPACE.point(free)]).inside
        assert odds[0] < odds[1]
