"""Successive halving: what a cost affords, and which trial comes next."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given as draws
from hypothesis import strategies as st

from holdfast.bench.fit.halving import FIDELITIES, ladder, next_trial
from holdfast.bench.fit.history import Entry, Expected, Growth, growth_of, spent
from holdfast.bench.fit.trials import Candidate, TrialOutcome
from holdfast.core.errors import HoldfastError

RUNS = [Candidate.of(f"Train(lr={number}e-5)") for number in range(1, 10)]


def price(candidate, fidelity):
    return fidelity


def done(number, candidate, fidelity, learned=10.0, used=0.5, **changes):
    outcome = TrialOutcome(state="finished", learned=learned, lost=used, used=used, cost=fidelity)
    entry = Entry(number, candidate, fidelity, "given", fidelity, "done", outcome)
    return dataclasses.replace(entry, **changes)


def steps(history, cost=3.0, given=RUNS[:1], promotes=True):
    return next_trial(history, ladder(cost, 1.0), given, cost, price, promotes=promotes)


class TestLadder:
    def test_two_of_three_plain_runs_are_whole_runs(self):
        assert [(rung.fidelity, rung.trials) for rung in ladder(3.0, 1.0)] == [(1 / 9, 4), (1 / 3, 1), (1.0, 2)]

    def test_a_dear_recipe_gets_fewer_and_a_high_cost_more(self):
        assert [rung.trials for rung in ladder(4.0, 1.4)] == [3, 1, 2]
        assert [rung.trials for rung in ladder(30.0, 1.0)] == [90, 30, 10]

    def test_a_small_cost_leaves_rungs_out(self):
        assert [(rung.fidelity, rung.trials) for rung in ladder(2.5, 1.0)] == [(1 / 9, 4), (1.0, 2)]
        assert [(rung.fidelity, rung.trials) for rung in ladder(2.1, 1.0)] == [(1.0, 2)]
        assert [(rung.fidelity, rung.trials) for rung in ladder(1.5, 1.0)] == [(1.0, 1)]

    def test_less_than_a_run_is_refused(self):
        with pytest.raises(HoldfastError, match=r"--cost 0.9x does not suffice .* give --cost 1.2x or more"):
            ladder(0.9, 1.2)

    @draws(st.floats(0.1, 5.0), st.floats(1.0, 50.0))
    def test_all_trials_together_never_exceed_the_cost(self, whole, times):
        cost = whole * times
        rungs = ladder(cost, whole)
        assert rungs[-1].fidelity == 1.0
        assert rungs[-1].trials >= 1
        assert sum(rung.trials * rung.fidelity * whole for rung in rungs) <= cost * (1 + 1e-9) + 1e-6
        ending = [*(rung.trials for rung in rungs[:-1]), rungs[-1].trials - (len(rungs) > 1)]  # less the first trial
        assert all(low >= high for low, high in itertools.pairwise(ending))


class TestNext:
    WHOLE = done(0, RUNS[0], 1.0, learned=1.0, used=0.1)

    def low(self, **changes):
        """The nine short trials of four plain runs, after the whole run; the last ones learned most."""
        return [self.WHOLE, *(done(1 + n, RUNS[n], 1 / 9, **{"learned": n, "used": 0.1, **changes}) for n in range(9))]

    def test_a_whole_run_of_the_first_given_comes_first_then_all_given_and_then_the_sampler(self):
        first = steps([], given=RUNS[:2])
        assert (first.candidate, first.fidelity, first.source) == (RUNS[0], 1.0, "given")
        for number in range(2):
            before = [self.WHOLE, *(done(1 + n, RUNS[n], 1 / 9) for n in range(number))]
            step = steps(before, given=RUNS[:2])
            assert (step.candidate, step.fidelity, step.source) == (RUNS[number], 1 / 9, "given")
        fourth = steps([self.WHOLE, *(done(1 + n, RUNS[n], 1 / 9) for n in range(2))], given=RUNS[:2])
        assert (fourth.candidate, fourth.source) == (None, "sampled")

    def test_where_whole_runs_are_all_that_is_affordable_the_sampler_chooses_the_second(self):
        assert steps([], cost=2.0).source == "given"
        second = steps([self.WHOLE], cost=2.0)
        assert (second.candidate, second.fidelity, second.source) == (None, 1.0, "sampled")
        assert steps([self.WHOLE, done(1, RUNS[1], 1.0)], cost=2.0) is None

    def test_the_whole_run_that_ends_the_search_is_kept_affordable(self):
        assert steps([], cost=4.0).limit == pytest.approx(4.0)
        assert steps([self.WHOLE], cost=4.0).limit == pytest.approx(3.0)
        low = self.low()
        assert steps(low, cost=4.0).limit == pytest.approx(3.0)
        middle = [done(10 + n, RUNS[8 - n], 1 / 3, learned=n) for n in range(3)]
        assert steps([*low, *middle], cost=4.0).limit == pytest.approx(4.0)

    def test_best_inside_go_on_in_their_order(self):
        history = self.low()
        history[-1] = done(9, RUNS[8], 1 / 9, learned=8, used=2.0)
        chosen = []
        for number in range(3):
            step = steps(history, cost=4.0)
            chosen.append((step.candidate, step.fidelity))
            history.append(done(10 + number, step.candidate, step.fidelity, learned=10.0 - number, used=0.15))
        assert chosen == [(RUNS[7], 1 / 3), (RUNS[6], 1 / 3), (RUNS[5], 1 / 3)]
        final = steps(history, cost=4.0)
        assert (final.candidate, final.fidelity) == (RUNS[7], 1.0)
        assert steps([*history, done(13, RUNS[7], 1.0)], cost=4.0) is None

    def test_candidate_goes_on_early_if_no_open_trial_can_keep_it_from_that(self):
        history = self.low()[:8]
        assert steps(history, cost=4.0).candidate == RUNS[6]
        running = [*history[:7], dataclasses.replace(history[7], standing="running", outcome=None)]
        assert steps(running, cost=4.0).source == "sampled"

    def test_with_a_sampler_of_every_rung_the_rungs_below_must_be_known(self):
        history = self.low()
        step = steps(history, cost=4.0, promotes=False)
        assert (step.candidate, step.fidelity) == (None, 1 / 3)
        history[3] = dataclasses.replace(history[3], standing="running", outcome=None)
        assert steps(history, cost=4.0, promotes=False) is None

    def test_what_pruned_trials_did_not_cost_is_left_for_one_more_run_if_none_is_inside(self):
        low = [self.WHOLE, *(done(1 + n, RUNS[n], 1 / 9, learned=n, used=0.3 if n == 8 else 0.1) for n in range(9))]
        low = [dataclasses.replace(e, outcome=dataclasses.replace(e.outcome, cost=0.01)) for e in low]
        low[0] = dataclasses.replace(low[0], outcome=dataclasses.replace(low[0].outcome, used=3.0, lost=3.0))
        whole = done(10, RUNS[8], 1.0, used=1.2)
        step = steps([*low, whole])
        assert (step.candidate, step.source) == (RUNS[7], "rescue")
        assert steps([*low, done(10, RUNS[8], 1.0, used=0.9)]) is None
        assert steps([*low, whole], cost=2.0) is None

    @pytest.mark.parametrize(("standing", "attempt"), [("abandoned", 1), ("stopped", 0)])
    def test_trial_whose_process_ended_begins_again_first(self, standing, attempt):
        ended = done(0, RUNS[4], 1 / 9, standing=standing, outcome=None)
        step = steps([ended, done(1, RUNS[1], 1 / 9)])
        assert (step.candidate, step.fidelity, step.attempt) == (RUNS[4], 1 / 9, attempt)
        again = done(2, RUNS[4], 1 / 9, standing="running", outcome=None, attempt=attempt)
        assert steps([ended, done(1, RUNS[1], 1 / 9), again]).candidate != RUNS[4]


class TestHistory:
    def test_running_trials_count_what_they_reserve_and_others_what_they_took(self):
        running = done(0, RUNS[0], 1 / 3, standing="running", outcome=None)
        pruned = done(1, RUNS[1], 1 / 3)
        pruned = dataclasses.replace(pruned, outcome=dataclasses.replace(pruned.outcome, cost=0.1))
        gone = [done(2, RUNS[2], 1 / 3, standing=word, outcome=None) for word in ("abandoned", "withdrawn", "stopped")]
        assert spent([running, pruned, *gone]) == pytest.approx(1 / 3 + 0.1)

    def test_growth_is_that_of_candidates_at_two_fidelities(self):
        assert growth_of([done(0, RUNS[0], 1 / 9)]) == Growth()
        pairs = []
        for number in range(40):
            for fidelity in (1 / 9, 1.0):
                used, learned = 2.0 * fidelity**0.9, 30.0 * fidelity**0.1
                pairs.append(done(number, Candidate.of(f"Train(lr={number + 1}e-6)"), fidelity, learned, used))
        growth = growth_of(pairs)
        assert growth.lost == pytest.approx(0.9, abs=0.02)
        assert growth.learned == pytest.approx(0.1, abs=0.02)

    def test_only_the_loss_grows_and_not_the_distance_of_its_bound(self):
        entry = done(0, RUNS[0], 1 / 4)
        entry = dataclasses.replace(entry, outcome=dataclasses.replace(entry.outcome, lost=0.2, used=0.5))
        assert Growth(0.5, 0.0).expected(entry) == Expected(10.0, pytest.approx(0.7))

    def test_failed_and_pruned_trials_are_outside(self):
        entry = done(0, RUNS[0], 1 / 9, used=0.1)
        pruned = dataclasses.replace(entry, outcome=dataclasses.replace(entry.outcome, state="pruned"))
        failed = dataclasses.replace(entry, outcome=TrialOutcome(state="failed", cost=0.1))
        assert not Growth().expected(pruned).inside
        assert not Growth().expected(failed).inside
        assert Growth().expected(failed).order < Growth().expected(pruned).order < Growth().expected(entry).order


def test_fidelities_are_a_factor_of_three_apart():
    assert [round(high / low) for low, high in itertools.pairwise(FIDELITIES)] == [3, 3]
