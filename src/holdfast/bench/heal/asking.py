"""Asks language models: the base everything once, edits the validation items, and a finished model the test items."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from rich.console import Console

from holdfast.bench.diff.diff_record import SteeredRow
from holdfast.bench.given.asked import load_asked
from holdfast.bench.given.loading import load_tokenizer
from holdfast.bench.heal.asks import HEALED, TUNED, AskedBase, ModelGlances, Show, counting
from holdfast.bench.heal.documents import Judgement
from holdfast.bench.heal.edits import Editor
from holdfast.bench.heal.glances import glances_of
from holdfast.bench.heal.heal_record import BeforeHealing
from holdfast.bench.heal.inputs import HealInputs, HealSuites, suites_of
from holdfast.bench.heal.sides import check_tokens, editor_of, transposed_in, with_tokenizer
from holdfast.bench.heal.steering import record_of
from holdfast.bench.heal.validation import glanced
from holdfast.bench.machine.progress import Progress
from holdfast.bench.measured.answers import read_answers, write_answers
from holdfast.bench.measured.base_cache import cached_answers, questions_digest
from holdfast.bench.measured.learning import learning_of
from holdfast.bench.measured.measurement import asker_of, measure, row_of
from holdfast.bench.measured.preparation import check_fit
from holdfast.bench.measured.verdict import verdict
from holdfast.bench.run.proof import Judged
from holdfast.probes.changes import changes
from holdfast.probes.score import Score
from holdfast.probes.suite import Suite
from holdfast.probes.watch_record import WatchRecord


@dataclasses.dataclass
class Asking:
    """How language models are asked (`Asks`).

    Attributes:
        inputs: The inputs of the healing.
        suites: The suites.
        tokenizer: The base's tokenizer.
        folder: The folder of the healing.
        console: Console for progress.
    """

    inputs: HealInputs
    suites: HealSuites
    tokenizer: Any
    folder: Path
    console: Console

    @classmethod
    def of(cls, inputs: HealInputs, folder: Path, console: Console, notes: list[str]) -> Self:
        """Reads the suites.

        Raises:
            HoldfastError: As `suites_of` does.
        """
        tokenizer = load_tokenizer(inputs.spec.base)
        return cls(inputs, suites_of(inputs, tokenizer, notes), tokenizer, folder, console)

    @property
    def questions(self) -> str:
        """Returns a digest of all questions."""
        both = [*self.suites.validation, *self.suites.test]
        return questions_digest(both, self.inputs.spec.raw, self.inputs.spec.precision)

    @property
    def validation(self) -> tuple[Suite, ...]:
        """Returns the suites of the search."""
        return self.suites.validation

    @property
    def steered(self) -> SteeredRow | None:
        """Returns what steered a training and is not judged; None without any."""
        return None if self.suites.left_out is None else self.suites.left_out.row()

    def editor(self, work: Path, notes: list[str]) -> Editor:
        """Returns the editor of the two models, after a check that they are of one kind.

        Raises:
            HoldfastError: They are not.
        """
        base, tuned = self.inputs.spec.base, self.inputs.tuned
        editor = editor_of(base, tuned, work, notes)
        check_tokens(base, tuned, self.tokenizer, load_tokenizer(tuned, base=base))
        return editor

    def path(self, name: str) -> Path:
        """Returns the file of some answers."""
        return self.folder / "answers" / f"{name}.jsonl"

    def base(self, names: Sequence[str], notes: list[str]) -> AskedBase:
        """Asks the base all validation and test items, or reads the answers of an interrupted healing.

        Args:
            names: Names of the weights, as the files have them.
            notes: List that receives notes for the user.

        Raises:
            HoldfastError: The base cannot be loaded, or cannot read a text.
        """
        spec = self.inputs.spec
        sides = {"base-validation": self.suites.validation, "base-test": self.suites.test}
        with Progress(self.console) as progress:
            with progress.phase(f"loading {spec.base}"):
                model = load_asked(spec.base, notes=notes)
            notes += check_fit(
                model, [text for suites in sides.values() for suite in suites for text in suite.texts], spec
            )
            show, began = counting(progress, "asking the base", sides.values()), time.monotonic()
            answers = []
            for name, suites in sides.items():
                ask = functools.partial(measure, model, suites, asker_of(spec, self.tokenizer), "before", show)
                answers.append(cached_answers(self.path(name), ask))
        count = sum(len(suite) for suites in sides.values() for suite in suites)
        return AskedBase(
            validation=answers[0].scores,
            test=answers[1].scores,
            transposed=tuple(transposed_in(model, list(names))),
            seconds=(time.monotonic() - began) / max(1, count),
        )

    def scores(self, model: str, name: str, show: Show) -> Sequence[Score]:
        """Asks a model the validation items.

        Args:
            model: The model.
            name: Its name; the answers of the tuned model are kept.
            show: Shows the progress.
        """
        base = self.inputs.spec.base
        asker = asker_of(self.inputs.spec, load_tokenizer(model, base=base))
        answers = measure(load_asked(model, base=base), self.suites.validation, asker, "after", show)
        if name == TUNED:
            write_answers(self.path(f"{TUNED}-validation"), answers, TUNED, "after")
        return answers.scores

    def glances(self) -> ModelGlances:
        """Returns the glances at models; asks nothing."""
        base, tuned = (read_answers(str(self.path(name))) for name in ("base-validation", f"{TUNED}-validation"))
        quarter, path = glanced(self.suites.validation), self.folder / "glances.jsonl"
        glances = glances_of(quarter, base, tuned, self.tokenizer, path, self.inputs.spec)

        def take(model: str, edit: str, strength: float, left: float) -> None:
            glances.take(load_asked(model, base=self.inputs.spec.base), edit, strength, left)

        return ModelGlances(glances.book, sum(map(len, quarter)), take)

    def complete(self, folder: Path) -> None:
        """Adds the tokenizer to an edited model."""
        with_tokenizer(folder, self.tokenizer)

    def record(self) -> WatchRecord:
        """Returns the record of what steers the healing."""
        return record_of(self.suites.validation, self.tokenizer, (self.inputs.spec.base, self.inputs.tuned))

    def judged(self, model: str, name: str, *, again: bool = False) -> BeforeHealing:
        """Asks a model the test items, and returns the changes from the base and the verdict.

        Args:
            model: The model.
            name: Its name in the progress and in the file of its answers.
            again: Whether answers in that file are right still.
        """
        path, spec = self.path(f"{name}-test"), self.inputs.spec
        if again and path.exists():
            answers = read_answers(str(path))
        else:
            with Progress(self.console) as progress:
                show = counting(progress, f"asking the {name} model test items", [self.suites.test])
                asker = asker_of(spec, load_tokenizer(model, base=spec.base))
                answers = measure(load_asked(model, base=spec.base), self.suites.test, asker, "after", show)
            write_answers(path, answers, name, "after")
        before = read_answers(str(self.path("base-test")))
        suite_changes = changes(before.scores, answers.scores)
        return BeforeHealing(
            suites=tuple(map(row_of, suite_changes)),
            learned=learning_of(suite_changes),
            verdict=verdict(suite_changes, self.inputs.budget),
        )

    def judgement(self) -> Judgement:
        """Returns what the verdict on the healed model rests on, after it was judged."""
        test = self.suites.test
        base, healed = (read_answers(str(self.path(f"{name}-test"))) for name in ("base", HEALED))
        watched = [suite.name for suite in test if "proof" in suite.splits()]
        return Judgement(list(map(Judged.of, test)), (base, healed), watched, self.inputs.spec.keep)

    def more(self) -> dict[str, Any]:
        """Returns further fields of the record: none."""
        return {}
