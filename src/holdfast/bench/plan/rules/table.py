"""The table of all rules, and which of them a plan follows."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.bench.plan.evidence import EVIDENCE, Rule, Topic
from holdfast.bench.plan.rules.data import ABOUT_DATA
from holdfast.bench.plan.rules.recipe import RECIPE
from holdfast.bench.plan.rules.training import TRAINING
from holdfast.bench.plan.situation import Situation

RULES: tuple[Rule, ...] = (*RECIPE, *TRAINING, *ABOUT_DATA)


def applying(situation: Situation, topic: Topic | None = None) -> Iterator[Rule]:
    """Yields the rules that apply, of one topic or of all, the strongest first."""
    rules = (rule for rule in RULES if topic in (None, rule.topic) and rule.applies(situation))
    yield from sorted(rules, key=lambda rule: EVIDENCE.index(rule.evidence))


def heading(situation: Situation, topic: Topic) -> Rule | None:
    """Returns the rule that sets the value of a topic: the strongest that applies; None if none does."""
    return next((rule for rule in applying(situation, topic) if rule.value is not None), None)
