"""What the run of a reranker reads before its model: the lists to train on, and the suites to measure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from holdfast.bench.given.specs import RunSpec, TrainingSpec
from holdfast.bench.measured.ranking import named_sources, read_suites, texts_of
from holdfast.bench.measured.verdict import check_limits
from holdfast.bench.run.inputs import memory_paths
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain
from holdfast.rerank.collection import CandidateList
from holdfast.rerank.first_stage import with_candidates
from holdfast.rerank.leaks import leaks
from holdfast.rerank.negatives import without_copies
from holdfast.rerank.rows import with_easy
from holdfast.rerank.sources import is_file, read_collection, read_lists
from holdfast.rerank.suite import RerankSuite, suite_of
from holdfast.rerank.view import ListOptions


@dataclasses.dataclass(frozen=True)
class RankingData:
    """What a reranker's run reads before its model.

    Attributes:
        lists: The lists to train on.
        suites: The suites to measure.
        memories: Sources of old rows, by their names in the recipe.
        watched: Names of the suites with queries for the guard and for the verdict.
        notes: Notes for the user.
    """

    lists: list[CandidateList]
    suites: list[RerankSuite]
    memories: dict[str, str]
    watched: frozenset[str]
    notes: list[str]


def read_ranking_data(spec: RunSpec, recipe: Chain, *, measured: bool = True) -> RankingData:
    """Reads the lists to train on and the suites to measure.

    Without --test, a share of the queries of a collection (`held_out`) is held out by group.

    Args:
        spec: The options.
        recipe: The recipe, which names old rows.
        measured: Whether there are suites to measure; without them, held-out queries are left out all the same.

    Raises:
        HoldfastError: A source is missing or malformed, or the budget limits nothing that is measured.
    """
    notes: list[str] = []
    named = named_sources(spec, spec.model, steers=bool(spec.budget)) if measured else []
    if measured and not any(role == "retained" for role, _ in named):
        notes.append("Nothing measures what is lost: name collections of other domains with --keep.")
    suites = read_suites(named, spec.depth, notes)
    if spec.test is not None or spec.held_out == 0:
        lists = read_lists(spec.data, notes, negatives=spec.negatives, depth=spec.depth)
    else:
        lists, task = _held_out(spec, notes)
        suites = [task, *suites] if measured else []
    if not lists:
        raise HoldfastError(f"{spec.data}: no query has a relevant document, so there is nothing to learn.")
    for suite in suites:
        notes += leaks([entry.query for entry in lists], texts_of(suite)).sentences(suite.name)
    if spec.easy:
        lists = with_easy(lists, spec.easy, spec.seed)
    paths, unused = memory_paths(recipe, spec)
    return RankingData(lists, suites, paths, _split_names(spec, suites), [*notes, *unused])


def _split_names(spec: RunSpec, suites: Sequence[RerankSuite]) -> frozenset[str]:
    """Returns the names of the suites with queries for both guard and verdict; none without a budget.

    Raises:
        HoldfastError: The budget limits nothing that is measured.
    """
    budget = spec.allowed()
    if budget is None:
        return frozenset()
    check_limits(budget, {"points"} if any(suite.role == "retained" for suite in suites) else set())
    both = {"watch", "proof"}
    asked = [suite for suite in suites if suite.role != "transfer"]
    return frozenset(suite.name for suite in asked if {item.split for item in suite.items()} == both)


def _held_out(spec: RunSpec, notes: list[str]) -> tuple[list[CandidateList], RerankSuite]:
    """Returns the lists of the queries to train on, and the suite of those held out."""
    whole = read_collection(spec.data, notes)
    if not whole.candidates:
        whole = with_candidates(whole, spec.depth, notes=notes)
    kept, held = whole.split(spec.held_out)
    notes.append(
        f"{len(held.judged):,} of {len(whole.judged):,} queries of {spec.data} are held out to measure what is learned."
    )
    task = suite_of(dataclasses.replace(held, name="task"), "learned", notes=notes)
    return without_copies(kept, notes).lists(None if is_file(spec.data) else spec.negatives), task


def lists_of(spec: TrainingSpec) -> ListOptions:
    """Returns how the options make lists of a source, old ones included."""
    return ListOptions(spec.negatives, spec.easy, spec.depth)
