"""The suites of a reranker's healing: validation queries for the search, test queries for the verdict."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence

from holdfast.bench.diff.diff_record import SteeredRow
from holdfast.bench.diff.watched_queries import without_watched_queries
from holdfast.bench.heal.inputs import HealInputs, check_sides
from holdfast.bench.measured.ranking import named_sources, read_suites, texts_of
from holdfast.bench.measured.verdict import check_limits
from holdfast.bench.run.ranking_data import read_ranking_data
from holdfast.core.errors import HoldfastError
from holdfast.probes.items import Split
from holdfast.recipe import parse
from holdfast.rerank.leaks import leaks
from holdfast.rerank.sources import read_lists
from holdfast.rerank.suite import RerankSuite


@dataclasses.dataclass(frozen=True)
class RankingSuites:
    """What is asked.

    Attributes:
        validation: Suites for the search, with queries of the validation side alone.
        test: Suites for the verdict, without any query of the validation side.
        steered: Queries that steered the training and are not judged; None without any.
    """

    validation: tuple[RerankSuite, ...]
    test: tuple[RerankSuite, ...]
    steered: SteeredRow | None


def ranking_suites_of(inputs: HealInputs, notes: list[str]) -> RankingSuites:
    """Reads the suites and splits them: validation queries for the search, test queries for the verdict.

    A suite with queries on one side alone is only judged.

    Raises:
        HoldfastError: A source is missing or malformed, the budget limits nothing, or no suite to keep has both sides.
    """
    suites = _read(inputs, notes)
    notes += _trained_too(inputs, suites)
    retained = [suite for suite in suites if suite.role == "retained"]
    check_limits(inputs.budget, {"points"} if retained else set())
    wanted = [suite for suite in suites if suite.role != "transfer"]
    searched = [suite for suite in wanted if _sides(suite) == {"watch", "proof"}]
    check_sides(wanted, searched)
    if others := [suite.name for suite in wanted if suite not in searched]:
        notes.append(f"The search does not ask {', '.join(others)}: all queries are on one side.")
    judged = [_side(suite, "proof") if "proof" in _sides(suite) else suite for suite in suites]
    test, steered = without_watched_queries(judged, (inputs.spec.base, inputs.tuned))
    return RankingSuites(tuple(_side(suite, "watch") for suite in searched), tuple(test), steered)


def questions_digest(suites: RankingSuites, *how: object) -> str:
    """Returns a digest of all queries, their judgments and the contents of their candidates.

    Args:
        suites: What is asked.
        how: Plain values that say how.
    """
    digest = hashlib.sha256(json.dumps(how).encode())
    for suite in (*suites.validation, *suites.test):
        whole = suite.collection
        digest.update(json.dumps([suite.name, suite.role]).encode())
        for query in whole.judged:
            grades = sorted(whole.judgments[query].items())
            read = [(document, whole.documents[document].content) for document in whole.candidates.get(query, ())]
            digest.update(json.dumps([query, whole.queries[query].text, grades, read]).encode())
    return digest.hexdigest()[:16]


def _read(inputs: HealInputs, notes: list[str]) -> list[RerankSuite]:
    """Reads the suites; those of a run if the tuned model is one."""
    if inputs.run is not None:
        run = dataclasses.replace(inputs.run, memory=(), budget=inputs.run.budget or inputs.spec.budget)
        data = read_ranking_data(run, parse("Train()"))
        notes += data.notes
        return data.suites
    named = named_sources(inputs.spec, inputs.spec.base, steers=True)
    if not any(role == "retained" for role, _ in named):
        raise HoldfastError("--keep is missing: name collections that the reranker must not get worse at.")
    return read_suites(named, inputs.spec.depth, notes)


def _trained_too(inputs: HealInputs, suites: Sequence[RerankSuite]) -> Iterator[str]:
    """Yields a sentence on each suite with queries that a retraining learns from, or rehearses."""
    if not inputs.spec.memory:
        return
    data = inputs.spec.data if inputs.run is None else None  # that of a run was checked as the run is read
    for source in dict.fromkeys([*([data] if data else []), *inputs.sources.values()]):
        queries = [entry.query for entry in read_lists(source, [], depth=inputs.spec.depth)]
        for suite in suites:
            yield from (f"{source}: {line}" for line in leaks(queries, texts_of(suite)).sentences(suite.name))


def _sides(suite: RerankSuite) -> set[str]:
    return {item.split for item in suite.items()}


def _side(suite: RerankSuite, split: Split) -> RerankSuite:
    return RerankSuite(suite.collection.side(split), suite.role)
