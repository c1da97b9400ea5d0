"""From facts to advice: the situation, the rules that a plan follows, and the recipe that they add up to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.bench.plan.evidence import TOPICS, Case, Rule, Topic, applying, heading
from holdfast.bench.plan.recipes import recipe_text
from holdfast.bench.plan.record import AdviceRow, DataRow, KeptRow, ModelRow
from holdfast.bench.plan.rules.table import RULES
from holdfast.bench.plan.situation import Kind, Situation


@dataclasses.dataclass(frozen=True)
class Advice:
    """What a plan advises.

    Attributes:
        situation: The situation, with the chosen kind of recipe.
        rows: The advice and the rules that people read, by topic.
        values: The value of each topic that has one.
    """

    situation: Situation
    rows: tuple[AdviceRow, ...]
    values: Mapping[Topic, Any]

    @property
    def kind(self) -> Kind:
        """Returns the kind of the recipe."""
        return self.situation.kind

    def recipe(self, old: Sequence[str]) -> str:
        """Returns the recipe as text; empty if nothing fits into memory."""
        values = self.values
        train = {"lr": values["rate"], "epochs": values["epochs"], "batch": values["batch"]}
        prompts = not self.situation.small
        return recipe_text(self.kind, old, int(values.get("rank", 16)), prompts=prompts, **train)

    def plain(self) -> str:
        """Returns plain training with the same settings as text, to compare the recipe with."""
        values = self.values
        adapter = " + LoRA()" if self.kind in ("adapter", "qlora") else ""
        return f"Train(lr={values['rate']:g}, epochs={values['epochs']:g}, batch={values['batch']:g}){adapter}"


def situation_of(
    model: ModelRow, data: DataRow, kept: KeptRow | None, *, old: bool, points: float | None, **machine: Any
) -> Situation:
    """Returns the situation of a plan.

    Args:
        model: Facts about the model.
        data: Facts about the data.
        kept: Facts about what is kept.
        old: Whether the user gives old examples.
        points: Budget in points; None without one.
        machine: `needed`, `free`, `gpu` and `per_rank` of `Situation`.
    """
    divergence = None
    if kept is not None and kept.divergence_bits is not None:
        divergence = kept.divergence_bits - (kept.halves_bits or 0.0)
    return Situation(
        parameters=model.parameters,
        rows=data.train_rows,
        tokens=data.learned_tokens,
        is_adapter=model.is_adapter,
        vocabulary=model.vocabulary,
        chat=model.chat,
        surprise=data.surprise_nats,
        divergence=divergence,
        conflicts=None if data.conflicts is None or not data.asked else data.conflicts / data.asked,
        contradictions=data.contradictions / data.rows,
        copies=data.copies / data.rows,
        old=old,
        kept=0 if kept is None else kept.count,
        points=points,
        **machine,
    )


def advise(situation: Situation) -> Advice:
    """Returns the advice for a situation; the recipe is chosen first, because rules on rate and layers read it."""
    head = heading(RULES, situation, "recipe")
    kind: Kind = "none" if head is None or head.value is None else head.value(situation)
    situation = dataclasses.replace(situation, kind=kind)
    return Advice(situation, *rows_of(RULES, situation))


def rows_of(rules: Sequence[Rule[Case]], situation: Case) -> tuple[tuple[AdviceRow, ...], dict[Topic, Any]]:
    """Returns the advice of some rules by topic, and the value of each topic that has one."""
    rows, values = list[AdviceRow](), dict[Topic, Any]()
    for topic in TOPICS:
        head = heading(rules, situation, topic)
        if head is not None and head.value is not None:
            values[topic] = head.value(situation)
        for rule in sorted(applying(rules, situation, topic), key=lambda rule: rule is not head):
            rows.append(_row(rule, situation, followed=rule is head or (rule.value is None and _is_advice(rule))))
    return tuple(rows), values


def _is_advice(rule: Rule[Any]) -> bool:
    """Returns whether a rule without a value is advice, and not only something that people read."""
    return rule.standing == "followed" or rule.topic == "measure"


def _row(rule: Rule[Case], situation: Case, *, followed: bool) -> AdviceRow:
    return AdviceRow(
        topic=rule.topic,
        rule=rule.name,
        advice=rule.words(situation),
        evidence=rule.evidence,
        source=rule.source,
        standing="followed" if followed and rule.standing == "followed" else rule.standing,
        because=rule.because,
        figures=tuple(figure.words() for figure in rule.figures),
        followed=followed,
    )
