"""Rules on the recipe: which weights train, and what holds the model to its base."""

from __future__ import annotations

from holdfast.bench.plan.evidence import REAL, STUDY, Figure, Rule
from holdfast.bench.plan.situation import Situation

HOLDFAST = 'Holdfast("old.jsonl")'
"""The recommended recipe with old examples, as its row in our tables is called here."""

ON_PEOPLE = (
    Figure("people", "Holdfast(memory='old')", 96.0, 1.7),
    Figure("people", "Holdfast()", 95.0, 2.7),
    Figure("people", "plain", 97.7, 42.6),
)
ON_LANGUAGE = (
    Figure("language", "Holdfast()", 87.5, 7.2),
    Figure("language", "Holdfast(adapter=True)", 79.0, 9.1),
    Figure("language", "plain", 87.3, 53.5),
)


def _full(case: Situation) -> bool:
    return not case.is_adapter and case.fits("full") and (case.small or case.far)


def _adapter(case: Situation) -> bool:
    return not case.is_adapter and not case.small and not case.far and case.fits("adapter")


def _squeezed(case: Situation) -> bool:
    return not case.is_adapter and not case.fits("full") and (case.small or case.far) and case.fits("adapter")


def _quantised(case: Situation) -> bool:
    return not case.is_adapter and not _full(case) and not case.fits("adapter") and case.gpu


def _nothing(case: Situation) -> bool:
    return not case.is_adapter and not _full(case) and not case.fits("adapter") and not case.gpu


RECIPE: tuple[Rule[Situation], ...] = (
    Rule(
        "all weights, old examples and a penalty to the base",
        "recipe",
        "all weights fit into memory, and the model is below 100M parameters or the data is far from what it knows",
        _full,
        "train all weights, on old examples too, with a penalty to the base on them",
        "measured here",
        STUDY,
        value=lambda case: "full",
        because="measured on models of 2.8M parameters",
        figures=(*ON_PEOPLE, ON_LANGUAGE[0], ON_LANGUAGE[2]),
    ),
    Rule(
        "an adapter with the penalty on larger models",
        "recipe",
        "the model has 100M parameters or more, and the data is not known to be far from what it knows",
        _adapter,
        "train an adapter, on old examples too, with a penalty to the base on them",
        "published",
        "arXiv 2405.09673",
        value=lambda case: "adapter",
        because="LoRA learned less and forgot less than full training on Llama-2-7B; our study of real models of 0.27"
        " and 0.5 billion parameters trained adapters alone (docs/studies/real.md)",
        figures=(Figure("people", "Holdfast(memory='old', adapter=True)", 96.0, 4.9),),
    ),
    Rule(
        "an adapter where memory is short",
        "recipe",
        "all weights should train and do not fit into memory, and an adapter does",
        _squeezed,
        "train an adapter with the penalty, because training all weights does not fit into memory",
        "measured here",
        STUDY,
        value=lambda case: "adapter",
        because="it learns a language less well than all weights do",
        figures=(ON_LANGUAGE[0], ON_LANGUAGE[1]),
    ),
    Rule(
        "4-bit weights where an adapter does not fit",
        "recipe",
        "not even an adapter fits into memory, and there is a GPU",
        _quantised,
        "train an adapter on 4-bit weights (QLoRA), with the penalty",
        "published",
        "arXiv 2305.14314",
        value=lambda case: "qlora",
        because="our studies did not run it",
    ),
    Rule(
        "nothing fits",
        "recipe",
        "no recipe fits into memory, and there is no GPU for 4-bit weights",
        _nothing,
        "nothing fits: take a smaller model, shorter rows (--max-length), or a larger machine",
        "measured here",
        "docs/studies/real-models.md",
        value=lambda case: "none",
        because="by the estimate of memory, which is within 4% of what PyTorch allocates",
    ),
    Rule(
        "an adapter is trained further",
        "recipe",
        "the model is an adapter on a base",
        lambda case: case.is_adapter,
        "train the adapter further, on old examples too, with a penalty to its base on them",
        "measured here",
        STUDY,
        value=lambda case: "full",
        because="measured for new adapters, on models of 2.8M parameters",
        figures=(Figure("people", "Holdfast(memory='old', adapter=True)", 96.0, 4.9),),
    ),
    Rule(
        "LoRA first, full fine-tuning with rehearsal second, never full without",
        "recipe",
        "the model has no adapter yet",
        lambda case: not case.is_adapter,
        "try LoRA first; train all weights with rehearsal second; never train them without",
        "folk",
        "practitioners",
        standing="mixed",
        because="full training without rehearsal loses most here too; but LoRA alone loses as much",
        figures=(
            Figure("people", "LoRA()", 79.0, 46.3),
            Figure("people", "plain", 97.7, 42.6),
            Figure("people", "Rehearsal(memory='old', ratio=0.2)", 95.0, 4.2),
        ),
    ),
    Rule(
        "LoRA forgets less than full training",
        "recipe",
        "the model has no adapter yet",
        lambda case: not case.is_adapter,
        "LoRA learns less and forgets less",
        "published",
        "arXiv 2405.09673",
        standing="contradicted",
        because="on our small models an adapter alone loses as much or more, and on Gemma 270M as much (labels: 16.2"
        " points for 17.3); the paper's model has 7B parameters",
        figures=(
            Figure("people", "LoRA()", 79.0, 46.3),
            Figure("labels", "LoRA()", 100.0, 28.2),
            Figure("labels", "plain", 99.8, 10.8),
        ),
    ),
    Rule(
        "a new language or style needs all weights",
        "recipe",
        "the plan trains a new adapter",
        lambda case: case.kind in ("adapter", "qlora"),
        "train all weights instead if the data is a new language or style: Holdfast()",
        "measured here",
        STUDY,
        because="an adapter learns a language less well; a plan cannot tell how far data is in a large vocabulary",
        figures=(ON_LANGUAGE[0], ON_LANGUAGE[1]),
    ),
    Rule(
        "Mask-the-Target holds adapters of real models",
        "recipe",
        "the plan trains an adapter",
        lambda case: case.kind in ("adapter", "qlora"),
        "compare LoRA() + MaskTheTarget() with the advised recipe on your own data",
        "measured here",
        REAL,
        standing="mixed",
        because="on 0.27 and 0.5B it lost 5.4 points beside labels, for 16.2 with LoRA alone and 1.7 with the advised"
        " recipe, and learned 4 of 48 points of facts that are to be written; no language here",
        figures=(Figure("language", "MaskTheTarget()", 54.5, 73.3),),
    ),
    Rule(
        "variants of LoRA are alike once the rate is tuned",
        "recipe",
        "the plan trains an adapter",
        lambda case: case.kind in ("adapter", "qlora"),
        "take plain LoRA: nine variants lie within 1-2% of each other once each has its best rate",
        "published",
        "arXiv 2602.04998",
        standing="not tested",
        because="their best rates are not in our studies",
    ),
    Rule(
        "QLoRA with clipping and dropout",
        "recipe",
        "the plan trains an adapter on 4-bit weights",
        lambda case: case.kind == "qlora",
        "clip gradients and use dropout with 4-bit weights (QLoRA() sets 0.3 and 0.1)",
        "published",
        "arXiv 2305.14314",
        standing="followed",
        because="the settings are the paper's",
    ),
    Rule(
        "the starter",
        "recipe",
        "the model has no adapter yet",
        lambda case: not case.is_adapter,
        "start with 10% of the data, 85% of the layers frozen, LoRA of rank 8, rate 2e-5, batch 16, 4 epochs",
        "folk",
        "practitioners",
        standing="not tested",
        because="on all of the data it learned nothing here, and lost nothing (docs/fit.md); its rate is a tenth of"
        " the rate that LoRA takes (arXiv 2405.09673)",
    ),
)
