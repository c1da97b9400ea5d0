"""Settings that are known to forget, as data: by how much, what says so, and what to change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from holdfast.bench.plan.check.config import TrainingConfig
from holdfast.bench.plan.evidence import STUDY, Evidence, Figure
from holdfast.bench.plan.rules.recipe import ON_LANGUAGE, ON_PEOPLE
from holdfast.bench.plan.rules.training import HALF, LARGE
from holdfast.bench.plan.situation import BILLION, MILLION

PLAIN_RATE, ADAPTER_RATE = 5e-5, 5e-4
"""Highest rates that people read for 1 to 13 billion parameters: of all weights, and of an adapter."""
LARGE_PLAIN, TOO_LOW = 5e-6, 5e-5
MANY, EPOCHS = 7, 5


@dataclasses.dataclass(frozen=True)
class Lint:
    """A setting that is known to forget, or to learn less than it could.

    Attributes:
        name: Name of the lint, unique.
        applies: The condition on a config and the model's parameters (None if unknown).
        says: What the config does; braces hold its fields.
        change: What to change.
        evidence: What kind of evidence it has.
        source: Its source.
        figures: By how much: rows of our study.
        because: What the source says.
    """

    name: str
    applies: Callable[[TrainingConfig, int | None], bool]
    says: str
    change: str
    evidence: Evidence
    source: str
    figures: tuple[Figure, ...] = ()
    because: str = ""

    def sentence(self, config: TrainingConfig) -> str:
        """Returns what the config does."""
        values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
        return self.says.format(**{**values, "batch": config.batch})


def _rate_limit(config: TrainingConfig, parameters: int | None) -> float:
    """Returns the highest rate that people read for a model of this size; infinite below 10M parameters."""
    size = parameters or BILLION
    if size < 10 * MILLION:
        return float("inf")
    limit = PLAIN_RATE if size < LARGE else LARGE_PLAIN
    return 10 * limit if config.adapts else limit


LINTS = (
    Lint(
        "all weights without old examples",
        lambda config, size: config.tuning == "full" and not config.rehearses,
        "all weights train, and nothing holds them to the base",
        "add old examples with a penalty to the base: Holdfast('old.jsonl'), or Holdfast() without any",
        "measured here",
        STUDY,
        figures=(*ON_PEOPLE, ON_LANGUAGE[0], ON_LANGUAGE[2]),
    ),
    Lint(
        "an adapter without old examples",
        lambda config, size: config.adapts and not config.rehearses,
        "an adapter trains, and nothing holds the model to the base; an adapter alone is no protection",
        "add old examples with a penalty to the base: Holdfast('old.jsonl', adapter=True)",
        "measured here",
        STUDY,
        figures=(
            Figure("people", "LoRA()", 79.0, 46.3),
            Figure("people", "Holdfast(memory='old', adapter=True)", 96.0, 4.9),
            Figure("labels", "LoRA()", 100.0, 28.2),
        ),
        because="the paper that finds that LoRA forgets less has a model of 7B parameters (arXiv 2405.09673)",
    ),
    Lint(
        "nothing measures what is lost",
        lambda config, size: not config.keeps,
        "nothing measures what may be lost",
        "give --keep general, or your own items, and a budget",
        "measured here",
        STUDY,
        figures=(ON_PEOPLE[2],),
        because="a training loss shows nothing of it",
    ),
    Lint(
        "a high rate",
        lambda config, size: config.lr is not None and config.lr > _rate_limit(config, size),
        "the rate {lr:g} is above what people read for this size",
        "halve it, and compare: holdfast compare --doses 0.25 0.5 1",
        "folk",
        "practitioners; that the rate decides is measured here",
        figures=HALF,
    ),
    Lint(
        "a rate of all weights on an adapter",
        lambda config, size: config.adapts and config.lr is not None and config.lr < TOO_LOW,
        "the rate {lr:g} suits training of all weights; an adapter takes about ten times that",
        "raise it to 1e-4 or 2e-4",
        "published",
        "arXiv 2405.09673; LoRA Without Regret, 2025",
        because="best rates of adapters are 2e-4 to 5e-4 on Llama-2-7B, 9.8 times those of all weights on 14 models",
    ),
    Lint(
        "a high rank at a high rate",
        lambda config, size: config.adapts and (config.rank or 0) >= 256 and (config.lr or 0) >= 2e-4,
        "rank {rank} at rate {lr:g}",
        "halve the rate: the best rate of rank 256 is 1e-4 on Llama-2-7B",
        "published",
        "arXiv 2405.09673",
        because="users report that rank 256 diverges at 2e-4 (paiml/aprender#2258)",
    ),
    Lint(
        "many epochs",
        lambda config, size: (config.epochs or 0) > MANY,
        "{epochs:g} epochs",
        "take 3 to 5, and a budget, which stops or rewinds a run that loses too much",
        "folk",
        "practitioners",
        because="people read of trouble beyond 7; our studies have three passes",
    ),
    Lint(
        "a long warm-up",
        lambda config, size: (config.warmup_share or 0) > 0.1,
        "{warmup_share:.0%} of the run is warm-up",
        "take 3%",
        "published",
        "arXiv 2605.29498, 2601.02151",
        because="both papers warm up for 3%",
    ),
    Lint(
        "frozen layers",
        lambda config, size: (config.frozen or 0) >= 0.5,
        "{frozen:.0%} of the layers are frozen",
        "keep this for facts alone; train all layers for a language or a style",
        "measured here",
        STUDY,
        figures=(Figure("people", "FreezeBottom()", 100.0, 12.6), Figure("language", "FreezeBottom()", 9.5, 29.6)),
    ),
    Lint(
        "attention alone",
        lambda config, size: (
            config.adapts
            and config.targets is not None
            and config.targets not in ("all-linear", "mlp")
            and not any(part in config.targets for part in ("up", "down", "gate", "fc", "mlp", "w1"))
        ),
        "the adapter is on {targets} alone",
        "put it on all linear layers: targets='all-linear'",
        "published",
        "LoRA Without Regret, 2025",
        because="attention alone learns less; an MLP's part matters most",
    ),
    Lint(
        "4-bit weights without clipping or dropout",
        lambda config, size: config.tuning == "qlora" and not (config.clip and config.dropout),
        "4-bit weights without both clipping and dropout",
        "clip gradients at 0.3 and take a dropout of 0.1, as QLoRA() does",
        "published",
        "arXiv 2305.14314",
        because="the settings are the paper's; our studies did not run it",
    ),
    Lint(
        "prompts are learned",
        lambda config, size: config.loss_on == "all",
        "prompts are learned too",
        "learn completions alone (--loss-on completion), unless the rows are documents",
        "folk",
        "practitioners",
        because="our studies learn completions of questions, and documents in full",
    ),
    Lint(
        "a batch for large models",
        lambda config, size: (config.batch or 0) >= 64 and (size or BILLION) < 13 * BILLION,
        "{batch} rows a step on each device",
        "take 8 to 32 below 13B parameters",
        "folk",
        "practitioners",
        because="large batches hurt LoRA more than full training (LoRA Without Regret, 2025)",
    ),
)
