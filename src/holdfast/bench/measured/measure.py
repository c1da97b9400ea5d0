"""Measures the suites of a run on a model: a score of every item, and what was said to it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from holdfast.bench.given.specs import Measured
from holdfast.bench.measured.prepare import Suite
from holdfast.bench.measured.scores import Moment, ScoreRow
from holdfast.probes.ask import ask
from holdfast.probes.likelihood import document_nll
from holdfast.probes.suites import split_of
from holdfast.probes.watched import group_of


@dataclasses.dataclass(frozen=True)
class Said:
    """What a model said to an item.

    Attributes:
        suite: Suite of the item.
        item: Its identity.
        asked: The last question of the item; empty where choices are compared without one.
        said: The answer, or the choice that was picked.
        right: The right answer, where the item gives one.
        confidence: Probability of the choice that was picked, if one of them is said; None for what is generated.
    """

    suite: str
    item: str
    asked: str
    said: str
    right: str
    confidence: float | None = None


def manner(spec: Measured) -> dict[str, Any]:
    """Returns how a spec has its suites asked, as arguments of `measure`."""
    return {"raw": spec.raw, "batch_tokens": spec.eval_batch_tokens}


def measure(
    model: nn.Module,
    tokenizer: Any,
    suites: Sequence[Suite],
    moment: Moment,
    *,
    run: str,
    raw: bool,
    show: Callable[[str, int], Callable[[int, int], None]],
    batch_tokens: int | None = None,
) -> tuple[list[ScoreRow], list[Said]]:
    """Returns the scores of a model on all suites, in their order, and what it said.

    Args:
        model: A causal language model; left as it was found.
        tokenizer: Its tokenizer.
        suites: What is measured.
        moment: Whether this is the model before or after.
        run: Name of the run, for the rows.
        raw: Whether the chat template is left unused.
        show: Called with what is being measured and the number of its examples and items, for what is to be told how
            many of them are done.
        batch_tokens: Most tokens of a batch; usually 8192 if absent.

    Raises:
        HoldfastError: As `holdfast.probes.ask.ask` and `holdfast.probes.likelihood.document_nll` do.
    """
    rows, said = [], []
    for suite in suites:
        total = len(suite.examples) + len(suite.items)
        told = show(f"measuring {suite.name} {moment}", total)
        make = functools.partial(ScoreRow, run=run, moment=moment, suite=suite.name, role=suite.role)
        nats = functools.partial(make, unit="nats", higher_is_better=False)
        groups = {example.origin: group_of(example) for example in suite.examples}
        scores = document_nll(
            model,
            suite.examples,
            batch_tokens=batch_tokens,
            pad_id=int(tokenizer.pad_token_id),
            progress=_part(told, 0, len(suite.examples), total),
        )
        for score in scores:
            group = groups[score.origin]
            of: dict[str, Any] = {"split": split_of(group), "item": score.origin, "group": group}
            rows.append(nats(**of, value=score.nats, weight=score.tokens))
        answers = ask(
            model,
            tokenizer,
            suite.items,
            raw=raw,
            batch_tokens=batch_tokens,
            progress=_part(told, len(suite.examples), len(suite.items), total),
        )
        for answer in answers:
            item = answer.item
            of = {"split": item.split, "item": item.id, "group": item.group or item.id}
            if answer.nats is not None:
                rows.append(nats(**of, value=answer.nats, weight=answer.tokens))
                continue
            of["choices"] = len(item.choices) if answer.form == "choice" else 0
            rows.append(make(**of, value=100.0 * answer.value, unit="points", higher_is_better=True))
            asked, right = item.turns[-1].content if item.turns else "", item.answer or next(iter(item.choices), "")
            said.append(Said(suite.name, item.id, asked, answer.said, right, answer.confidence))
    return rows, said


def _part(told: Callable[[int, int], None], before: int, share: int, total: int) -> Callable[[int, int], None]:
    """Returns what tells the rows done while one kind of them is asked, of which it is told windows, or rows."""
    return lambda done, whole: told(before + share * done // whole, total)
