"""Sets of suites that have one name: what they hold, and for what of a paper's evaluation each suite stands."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class SuiteSet:
    """Several suites with one name.

    Attributes:
        name: Its name.
        measures: What it measures, in a few words.
        members: The suites, each with what it is there for.
        departs: What differs from the source.
        cite: Where the evaluation is described.
    """

    name: str
    measures: str
    members: dict[str, str]
    departs: str
    cite: str


SETS = {
    "finch": SuiteSet(
        name="finch",
        measures="the forgetting that FINCH's authors measure",
        members={
            "mmlu": "knowledge; among the paper's sets",
            "hellaswag": "everyday reasoning; among the paper's sets",
            "winogrande": "everyday reasoning; among the paper's sets",
            "ifeval": "instructions, generated; among the paper's sets",
            "arc_challenge": "science; stands in for the paper's science task, which uses ScienceQA",
            "openbookqa": "science; stands in likewise",
            "flores200/yor_Latn": "a low-resource language (Yoruba), choice of a translation; ours",
            "flores200/kin_Latn": "a low-resource language (Kinyarwanda), choice of a translation; ours",
            "flores200_text/yor_Latn": "likelihood of text in Yoruba; ours",
            "flores200_text/kin_Latn": "likelihood of text in Kinyarwanda; ours",
            "truthfulqa_mc1": "truthfulness; the paper has TruthfulQA, its form is not known here",
            "truthfulqa_mc2": "truthfulness, the other form of multiple choice",
            "halueval": "inventions; the paper has HaluEval, its part is not known here",
        },
        departs="the paper's prompts, numbers of examples, languages and parts of sets are not known here, so its "
        "figures do not compare with these; calibration (the paper has the Brier score) comes with the choices",
        cite="Prashant, Zhu, Creo, Salimi, FINCH, 2026, arXiv 2605.20005",
    )
}
"""Every set of suites, by name."""
