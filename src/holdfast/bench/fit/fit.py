"""A fit: plans, tries recipes on a tenth of the data, searches, makes the full run, heals it, and judges it.

Each stage leaves its record in the folder (`fit_folder.py` lists them), and a later call goes on from there.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from holdfast.bench.fit.fit_folder import begin, finished, timed
from holdfast.bench.fit.fit_inputs import FitInputs, read_fit_inputs
from holdfast.bench.fit.fit_record import FitRecord, StageName
from holdfast.bench.fit.fit_words import announcement, check_cost, cost_words, sentence_of
from holdfast.bench.fit.full_run import FullRun, full_run, healed
from holdfast.bench.fit.ladder import Ladder
from holdfast.bench.fit.ledger import Ledger
from holdfast.bench.fit.old_examples import NAME, write_old
from holdfast.bench.fit.pilot import LEAST, SHARE, Pilot
from holdfast.bench.fit.price import PlainRun
from holdfast.bench.fit.ranking_inputs import RankingFitInputs, read_ranking_fit_inputs
from holdfast.bench.fit.stages import Clock, StageConsole, StageDisplay, open_log
from holdfast.bench.fit.trials import Candidate, base_folder, trials_options
from holdfast.bench.fit.unit import Unit
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.given.precision import resolving_precision
from holdfast.bench.given.specs import PlanSpec, RunSpec, TrainingSpec
from holdfast.bench.machine.files import write_json
from holdfast.bench.machine.lines import print_line
from holdfast.bench.machine.verbosity import quiet_libraries
from holdfast.bench.measured.base_cache import ROWS
from holdfast.bench.plan.plan import plan
from holdfast.bench.plan.ranking.ranking_plan import plan_reranker
from holdfast.bench.plan.ranking.ranking_record import RankingPlanRecord
from holdfast.bench.plan.record import PlanRecord
from holdfast.bench.run.lock import folder_lock
from holdfast.bench.run.pushing import check_push, push
from holdfast.core.errors import HoldfastError
from holdfast.methods.rehearsal.prompt_rehearsal import PromptRehearsal
from holdfast.methods.rehearsal.rehearsal import Rehearsal
from holdfast.methods.rehearsal.self_rehearsal import SelfRehearsal
from holdfast.recipe import parse
from holdfast.train.settings import train_of
from holdfast.train.trainer_view import sharing_examples

WRITING = 0.25
"""Most that the writing of old examples may cost, in plain runs, unless the full run leaves more, or even `FEWEST`
examples cost more."""
FEWEST = 200
ROOM = 2 + 2 / 9
"""Times the price of the full run that must be left for a search: a second whole run, and two trials of a ninth of its
steps. With one whole run a search would have to trust short trials alone, which tell little of the loss
(docs/fit.md)."""
NO_RANKING_PILOT = (
    "none: a tenth of a reranker's queries misjudges the full run (decision 17); the search tries shorter runs."
)
UNMEASURED = "none: no validation items measure what is learned; give --test a few dozen items."


Inputs = FitInputs | RankingFitInputs
Made = PlanRecord | RankingPlanRecord


@resolving_precision
@quiet_libraries()
def fit(spec: FitSpec, console: Console | None = None) -> FitRecord:
    """Fine-tunes a model inside a budget at a stated cost, and returns the record; a finished fit is only read.

    Args:
        spec: The options.
        console: Console for progress; stderr by default.

    Raises:
        HoldfastError: For anything that the user can mend.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise HoldfastError("holdfast fit runs in one process; make the full run of its recipe with holdfast train.")
    check_push(spec.training)
    console, folder = console or Console(stderr=True), Path(spec.out)
    with folder_lock(folder):
        if finished(folder, spec):
            console.print(f"{folder} holds this fit, finished; nothing runs now.", style="yellow", highlight=False)
            return FitRecord.read(folder)
        clock = Clock()
        display = StageDisplay(console, clock)
        display.begin("fit", f"{spec.model} learns {spec.data} at a cost of at most {spec.plain_runs():g} plain runs")
        inputs: Inputs = read_ranking_fit_inputs(spec) if spec.reranks else read_fit_inputs(spec)
        begin(folder, spec)
        plain, asking = inputs.guess()
        clock.expect(plain * spec.plain_runs() + 5 * asking)
        ledger = Ledger(display, spec.plain_runs(), plain, asking)
        with timed(folder, clock), open_log(folder / "log.txt") as log:
            record = _Fit(inputs, folder, ledger, StageConsole(display, log)).run()
        write_json(folder / FitRecord.FILE, record.to_dict())
        if (address := push(Path(record.model), spec.training)) is not None:
            print_line(console, f"Pushed: {address}")
        return record


@dataclasses.dataclass
class _Fit:
    """A fit under way."""

    inputs: Inputs
    folder: Path
    ledger: Ledger
    log: Console

    @property
    def spec(self) -> FitSpec:
        """Returns the options."""
        return self.inputs.spec

    def run(self) -> FitRecord:
        """Takes all stages, and returns the record."""
        made = self._planned()
        run = self._with_old(made)
        names = tuple(run.memories())
        plain = _plain(self.inputs, made, run)
        ladder = self.inputs.ladder(made, names)  # type: ignore[arg-type]  # each takes the plan of its own kind
        advised = _advised(made, names)
        pilot = self._pilot(run, plain, ladder, plain.price(advised))
        most, seconds = None if pilot is None else pilot.most, self.ledger.plain_seconds
        for line in (*announcement(self.spec, plain, seconds, ladder, most), *self.inputs.doubts):
            self.ledger.display.tell(line)
        self.ledger.notes += self.inputs.doubts
        given = [advised]
        if self.spec.reranks and not self._no_search(given, plain):
            given = list(dict.fromkeys([advised, *(rung.candidate for rung in ladder.rungs if rung.plain)]))
        with sharing_examples(self._shared / "old"):  # as the trials of the search do
            if pilot is not None:
                given = list(dict.fromkeys([self._climbed(pilot), *given]))
            came = self._full(run, given, plain)
        healed_run = self._healed(came, run, plain)
        record = _record(self.spec, self.ledger, came, healed_run)
        shutil.rmtree(self._bases() / ROWS, ignore_errors=True)
        return record

    def _planned(self) -> Made:
        """Returns the plan, which an earlier call may have made."""
        began = self.ledger.begin("plan", "facts, rules, and the time of a few steps")
        path = self.folder / PlanRecord.FILE
        made = _plan_in(path, self.spec, self.log)
        if not made.recipe:
            why = next(row.advice for row in made.advice if row.topic == "recipe" and row.followed)
            raise HoldfastError(f"No recipe fits into memory: {why}.")
        if made.time:
            self.ledger.plain_seconds = _plain_seconds(self.inputs, made)
        self.ledger.notes += made.notes
        self.ledger.done("plan", began, f"The plan advises {made.recipe}.", record=str(path))
        return made

    def _with_old(self, made: Made) -> RunSpec:
        """Returns the options of all trainings, with old examples: the user's, or those that the base writes once."""
        run = trials_options(self.spec.run(out=str(self.folder / "runs")))
        if run.memories():
            self.ledger.skipped("old examples", f"those of --memory {' '.join(self.spec.memory)}.")
            return run
        if isinstance(self.inputs, RankingFitInputs):
            self.ledger.skipped(
                "old examples", "none: a reranker writes none; old lists (--memory) would hold it more."
            )
            return run
        assert isinstance(made, PlanRecord)
        if any(isinstance(part, PromptRehearsal) for part in parse(made.recipe).parts()):
            self.ledger.skipped("old examples", "none: the base answers prompts, once for all trainings of a kind.")
            return run
        plain = max(self.ledger.plain_seconds, 1e-9)
        whole = ((made.time[0].writing_seconds if made.time else None) or 0.0) / plain
        unit, advised = _plain(self.inputs, made, run), Candidate.of(made.recipe)
        count = count_written(whole, self.ledger.left - unit.price(advised))
        announced = whole * count / SelfRehearsal().count
        check_cost(self.spec, unit, advised, self.ledger.left - announced, announced)
        began = self.ledger.begin("old examples", f"the base writes {count:,}, once for all trainings")
        old = write_old(run, self.inputs.examples, self.inputs.plan.tokenizer, self.folder, self.log, count=count)
        self.ledger.training_seconds += old.seconds
        values = {"announced": announced, "spent": old.seconds / plain}
        sentence = f"The base wrote {old.count:,} examples, which --memory {NAME}={old.file} takes too."
        self.ledger.done("old examples", began, sentence, record=old.file, **values)
        return dataclasses.replace(run, memory=(f"{NAME}={old.file}",))

    @property
    def _shared(self) -> Path:
        """Returns the folder of what all trainings share."""
        return self.folder / "runs" / "shared"

    def _bases(self) -> Path:
        return base_folder(self._shared, self.spec.model)

    def _pilot(self, run: RunSpec, plain: Unit, ladder: Ladder, whole: float) -> Pilot | None:
        """Returns the pilot, or None with a row that says why there is none.

        Args:
            run: The options of all trainings.
            plain: The unit of the cost.
            ladder: The rungs.
            whole: Price of the whole run that the plan advises.
        """
        if not isinstance(plain, PlainRun):
            self.ledger.skipped("pilot", NO_RANKING_PILOT)
            return None
        pilot = Pilot(run, self.spec.promise(), plain, ladder, self._bases(), self.folder, self.log)
        if why := self._no_pilot(pilot, whole):
            self.ledger.skipped("pilot", why)
            return None
        return pilot

    def _no_pilot(self, pilot: Pilot, whole: float) -> str:
        """Returns why there is no pilot; empty if there is one.

        A pilot is for what the plan's whole run leaves: a full run with fewer epochs learns less than a pilot gains.
        """
        if not self.spec.pilot:
            return "none (--no-pilot)."
        if not self.inputs.learns:
            return UNMEASURED
        if pilot.examples < LEAST:
            count = self.inputs.rows
            return f"none: a tenth of {count:,} examples is fewer than {LEAST}, too few to show anything."
        if (left := self.ledger.left) < pilot.most + whole:
            return (
                f"none: it may cost {pilot.most:.2f} of the {max(left, 0.0):.2f} plain runs left, and the full run that"
                f" the plan advises costs {whole:.2f}; a higher --cost pays for both."
            )
        return ""

    def _climbed(self, pilot: Pilot) -> Candidate:
        """Climbs the ladder of the pilot, and returns the candidate for the full run."""
        rungs = len(pilot.ladder.rungs)
        about = f"up to {rungs} recipes on {SHARE:.0%} of the data, at most {pilot.most:.2f} plain runs"
        began = self.ledger.begin("pilot", about)
        record = pilot.climb()
        training = math.fsum(rung.seconds or 0.0 for rung in record.rungs)
        self.ledger.training_seconds += training
        self.ledger.asked(time.monotonic() - began - training, len(record.rungs) + 1)
        values = {"announced": record.announced, "spent": record.spent}
        self.ledger.done("pilot", began, record.sentence, record=str(self.folder / record.FILE), **values)
        return Candidate.of(record.recipe)

    def _full(self, run: RunSpec, given: Sequence[Candidate], plain: Unit) -> FullRun:
        """Searches if the options and the cost allow it, and returns the full run."""
        most = self.ledger.left
        check_cost(self.spec, plain, given[0], most)
        if why := self._no_search(given, plain):
            self.ledger.skipped("search", why)
        stage: StageName = "run" if why else "search"
        began = self.ledger.begin(stage, f"at most {most:.2f} plain runs")
        tell = None if why else self.ledger.display.tell
        if why and not _no_heal(self.inputs):  # a healing keeps more than a guard that pulls the model back
            run = dataclasses.replace(run, budget={"on_spent": "log", **run.budget})
        came = full_run(
            run, given, plain, most, self._bases(), self.folder, self.log, tell=tell, engine=self.spec.engine
        )
        self._count(stage, began, came, most)
        return came

    def _no_search(self, given: Sequence[Candidate], plain: Unit) -> str:
        """Returns why there is no search; empty if there is one."""
        if not self.spec.search:
            return "none (--no-search)."
        if not self.inputs.learns:
            return UNMEASURED
        whole, left = min(plain.price(candidate) for candidate in given), self.ledger.left
        if left < whole * ROOM:
            return f"none: {left:.2f} plain runs are left, and the full run costs {whole:.2f}."
        return ""

    def _healed(self, came: FullRun, run: RunSpec, plain: Unit) -> FullRun | None:
        """Heals the full run if it is outside the budget, and returns what came of it."""
        if came.used is None or came.used <= 1.0:
            self.ledger.skipped("heal", "nothing to heal: the full run is inside the budget on validation items.")
            return None
        if why := _no_heal(self.inputs):
            self.ledger.skipped("heal", why)
            return None
        most = self.ledger.left
        began = self.ledger.begin("heal", f"the full run takes {came.used:.0%} of the budget")
        try:
            made = healed(came, self.spec, run, plain, most, self.folder, self.log)
        except HoldfastError as error:
            self.ledger.skipped("heal", f"failed: {error}")
            return None
        self._count("heal", began, made, most)
        return made

    def _count(self, stage: StageName, began: float, came: FullRun, most: float) -> None:
        """Ends a stage that made a model."""
        self.ledger.notes += came.notes
        self.ledger.training_seconds += came.seconds
        values = {"announced": most, "spent": came.spent}
        self.ledger.done(stage, began, came.sentence, record=str(came.record), **values)


def _plan_in(path: Path, spec: FitSpec, log: Console) -> Made:
    """Returns the plan in a file; if it is missing, makes the plan, which writes it."""
    if path.exists():
        return RankingPlanRecord.read(path) if spec.reranks else PlanRecord.read(path)
    names = {field.name for field in dataclasses.fields(TrainingSpec)} - {"out"}
    asked = PlanSpec(**{**{name: getattr(spec, name) for name in names}, "out": str(path.parent)})
    return plan_reranker(asked, log) if spec.reranks else plan(asked, log)


def count_written(whole: float, room: float) -> int:
    """Returns how many old examples the base writes.

    Args:
        whole: Cost of as many as `SelfRehearsal()` writes, in plain runs.
        room: Cost that the full run leaves.
    """
    count, most = SelfRehearsal().count, max(WRITING, room)
    return count if whole <= most else min(count, max(FEWEST, int(count * most / whole)))


def _record(spec: FitSpec, ledger: Ledger, came: FullRun, made: FullRun | None) -> FitRecord:
    """Returns the record of a fit, from its full run and what the healing made of it."""
    final = came if made is None else made
    record = FitRecord(
        suites=final.outcome.suites,
        learned=final.outcome.learned,
        verdict=final.outcome.verdict,
        symptoms=final.outcome.symptoms,
        base=spec.model,
        data=spec.data,
        stages=tuple(ledger.rows),
        recipe=came.recipe,
        run=str(came.folder),
        used=came.used,
        healed=made is not None,
        model=final.model,
        cost=ledger.total(),
        notes=tuple(dict.fromkeys(ledger.notes)),
        sentence="",
        seconds=ledger.display.clock.seconds,
        ranking=getattr(final.outcome, "ranking", None),
    )
    return dataclasses.replace(record, sentence=f"{sentence_of(record)} {cost_words(record.cost)}")


def _plain(inputs: Inputs, made: Made, run: RunSpec) -> Unit:
    """Returns the unit of the cost: the plan's batch and epochs, and the old examples that recipes may name."""
    settings = train_of(parse(made.recipe))
    return inputs.plain(run, epochs=float(settings.epochs or 1.0), batch=int(settings.batch or 1))


def _plain_seconds(inputs: Inputs, made: Made) -> float:
    """Returns the seconds of a plain run, from those of the last recipe that was timed, which may train an adapter."""
    timed, run = made.time[-1], trials_options(inputs.spec.run())
    return timed.seconds / _plain(inputs, made, run).price(Candidate.of(timed.recipe))


def _no_heal(inputs: Inputs) -> str:
    """Returns why the full run will not be healed, so that its guard has to hold it; empty if it may be."""
    if not inputs.spec.heal:
        return "none (--no-heal)."
    return f"none: {inputs.spec.model} {why}." if (why := inputs.unhealable) else ""


def _advised(made: Made, names: Sequence[str]) -> Candidate:
    """Returns the plan's recipe, with the old examples that all trainings share in place of those of its own."""
    parts = [
        repr(Rehearsal(", ".join(names), ratio=part.ratio)) if isinstance(part, SelfRehearsal) else repr(part)
        for part in parse(made.recipe).parts()
    ]
    return Candidate.of(" + ".join(parts))
