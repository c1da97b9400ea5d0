"""Compares two rerankers: the change of nDCG@10 query by query, the verdict under a budget, and the symptoms."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from rich.console import Console

from holdfast.bench.diff.diff_record import DiffRecord, ExampleRows
from holdfast.bench.diff.watched_queries import without_watched_queries
from holdfast.bench.given.model_files import reranker_or_name
from holdfast.bench.given.options import flag_of
from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.machine.progress import Progress
from holdfast.bench.measured.learning import learning_of
from holdfast.bench.measured.measurement import row_of
from holdfast.bench.measured.ranking import named_sources, rank, ranking_rows, read_suites
from holdfast.bench.measured.scores import Moment
from holdfast.bench.measured.symptom_record import rows_of
from holdfast.bench.measured.verdict import check_limits, verdict
from holdfast.core.errors import HoldfastError
from holdfast.probes.changes import changes
from holdfast.probes.score import Answers, Role
from holdfast.rerank.loading import load_reranker
from holdfast.rerank.scoring import CrossEncoderReranker
from holdfast.rerank.suite import Ranked, RerankSuite
from holdfast.rerank.symptoms.evidence import evidence_of
from holdfast.rerank.symptoms.names import symptoms_of

OF_TEXT = (
    "raw",
    "loss_on",
    "over_long",
    "refused",
    "preference",
    "data",
    "recover",
    "recover_steps",
    "examples",
    "ask",
)
"""Options of a diff that concern generated text alone."""


def diff_rerankers(spec: DiffSpec, console: Console) -> tuple[DiffRecord, Answers, Answers]:
    """Ranks the candidates of all suites with both models, and returns the changes and the scores of both.

    Args:
        spec: The options.
        console: Console for progress.

    Raises:
        HoldfastError: For anything that the user can mend.
    """
    _refuse_without_effect(spec)
    notes: list[str] = []
    with Progress(console) as progress, progress.phase("reading the collections"):
        suites = read_suites(_sources(spec), spec.depth, notes)
    suites, steered = without_watched_queries(suites, (spec.base, spec.tuned))
    budget = spec.allowed()
    if budget is not None:
        check_limits(budget, {"points" for suite in suites if suite.role == "retained"})
    _print([*notes, *([] if steered is None else [steered.sentence])], console)
    before, after = _ranked(spec, suites, console)
    scores = [tuple(itertools.chain.from_iterable(ranked.scores for ranked in side[0])) for side in (before, after)]
    suite_changes = changes(*scores)
    logits = before[1] and after[1]
    record = DiffRecord(
        base=spec.base,
        tuned=spec.tuned,
        suites=tuple(map(row_of, suite_changes)),
        verdict=None if budget is None else verdict(suite_changes, budget),
        learned=learning_of(suite_changes),
        forgetting={},
        examples=ExampleRows(lost=(), gained=()),
        ranking=ranking_rows(suites, before[0], after[0]),
        steered=steered,
        symptoms=rows_of(symptoms_of(evidence_of(suites, before[0], after[0], logits=logits))),
    )
    return record, Answers(scores[0]), Answers(scores[1])


def _sources(spec: DiffSpec) -> list[tuple[Role, str]]:
    """Returns the role and the source of each collection.

    Raises:
        HoldfastError: There is none.
    """
    sources = named_sources(spec, spec.base)
    if not sources:
        raise HoldfastError(
            "Nothing says what to measure: name collections to keep with --keep, and what was learned with --test."
        )
    return sources


def _refuse_without_effect(spec: DiffSpec) -> None:
    """Raises `HoldfastError` for an option that says how text is generated or trained on."""
    for field in dataclasses.fields(spec):
        if field.name in OF_TEXT and getattr(spec, field.name) != field.default:
            raise HoldfastError(f"{flag_of(field.name)} has no effect on rerankers; leave it out.")


def _ranked(
    spec: DiffSpec, suites: Sequence[RerankSuite], console: Console
) -> tuple[tuple[list[Ranked], bool], tuple[list[Ranked], bool]]:
    """Returns what each model makes of the suites, and whether its scores are logits."""
    results = []
    moments: tuple[tuple[str, Moment], ...] = ((spec.base, "before"), (spec.tuned, "after"))
    for name, moment in moments:
        notes: list[str] = []
        with Progress(console) as progress, progress.phase(f"loading {name}"):
            reranker = load_reranker(
                reranker_or_name(name),
                None if moment == "before" else reranker_or_name(spec.base),
                notes,
                batch_tokens=spec.eval_batch_tokens,
                precision=spec.precision,
                max_length=spec.max_length,
            )
        with Progress(console) as progress:
            ranked = rank(reranker, suites, moment, progress.measuring, notes)
        _print(notes, console)
        results.append((ranked, isinstance(reranker, CrossEncoderReranker)))
    return results[0], results[1]


def _print(notes: Sequence[str], console: Console) -> None:
    for note in notes:
        console.print(f"  {note}", style="yellow", highlight=False, markup=False)
