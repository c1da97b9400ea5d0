"""Rules on the settings of the training: rate, batch, epochs, warm-up, layers, rank."""

from __future__ import annotations

from holdfast.bench.plan.evidence import STUDY, Figure, Rule
from holdfast.bench.plan.situation import Situation
from holdfast.train.rates import BILLION, MILLION
from holdfast.train.rates import LARGE as LARGE
from holdfast.train.rates import adapter_rate as adapter_rate
from holdfast.train.rates import full_rate as full_rate

RANKS = (16, 32, 64, 128, 256)
PER_TRAINED = 16
"""Bytes of a trained number of an adapter: itself, its gradient, and the two moments of AdamW, each in float32."""
FEW_STEPS = 50
EPOCHS = 3
BATCH, LARGE_BATCH = 16, 64


def rank_for(case: Situation) -> int:
    """Returns the lowest rank of `RANKS` whose trained numbers are as many as the learned tokens, or the highest.

    Ranks that do not fit into memory are left out: what is known to be needed is for the lowest.
    """
    more = [(rank, (rank - RANKS[0]) * case.per_rank * PER_TRAINED) for rank in RANKS]
    fitting = [rank for rank, added in more if case.fits(case.kind, added)] or [*RANKS[:1]]
    return next((rank for rank in fitting if rank * case.per_rank >= case.tokens), fitting[-1])


def batch_for(case: Situation) -> int:
    """Returns a batch of few rows, with which a short run has as many steps as it can."""
    return usual_batch(case.rows)


def usual_batch(rows: int) -> int:
    """Returns the rows of a step that a plan advises for data of so many rows, whatever the model."""
    return max(1, min(8, rows * EPOCHS // FEW_STEPS)) if _few(rows) else BATCH


def _short(case: Situation) -> bool:
    return _few(case.rows)


def _few(rows: int) -> bool:
    return rows * EPOCHS < FEW_STEPS * BATCH


HALF = (
    Figure("people", "plain", 87.5, 9.4, rate=5e-4),
    Figure("people", "plain", 97.7, 42.6, rate=1e-3),
    Figure("people", "plain", 98.2, 82.5, rate=2e-3),
)
"""What plain training learns and loses at three rates."""

RATE: tuple[Rule[Situation], ...] = (
    Rule(
        "a quarter of the best plain rate",
        "rate",
        "all weights train, and the model has fewer than 10M parameters",
        lambda case: not case.adapts and case.parameters < 10 * MILLION,
        "{value}: a quarter of the rate at which plain training learns best; the rate stays high until the end",
        "measured here",
        STUDY,
        value=lambda case: full_rate(case.parameters),
        because="halving the rate is worth more than most methods",
        figures=HALF,
    ),
    Rule(
        "between what is measured and what people read",
        "rate",
        "all weights train, and the model has 10M to 1B parameters",
        lambda case: not case.adapts and 10 * MILLION <= case.parameters < BILLION,
        "{value}: between our rate for 2.8M parameters and half of what people read for 1B",
        "folk",
        "an interpolation of ours",
        value=lambda case: full_rate(case.parameters),
        because="nobody measured it: compare three rates",
    ),
    Rule(
        "half of 2e-5",
        "rate",
        "all weights train, and the model has 1B to 13B parameters",
        lambda case: not case.adapts and BILLION <= case.parameters < LARGE,
        "{value}: half of 2e-5 (people read 1e-6 to 5e-5 for 1-7B), because the rate stays high until the end",
        "folk",
        "practitioners",
        value=lambda case: full_rate(case.parameters),
        because="that WSD wants half of the rate is measured here, on models of 2.8M parameters",
        figures=(Figure("people", "WSD()", 98.2, 19.0),),
    ),
    Rule(
        "half of 5e-6",
        "rate",
        "all weights train, and the model has 13B parameters or more",
        lambda case: not case.adapts and case.parameters >= LARGE,
        "{value}: half of 5e-6 (people read 1e-6 to 5e-6 for 13B and more), because the rate stays high",
        "folk",
        "practitioners",
        value=lambda case: full_rate(case.parameters),
        because="that WSD wants half of the rate is measured here, on models of 2.8M parameters",
    ),
    Rule(
        "an adapter takes ten times the rate",
        "rate",
        "an adapter trains, and the model has 10M parameters or more",
        lambda case: case.adapts and case.parameters >= 10 * MILLION,
        "{value}: ten times the rate of all weights, whatever the rank",
        "published",
        "arXiv 2405.09673; LoRA Without Regret, 2025",
        value=lambda case: adapter_rate(case.parameters),
        because="their best rates, fitted on 14 models, are 9.8 times those of all weights",
    ),
    Rule(
        "an adapter takes ten times the rate on small models",
        "rate",
        "an adapter trains, and the model has fewer than 10M parameters",
        lambda case: case.adapts and case.parameters < 10 * MILLION,
        "{value}: ten times the rate at which all weights lose least",
        "measured here",
        STUDY,
        value=lambda case: adapter_rate(case.parameters),
        because="the chosen rates of the study are 2.5e-3 and 2.5e-4",
        figures=(Figure("people", "Holdfast(memory='old', adapter=True)", 96.0, 4.9),),
    ),
    Rule(
        "compare the rate before the method",
        "rate",
        "always",
        lambda case: True,
        "compare half and twice the rate before you compare methods",
        "measured here",
        STUDY,
        because="plain training at three rates",
        figures=HALF,
    ),
)

BATCHES: tuple[Rule[Situation], ...] = (
    Rule(
        "few rows, small batch",
        "batch",
        "three passes in batches of 16 are fewer than 50 steps",
        _short,
        "{value}: the run is short, and a larger batch would leave fewer steps",
        "folk",
        "practitioners",
        value=batch_for,
        standing="not tested",
        because="our studies have 225 steps and more",
    ),
    Rule(
        "8 to 32 rows",
        "batch",
        "the model has fewer than 13B parameters, or an adapter trains",
        lambda case: not _short(case) and (case.parameters < LARGE or case.adapts),
        "{value} (people read 8 to 32 below 7B)",
        "folk",
        "practitioners",
        value=lambda case: BATCH,
        standing="not tested",
        because="our studies all have 16; large batches hurt LoRA more than full training (LoRA Without Regret, 2025)",
    ),
    Rule(
        "64 to 128 rows for large models",
        "batch",
        "all weights of a model with 13B parameters or more train",
        lambda case: not _short(case) and case.parameters >= LARGE and not case.adapts,
        "{value} (people read 64 to 128 for 13B and more)",
        "folk",
        "practitioners",
        value=lambda case: LARGE_BATCH,
        standing="not tested",
        because="no model of ours is that large",
    ),
)

EPOCH_RULES: tuple[Rule[Situation], ...] = (
    Rule(
        "three to five epochs",
        "epochs",
        "always",
        lambda case: True,
        "{value} (people read 3 to 5, and trouble beyond 7)",
        "folk",
        "practitioners",
        value=lambda case: EPOCHS,
        standing="not tested",
        because="every figure of our studies is for three passes; the guard stops a run that loses too much",
    ),
)

WARMUPS: tuple[Rule[Situation], ...] = (
    Rule(
        "3% of the run",
        "warm-up",
        "always",
        lambda case: True,
        "a share of {value} of the run, which WSD() does",
        "published",
        "arXiv 2605.29498, 2601.02151",
        value=lambda case: 0.03,
        because="both papers warm up for 3%",
    ),
    Rule(
        "500 steps of warm-up",
        "warm-up",
        "500 steps are more than a tenth of the run",
        lambda case: case.rows * EPOCHS < 5000 * BATCH,
        "warm up over 500 steps",
        "folk",
        "practitioners",
        standing="contradicted",
        because="the run is too short: 500 steps would be more than a tenth of it, or all of it",
    ),
)

LAYERS: tuple[Rule[Situation], ...] = (
    Rule(
        "all layers train",
        "layers",
        "all weights train",
        lambda case: case.kind == "full",
        "train {value} layers",
        "measured here",
        STUDY,
        value=lambda case: "all",
        because="frozen lower layers do not learn a language",
        figures=(Figure("language", "FreezeBottom()", 9.5, 29.6), Figure("people", "FreezeBottom()", 100.0, 12.6)),
    ),
    Rule(
        "an adapter on all linear layers",
        "layers",
        "an adapter trains",
        lambda case: case.kind in ("adapter", "qlora"),
        "put the adapter on {value} linear layers",
        "published",
        "LoRA Without Regret, 2025",
        value=lambda case: "all",
        because="attention alone learns less; an MLP's part matters most",
    ),
    Rule(
        "freeze 80-90% of the layers",
        "layers",
        "all weights train",
        lambda case: case.kind == "full",
        "freeze the lower 80 to 90% of the layers",
        "folk",
        "practitioners",
        standing="mixed",
        because="two of three layers frozen keep more of the old where facts are learned, and learn no language",
        figures=(
            Figure("people", "FreezeBottom()", 100.0, 12.6),
            Figure("people", "plain", 97.7, 42.6),
            Figure("language", "FreezeBottom()", 9.5, 29.6),
        ),
    ),
    Rule(
        "layer-wise decay of .95-.96",
        "layers",
        "all weights train",
        lambda case: case.kind == "full",
        "lower the rate by .95 to .96 from each layer to the one below",
        "folk",
        "practitioners",
        standing="mixed",
        because="at .9 it loses less of people and language here, and more of science (at twice the rate); .95"
        " did not run",
        figures=(
            Figure("people", "LayerwiseDecay()", 98.0, 29.3),
            Figure("science", "LayerwiseDecay()", 89.0, 13.8),
            Figure("science", "plain", 85.0, 8.1),
        ),
    ),
)

RANK: tuple[Rule[Situation], ...] = (
    Rule(
        "a rank that holds the data",
        "rank",
        "a new adapter trains",
        lambda case: case.kind in ("adapter", "qlora"),
        "{value}: the lowest of 16, 32, ... 256 whose trained numbers are as many as the learned tokens, if it fits"
        " into memory",
        "published",
        "LoRA Without Regret, 2025",
        value=rank_for,
        because="an adapter learns less than all weights once the data exceeds its capacity; that one number holds"
        " one token is our reading of it",
    ),
    Rule(
        "LoRA of rank 8 first",
        "rank",
        "a new adapter trains",
        lambda case: case.kind in ("adapter", "qlora"),
        "begin with rank 8",
        "folk",
        "practitioners",
        standing="not tested",
        because="our adapters have rank 16, and the best rate hardly depends on the rank (LoRA Without Regret, 2025)",
    ),
)

TRAINING = (*RATE, *BATCHES, *EPOCH_RULES, *WARMUPS, *LAYERS, *RANK)
