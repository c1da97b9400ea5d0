"""A fit: plans, tries recipes on a tenth of the data, searches, makes the full run, heals it, and judges it.

Each stage leaves its record in the folder (`fit_folder.py` lists them), and a later call goes on from there.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from holdfast.bench.fit.fit_folder import begin, finished
from holdfast.bench.fit.fit_inputs import FitInputs, read_fit_inputs
from holdfast.bench.fit.fit_record import FitCost, FitRecord, StageName, StageRow
from holdfast.bench.fit.fit_words import announcement, check_cost, cost_words, sentence_of
from holdfast.bench.fit.full_run import FullRun, full_run, healed
from holdfast.bench.fit.ladder import Ladder, ladder_of
from holdfast.bench.fit.old_examples import NAME, write_old
from holdfast.bench.fit.pilot import LEAST, SHARE, Pilot
from holdfast.bench.fit.price import PlainRun
from holdfast.bench.fit.stages import Clock, StageConsole, StageDisplay, open_log
from holdfast.bench.fit.trials import Candidate, trials_options
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.given.specs import PlanSpec, RunSpec, TrainingSpec
from holdfast.bench.machine.files import write_json
from holdfast.bench.machine.verbosity import quiet_libraries
from holdfast.bench.plan.plan import plan
from holdfast.bench.plan.record import PlanRecord
from holdfast.bench.run.lock import folder_lock
from holdfast.core.errors import HoldfastError
from holdfast.data.memory import load_memory
from holdfast.methods.rehearsal.self_rehearsal import SelfRehearsal
from holdfast.recipe import parse
from holdfast.train.settings import train_of

WRITING = 0.25
"""Most that the writing of old examples may cost, in plain runs, unless even `FEWEST` examples cost more."""
FEWEST = 200


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
    console, folder = console or Console(stderr=True), Path(spec.out)
    with folder_lock(folder):
        if finished(folder, spec):
            console.print(f"{folder} holds this fit, finished; nothing runs now.", style="yellow", highlight=False)
            return FitRecord.read(folder)
        clock = Clock()
        display = StageDisplay(console, clock)
        display.begin("fit", f"{spec.model} learns {spec.data} at a cost of at most {spec.plain_runs():g} plain runs")
        inputs = read_fit_inputs(spec)
        begin(folder, spec)
        with open_log(folder / "log.txt") as log:
            record = _Fit(inputs, folder, display, StageConsole(display, log), clock).run()
        write_json(folder / FitRecord.FILE, record.to_dict())
        return record


@dataclasses.dataclass
class _Fit:
    """A fit under way."""

    inputs: FitInputs
    folder: Path
    display: StageDisplay
    log: Console
    clock: Clock
    rows: list[StageRow] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    training: float = 0.0

    @property
    def spec(self) -> FitSpec:
        """Returns the options."""
        return self.inputs.spec

    @property
    def left(self) -> float:
        """Returns what is left of the cost, in plain runs."""
        return self.spec.plain_runs() - math.fsum(row.spent for row in self.rows)

    def run(self) -> FitRecord:
        """Takes all stages, and returns the record."""
        guessed, self.asking = self.inputs.guess()
        self.clock.expect(guessed * (self.spec.plain_runs() + 0.2) + 5 * self.asking)
        made = self._planned()
        self.seconds = made.time[-1].seconds if made.time else guessed
        run = self._with_old(made)
        names = tuple(run.memories())
        self.plain = self._plain_run(made, run)
        ladder = ladder_of(made, names)
        pilot = self._pilot(run, ladder)
        self._expect(self.spec.plain_runs())
        for line in announcement(self.spec, self.plain, self.seconds, ladder, None if pilot is None else pilot.most):
            self.display.tell(line)
        given = [self._advised(made, names)]
        if pilot is not None:
            given = list(dict.fromkeys([self._climbed(pilot), *given]))
        came = self._full(run, given)
        return self._closed(came, self._healed(came, run))

    def _stage(self, name: StageName, about: str) -> float:
        """Begins a stage; returns the time."""
        self.display.begin(name, about)
        return time.monotonic()

    def _done(self, name: StageName, began: float, sentence: str, **values: float | str) -> None:
        """Ends a stage: keeps its row, and tells what came of it."""
        seconds = time.monotonic() - began
        self.rows.append(StageRow(name=name, done=True, sentence=sentence, seconds=seconds, **values))  # type: ignore[arg-type]
        self.display.tell(sentence)
        self._expect(self.left)

    def _skipped(self, name: StageName, why: str) -> None:
        self.rows.append(StageRow(name=name, done=False, sentence=why))
        self.display.begin(name, why)

    def _expect(self, runs: float) -> None:
        """Sets the time left: that of so many plain runs, and of asking everything twice."""
        self.clock.expect(max(0.0, runs) * self.seconds + 2 * self.asking)

    def _planned(self) -> PlanRecord:
        """Returns the plan, which an earlier call may have made."""
        began, path = self._stage("plan", "facts, rules, and the time of a few steps"), self.folder / PlanRecord.FILE
        if path.exists():
            made = PlanRecord.read(path)
        else:
            names = {field.name for field in dataclasses.fields(TrainingSpec)} - {"out"}
            options = {name: getattr(self.spec, name) for name in names}
            made = plan(PlanSpec(**{**options, "keep": self.spec.keep, "out": str(self.folder)}), self.log)
        if not made.recipe:
            (why,) = [row.advice for row in made.advice if row.topic == "recipe" and row.followed][:1]
            raise HoldfastError(f"No recipe fits into memory: {why}.")
        self.seconds = made.time[-1].seconds if made.time else self.inputs.guess()[0]
        self.notes += made.notes
        self._done("plan", began, f"The plan advises {made.recipe}.", record=str(path))
        return made

    def _with_old(self, made: PlanRecord) -> RunSpec:
        """Returns the options of all trainings, with old examples: the user's, or those that the base writes once."""
        run = trials_options(self.spec.run(out=str(self.folder / "runs")))
        if run.memories():
            self._skipped("old examples", f"those of --memory {' '.join(self.spec.memory)}.")
            return run
        count, whole = SelfRehearsal().count, made.time[0].writing_seconds if made.time else None
        if whole and whole > WRITING * self.seconds:
            count = min(count, max(FEWEST, int(count * WRITING * self.seconds / whole)))
        began = self._stage("old examples", f"the base writes {count:,}, once for all trainings")
        old = write_old(run, self.inputs.examples, self.inputs.plan.tokenizer, self.folder, self.log, count=count)
        self.training += old.seconds
        spent, expected = old.seconds / max(self.seconds, 1e-9), (whole or 0.0) * count / SelfRehearsal().count
        sentence = f"The base wrote {old.count:,} examples, which --memory {NAME}={old.file} takes too."
        self._done(
            "old examples", began, sentence, announced=expected / max(self.seconds, 1e-9), spent=spent, record=old.file
        )
        return dataclasses.replace(run, memory=(f"{NAME}={old.file}",))

    def _plain_run(self, made: PlanRecord, run: RunSpec) -> PlainRun:
        """Returns the unit of the cost."""
        settings, how = train_of(parse(made.recipe)), {"raw": run.raw, "refused": run.refused}
        memories = {
            name: load_memory(
                path,
                self.inputs.plan.tokenizer,
                max_length=run.max_length,
                preference=run.preference,
                **how,  # type: ignore[arg-type]
            )
            for name, path in run.memories().items()
        }
        epochs, batch = float(settings.epochs or 1.0), int(settings.batch or 1)
        return PlainRun(self.inputs.examples, memories, epochs, batch, run.batch_size, run.seed)

    def _advised(self, made: PlanRecord, names: Sequence[str]) -> Candidate:
        """Returns the plan's recipe, with the old examples that all trainings share."""
        recipe = made.recipe
        written = parse(recipe).parts()
        if any(isinstance(part, SelfRehearsal) for part in written):
            parts = [
                f"Rehearsal(memory={', '.join(names)!r}, ratio={part.ratio})"
                if isinstance(part, SelfRehearsal)
                else repr(part)
                for part in written
            ]
            recipe = " + ".join(parts)
        return Candidate.of(recipe)

    def _bases(self) -> Path:
        return self.folder / "runs" / "shared" / "base"

    def _pilot(self, run: RunSpec, ladder: Ladder) -> Pilot | None:
        """Returns the pilot, or None with a row that says why there is none."""
        pilot = Pilot(run, self.spec.promise(), self.plain, ladder, self._bases(), self.folder, self.log)
        if why := self._no_pilot(pilot):
            self._skipped("pilot", why)
            return None
        return pilot

    def _no_pilot(self, pilot: Pilot) -> str:
        """Returns why there is no pilot; empty if there is one."""
        if not self.spec.pilot:
            return "none (--no-pilot)."
        if not self.inputs.learns:
            return "none: no validation items measure what is learned; give --test a few dozen items."
        if pilot.examples < LEAST:
            count = len(self.inputs.examples)
            return f"none: a tenth of {count:,} examples is fewer than {LEAST}, too few to show anything."
        if self.left - pilot.most < 1.0:
            return f"none: it may cost {pilot.most:.2f} of the {self.left:.2f} plain runs left; give a higher --cost."
        return ""

    def _climbed(self, pilot: Pilot) -> Candidate:
        """Climbs the ladder of the pilot, and returns the candidate for the full run."""
        about = (
            f"up to {len(pilot.ladder.rungs)} recipes on {SHARE:.0%} of the data, at most {pilot.most:.2f} plain runs"
        )
        began = self._stage("pilot", about)
        record = pilot.climb()
        self.training += math.fsum(rung.seconds or 0.0 for rung in record.rungs)
        values: Mapping[str, float] = {"announced": record.announced, "spent": record.spent}
        self._done("pilot", began, record.sentence, record=str(self.folder / record.FILE), **values)
        return Candidate.of(record.recipe)

    def _full(self, run: RunSpec, given: Sequence[Candidate]) -> FullRun:
        """Searches if the options and the cost allow it, and returns the full run."""
        check_cost(self.spec, self.plain, given[0], self.left)
        if why := self._no_search(given):
            self._skipped("search", why)
        stage: StageName = "run" if why else "search"
        began, most = self._stage(stage, f"at most {self.left:.2f} plain runs"), self.left
        tell = None if why else self.display.tell
        came = full_run(run, given, self.plain, most, self._bases(), self.folder, self.log, tell=tell)
        self.notes += came.notes
        self.training += came.seconds
        values: Mapping[str, float] = {"announced": most, "spent": came.spent}
        self._done(stage, began, came.sentence, record=str(came.record), **values)
        return came

    def _no_search(self, given: Sequence[Candidate]) -> str:
        """Returns why there is no search; empty if there is one."""
        if not self.spec.search:
            return "none (--no-search)."
        if not self.inputs.learns:
            return "none: no validation items measure what is learned; give --test a few dozen items."
        whole = min(self.plain.price(candidate) for candidate in given)
        if self.left < whole * (1 + 2 / 9):
            return f"none: {self.left:.2f} plain runs are left, and the full run costs {min(whole, self.left):.2f}."
        return ""

    def _healed(self, came: FullRun, run: RunSpec) -> FullRun | None:
        """Heals the full run if it is outside the budget, and returns what came of it."""
        if came.used is None or came.used <= 1.0:
            self._skipped("heal", "nothing to heal: the full run is inside the budget on validation items.")
            return None
        if not self.spec.heal:
            self._skipped("heal", "none (--no-heal).")
            return None
        began, left = self._stage("heal", f"the full run takes {came.used:.0%} of the budget"), self.left
        try:
            made = healed(came, self.spec, run, self.plain, left, self.folder, self.log)
        except HoldfastError as error:
            self.rows.append(StageRow(name="heal", done=False, sentence=f"It failed: {error}"))
            self.display.tell(f"It failed: {error}")
            return None
        self.training += made.seconds
        values: Mapping[str, float] = {"announced": left, "spent": made.spent}
        self._done("heal", began, made.sentence, record=str(made.record), **values)
        return made

    def _closed(self, came: FullRun, made: FullRun | None) -> FitRecord:
        """Returns the record."""
        final = came if made is None else made
        record = FitRecord(
            suites=final.outcome.suites,
            learned=final.outcome.learned,
            verdict=final.outcome.verdict,
            symptoms=final.outcome.symptoms,
            base=self.spec.model,
            data=self.spec.data,
            stages=tuple(self.rows),
            recipe=came.recipe,
            run=str(came.folder),
            used=came.used,
            healed=made is not None,
            model=final.model,
            cost=FitCost(
                allowed=self.spec.plain_runs(),
                spent=math.fsum(row.spent for row in self.rows),
                plain_seconds=self.seconds,
                training_seconds=self.training,
            ),
            notes=tuple(dict.fromkeys(self.notes)),
            sentence="",
            seconds=self.clock.seconds,
        )
        return dataclasses.replace(record, sentence=f"{sentence_of(record)} {cost_words(record.cost)}")
