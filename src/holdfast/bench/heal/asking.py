"""Asks the base everything once, and a finished model the test items, by which it is judged."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.heal.heal_record import BeforeHealing
from holdfast.bench.heal.inputs import HealInputs, HealSuites
from holdfast.bench.heal.sides import transposed_in
from holdfast.bench.machine.progress import Progress
from holdfast.bench.measured.answers import read_answers, write_answers
from holdfast.bench.measured.base_cache import cached_answers
from holdfast.bench.measured.learning import learning_of
from holdfast.bench.measured.measurement import asker_of, measure, row_of
from holdfast.bench.measured.preparation import check_fit
from holdfast.bench.measured.verdict import verdict
from holdfast.probes.changes import changes
from holdfast.probes.score import Answers, Score
from holdfast.probes.suite import Suite


@dataclasses.dataclass(frozen=True)
class AskedBase:
    """What the base was asked.

    Attributes:
        validation: Its scores on the validation items.
        test: Its answers to the test items.
        transposed: Names of its weights that are stored as `[in, out]`.
        seconds: Time for one item.
    """

    validation: Sequence[Score]
    test: Answers
    transposed: tuple[str, ...]
    seconds: float


@dataclasses.dataclass(frozen=True)
class Asking:
    """How models are asked.

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

    def path(self, name: str) -> Path:
        """Returns the file of some answers."""
        return self.folder / "answers" / f"{name}.jsonl"

    def base(self, names: list[str], notes: list[str]) -> AskedBase:
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
                model = load_model(spec.base, notes=notes)
            notes += check_fit(
                model, [text for suites in sides.values() for suite in suites for text in suite.texts], spec
            )
            show, began = self.counting(progress, "asking the base", sides.values()), time.monotonic()
            answers = []
            for name, suites in sides.items():
                ask = functools.partial(measure, model, suites, asker_of(spec, self.tokenizer), "before", show)
                answers.append(cached_answers(self.path(name), ask))
        count = sum(len(suite) for suites in sides.values() for suite in suites)
        return AskedBase(
            validation=answers[0].scores,
            test=answers[1],
            transposed=tuple(transposed_in(model, names)),
            seconds=(time.monotonic() - began) / max(1, count),
        )

    def counting(
        self, progress: Progress, name: str, suites: Iterable[Iterable[Suite]], times: int = 1
    ) -> Callable[[str, int], Callable[[int, int], None]]:
        """Returns a `show` for `measure` that moves one bar over all suites, asked so many times."""
        whole = times * sum(len(suite) for of in suites for suite in of)
        advance, done = progress.task(name, whole), [0]

        def show(_name: str, total: int) -> Callable[[int, int], None]:
            start = done[0]
            done[0] += total
            return lambda now, _whole: advance(min(start + now, whole - 1))  # a glance is of about a quarter

        return show

    def judged(self, base: Answers, model: str, name: str, *, again: bool = False) -> BeforeHealing:
        """Asks a model the test items, and returns the changes from the base and the verdict.

        Args:
            base: The base's answers to the test items.
            model: The model.
            name: Its name in the progress and in the file of its answers.
            again: Whether answers in that file are right still.
        """
        path, spec = self.path(f"{name}-test"), self.inputs.spec
        if again and path.exists():
            answers = read_answers(str(path))
        else:
            with Progress(self.console) as progress:
                show = self.counting(progress, f"asking the {name} model test items", [self.suites.test])
                asker = asker_of(spec, load_tokenizer(model, base=spec.base))
                answers = measure(load_model(model, base=spec.base), self.suites.test, asker, "after", show)
            write_answers(path, answers, name, "after")
        suite_changes = changes(base.scores, answers.scores)
        return BeforeHealing(
            suites=tuple(map(row_of, suite_changes)),
            learned=learning_of(suite_changes),
            verdict=verdict(suite_changes, self.inputs.budget),
        )
