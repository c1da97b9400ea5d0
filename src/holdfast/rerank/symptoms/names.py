"""The table of symptoms of rerankers: what each looks at, and the least effect that counts.

Thirteen fine-tunes of the embedded reranker stand behind the thresholds (docs/studies/rerank-symptoms-tables.md).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from holdfast.probes.score import in_unit
from holdfast.rerank.symptoms.evidence import RankingEvidence
from holdfast.rerank.symptoms.order import length_bias, negatives_reordered
from holdfast.rerank.symptoms.scores import calibration_lost, score_collapse, score_drift
from holdfast.stats.verdict import holm
from holdfast.symptoms.names import LEVELS
from holdfast.symptoms.symptom import Measured, Symptom


@dataclasses.dataclass(frozen=True)
class RankingTest:
    """The test of a symptom.

    Attributes:
        name: Name of the symptom.
        family: The failure that it belongs to.
        measure: Returns what the evidence shows, or why it shows nothing.
        threshold: Least effect that counts, in points.
    """

    name: str
    family: str
    measure: Callable[[RankingEvidence], Measured | str]
    threshold: float


SCORES, ORDER = "scores", "order"

TESTS = (
    RankingTest("score collapse", SCORES, score_collapse, 50.0),
    RankingTest("score drift", SCORES, score_drift, 75.0),
    RankingTest("calibration lost", SCORES, calibration_lost, 2.0),
    RankingTest("negatives reordered", ORDER, negatives_reordered, 40.0),
    RankingTest("length bias", ORDER, length_bias, 5.0),
)
"""All symptoms of rerankers."""
NOTHING_KEPT = "no collection to keep is ranked; name some with --keep"
"""Why nothing was checked without retained suites."""


def symptoms_of(evidence: RankingEvidence) -> tuple[Symptom, ...]:
    """Returns every symptom, in the order of `TESTS`: what was measured, or why it was not checked.

    The p-values are adjusted by Holm's procedure over the symptoms that were checked, as in `holdfast.symptoms`.

    Args:
        evidence: The scores of both models.
    """
    results = [test.measure(evidence) if evidence.retained else NOTHING_KEPT for test in TESTS]
    adjusted = iter(holm([result.p for result in results if isinstance(result, Measured)]))
    found = []
    for test, result in zip(TESTS, results, strict=True):
        symptom = Symptom(test.name, test.family, test.threshold)
        if isinstance(result, str):
            found.append(dataclasses.replace(symptom, unchecked=result))
            continue
        values: dict[str, Any] = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        levels = {name: in_unit(values[name]) for name in LEVELS if values[name] is not None}
        found.append(dataclasses.replace(symptom, **{**values, **levels}, p_holm=next(adjusted)))
    return tuple(found)
