"""Healing: searches on validation items for the edit that keeps the most learning inside the budget, and judges it.

<out>/heal-spec.json    the options
      search.jsonl      the answers of every edit that was read, from which an interrupted search continues
      glances.jsonl     the glances at edits, likewise
      answers/          the answers of the base, and those of the tuned and the healed model to the test items
      retrained/        the run of the retraining, if there was one
      model/            the healed model with its card and certificate; absent if the tuned model was inside the budget
      heal.json         the record, written last
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.precision import resolving_precision
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.heal.asking import Asking
from holdfast.bench.heal.asks import HEALED, TUNED, Asks, ModelGlances, counting
from holdfast.bench.heal.candidates import EDITS
from holdfast.bench.heal.documents import document_healed
from holdfast.bench.heal.edits import Editor
from holdfast.bench.heal.folder import begin, finished, has_begun
from holdfast.bench.heal.heal_record import (
    BeforeHealing,
    Form,
    HealEdit,
    HealPoint,
    HealRecord,
    HealRetraining,
    HealSearch,
)
from holdfast.bench.heal.inputs import HealInputs, inputs_of
from holdfast.bench.heal.ranking_asking import RankingAsking
from holdfast.bench.heal.retraining import retrain
from holdfast.bench.heal.search import Glance, Point, Reading, Search, search
from holdfast.bench.heal.validation import Validation
from holdfast.bench.heal.weights import temporary_folder
from holdfast.bench.heal.words import forecast_line, sentence_of
from holdfast.bench.machine.files import write_json
from holdfast.bench.machine.progress import Progress
from holdfast.bench.machine.verbosity import quiet_libraries
from holdfast.bench.run.lock import folder_lock

ENOUGH = 0.9
"""Share of the tuned model's learning below which the edits do not suffice and a retraining follows."""


@resolving_precision
@quiet_libraries()
def heal(spec: HealSpec, console: Console | None = None, *, run: RunSpec | None = None) -> HealRecord:
    """Brings a fine-tune inside a budget, writes the healed model, and returns the record; a finished one is only read.

    Args:
        spec: The options.
        console: Console for progress; stderr by default.
        run: The options by which a retraining runs, in place of those that the healed run's folder has: its seed,
            `training`, packing and `memory_check`.

    Raises:
        HoldfastError: For anything that the user can mend.
    """
    console, folder = console or Console(stderr=True), Path(spec.out)
    inputs = inputs_of(spec).running_as(run)
    with folder_lock(folder):
        began, notes = time.monotonic(), list[str]()
        kind = RankingAsking if inputs.spec.reranks else Asking
        asking: Asks = kind.of(inputs, folder, console, notes)
        if finished(folder, inputs, asking.questions):
            console.print(f"{folder} holds this healing, finished; nothing runs now.", style="yellow", highlight=False)
            return HealRecord.read(folder)
        work = folder / "work"
        if not has_begun(folder):  # weights of a healing that ended before, perhaps of other models
            shutil.rmtree(work, ignore_errors=True)
        with Progress(console) as progress, progress.phase(f"reading {spec.base} and {inputs.tuned}"):
            editor = asking.editor(work, notes)
        begin(folder, inputs, asking.questions)
        record = _Healing(inputs, asking, editor, folder, console, notes).run(began)
        if record.form != "unchanged":
            document_healed(folder / "model", inputs, record, asking.judgement())
        write_json(folder / HealRecord.FILE, record.to_dict())
        shutil.rmtree(work, ignore_errors=True)
        return record


@dataclasses.dataclass
class _Healing:
    """A healing under way."""

    inputs: HealInputs
    asking: Asks
    editor: Editor
    folder: Path
    console: Console
    notes: list[str]

    def run(self, began: float) -> HealRecord:
        """Asks the base, searches, retrains if need be, writes the model, judges it, and returns the record."""
        asked = self.asking.base(list(self.editor.tuned.shapes), self.notes)
        self.editor = dataclasses.replace(self.editor, transposed=asked.transposed)
        budget, path = self.inputs.budget, self.folder / "search.jsonl"
        validation = Validation(self.asking.validation, asked.validation, budget, path, asked.test)
        spec = self.inputs.spec
        self._tell([*self.notes, forecast_line(validation, spec.evaluations, asked.seconds, ranks=spec.reranks)])
        came, tuned = self._search(validation)
        chosen = None if tuned.spent <= 1.0 else came.best or came.nearest
        retrained = None if chosen is None else self._retrain(validation, tuned, chosen)
        before = self.asking.judged(self.inputs.tuned, TUNED, again=True)
        after, model = before, self.inputs.tuned
        form: Form = "unchanged"
        if chosen is not None:
            model, form = str(self.folder / "model"), self._ship(chosen, retrained)
            after = self.asking.judged(model, HEALED)
        record = HealRecord(
            suites=after.suites,
            learned=after.learned,
            verdict=after.verdict,
            base=self.inputs.spec.base,
            tuned=self.inputs.spec.tuned,
            before=before,
            form=form,
            model=model,
            edit=None if chosen is None else _edit_of(chosen, validation),
            search=self._search_row(validation, came, tuned),
            retraining=retrained,
            steered=self.asking.steered,
            learning_left=_learning_left(before, after),
            sentence="",
            seconds=time.monotonic() - began,
            **self.asking.more(),
        )
        return dataclasses.replace(record, sentence=sentence_of(record))

    def _tell(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.console.print(f"  {line}", style="yellow", highlight=False, markup=False)

    def _search(self, validation: Validation) -> tuple[Search, Reading]:
        """Reads the tuned model on all validation items, and searches the edits if it is outside the budget."""
        spec = self.inputs.spec
        with Progress(self.console) as progress:
            show = counting(progress, "searching on validation items", [validation.suites], spec.evaluations)
            tuned = self._read(validation, TUNED, 1.0, show, Path(self.inputs.tuned), 1.0)
            if tuned.spent <= 1.0:
                return Search(None, None, (), 0.0), tuned
            glance = functools.partial(self._glanced, self._glances(), show)
            read = functools.partial(self._edited, validation, show)
            nothing = max(0.0, validation.nothing)
            return search(spec.edits, glance, read, tuned, spec.evaluations - 1.0, nothing), tuned

    def _glances(self) -> ModelGlances:
        """Returns the glances, with those at the base and at the tuned model."""
        glances = self.asking.glances()
        for name, edit, strength in ((self.inputs.spec.base, "base", 0.0), (self.inputs.tuned, "tuned", 1.0)):
            if not glances.book.has(edit, strength):
                glances.take(name, edit, strength, strength)
        return glances

    def _glanced(self, glances: ModelGlances, show: Any, edit: str, strength: float) -> Glance:
        """Returns a glance at an edit."""
        moved = show("a glance", glances.size)
        if not glances.book.has(edit, strength):
            with self._candidate(edit, strength) as (folder, left):
                glances.take(str(folder), edit, strength, left)
        moved(glances.size, glances.size)
        return glances.at(edit, strength)

    @contextlib.contextmanager
    def _candidate(self, edit: str, strength: float) -> Iterator[tuple[Path, float]]:
        """Writes an edited model for a block; yields its folder and the change that is left."""
        with temporary_folder(self.folder / "work" / "candidate") as folder:
            left = self.editor.write(EDITS[edit], strength, folder)
            self.asking.complete(folder)
            yield folder, left

    def _edited(self, validation: Validation, show: Any, edit: str, strength: float) -> Reading:
        """Returns the reading of an edit."""
        if validation.has(edit, strength):
            return validation.reading(edit, strength)
        with self._candidate(edit, strength) as (folder, left):
            return self._read(validation, edit, strength, show, folder, left)

    def _read(
        self, validation: Validation, edit: str, strength: float, show: Any, folder: Path, left: float
    ) -> Reading:
        """Asks a model if its answers are not known, and returns its reading."""
        if not validation.has(edit, strength):
            validation.add(edit, strength, self.asking.scores(str(folder), edit, show), left)
        return validation.reading(edit, strength)

    def _retrain(self, validation: Validation, tuned: Reading, chosen: Point) -> HealRetraining | None:
        """Retrains from the chosen edit if it keeps too little and there are old examples; returns what came of it."""
        if not self.inputs.spec.memory:
            return None
        if chosen.inside and chosen.reading.gain >= ENOUGH * tuned.gain:
            self._tell([f"The edit keeps {ENOUGH:.0%} of the learning or more: there is no need to retrain."])
            return None
        start = self.folder / "work" / "start"
        with temporary_folder(start):
            self.editor.write_whole(EDITS[chosen.edit], chosen.strength, start)
            self.asking.complete(start)
            begun = f"{chosen.edit}-{chosen.strength!r}"
            run = retrain(self.inputs, start, begun, self.folder, self.console)
        with Progress(self.console) as progress:
            show = counting(progress, "asking the retrained model", [validation.suites])
            reading = self._read(validation, run.folder.name, 1.0, show, run.folder / "model", 1.0)
        better = reading.gain > chosen.reading.gain if chosen.inside else True
        taken = better and (reading.spent <= 1.0 or (not chosen.inside and reading.spent < chosen.reading.spent))
        return HealRetraining(
            recipe=run.spec.recipe,
            folder=str(run.folder),
            steps=run.record.steps,
            taken=taken,
            spent=reading.spent,
            gain=reading.gain,
        )

    def _ship(self, chosen: Point, retrained: HealRetraining | None) -> Form:
        """Writes the healed model beside its place, with the record of what steered it, and renames it."""
        target, partial = self.folder / "model", self.folder / "model.partial"
        shutil.rmtree(partial, ignore_errors=True)
        edit = EDITS[chosen.edit]
        form: Form = "adapter" if self.editor.stays_adapter(edit) else "whole"
        if retrained is not None and retrained.taken:
            shutil.copytree(Path(retrained.folder) / "model", partial)
            form = "whole"
        else:
            self.editor.write(edit, chosen.strength, partial)
            self.asking.complete(partial)
        self.asking.record().write(partial)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
        return form

    def _search_row(self, validation: Validation, came: Search, tuned: Reading) -> HealSearch:
        return HealSearch(
            allowed=self.inputs.spec.evaluations,
            evaluations=1.0 + came.evaluations,
            items=len(validation),
            bound=validation.weight,
            tuned_spent=tuned.spent,
            tuned_gain=tuned.gain,
            points=tuple(
                HealPoint(edit=point.edit, strength=point.strength, **dataclasses.asdict(point.result))
                for point in came.points
            ),
        )


def _edit_of(chosen: Point, validation: Validation) -> HealEdit:
    return HealEdit(
        name=chosen.edit,
        strength=chosen.strength,
        text=EDITS[chosen.edit].text(chosen.strength),
        inside=chosen.inside,
        change_left=validation.change_left(chosen.edit, chosen.strength),
    )


def _learning_left(before: BeforeHealing, after: BeforeHealing) -> float | None:
    """Returns the share of the tuned model's gain that the healed model has, in the first unit that measures it."""
    if not before.learned.units or before.learned.units[0].gain <= 0:
        return None
    return after.learned.units[0].gain / before.learned.units[0].gain
