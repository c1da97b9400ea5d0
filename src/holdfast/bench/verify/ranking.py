"""Rerankers whose certificate is verified: both rank the candidates of its queries again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from holdfast.bench.given.model_files import reranker_or_name
from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.machine.progress import Progress
from holdfast.bench.measured.ranking import named_sources, rank, read_suites
from holdfast.bench.run.documents import ranked_answers
from holdfast.bench.run.proof import Judged, ProofRecord
from holdfast.probes.score import Answers
from holdfast.rerank.loading import load_reranker
from holdfast.rerank.suite import RerankSuite


class Again(Protocol):
    """What asks two models again what a certificate says was asked."""

    @property
    def judged(self) -> list[Judged]:
        """The suites that can be asked again, as a certificate knows them."""

    def ask(self, progress: Progress) -> tuple[Answers, Answers]:
        """Returns the answers of the base and of the model."""


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Rerankers that rank again (`Again`).

    Attributes:
        spec: The two models and how they are asked.
        suites: The suites with the judged queries.
    """

    spec: DiffSpec
    suites: Sequence[RerankSuite]

    @classmethod
    def of(cls, spec: DiffSpec, proof: ProofRecord, notes: list[str]) -> Ranking:
        """Reads the collections that the certificate names, and takes the queries that it judged.

        Raises:
            HoldfastError: A source is missing or malformed.
        """
        claims = {claim.name: claim for claim in proof.suites if claim.again}
        suites = []
        for suite in read_suites(named_sources(spec, spec.base), spec.depth, notes):
            if suite.name in claims:
                queries = {*claims[suite.name].items} & {*suite.collection.judged}
                if queries:
                    suites.append(RerankSuite(suite.collection.only(queries), suite.role))
        return cls(spec, suites)

    @property
    def judged(self) -> list[Judged]:
        """Returns the suites as a certificate knows them."""
        return list(map(Judged.of_queries, self.suites))

    def ask(self, progress: Progress) -> tuple[Answers, Answers]:
        """Returns the scores of the base and of the model."""
        return self._ranked(self.spec.base, "before", progress), self._ranked(self.spec.tuned, "after", progress)

    def _ranked(self, name: str, moment: str, progress: Progress) -> Answers:
        model = load_reranker(
            reranker_or_name(name),
            None if moment == "before" else reranker_or_name(self.spec.base),
            batch_tokens=self.spec.eval_batch_tokens,
            precision=self.spec.precision,
            max_length=self.spec.max_length,
        )
        return ranked_answers(self.suites, rank(model, self.suites, moment, progress.measuring))
