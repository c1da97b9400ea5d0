"""What is read of a model before and after the short run: rows of the task, and validation items of what is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import nn

from holdfast.bench.plan.facts import PlanInputs
from holdfast.bench.plan.reading import sample
from holdfast.core.mix import Example
from holdfast.core.precision import computing_in
from holdfast.data.rendering import uses_template
from holdfast.data.tokenization import tokenize
from holdfast.probes.items import row_of
from holdfast.probes.shift import Shift, ShiftReader
from holdfast.probes.suite import Suite

TASK_ROWS, TASK_TOKENS = 32, 4096
"""Most rows and tokens of the data that are read."""
SUITE_ITEMS, SUITE_TOKENS = 10, 2048
"""Most validation items, and most tokens, that are read of each suite."""
PROMPTS, ANSWERS, KEPT = "prompts", "answers", "kept"
"""What a document is: the prompts of the task's rows, what the model learns of them, an item or text to keep."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """The shift of a model from its base.

    Attributes:
        prompts: On the prompts of the task's rows; no tokens if rows have no prompts.
        answers: On the learned tokens of these rows.
        suites: On the validation items of each suite that is kept, by its name.
    """

    prompts: Shift
    answers: Shift
    suites: Mapping[str, Shift]


def documents_of(inputs: PlanInputs) -> list[Example]:
    """Returns what is read, each document with its part, suite and number as its origin."""
    rows = [example for example in sample(inputs.data.train, TASK_ROWS, TASK_TOKENS) if example.supervised]
    documents = [_named(ANSWERS, "", number, row) for number, row in enumerate(rows)]
    for number, row in enumerate(rows):
        prompt = tuple(token if label == -100 else -100 for token, label in zip(row.input_ids, row.labels, strict=True))
        if any(label != -100 for label in prompt[1:]):
            documents.append(_named(PROMPTS, "", number, dataclasses.replace(row, labels=prompt)))
    for suite in inputs.data.suites:
        if suite.role == "retained":
            examples = sample(validation_examples(suite, inputs), SUITE_ITEMS, SUITE_TOKENS)
            documents += [_named(KEPT, suite.name, number, example) for number, example in enumerate(examples)]
    return documents


def validation_examples(suite: Suite, inputs: PlanInputs) -> list[Example]:
    """Returns the validation items and texts of a suite as examples; items without a right answer are left out.

    A suite with items on one side alone is read whole, because no later verdict can be kept apart from it.
    """
    side = suite.side("watch") if len({*suite.splits()}) > 1 else suite
    items = [item for item in side.items if item.answer or item.choices or item.text]
    examples = list(side.texts)
    if items:
        run = inputs.run
        how: dict[str, Any] = {"max_length": run.max_length, "raw": run.raw, "refused": "drop"}
        asked = [row_of(item.as_asked(uses_template(inputs.tokenizer, run.raw))) for item in items]
        examples += tokenize(asked, inputs.tokenizer, **how).examples
    return [example for example in examples if example.supervised]


def _named(part: str, suite: str, number: int, example: Example) -> Example:
    return dataclasses.replace(example, origin=f"{part}\n{suite}\n{number}")


class Reader:
    """Reads a tuned model and its base on the same documents; the base reads once for all recipes."""

    def __init__(self, base: nn.Module, inputs: PlanInputs) -> None:
        """Chooses the documents.

        Args:
            base: The base, which stays as it is.
            inputs: What the plan has read.
        """
        run = inputs.run
        pad = int(inputs.tokenizer.pad_token_id)
        self._precision = run.precision
        self._base = base
        self._documents = documents_of(inputs)
        self._reader = ShiftReader(base, self._documents, batch_tokens=run.eval_batch_tokens, pad_id=pad)

    def read(self, model: nn.Module) -> Reading:
        """Returns the shift of a tuned model; both models are unchanged afterwards.

        Raises:
            HoldfastError: A likelihood is not finite.
        """
        with computing_in(self._base, self._precision), computing_in(model, self._precision):
            shifts = self._reader.compare(model)
        parts: dict[tuple[str, str], Shift] = {}
        for origin, shift in shifts.items():
            part, suite, _ = origin.split("\n")
            parts[part, suite] = parts.get((part, suite), Shift()) + shift
        return Reading(
            prompts=parts.get((PROMPTS, ""), Shift()),
            answers=parts.get((ANSWERS, ""), Shift()),
            suites={suite: shift for (part, suite), shift in parts.items() if part == KEPT},
        )
