"""What lies beside a run's model: the recipe in an adapter's file, the card, and the certificate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.run.model_card import card_of_run, stamp_adapter, write_card
from holdfast.bench.run.proof import Judged, asked_how, write_proof
from holdfast.bench.run.record import RunRecord
from holdfast.core.method import Chain
from holdfast.probes.score import Answers

if TYPE_CHECKING:
    from holdfast.rerank.suite import Ranked, RerankSuite


def document(
    folder: Path,
    spec: RunSpec,
    recipe: Chain,
    record: RunRecord,
    suites: Sequence[Judged],
    sides: tuple[Answers, Answers],
    keep: Sequence[str] | None = None,
) -> None:
    """Documents the model of a finished run; the certificate comes last, because it has the digests of the others.

    Args:
        folder: Folder of the model.
        spec: The options of the run.
        recipe: Its recipe.
        record: Its record.
        suites: The suites with what was judged of them.
        sides: The judged answers of the base and of the tuned model.
        keep: Sources of what a reranker keeps; None for a model that generates text, whose options name them all.

    Raises:
        HoldfastError: A file cannot be written.
    """
    stamp_adapter(folder, spec, recipe)
    kept, ranks = spec.keep if keep is None else keep, keep is not None
    write_card(folder, card_of_run(folder, spec, recipe, record, kept, ranks=ranks))
    asked = asked_how(spec, kept, ranks=ranks)
    watched = () if record.guard is None else record.guard.watched
    write_proof(folder, spec.model, record, RunRecord.FILE, asked, watched, suites, sides)


def document_reranker(
    folder: Path,
    spec: RunSpec,
    recipe: Chain,
    record: RunRecord,
    judged: Sequence[RerankSuite],
    ranked: tuple[Sequence[Ranked], Sequence[Ranked]],
) -> None:
    """Documents the reranker of a finished run.

    Args:
        folder: Folder of the model.
        spec: The options of the run.
        recipe: Its recipe.
        record: Its record.
        judged: What is judged of each suite.
        ranked: What the base and the model made of each whole suite.

    Raises:
        HoldfastError: A file cannot be written.
    """
    from holdfast.bench.measured.ranking import named_sources

    named = named_sources(spec, spec.model, steers=bool(spec.budget))
    kept = [source for role, source in named if role == "retained"]
    before, after = (ranked_answers(judged, side) for side in ranked)
    document(folder, spec, recipe, record, list(map(Judged.of_queries, judged)), (before, after), kept)


def ranked_answers(judged: Sequence[RerankSuite], ranked: Sequence[Ranked]) -> Answers:
    """Returns the scores of the judged queries of each suite, from what a model made of the whole suites."""
    queries = [{*suite.collection.judged} for suite in judged]
    return Answers(
        tuple(score for mine, of in zip(queries, ranked, strict=True) for score in of.scores if score.item in mine)
    )
