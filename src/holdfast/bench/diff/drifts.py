"""The drift of a tuned model from its base, on the texts of suites and on what the base answered to their items."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from torch import nn

from holdfast.bench.diff.diff_record import DriftRow
from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.machine.progress import Progress
from holdfast.core.mix import Example
from holdfast.data.rendering import uses_template
from holdfast.data.tokenization import tokenize
from holdfast.probes.choice import name_of
from holdfast.probes.drift import drift
from holdfast.probes.items import row_of
from holdfast.probes.score import Said
from holdfast.probes.suite import Suite
from holdfast.stats.paired import paired_change
from holdfast.stats.size import drift_size
from holdfast.symptoms.wording import evenly

READ = 200
"""Largest number of examples, and of items, on which the drift is measured; evenly chosen."""


def drift_rows_of(
    base: nn.Module,
    tuned: nn.Module,
    suites: Sequence[Suite],
    said: Sequence[Said],
    tokenizer: Any,
    spec: DiffSpec,
    progress: Progress,
) -> dict[str, DriftRow]:
    """Returns the drift of the tuned model on prompts of the task and on those of the retained suites."""
    rows = {}
    for name, roles in (("task", ("learned", "transfer")), ("general", ("retained",))):
        examples = to_read([suite for suite in suites if suite.role in roles], said, tokenizer, spec)
        if not examples:
            continue
        scores = drift(
            base,
            tuned,
            examples,
            batch_tokens=spec.eval_batch_tokens,
            pad_id=int(tokenizer.pad_token_id),
            progress=progress.measuring(f"drift on {name}", len(examples)),
        )
        change = paired_change(
            [0.0] * len(scores), [score.nats for score in scores], [score.tokens for score in scores]
        )
        low, high = change.interval() if change.documents > 1 else (None, None)
        rows[name] = DriftRow(
            nats_per_token=change.change,
            size=drift_size(change.change),
            documents=change.documents,
            low=None if low is None else max(0.0, low),
            high=high,
        )
    return rows


def to_read(suites: Sequence[Suite], said: Sequence[Said], tokenizer: Any, spec: DiffSpec) -> list[Example]:
    """Returns examples of some suites, and their items as they are asked, with the base's answers; evenly chosen."""
    answers = {(answer.suite, answer.item): answer.said for answer in said}
    examples = evenly(list(itertools.chain.from_iterable(suite.texts for suite in suites)), READ)
    answered = [
        dataclasses.replace(item, answer=answers.get((suite.name, item.id)) or item.answer)
        for suite in suites
        for item in suite.items
    ]
    items = evenly([item for item in answered if item.answer or item.choices or item.text], READ)
    for raw in (False, True):
        by_template = uses_template(tokenizer, raw)
        asked = [item.as_asked(by_template) for item in items if (spec.raw or item.raw) == raw]
        # Items of two suites may have one name, and are two documents.
        rows = [dataclasses.replace(row_of(item), origin=name_of(item)) for item in asked]
        examples += tokenize(rows, tokenizer, max_length=spec.max_length, raw=raw).examples
    return examples
