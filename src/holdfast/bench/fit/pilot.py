"""The pilot: climbs a ladder of recipes on a tenth of the data until one opens the gate to the full run.

The rules, of which docs/fit.md says where each comes from:

- A rung passes if its mean loss is below `GATE` of the kept score and within the budget, and if the task is on course.
  The first rung, all weights without old examples, passes only if it loses nothing (`NOTHING`).
- The task is on course if validation items of it became better beyond chance, or if the training loss fell by `FELL`:
  a tenth of some facts teaches nothing of the others.
- The full run has the batch, the epochs and the schedule of the rung that passed, so ten times its steps, at its rate.
- If no rung passes, the one on course that lost least goes on, at a lower rate if it lost more than the budget: the
  loss grows about as the square of the rate, so the rate falls with the root of the excess, to a half at most.
"""

from __future__ import annotations

import dataclasses
import math
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.fit.ladder import Ladder, Rung
from holdfast.bench.fit.pilot_record import PilotRecord, PilotRung
from holdfast.bench.fit.price import PlainRun
from holdfast.bench.fit.trials import Candidate, lost_of
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import read_jsonl, write_json
from holdfast.bench.measured.learning import learning_of
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run.part import Part
from holdfast.bench.run.run import RunResult, train
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.probes.changes import SuiteChange, changes
from holdfast.stats.flips import Flips
from holdfast.train.settings import train_of, with_train

SHARE = 0.1
"""Share of the data."""
LEAST = 20
"""Least number of examples of a pilot; with fewer, a few steps on a few rows show nothing."""
GATE = 0.05
"""Share of the kept score below which the loss must be."""
NOTHING = 0.01
"""Largest share of right answers that may become wrong, and of the kept score of texts, if nothing is forgotten."""
FELL = 0.2
"""Share by which the training loss must fall where validation items of the task do not show that it is learned."""
SLOWEST = 0.5
"""Least factor on the rate if no rung passes and the chosen one lost more than the budget. At half of the rate plain
training loses a quarter of the points on the proving ground (docs/which-method.md)."""


@dataclasses.dataclass(frozen=True)
class Pilot:
    """A pilot.

    Attributes:
        spec: The options of the full run; its guard does not act in trials.
        budget: The budget.
        plain: The unit of the cost.
        ladder: The rungs.
        bases: Folder of the base's answers.
        folder: Folder of the fit.
        console: Console for the progress of the trials.
    """

    spec: RunSpec
    budget: Budget
    plain: PlainRun
    ladder: Ladder
    bases: Path
    folder: Path
    console: Console

    @property
    def examples(self) -> int:
        """Returns the number of examples of a trial."""
        return round(SHARE * len(self.plain.examples))

    @property
    def most(self) -> float:
        """Returns what all rungs together cost, in plain runs."""
        return math.fsum(self.plain.price(rung.candidate, SHARE) for rung in self.ladder.rungs)

    def climb(self) -> PilotRecord:
        """Tries rungs until one passes, and returns the record; a finished pilot is only read.

        Raises:
            HoldfastError: All rungs failed.
        """
        path = self.folder / PilotRecord.FILE
        if path.exists():
            return PilotRecord.read(path)
        rungs: list[PilotRung] = []
        for rung in self.ladder.rungs:
            rungs.append(self._tried(rung))
            if rungs[-1].opens:
                break
        if all(row.lost is None for row in rungs):
            raise HoldfastError(f"Every trial of the pilot failed; the last one because of: {rungs[-1].why}")
        record = self._record(rungs)
        write_json(path, record.to_dict())
        return record

    def _record(self, rungs: Sequence[PilotRung]) -> PilotRecord:
        chosen, rate = choose(rungs)
        recipe = carried(Candidate.of(chosen.recipe), rate)
        return PilotRecord(
            share=SHARE,
            examples=self.examples,
            announced=self.most,
            spent=math.fsum(row.cost for row in rungs),
            rungs=tuple(rungs),
            left_out=self.ladder.left_out,
            rung=chosen.name,
            open=chosen.opens,
            rate=rate,
            recipe=recipe.text,
            sentence=_sentence(chosen, rate),
        )

    def _tried(self, rung: Rung) -> PilotRung:
        """Makes the trial of a rung, and returns what it shows."""
        cost = self.plain.price(rung.candidate, SHARE)
        name = re.sub(r"\W+", "-", rung.name)
        spec = dataclasses.replace(
            self.spec, recipe=rung.candidate.text, budget={}, out=str(self.folder / "pilot"), name=name, resume=True
        )
        try:
            run = train(spec, self.console, bases=self.bases, part=Part(SHARE, self.spec.seed, "watch"))
        except (HoldfastError, RuntimeError, MemoryError) as error:
            why = " ".join(str(error).split()) or type(error).__name__
            of_rung: dict[str, Any] = {"name": rung.name, "recipe": rung.candidate.text, "plain": rung.plain}
            return PilotRung(**of_rung, why=f"failed: {why}", cost=cost)
        return _judged(rung, run, self.budget, cost)


def _judged(rung: Rung, run: RunResult, budget: Budget, cost: float) -> PilotRung:
    """Returns what a trial shows, and whether it passes."""
    scores = read_scores(run.folder / "scores.jsonl")
    before, after = scores["before"], scores["after"]
    moved = changes(before, after)
    kept = [change for change in moved if change.role == "retained"]
    lost, unit = lost_of(before, after, budget)
    learned = learning_of(moved).units
    first, last = training_losses(run.folder)
    row = PilotRung(
        name=rung.name,
        recipe=rung.candidate.text,
        plain=rung.plain,
        learned=learned[0].gain if learned else None,
        learned_low=learned[0].low if learned else None,
        learned_unit=learned[0].unit if learned else "points",
        lost=lost,
        lost_unit=unit,
        limit=budget.limits[unit],
        kept_before=statistics.fmean(change.before for change in kept if change.unit == unit),
        answers_lost=_answers_lost(kept),
        loss_before=first,
        loss_after=last,
        why="",
        cost=cost,
        seconds=run.record.seconds.training,
        folder=str(run.folder),
    )
    return judged(row)


def judged(row: PilotRung) -> PilotRung:
    """Returns what a trial shows with the gate's decision."""
    assert row.lost is not None
    on_course, reasons = _is_on_course(row), list[str]()
    share = row.lost / row.kept_before if row.kept_before > 0 else 0.0
    if not on_course:
        reasons.append("the task is not on course")
    if row.lost > row.limit:
        reasons.append("it lost more than the budget")
    if share >= GATE:
        reasons.append(f"it lost {share:.0%} of the kept score")
    if row.plain and (most := max(share, row.answers_lost or 0.0)) > NOTHING:
        reasons.append(f"without old examples it passes only if it loses nothing, and it lost {most:.1%}")
    why = "; ".join(reasons) or (
        "it forgets nothing" if row.plain else "loss and task are within the limits of the gate"
    )
    return dataclasses.replace(row, on_course=on_course, opens=not reasons, why=why)


def _is_on_course(row: PilotRung) -> bool:
    better = row.learned_low is not None and row.learned_low > 0
    known = row.loss_before is not None and row.loss_after is not None
    return better or (known and (row.loss_after or 0.0) <= (1 - FELL) * (row.loss_before or 0.0))


def choose(rungs: Sequence[PilotRung]) -> tuple[PilotRung, float]:
    """Returns the rung of the full run, and the factor on its rate."""
    if opening := [row for row in rungs if row.opens]:
        return opening[0], 1.0
    done = [row for row in rungs if row.lost is not None]
    going = [row for row in done if row.on_course and not row.plain] or [done[-1]]
    best = min(going, key=lambda row: (row.lost or 0.0) / row.limit)
    lost = best.lost or 0.0
    return best, max(SLOWEST, math.sqrt(best.limit / lost)) if lost > best.limit else 1.0


def carried(candidate: Candidate, rate: float) -> Candidate:
    """Returns the candidate of the full run: that of the rung, at its rate times a factor."""
    recipe = candidate.chain()
    return Candidate.of(repr(with_train(recipe, lr=float(f"{(train_of(recipe).lr or 0.0) * rate:.4g}"))))


def training_losses(folder: Path) -> tuple[float | None, float | None]:
    """Returns the mean training loss of the first and of the last quarter of a run's steps, in nats per token."""
    path = folder / "log.jsonl"
    rows = [row.get("task_loss", row["loss"]) for row in (read_jsonl(path) if path.exists() else []) if "loss" in row]
    if len(rows) < 2:
        return None, None
    quarter = max(1, len(rows) // 4)
    return statistics.fmean(rows[:quarter]), statistics.fmean(rows[-quarter:])


def _answers_lost(kept: Sequence[SuiteChange]) -> float | None:
    """Returns the share of right answers that became wrong, over all suites of answers."""
    counted = [change.evidence for change in kept if isinstance(change.evidence, Flips)]
    right = sum(flips.right + flips.lost for flips in counted)
    return sum(flips.lost for flips in counted) / right if right else None


def _sentence(chosen: PilotRung, rate: float) -> str:
    """Returns what came of the pilot."""
    unit = "points" if chosen.lost_unit == "points" else "nats per token"
    lost = f"lost {chosen.lost:.3g} {unit} on a tenth of the data"
    if chosen.opens and chosen.plain:
        return f"Nothing is forgotten ({lost}), so the full run is plain training of all weights."
    if chosen.opens:
        return f"The gate is open: {chosen.name} {lost}, and the task is on course."
    slower = f", at {rate:.0%} of its rate" if rate < 1 else ""
    return f"No rung passed the gate; {chosen.name} {lost}, the least of those on course, and goes on{slower}."
