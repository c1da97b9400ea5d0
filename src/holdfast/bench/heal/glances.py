"""Glances at a model: how likely it finds right answers of the base, and those of the task, on a quarter of the items.

Likelihoods are smooth: a small edit moves them a little, where hardly an answer flips. One forward pass over the
answers, which nobody has to write, takes a glance.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from holdfast.bench.heal.glance_book import GlanceBook
from holdfast.core.mix import Example
from holdfast.core.precision import computing_in
from holdfast.data.rendering import uses_template
from holdfast.data.tokenization import tokenize
from holdfast.probes.items import Item, row_of
from holdfast.probes.likelihood import document_nll
from holdfast.probes.score import Answers
from holdfast.probes.suite import Suite
from holdfast.probes.watch_record import documents

RIGHT = 50.0
"""Points above which an answer counts as right."""


@dataclasses.dataclass
class Glances:
    """What is read in a glance, and all glances so far.

    Attributes:
        kept: By suite, the base's right answers and the texts that are to be kept, each document with its windows.
        learned: Likewise, the right answers and texts of the task.
        path: File of the glances, from which an interrupted search continues.
        how: Arguments of `document_nll`.
        precision: Number format in which models compute.
        book: The glances so far.
    """

    kept: Mapping[str, Sequence[Example]]
    learned: Mapping[str, Sequence[Example]]
    path: Path
    how: Mapping[str, Any]
    precision: Any = "fp32"
    book: GlanceBook = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        """Reads the glances that the file has."""
        self.book = GlanceBook(self.path)

    def take(self, model: nn.Module, edit: str, strength: float, left: float) -> None:
        """Glances at a model and keeps what it says, in the file too.

        Args:
            model: The model.
            edit: Name of the edit; "base" and "tuned" for the two models.
            strength: Its strength.
            left: Length of the change that it leaves, as a share of that of the tuned model.
        """
        with computing_in(model, self.precision):
            kept, learned = self._mean(model, self.kept), self._mean(model, self.learned)
        self.book.keep(edit, strength, kept, learned, left)

    def _mean(self, model: nn.Module, suites: Mapping[str, Sequence[Example]]) -> float:
        """Returns the mean of the suites' mean nats per token; 0 without suites."""
        means = []
        for examples in suites.values():
            scores = document_nll(model, examples, **self.how)
            means.append(math.fsum(score.nats / score.tokens for score in scores) / len(scores))
        return math.fsum(means) / len(means) if means else 0.0


def glances_of(
    suites: Sequence[Suite], base: Answers, tuned: Answers, tokenizer: Any, path: Path, spec: Any
) -> Glances:
    """Returns what is read in a glance.

    Args:
        suites: The part of the validation items that is read.
        base: The base's answers to them; those that are right are to be kept.
        tuned: The tuned model's answers; where an item of the task names no right answer, one of these is taken.
        tokenizer: The tokenizer.
        path: File of the glances.
        spec: The options, which say how rows are read.
    """
    reading = {"max_length": spec.max_length, "raw": spec.raw}
    by_role: dict[str, dict[str, list[Example]]] = {"retained": {}, "learned": {}}
    for suite in suites:
        side = base if suite.role == "retained" else tuned
        said = _right_answers(side, suite.name)
        items = [_answered(item, said, own=suite.role == "learned") for item in suite.items]
        by_template = uses_template(tokenizer, spec.raw)
        rows = [row_of(item.as_asked(by_template)) for item in items if item is not None]
        examples = [*suite.texts, *tokenize(rows, tokenizer, **reading).examples]
        examples = [example for windows in documents(examples) for example in windows if _has_labels(windows)]
        if examples and suite.role in by_role:
            by_role[suite.role][suite.name] = examples
    how = {"batch_tokens": spec.eval_batch_tokens, "pad_id": int(tokenizer.pad_token_id or 0)}
    return Glances(by_role["retained"], by_role["learned"], path, how, spec.precision)


def _right_answers(side: Answers, suite: str) -> dict[str, str]:
    right = {score.item for score in side.scores if score.suite == suite and score.value > RIGHT}
    return {said.item: said.said for said in side.said if said.suite == suite and said.item in right}


def _answered(item: Item, said: Mapping[str, str], *, own: bool) -> Item | None:
    """Returns an item with the answer to read: what was said, or with `own` first the item's own; None without one."""
    if item.text and not item.turns and not item.choices:
        return item
    right = item.answer or next(iter(item.choices), "")
    answer = (right or said.get(item.id, "")) if own else said.get(item.id, "")
    return dataclasses.replace(item, answer=answer) if answer else None


def _has_labels(windows: Sequence[Example]) -> bool:
    return any(label != -100 for window in windows for label in window.labels[1:])
