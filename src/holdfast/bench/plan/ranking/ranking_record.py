"""`RankingPlanRecord`, the typed content of the plan.json of a reranker. Names of fields end with their units."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from holdfast.bench.measured.schema import Record, Versioned, column
from holdfast.bench.plan.record import AdviceRow, NeedRow, TimeRow


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankingModelRow(Record):
    """What is known of a cross-encoder.

    Attributes:
        name: Its name.
        architecture: Class of the transformer in it.
        parameters: Number of parameters.
        layers: Number of layers; 0 if the configuration does not say.
        width: Width of the hidden states; likewise.
        reads: Most tokens of a pair that it reads here.
        vocabulary: Number of tokens of its tokenizer.
    """

    name: str
    architecture: str
    parameters: int
    layers: int
    width: int
    reads: int
    vocabulary: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankingDataRow(Record):
    """What the lists to train on hold: queries, each with its relevant documents, hard negatives and easy ones.

    Attributes:
        name: Name of their source.
        lists: Number of lists, one for each query to train on.
        pairs: Number of pairs of a query and a document.
        documents: Documents of a list, in the mean.
        relevant: Relevant documents of a list, in the mean.
        comparable: Number of lists with both a relevant document and another.
        tokens: Number of tokens that a pass over the lists reads, without padding, each pair cut to what is read.
        median: Number of tokens of a pair, in the median.
        longest: Number of tokens of the longest pair, before it is cut.
        cut: Number of pairs that are longer than the model reads.
        copies: Number of lists whose query repeats that of an earlier list.
        contradictions: Number of pairs that are relevant in one list and not in another.
        leaked: Number of queries to measure that are trained on too.
        nearly_leaked: Number of queries to measure that almost repeat a trained one.
        asked: Number of lists that the base ranked.
        first_right: Share of these lists in which the base puts a relevant document first; absent if it ranked none.
        negatives: Number of documents in these lists that are not relevant.
        doubtful: Number of these whose probability under the base is above 95% of that of a relevant document.
    """

    name: str
    lists: int
    pairs: int
    documents: float
    relevant: float
    comparable: int
    tokens: int
    median: int
    longest: int
    cut: int
    copies: int
    contradictions: int
    leaked: int
    nearly_leaked: int
    asked: int = 0
    first_right: float | None = column(default=None)
    negatives: int = 0
    doubtful: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankingKeptRow(Record):
    """What is kept, all suites together.

    Attributes:
        suites: Number of suites.
        queries: Number of their queries.
        watched: Number of these that steer a training with a guard.
        judged: Number of these that judge it.
        candidates: Candidates of a query, in the mean.
        least_points: Least loss in points of nDCG@10, in the mean of the suites, that the judging queries tell from
            none if hardly any order changes.
    """

    suites: int
    queries: int
    watched: int
    judged: int
    candidates: float
    least_points: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankingPlanRecord(Versioned):
    """A plan for a reranker: facts, then advice, then what to run.

    Attributes:
        model: The model.
        data: The lists to train on.
        kept: What is kept; absent if nothing is.
        free: Free bytes.
        where: Where they are free: "on the GPU" or "in memory".
        memory: Memory of each recipe.
        time: Time of the advised recipe, and of plain training if that is another; empty without timed steps.
        advice: All advice, with the rules that people read.
        recipe: The advised recipe; empty if nothing fits into memory.
        plain: Plain training with the same settings.
        run: Text of a file with the advised run, for `holdfast train --config`; empty if nothing fits.
        notes: Sentences on what was left out or assumed.
    """

    FILE: ClassVar[str] = "plan.json"

    model: RankingModelRow
    data: RankingDataRow
    kept: RankingKeptRow | None = column(default=None)
    free: int
    where: str
    memory: tuple[NeedRow, ...] = ()
    time: tuple[TimeRow, ...] = ()
    advice: tuple[AdviceRow, ...] = ()
    recipe: str = ""
    plain: str = ""
    run: str = ""
    notes: tuple[str, ...] = ()
