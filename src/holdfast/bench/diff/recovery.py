"""The recovery probe: whether lost answers come back with worked examples, or after a few training steps.

An answer that examples bring back was not lost as knowledge: the model has lost the format, or what the prompt asks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from torch import nn

from holdfast.bench.diff.diff_record import RecoveryAmount, RecoveryRow
from holdfast.bench.diff.relearning import relearned
from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.machine.progress import Progress
from holdfast.core.mix import Example
from holdfast.data.rendering import uses_template
from holdfast.data.tokenization import tokenize
from holdfast.probes.items import Item
from holdfast.probes.items import row_of as as_row
from holdfast.probes.score import POINTS, Answers, for_stats, in_unit
from holdfast.probes.suite import Asker, Suite
from holdfast.probes.worked_examples import examples_for, right_answer, with_examples
from holdfast.stats.share import share

Name = tuple[str, str]
"""A suite and the name of an item."""
FEWEST = 5
"""Fewest lost answers of a suite that is probed, and fewest other items to learn from."""
MOST = 100
"""Most lost items, and most items for the control, that are asked in each suite; evenly chosen."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """The items of a suite by what became of them.

    Attributes:
        suite: The suite.
        lost: Items that the base had right and the tuned model has wrong.
        unknown: Items that both have wrong: the control, because no format can bring back what was never known.
        others: All other items, which give examples.
        count: Number of all lost items.
    """

    suite: Suite
    lost: tuple[Item, ...]
    unknown: tuple[Item, ...]
    others: tuple[Item, ...]
    count: int


def recovery(
    base: nn.Module,
    tuned: nn.Module,
    suites: Sequence[Suite],
    answers: tuple[Answers, Answers],
    askers: tuple[Asker, Asker],
    spec: DiffSpec,
    progress: Progress,
) -> dict[str, RecoveryRow]:
    """Returns what of each fallen suite comes back, by its name.

    Args:
        base: The base.
        tuned: The tuned model; unchanged afterwards.
        suites: The asked suites.
        answers: The answers of both models.
        askers: How both models are asked.
        spec: The options: `recover` worked examples, `recover_steps` training steps.
        progress: Shows the progress.

    Raises:
        HoldfastError: As `Suite.ask` and `relearned` do.

    Reference:
        Suhas Kotha et al., "Understanding Catastrophic Forgetting in Language Models via Implicit Inference", 2023,
        arXiv:2309.10105 (conjugate prompting recovers what fine-tuning suppressed); Junhao Zheng et al., "Spurious
        Forgetting in Continual Learning of Language Models", 2025, arXiv:2501.13453 (a few steps on other data recover
        a task).
    """
    rows = {}
    for probe in probes_of(suites, *answers):
        row = RecoveryRow(lost=probe.count, asked=len(probe.lost), guess=_guess(probe.lost))
        if spec.recover:
            row = _by_examples(row, probe, base, tuned, askers, spec, progress)
        if spec.recover_steps:
            row = _by_steps(row, probe, tuned, askers[1], spec, progress)
        rows[probe.suite.name] = row
    return rows


def probes_of(suites: Sequence[Suite], before: Answers, after: Answers) -> list[Probe]:
    """Returns the suites of questions that fell and lost at least five answers, with their items sorted."""
    values = [{(score.suite, score.item): score.value for score in side.scores} for side in (before, after)]
    probes = [_probe(suite, *values) for suite in suites if suite.role == "retained"]
    return [probe for probe in probes if probe is not None]


def _probe(suite: Suite, before: Mapping[Name, float], after: Mapping[Name, float]) -> Probe | None:
    """Returns the items of a suite by what became of them; None if it did not fall."""
    by_change: dict[tuple[float | None, float | None], list[Item]] = {}
    for item in suite.items:
        name = suite.name, item.id
        by_change.setdefault((before.get(name), after.get(name)), []).append(item)
    lost, gained, unknown = (by_change.get(ends, []) for ends in ((POINTS, 0.0), (0.0, POINTS), (0.0, 0.0)))
    asked = [item for item in lost if item.turns]
    if len(asked) < FEWEST or len(gained) >= len(lost):
        return None
    apart = {item.id for item in (*lost, *unknown)}
    others = tuple(item for item in suite.items if item.id not in apart)
    return Probe(suite, _evenly(asked), _evenly([item for item in unknown if item.turns]), others, len(asked))


def _by_examples(
    row: RecoveryRow,
    probe: Probe,
    base: nn.Module,
    tuned: nn.Module,
    askers: tuple[Asker, Asker],
    spec: DiffSpec,
    progress: Progress,
) -> RecoveryRow:
    """Adds what worked examples bring back, with the two controls."""

    def shown(items: Sequence[Item]) -> list[Item]:
        chosen = [(item, examples_for(item, probe.others, spec.recover)) for item in items]
        return [with_examples(item, examples) for item, examples in chosen if examples]

    lost, unknown = shown(probe.lost), shown(probe.unknown)
    if not lost:
        return dataclasses.replace(row, note="no other item gives a right answer as an example")
    name = f"recovering {probe.suite.name} by examples"
    return dataclasses.replace(
        row,
        by_examples=_share(tuned, probe.suite, lost, askers[1], progress, name),
        base_by_examples=_share(base, probe.suite, lost, askers[0], progress, name),
        unknown_by_examples=_share(tuned, probe.suite, unknown, askers[1], progress, name),
    )


def _by_steps(
    row: RecoveryRow, probe: Probe, tuned: nn.Module, asker: Asker, spec: DiffSpec, progress: Progress
) -> RecoveryRow:
    """Adds what a few training steps on other items bring back, with the control."""
    examples = _lessons(probe.others, asker, spec)
    if len(examples) < FEWEST:
        return dataclasses.replace(row, note=f"{len(examples)} other items give a right answer; {FEWEST} are needed")
    pad = int(getattr(asker.tokenizer, "pad_token_id", None) or 0)
    name = f"recovering {probe.suite.name} by steps"
    with relearned(tuned, examples, spec.recover_steps, pad):
        lost = _share(tuned, probe.suite, probe.lost, asker, progress, name)
        unknown = _share(tuned, probe.suite, probe.unknown, asker, progress, name)
    return dataclasses.replace(row, by_steps=lost, unknown_by_steps=unknown)


def _lessons(items: Sequence[Item], asker: Asker, spec: DiffSpec) -> list[Example]:
    """Returns items with their right answers as examples to learn, as they are asked."""
    examples: list[Example] = []
    for raw in (False, True):
        by_template = uses_template(asker.tokenizer, raw)
        usable = [item for item in items if right_answer(item) and (spec.raw or item.raw) == raw]
        rows = [as_row(item.as_asked(by_template)) for item in usable]
        if rows:
            examples += tokenize(rows, asker.tokenizer, max_length=spec.max_length, raw=raw).examples
    return [example for example in examples if example.supervised]


def _share(
    model: nn.Module, suite: Suite, items: Sequence[Item], asker: Asker, progress: Progress, name: str
) -> RecoveryAmount | None:
    """Returns the share of some items that a model answers right, in percent; None without items."""
    if not items:
        return None
    asked = dataclasses.replace(suite, items=tuple(items), texts=())
    answers = asked.ask(model, asker, progress.measuring(name, len(items)))
    values = [for_stats(score.value) for score in answers.scores]
    result = share(values, [score.group for score in answers.scores])
    return RecoveryAmount(
        value=in_unit(result.share), low=in_unit(result.low), high=in_unit(result.high), items=result.items
    )


def _guess(items: Sequence[Item]) -> float | None:
    """Returns the percent of items that guessing gets right; None if an answer is generated."""
    if any(item.check or not item.choices for item in items):
        return None
    return in_unit(sum(1 / len(item.choices) for item in items) / len(items))


def _evenly(items: Sequence[Item]) -> tuple[Item, ...]:
    return tuple(items[i * len(items) // MOST] for i in range(MOST)) if len(items) > MOST else tuple(items)
