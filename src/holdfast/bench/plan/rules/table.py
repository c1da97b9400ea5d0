"""The table of all rules on language models."""

from __future__ import annotations

from holdfast.bench.plan.evidence import Rule
from holdfast.bench.plan.rules.data import ABOUT_DATA
from holdfast.bench.plan.rules.recipe import RECIPE
from holdfast.bench.plan.rules.training import TRAINING
from holdfast.bench.plan.situation import Situation

RULES: tuple[Rule[Situation], ...] = (*RECIPE, *TRAINING, *ABOUT_DATA)
