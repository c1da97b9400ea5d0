"""Rules on the training of rerankers, as data: the situation that they read, and the table of them."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from holdfast.bench.plan.evidence import Rule

STUDY = "docs/rerank.md"
"""The page with the study of rerankers."""
TINY, MEDIUM = 5_000_000, 100_000_000
"""Parameters of a model below which the rates of our two bases count: 0.7 and 22 million."""
BATCH, STEPS = 16, 50
"""Lists of a step, and the least steps of a run."""
FEW_LISTS = 0.5
"""Share of lists with something to compare below which a loss over lists has too little to learn from."""
MANY = 0.05
"""Share of doubtful negatives, of copies or of contradictions, from which a plan speaks of them."""
ROOM = 0.6
"""Share of a budget that the queries' own width may take."""

Kind = Literal["", "full", "adapter", "none"]


@dataclasses.dataclass(frozen=True)
class RankingSituation:
    """What rules know of a reranker's case; None stands for what was not measured.

    Attributes:
        parameters: Number of parameters of the model.
        lists: Number of lists to train on.
        documents: Documents of a list, in the mean.
        comparable: Share of the lists with both a relevant document and another.
        copies: Share of the lists whose query repeats an earlier one.
        contradictions: Number of pairs that are relevant in one list and not in another.
        leaked: Number of queries to measure that are trained on, or almost.
        doubtful: Share of sampled negatives that the base finds about as relevant as the relevant document.
        first_right: Share of sampled lists in which the base puts a relevant document first.
        cut: Share of the pairs that are longer than the model reads.
        easy: Easy negatives of a list.
        old: Whether there are old lists.
        judged: Number of queries that judge what is kept.
        least_points: Least loss that these tell from none; None if nothing is kept.
        points: Budget in points; None without one.
        fits: Kinds of recipes that fit into memory.
        kind: Kind of the recipe that the plan has chosen; empty while it chooses.
    """

    parameters: int
    lists: int = 0
    documents: float = 0.0
    comparable: float = 1.0
    copies: float = 0.0
    contradictions: int = 0
    leaked: int = 0
    doubtful: float | None = None
    first_right: float | None = None
    cut: float = 0.0
    easy: int = 1
    old: bool = False
    judged: int = 0
    least_points: float | None = None
    points: float | None = None
    fits: tuple[str, ...] = ("full", "adapter")
    kind: Kind = ""


def rate_for(case: RankingSituation) -> float:
    """Returns the rate of all weights, or ten times it for an adapter on a model that is not tiny."""
    if case.parameters < TINY:
        return 5e-4
    rate = 5e-5 if case.parameters < MEDIUM else 2e-5
    return 10 * rate if case.kind == "adapter" else rate


def batch_for(case: RankingSituation) -> int:
    """Returns a batch with which a short run has `STEPS` steps, if it can."""
    return max(1, min(BATCH, case.lists * epochs_for(case) // STEPS))


def epochs_for(case: RankingSituation) -> int:
    """Returns the passes over the lists."""
    return 3 if case.parameters < TINY else 1


def needed_queries(case: RankingSituation) -> int:
    """Returns how many judging queries would leave room in the budget; their width falls with their number."""
    assert case.points is not None
    assert case.least_points is not None
    return math.ceil(case.judged * case.least_points / (ROOM * case.points) / 10) * 10


def _wide(case: RankingSituation) -> bool:
    return None not in (case.points, case.least_points) and case.least_points > ROOM * case.points  # type: ignore[operator]


def _compares(case: RankingSituation) -> bool:
    return case.comparable >= FEW_LISTS


RECIPE: tuple[Rule[RankingSituation], ...] = (
    Rule(
        "a penalty to the base, and old lists",
        "recipe",
        "all weights fit into memory, and there are old lists (--memory)",
        lambda case: "full" in case.fits and case.old,
        "train all weights with a penalty to the base's order (BaseKL), on old lists too (Rehearsal, ratio 0.2)",
        "measured here",
        STUDY,
        value=lambda case: "full",
        because="with both, the embedded reranker and MiniLM kept the other domains with every seed, and learned 97 and"
        " 86% of what plain training did",
    ),
    Rule(
        "a penalty to the base",
        "recipe",
        "all weights fit into memory, there are no old lists, and the model has fewer than 5M parameters",
        lambda case: "full" in case.fits and not case.old and case.parameters < TINY,
        "train all weights with a penalty to the base's order on the new lists (BaseKL)",
        "measured here",
        STUDY,
        value=lambda case: "full",
        because="it needs no data but your own, and kept the other domains of the embedded reranker",
    ),
    Rule(
        "a low rate alone",
        "recipe",
        "all weights fit into memory, there are no old lists, and the model has 5M parameters or more",
        lambda case: "full" in case.fits and not case.old and case.parameters >= TINY,
        "train all weights at a low rate, without a penalty",
        "measured here",
        STUDY,
        value=lambda case: "full",
        because="MiniLM learned 11.9 points with plain training and 8.6 with the penalty at this rate, and moved by 0.0"
        " elsewhere with both (three seeds)",
    ),
    Rule(
        "an adapter where memory is short",
        "recipe",
        "all weights do not fit into memory, and an adapter does",
        lambda case: "full" not in case.fits and "adapter" in case.fits,
        "train an adapter with the penalty, because training all weights does not fit into memory",
        "published",
        "arXiv 2405.09673",
        value=lambda case: "adapter",
        because="that LoRA learns less and forgets less was measured on language models",
    ),
    Rule(
        "nothing fits",
        "recipe",
        "neither all weights nor an adapter fit into memory",
        lambda case: not case.fits,
        "nothing fits into memory: lower --batch-size or --negatives, or take a smaller model",
        "measured here",
        STUDY,
        value=lambda case: "none",
    ),
)
LOSS: tuple[Rule[RankingSituation], ...] = (
    Rule(
        "a loss over the list",
        "loss",
        "at least half of the lists have a relevant document and another",
        _compares,
        "--loss {value}: compare the documents of a query with each other",
        "published",
        "arXiv 2210.10634",
        value=lambda case: "listnet",
        because="RankT5 with pairwise and listwise losses ranks better, also on other domains, than with a loss on"
        " single documents",
    ),
    Rule(
        "a loss on single documents",
        "loss",
        "fewer than half of the lists have a relevant document and another",
        lambda case: not _compares(case),
        "--loss {value}: most queries have nothing to compare, so a loss over the list would teach nothing; add"
        " negatives if you can",
        "folk",
        "the definition of the losses",
        value=lambda case: "bce",
    ),
)
SETTINGS: tuple[Rule[RankingSituation], ...] = (
    Rule(
        "the rate of the embedded reranker",
        "rate",
        "the model has fewer than 5M parameters",
        lambda case: case.parameters < TINY,
        "{value}: the rate of our study of the embedded reranker (0.7M)",
        "measured here",
        STUDY,
        value=rate_for,
        because="an adapter at ten times this rate broke the model",
    ),
    Rule(
        "the rate of the study of MiniLM",
        "rate",
        "the model has 5M to 100M parameters",
        lambda case: TINY <= case.parameters < MEDIUM,
        "{value}: the rate of our study of MiniLM (22M); an adapter takes ten times as much",
        "measured here",
        STUDY,
        value=rate_for,
        because="at four times this rate plain training learned 12.9 points, for 11.9, and lost 5.3 elsewhere, for 0.0"
        " (four seeds and three)",
    ),
    Rule(
        "the rate that people use",
        "rate",
        "the model has 100M parameters or more",
        lambda case: case.parameters >= MEDIUM,
        "{value}: what people use for cross-encoders; an adapter takes ten times as much",
        "folk",
        "the training overview of sentence-transformers",
        value=rate_for,
    ),
    Rule(
        "enough steps",
        "batch",
        "always",
        lambda case: True,
        "{value} lists a step, fewer than 16 only where a run would have fewer than 50 steps",
        "folk",
        "practitioners",
        value=batch_for,
    ),
    Rule(
        "three passes for a tiny model",
        "epochs",
        "the model has fewer than 5M parameters",
        lambda case: case.parameters < TINY,
        "{value} passes",
        "measured here",
        STUDY,
        value=epochs_for,
    ),
    Rule(
        "one pass",
        "epochs",
        "the model has 5M parameters or more",
        lambda case: case.parameters >= TINY,
        "{value} pass",
        "measured here",
        STUDY,
        value=epochs_for,
        because="in one pass over 300 queries MiniLM gained 11.9 points of nDCG@10; three seeds",
    ),
)
DATA: tuple[Rule[RankingSituation], ...] = (
    Rule(
        "easy negatives stay in",
        "negatives",
        "the lists have no easy negatives (--easy 0)",
        lambda case: case.easy == 0,
        "add an easy negative (--easy 1): a reranker that sees hard negatives alone loses its sense of documents that"
        " have nothing to do with a query",
        "folk",
        "sentence-transformers, issue 3085",
    ),
    Rule(
        "doubtful negatives",
        "negatives",
        "the base finds at least 5% of the sampled negatives about as relevant as the relevant document",
        lambda case: case.doubtful is not None and case.doubtful >= MANY,
        "look at the negatives: many may be relevant and only not judged;"
        " holdfast.rerank.negatives.without_false_negatives drops those above 95% of the relevant document's"
        " probability",
        "published",
        "arXiv 2407.15831",
        because="a base that is not at home in the domain confuses documents that are not relevant too",
    ),
    Rule(
        "copies of queries",
        "data",
        "at least 5% of the lists repeat the query of an earlier one",
        lambda case: case.copies >= MANY,
        "put the documents of equal queries into one list, so that none is relevant in one and a negative in another",
        "folk",
        "practitioners",
    ),
    Rule(
        "contradicting judgments",
        "data",
        "a pair is relevant in one list and not in another",
        lambda case: case.contradictions > 0,
        "look at the pairs that are relevant in one list and not in another: a loss cannot satisfy both",
        "folk",
        "practitioners",
    ),
    Rule(
        "leaks",
        "data",
        "queries to measure are also trained on, or almost",
        lambda case: case.leaked > 0,
        "take the queries that are measured out of the training data, or the other way round: what they measure is"
        " memory",
        "folk",
        "practitioners",
    ),
    Rule(
        "pairs that are cut",
        "data",
        "at least 5% of the pairs are longer than the model reads",
        lambda case: case.cut >= MANY,
        "cut documents into passages, or raise --max-length if the model reads more: the ends of long pairs are lost",
        "folk",
        "practitioners",
    ),
)
MEASURE: tuple[Rule[RankingSituation], ...] = (
    Rule(
        "name what to keep",
        "measure",
        "nothing is kept",
        lambda case: case.least_points is None,
        "name collections of other domains with --keep: nothing else shows what is lost",
        "measured here",
        STUDY,
    ),
    Rule(
        "enough queries",
        "measure",
        "the judging queries are too few for the budget",
        _wide,
        "name more queries to keep, about {value}: those there are leave no room to prove a loss inside the budget",
        "measured here",
        STUDY,
        value=lambda case: needed_queries(case) if _wide(case) else 0,
    ),
    Rule(
        "both kinds of queries",
        "measure",
        "something is kept",
        lambda case: case.least_points is not None,
        "judge the domain (--test) and the other domains (--keep) by the same queries before and after",
        "measured here",
        STUDY,
        because="a reranker that gains in its domain can lose in all others without any sign in its loss",
    ),
    Rule(
        "compare before you trust",
        "measure",
        "the base puts a relevant document first in at least nine of ten lists",
        lambda case: case.first_right is not None and case.first_right >= 0.9,
        "check that there is anything to learn: the base already puts a relevant document first in most lists",
        "folk",
        "practitioners",
    ),
)
RANKING_RULES: tuple[Rule[RankingSituation], ...] = (*RECIPE, *LOSS, *SETTINGS, *DATA, *MEASURE)


def ranking_recipe(case: RankingSituation, old: tuple[str, ...], **train: float) -> str:
    """Returns the recipe of the chosen kind as text; empty if nothing fits.

    Args:
        case: The situation, with the kind.
        old: Names of old lists.
        train: Settings of `Train`.
    """
    if case.kind == "none":
        return ""
    settings = ", ".join(f"{name}={value:g}" for name, value in train.items())
    adapter = ["LoRA()"] if case.kind == "adapter" else []
    penalty = ["BaseKL()"] if old or adapter or case.parameters < TINY else []
    rehearsal = [f"Rehearsal({', '.join(old)!r}, ratio=0.2)"] if old else []
    return " + ".join([f"Train({settings})", *adapter, *penalty, *rehearsal])
