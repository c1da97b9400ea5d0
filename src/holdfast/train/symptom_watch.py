"""The symptoms that a guard looks for: tests of the watched answers against those at the start."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any, Self

from holdfast.probes.score import Answers, Said, Score
from holdfast.symptoms.evidence import evidence_of
from holdfast.symptoms.names import TESTS, symptoms_of
from holdfast.symptoms.symptom import SURE

EXACT = tuple(test.name for test in TESTS if test.cheap)
"""Names of the symptoms that a look tests: those with exact p-values, which cost no draws."""


@dataclasses.dataclass(frozen=True)
class Alert:
    """A symptom at the first look that shows it.

    Attributes:
        step: Optimizer steps done.
        name: Its name.
        family: The failure that it belongs to.
        effect: Its effect, in points.
        sentence: What was measured, in words.
    """

    step: int
    name: str
    family: str
    effect: float
    sentence: str

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Returns the alert that `dataclasses.asdict` wrote."""
        return cls(**values)

    def words(self) -> str:
        """Returns the warning of a guard, which does nothing but warn."""
        of = "" if self.family == self.name else f" ({self.family})"
        return f"Step {self.step}: {self.name}{of}: {self.sentence}. The guard only warns of symptoms."


def alerts_at(
    step: int,
    number: int,
    before: tuple[Sequence[Score], Sequence[Said]],
    after: Answers,
    known: Collection[str],
) -> list[Alert]:
    """Returns the symptoms that a look shows and no earlier one did.

    A look is one of several tests of the same run. Look k counts a symptom as certain at SURE / (k (k + 1)): these
    levels sum to SURE over any number of looks, so that a healthy run gives a false alarm in at most 5% of all cases.

    Args:
        step: Optimizer steps done.
        number: Number of the look, from 1.
        before: The scores and answers at the start.
        after: The answers of the look.
        known: Names of the symptoms of earlier looks.
    """
    level = SURE / (number * (number + 1))
    alerts = []
    for symptom in symptoms_of(evidence_of(Answers(*before), after), EXACT):
        certain = symptom.present and symptom.p_holm is not None and symptom.p_holm < level
        if certain and symptom.effect is not None and symptom.name not in known:
            alerts.append(Alert(step, symptom.name, symptom.family, symptom.effect, symptom.sentence))
    return alerts
