"""What the fit of a reranker reads before it trains: the queries, and whether some steer and others judge."""

from __future__ import annotations

import dataclasses
import random
import statistics
from collections.abc import Sequence
from typing import Any

from holdfast.bench.fit.fit_inputs import GUESSED, SIDES, speed_of_products, unhealable
from holdfast.bench.fit.ladder import Ladder, Rung
from holdfast.bench.fit.ranking_price import RankingPlain
from holdfast.bench.fit.trials import Candidate
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.plan.ranking.ranking_facts import lengths_of
from holdfast.bench.plan.ranking.ranking_record import RankingPlanRecord
from holdfast.bench.run.ranking_data import RankingData, read_ranking_data
from holdfast.bench.run.ranking_trainer import cross_encoder
from holdfast.core.errors import HoldfastError
from holdfast.recipe import parse
from holdfast.rerank.collection import CandidateList
from holdfast.rerank.rows import with_easy
from holdfast.rerank.sources import read_lists

EPOCHS = 3
"""Passes over the lists that the guess of the time assumes."""
SAMPLED = 200
"""Most lists of an old source whose tokens are counted."""


@dataclasses.dataclass(frozen=True)
class RankingFitInputs:
    """The inputs of the fit of a reranker.

    Attributes:
        spec: The options.
        data: What a run reads.
        tokenizer: The tokenizer of the model.
        reads: Most tokens of a pair that it reads.
        parameters: Number of parameters of the model.
    """

    spec: FitSpec
    data: RankingData
    tokenizer: Any
    reads: int
    parameters: int

    @property
    def doubts(self) -> list[str]:
        """Returns nothing: how far nDCG moves by chance is not known before a run."""
        return []

    @property
    def rows(self) -> int:
        """Returns the number of lists to train on."""
        return len(self.data.lists)

    @property
    def learns(self) -> bool:
        """Whether validation queries measure what is learned."""
        return any(suite.role == "learned" and suite.name in self.data.watched for suite in self.data.suites)

    @property
    def unhealable(self) -> str:
        """Returns why no edit can heal a run of the model, as a clause; empty if one can."""
        return unhealable(self.spec.model)

    def guess(self) -> tuple[float, float]:
        """Returns a guess of the seconds of a plain run, and of ranking everything once."""
        tokens, asked = self._tokens(self.data.lists), sum(suite.pairs for suite in self.data.suites)
        pairs = sum(len(entry.documents) for entry in self.data.lists)
        speed = GUESSED * speed_of_products(self.spec.precision)
        whole = tokens * len(self.data.lists)
        return EPOCHS * 6 * self.parameters * whole / speed, 2 * self.parameters * asked * whole / pairs / speed

    def plain(self, run: RunSpec, *, epochs: float, batch: int) -> RankingPlain:
        """Returns the unit of the cost, with the old lists that the options name."""
        how = {"negatives": run.negatives, "depth": run.depth}
        old = {
            name: self._tokens(with_easy(read_lists(source, [], **how), run.easy, run.seed))
            for name, source in run.memories().items()
        }
        return RankingPlain(len(self.data.lists), self._tokens(self.data.lists), old, epochs, batch)

    def ladder(self, made: RankingPlanRecord, _names: Sequence[str]) -> Ladder:
        """Returns plain training, if it fits into memory, and the advised recipe."""
        advised = Rung("advised", Candidate.of(made.recipe))
        if all(need.fits for need in made.memory if need.recipe == "Train()"):
            return Ladder((Rung("all weights", Candidate.of(made.plain), plain=True), advised))
        return Ladder((advised,), ("all weights: does not fit into memory.",))

    def _tokens(self, lists: Sequence[CandidateList]) -> float:
        """Returns the tokens of a list, in the mean of a sample."""
        sample = random.Random(0).sample(list(lists), min(SAMPLED, len(lists)))
        lengths = lengths_of(sample, self.tokenizer)
        return statistics.fmean(sum(min(length, self.reads) for length in of) for of in lengths)


def read_ranking_fit_inputs(spec: FitSpec) -> RankingFitInputs:
    """Reads the inputs of the fit of a reranker, and refuses one that nothing could judge.

    Raises:
        HoldfastError: A source is missing or malformed, the budget limits nothing, or no collection to keep has both
            validation queries and test queries.
    """
    run = spec.run()
    data = read_ranking_data(run, parse(run.recipe))
    kept = [suite for suite in data.suites if suite.role == "retained"]
    if not any({item.split for item in suite.items()} == SIDES for suite in kept):
        counts = ", ".join(f"{suite.name} ({len(suite)})" for suite in kept)
        raise HoldfastError(
            f"No collection to keep has both validation queries, which steer, and test queries, which judge: {counts};"
            " give more queries (a few dozen)."
        )
    model = cross_encoder(run, [])
    reads = int(model.model.max_seq_length or run.max_length)
    count = sum(p.numel() for p in model.model.parameters())
    return RankingFitInputs(spec, data, model.model.tokenizer, reads, count)
