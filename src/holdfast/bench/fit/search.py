"""The search for the best learner inside a budget, at a cost that is stated before and never exceeded.

This file knows no model: it sees candidates, what their trials cost, and outcomes.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from holdfast.bench.fit.halving import Rung, ladder, next_trial
from holdfast.bench.fit.history import Entry, counted, growth_of, spent
from holdfast.bench.fit.sampling import Sampler, propose
from holdfast.bench.fit.search_record import RungRow, SearchRecord, TrialRow
from holdfast.bench.fit.shared_study import SharedStudy
from holdfast.bench.fit.space import RECIPE, Space, space_of
from holdfast.bench.fit.study import MemoryStudy, Study
from holdfast.bench.fit.trials import Candidate, TrialOutcome
from holdfast.core.errors import HoldfastError

HOPELESS = 5
"""Failed trials, with no other among them, after which a search gives up."""
WAIT = 1.0
"""Seconds between two looks at the trials of other processes."""

Progress = Callable[[str], None]


class Problem(Protocol):
    """What is searched.

    Attributes:
        identity: A text that differs between problems, by which a study is recognised.
    """

    @property
    def identity(self) -> str:
        """Returns the identity."""

    @property
    def holds(self) -> bool:
        """Returns whether a guard brings whole runs inside the budget, so that they need less caution."""

    def price(self, candidate: Candidate, fidelity: float) -> float:
        """Returns what a trial costs at most, in plain runs."""

    def evaluate(self, candidate: Candidate, fidelity: float) -> TrialOutcome:
        """Makes a trial, or continues it if its process ended before, and returns its outcome."""


class Engine(Protocol):
    """Where trials run.

    Attributes:
        slots: Number of trials that run at the same time for this process.
    """

    @property
    def slots(self) -> int:
        """Returns the number of slots."""

    def submit(self, problem: Problem, entry: Entry) -> concurrent.futures.Future[TrialOutcome]:
        """Begins a trial, and returns its outcome to come."""


class LocalEngine:
    """Trials in this process, one at a time; other processes may take part with the same storage."""

    slots = 1

    def submit(self, problem: Problem, entry: Entry) -> concurrent.futures.Future[TrialOutcome]:
        """Makes a trial at once."""
        outcome: concurrent.futures.Future[TrialOutcome] = concurrent.futures.Future()
        outcome.set_result(problem.evaluate(entry.candidate, entry.fidelity))
        return outcome


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What came of a search.

    Attributes:
        record: Its record.
        best: The best candidate that took all its steps; None if none finished.
        outcome: Its outcome.
    """

    record: SearchRecord
    best: Candidate | None
    outcome: TrialOutcome | None

    @property
    def inside(self) -> bool:
        """Whether the best candidate is inside the budget, on validation items."""
        return self.record.inside


def search(
    problem: Problem,
    given: Sequence[Candidate],
    *,
    cost: float,
    storage: str | Path | None,
    name: str = "search",
    engine: Engine | None = None,
    seed: int = 0,
    sampler: Sampler = "surrogate",
    progress: Progress = lambda line: None,
    wait: float = WAIT,
) -> SearchResult:
    """Searches for the candidate that learns most inside the budget.

    Many candidates train for a ninth of their steps, fewer for a third, and the most promising for all. The first ones
    are given, and a sampler chooses the others. The search continues a study that was interrupted, and takes part in
    one that other processes make.

    Args:
        problem: What is searched.
        given: Candidates to begin with, the most promising first: of the user, the plan, the forecast or the pilot.
        cost: Most that all trials together may cost, in plain runs; a study continues with another cost.
        storage: URL of the database of the study, or the path of an SQLite file; None for a study in memory, which no
            other process shares and which does not continue.
        name: Name of the study in the database.
        engine: Where trials run; in this process by default.
        seed: Seed of the sampler.
        sampler: The sampler.
        progress: Receives what the search will spend before it begins, and a line for each trial.
        wait: Seconds between two looks at the trials of other processes.

    Returns:
        The result. Without a trial inside the budget, the best is the one that lost least.

    Raises:
        HoldfastError: The cost does not suffice for one run, all trials failed, or the storage is locked or holds
            another search.
    """
    course = _Course.of(problem, given, cost, seed, sampler)
    for line in course.announcement():
        progress(line)
    study: Study = MemoryStudy() if storage is None else SharedStudy(str(storage), name, problem.identity)
    try:
        with study.beating():
            _make_trials(course, study, engine or LocalEngine(), progress, wait)
        return course.result(study.history())
    finally:
        study.close()


@dataclasses.dataclass(frozen=True)
class _Course:
    """The course of a search, which follows from what is given and from its history."""

    problem: Problem
    given: tuple[Candidate, ...]
    cost: float
    rungs: tuple[Rung, ...]
    space: Space
    seed: int
    sampler: Sampler
    dear: tuple[Candidate, ...]

    @classmethod
    def of(cls, problem: Problem, given: Sequence[Candidate], cost: float, seed: int, sampler: Sampler) -> _Course:
        """Returns the course of a new search."""
        given = tuple(dict.fromkeys(given))
        prices = {candidate: problem.price(candidate, 1.0) for candidate in given}
        affordable = [candidate for candidate in given if prices[candidate] <= cost + 1e-9]
        whole = max((prices[candidate] for candidate in affordable), default=min(prices.values(), default=0.0))
        space = space_of(given)  # refuses an empty list
        rungs = ladder(cost, whole)
        space = space_of(affordable, rungs[0].trials if len(rungs) > 1 else 0)
        dear = tuple(candidate for candidate in given if candidate not in affordable)
        return cls(problem, tuple(affordable), cost, rungs, space, seed, sampler, dear)

    def announcement(self) -> list[str]:
        """Returns what the search will do and spend, in lines."""
        trials = ", ".join(f"{rung.trials} with {rung.fidelity:.0%} of the steps" for rung in self.rungs)
        lines = [f"The search costs at most {self.cost:g} plain runs: up to {trials}."]
        if len(self.rungs) > 1:
            held = len(self.space.held)
            kept = f"; {held} other setting{' keeps its' if held == 1 else 's keep their'} given value" if held else ""
            lines.append(f"It begins with {len(self.given)} given, and searches {', '.join(self.searched)}{kept}.")
        lines += [f"Left out, because one run exceeds the cost: {candidate}." for candidate in self.dear]
        return lines

    @property
    def searched(self) -> tuple[str, ...]:
        """Returns the names of what is searched."""
        names = tuple(dimension.name for dimension in self.space.dimensions) if len(self.rungs) > 1 else ()
        return ((RECIPE,) if len(self.space.given) > 1 and names else ()) + names

    def next_entry(self, history: Sequence[Entry]) -> tuple[Entry, float] | None:
        """Returns the next trial and what all together may cost; None if there is none now."""
        promotes = self.sampler != "surrogate"
        step = next_trial(history, self.rungs, self.given, self.cost, self.problem.price, promotes=promotes)
        if step is None:
            return None
        left = step.limit - spent(history) + 1e-9

        def fits(candidate: Candidate) -> bool:
            return self.problem.price(candidate, step.fidelity) <= left

        candidate, source = step.candidate, step.source
        if candidate is None:
            candidate = propose(
                self.space, history, step.fidelity, self.seed, self.sampler, fits, holds=self.problem.holds
            )
            lower = {entry.candidate for entry in counted(history) if entry.fidelity < step.fidelity}
            source = "promoted" if candidate in lower and source == "sampled" else source
        if candidate is None or not fits(candidate):
            return None
        reserved = self.problem.price(candidate, step.fidelity)
        return Entry(-1, candidate, step.fidelity, source, reserved, attempt=step.attempt), step.limit

    def result(self, history: Sequence[Entry]) -> SearchResult:
        """Returns what came of a search; raises `HoldfastError` if all trials failed."""
        done = [entry for entry in history if entry.outcome is not None]
        check_hopeless(done, 1)
        best = max(filter(_is_whole, done), key=_order, default=None)
        outcome = None if best is None else best.outcome
        growth = growth_of(counted(history))
        record = SearchRecord(
            cost=self.cost,
            spent=spent(history),
            ladder=tuple(RungRow(fidelity=rung.fidelity, trials=rung.trials) for rung in self.rungs),
            trials=tuple(_row(entry) for entry in done),
            restarts=sum(entry.attempt > 0 for entry in done),
            best=None if best is None else best.number,
            inside=outcome is not None and outcome.inside,
            growth={"lost": growth.lost, "learned": growth.learned},
            searched=self.searched,
            held=self.space.held if self.searched else (),
            seed=self.seed,
            sentence=_sentence(best, done, spent(history)),
        )
        return SearchResult(record, None if best is None else best.candidate, outcome)


def _make_trials(course: _Course, study: Study, engine: Engine, progress: Progress, wait: float) -> None:
    """Makes trials until none is left to make, here or elsewhere."""
    running: dict[concurrent.futures.Future[TrialOutcome], Entry] = {}
    entry: Entry | None = None
    try:
        while True:
            history = study.history()
            check_hopeless([entry for entry in history if entry.outcome is not None], HOPELESS)
            step = course.next_entry(history) if len(running) < engine.slots else None
            if step is not None:
                if (entry := study.claim(*step)) is not None:
                    running[engine.submit(course.problem, entry)] = entry
                    entry = None
                if len(running) < engine.slots:
                    continue
            elif not running:
                if not any(other.standing == "running" for other in history):
                    return
                time.sleep(wait)
                continue
            ready, _ = concurrent.futures.wait(running, wait, concurrent.futures.FIRST_COMPLETED)
            for future in ready:
                _settle(running.pop(future), future, course, study, progress)
    except BaseException:
        for left in [*running.values(), *([entry] if entry is not None else [])]:
            study.abandon(left)
        raise


def _settle(
    entry: Entry,
    future: concurrent.futures.Future[TrialOutcome],
    course: _Course,
    study: Study,
    progress: Progress,
) -> None:
    """Writes the outcome of a trial, and tells it."""
    try:
        outcome = future.result()
    except BaseException:
        study.abandon(entry)
        raise
    study.finish(entry, outcome)
    done = spent(study.history())
    progress(f"{_told(dataclasses.replace(entry, outcome=outcome))}; {done:.2f} of {course.cost:g} plain runs spent.")


def check_hopeless(done: Sequence[Entry], least: int) -> None:
    """Raises `HoldfastError` if there are at least `least` trials and all failed."""
    outcomes = [entry.outcome for entry in done if entry.outcome is not None]
    if len(outcomes) >= least and all(outcome.state == "failed" for outcome in outcomes):
        count = "The only trial" if len(outcomes) == 1 else f"All {len(outcomes)} trials"
        raise HoldfastError(
            f"{count} failed, at a cost of {spent(done):.2g} plain runs; the last one because of: {outcomes[-1].why}"
        )


def _is_whole(entry: Entry) -> bool:
    """Returns whether a trial had all its steps before it and has a reading."""
    return entry.fidelity == 1.0 and entry.outcome is not None and entry.outcome.used is not None


def _order(entry: Entry) -> tuple[bool, float]:
    """Returns a key of a whole trial: inside the budget by what is learned, outside by what is lost."""
    outcome = entry.outcome
    assert outcome is not None
    assert outcome.used is not None
    return (True, outcome.learned or 0.0) if outcome.inside else (False, -outcome.used)


def _row(entry: Entry) -> TrialRow:
    assert entry.outcome is not None
    return TrialRow(
        number=entry.number,
        recipe=entry.candidate.text,
        fidelity=entry.fidelity,
        source=entry.source,
        attempt=entry.attempt,
        outcome=entry.outcome,
    )


def _told(entry: Entry) -> str:
    """Returns a trial in words."""
    outcome = entry.outcome
    assert outcome is not None
    head = f"{entry.candidate} with {entry.fidelity:.0%} of the steps"
    if outcome.learned is None or outcome.used is None:
        return f"{head} failed: {outcome.why}"
    ended = ", ended by the guard" if outcome.state == "pruned" else ""
    return f"{head}: learned {outcome.learned:.3g} {outcome.learned_unit}, used {outcome.used:.0%} of the budget{ended}"


def _sentence(best: Entry | None, done: Sequence[Entry], total: float) -> str:
    """Returns what came of a search, in a sentence or two."""
    trials = f"{len(done)} trial{'' if len(done) == 1 else 's'} at a cost of {total:.2f} plain runs"
    if best is None or best.outcome is None:
        return f"No candidate finished all its steps in {trials}; lower the learning rate, or raise --cost."
    outcome = best.outcome
    what = f"{best.candidate}, which learned {outcome.learned:.3g} {outcome.learned_unit}"
    if outcome.inside:
        return f"The best learner inside the budget, of {trials}, is {what}."
    return (
        f"No candidate stayed inside the budget in {trials}; the one that lost least is {what} and uses"
        f" {outcome.used:.0%} of the budget. Heal it, allow more loss, or raise --cost."
    )
