"""The search on problems with a known optimum: how good, at what cost, and how it ends, continues and is shared."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast.bench.fit.search import HOPELESS, search
from holdfast.bench.fit.search_record import SearchRecord
from holdfast.bench.fit.trials import Candidate, TrialOutcome
from holdfast.core.errors import HoldfastError
from tests.bench.fit.synthetic import GIVEN, Synthetic, at_random

FIRST = Candidate.of(GIVEN)


def searching(problem, given=(FIRST,), *, cost=3.0, storage=None, **options):
    return search(problem, list(given), cost=cost, storage=storage, wait=0.01, **options)


class Ledger(Synthetic):
    """A problem that counts what its trials cost."""

    def evaluate(self, candidate, fidelity):
        outcome = super().evaluate(candidate, fidelity)
        spent.append(outcome.cost)
        return outcome


spent: list[float] = []


@dataclasses.dataclass(frozen=True)
class Ending(Synthetic):
    """A problem whose trials end badly: all that the condition names."""

    what: str = "fail"

    def evaluate(self, candidate, fidelity):
        outcome = super().evaluate(candidate, fidelity)
        if self.what == "fail" or (self.what == "fail fast" and candidate.train.lr > 2e-4):
            return TrialOutcome(state="failed", cost=outcome.cost, why="the loss was not finite")
        if self.what == "forget":
            return dataclasses.replace(outcome, lost=outcome.lost + 4.0, used=outcome.used + 2.0)
        if self.what == "prune" and outcome.used > 1:
            return dataclasses.replace(outcome, state="pruned", cost=outcome.cost / 4)
        return outcome


class TestQuality:
    SEEDS = range(200, 212)

    def test_it_finds_a_learner_inside_in_every_seed_and_beats_random_search_at_equal_cost(self):
        shares, others = [], []
        for seed in self.SEEDS:
            problem = Synthetic(seed, 0.24, holds=True)
            shares.append(problem.truth(searching(problem, seed=seed).best))
            others.append(at_random(problem, 3))
        assert min(shares) >= 0.5
        assert sum(shares) / len(shares) >= 0.88
        assert sum(shares) > sum(others)

    def test_without_noise_and_without_a_guard_it_stays_inside(self):
        for seed in self.SEEDS[:6]:
            problem = Synthetic(seed, width=0.02)
            assert problem.truth(searching(problem, seed=seed).best) >= 0.8

    def test_a_good_given_candidate_helps(self):
        problem = Synthetic(203, 0.24, holds=True)
        best = max(
            (Candidate.of(f"Train(lr={rate}, epochs=3.0) + MaskTheTarget(strength={s})"))
            for rate, s in itertools.product((5e-5, 1e-4, 2e-4), (0.3, 1.0, 3.0))
        )
        record = searching(problem, [FIRST, best]).record
        assert [(row.source, row.fidelity < 1) for row in record.trials[:3]] == [("given", n > 0) for n in range(3)]
        assert [row.recipe for row in record.trials[:3]] == [FIRST.text, FIRST.text, best.text]

    def test_recipe_is_chosen_too(self):
        problem = Synthetic(201, 0.1, holds=True)
        bare = Candidate.of("Train(lr=1e-4, epochs=3.0)")
        record = searching(problem, [bare, FIRST], cost=6.0).record
        assert record.searched[0] == "recipe"
        assert {("MaskTheTarget" in row.recipe) for row in record.trials} == {True, False}


class TestCost:
    @pytest.mark.parametrize("cost", [1.0, 1.6, 2.4, 3.0, 7.0])
    @pytest.mark.parametrize("sampler", ["surrogate", "tpe"])
    def test_it_is_announced_and_never_exceeded(self, cost, sampler):
        spent.clear()
        lines = []
        problem = Ledger(5, 0.24, factor=0.97)
        record = searching(problem, cost=cost, sampler=sampler, progress=lines.append).record
        assert lines[0].startswith(f"The search costs at most {cost:g} plain runs: up to ")
        assert sum(spent) <= cost + 1e-9
        assert record.spent == pytest.approx(sum(spent))
        assert record.trials[-1].fidelity == 1.0
        assert len(lines) - len(record.trials) in (1, 2)

    def test_more_cost_makes_more_trials(self):
        counts = [len(searching(Synthetic(5), cost=cost).record.trials) for cost in (1.0, 2.0, 4.0)]
        assert counts[0] == 1
        assert counts[0] < counts[1] < counts[2]

    def test_a_loss_that_falls_with_the_steps_does_not_mislead(self):
        shares = [
            problem.truth(searching(problem, seed=seed).best)
            for seed in range(200, 208)
            for problem in [Synthetic(seed, 0.24, falls=0.5)]
        ]
        assert sum(shares) / len(shares) >= 0.65, "short trials alone let 0.5 be found"

    def test_what_exceeds_the_cost_is_left_out_and_named(self):
        lines = []
        long = Candidate.of("Train(lr=1e-4, epochs=30.0)")
        record = searching(Synthetic(5), [FIRST, long], progress=lines.append).record
        assert lines[2] == f"Left out, because one run exceeds the cost: {long}."
        assert all(row.recipe != long.text for row in record.trials)

    def test_settings_that_are_not_searched_are_counted(self):
        lines = []
        searching(Synthetic(5), progress=lines.append)
        assert lines[1] == ("It begins with 1 given, and searches rate; 2 other settings keep their given value.")

    def test_what_the_guard_saves_is_not_spent(self):
        whole, pruned = (searching(Ending(8, what=what), cost=3.0).record for what in ("none", "prune"))
        assert pruned.spent < whole.spent
        assert any(row.outcome.state == "pruned" for row in pruned.trials)


class TestEndings:
    def test_cost_below_one_run(self):
        with pytest.raises(HoldfastError, match=r"--cost 0.5x does not suffice for one run"):
            searching(Synthetic(0), cost=0.5)

    def test_nothing_given(self):
        with pytest.raises(HoldfastError, match="at least one recipe"):
            searching(Synthetic(0), [])

    def test_all_trials_fail(self):
        with pytest.raises(HoldfastError, match=f"All {HOPELESS} trials failed.*the loss was not finite"):
            searching(Ending(0, what="fail"))

    def test_some_trials_fail(self):
        result = searching(Ending(0, what="fail fast"))
        assert result.outcome.state == "finished"
        assert result.best.train.lr <= 2e-4

    def test_nothing_is_inside(self):
        result = searching(Ending(0, what="forget"))
        assert not result.inside
        whole = [row.outcome.used for row in result.record.trials if row.fidelity == 1.0]
        assert result.outcome.used == min(whole)
        assert result.record.sentence.startswith("No candidate stayed inside the budget")

    def test_record_is_typed_and_can_be_read_again(self):
        record = searching(Synthetic(1, 0.24, holds=True)).record
        assert SearchRecord.from_dict(record.to_dict()) == record
        assert record.trials[record.best].recipe in record.sentence


def crashing(problem, at):
    """The problem, whose trial number `at` ends like a process that is interrupted."""
    count = itertools.count()

    class Crashing(type(problem)):
        def evaluate(self, candidate, fidelity):
            if next(count) == at:
                raise KeyboardInterrupt
            return super().evaluate(candidate, fidelity)

    return Crashing(problem.seed, problem.noise, holds=problem.holds)


def essence(record):
    return [(row.recipe, row.fidelity, row.source, row.outcome) for row in record.trials]


class TestResuming:
    @pytest.mark.parametrize("sampler", ["surrogate", "tpe"])
    @pytest.mark.parametrize("at", [0, 3, 6])
    def test_interrupted_search_comes_to_the_same(self, tmp_path, at, sampler):
        problem = Synthetic(2, 0.24, holds=True)
        alone = searching(problem, sampler=sampler).record
        with pytest.raises(KeyboardInterrupt):
            searching(crashing(problem, at), storage=tmp_path / "search.db", sampler=sampler)
        record = searching(problem, storage=tmp_path / "search.db", sampler=sampler).record
        assert essence(record) == essence(alone)
        assert (record.spent, record.restarts) == (pytest.approx(alone.spent), 0)

    def test_finished_search_is_only_read(self, tmp_path):
        first = searching(Synthetic(2), storage=tmp_path / "search.db").record
        again = searching(crashing(Synthetic(2), 0), storage=tmp_path / "search.db").record
        assert again == first

    def test_search_continues_with_a_higher_cost(self, tmp_path):
        first = searching(Synthetic(2), cost=1.5, storage=tmp_path / "search.db").record
        more = searching(Synthetic(2), cost=6.0, storage=tmp_path / "search.db").record
        assert essence(more)[: len(first.trials)] == essence(first)
        assert first.spent < more.spent <= 6.0

    @pytest.mark.slow
    def test_killed_process_is_noticed_and_its_trial_begins_again(self, tmp_path):
        alone = searching(Synthetic(2, 0.24, holds=True)).record
        process = started(tmp_path, "slow")
        wait_for(lambda: (tmp_path / "began").exists())
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        record = searching(Synthetic(2, 0.24, holds=True), storage=tmp_path / "search.db").record
        assert essence(record) == essence(alone)
        assert record.restarts == 1


SCRIPT = """
import os, sys, time
from pathlib import Path
from holdfast.bench.fit.search import search
from holdfast.bench.fit.trials import Candidate
from tests.bench.fit.synthetic import GIVEN, Synthetic

folder, how = Path(sys.argv[1]), sys.argv[2]

class Slow(Synthetic):
    def evaluate(self, candidate, fidelity):
        if how == "slow" and fidelity > 0.2:
            (folder / "began").touch()
            time.sleep(600)
        with (folder / "log").open("a") as log:
            log.write(f"{os.getpid()} {self.price(candidate, fidelity)} {candidate} {fidelity}\\n")
        time.sleep(0.05)
        return super().evaluate(candidate, fidelity)

result = search(Slow(2, 0.24, holds=True), [Candidate.of(GIVEN)], cost=3.0, storage=folder / "search.db", wait=0.05)
print(result.record.spent)
"""


def started(folder, how):
    root = Path(__file__).parents[3]
    env = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    words = [sys.executable, "-c", SCRIPT, str(folder), how]
    return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
def test_several_processes_share_one_study_and_its_cost(tmp_path):
    processes = [started(tmp_path, "quick") for _ in range(3)]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert all(process.returncode == 0 for process in processes), outputs
    lines = [line.split(" ", 2) for line in (tmp_path / "log").read_text().splitlines()]
    assert len({owner for owner, _, _ in lines}) > 1
    assert len({what for _, _, what in lines}) == len(lines)
    assert sum(float(cost) for _, cost, _ in lines) <= 3.0 + 1e-9
    assert len({output for output, _ in outputs}) == 1
