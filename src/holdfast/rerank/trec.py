"""Files of the TREC tools: judgments (qrels, also in BEIR's three columns) and runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from holdfast.core.errors import HoldfastError
from holdfast.rerank.collection import Collection
from holdfast.rerank.text_lines import lines_of


def read_judgments(
    path: Path, label: str, queries: Mapping[str, object], documents: Mapping[str, object]
) -> dict[str, dict[str, int]]:
    """Returns the grade of each judged document by query, from a file of qrels.

    A line has three columns (query, document, grade; BEIR, with a header) or four (query, iteration, document, grade;
    TREC), separated by tabs or blanks.

    Args:
        path: The file.
        label: Its name in messages.
        queries: The known queries by id.
        documents: The known documents by id.

    Raises:
        HoldfastError: A line is malformed, names an unknown query or document, or judges a document twice with
            different grades; or there is no line. Names file and line.
    """
    judgments: dict[str, dict[str, int]] = {}
    for origin, query, document, grade in _judged(path, label):
        _check_known(origin, "query", query, queries)
        _check_known(origin, "document", document, documents)
        before = judgments.setdefault(query, {}).setdefault(document, grade)
        if before != grade:
            raise HoldfastError(
                f"{origin}: gives document {document!r} the grade {grade} for query {query!r}, and a line before it"
                f" gives {before}; keep one."
            )
    if not judgments:
        raise HoldfastError(f"{label}: holds no judgments; write lines of query id, document id and grade.")
    return judgments


def _judged(path: Path, label: str) -> Iterator[tuple[str, str, str, int]]:
    """Yields origin, query, document and grade of each line."""
    for place, (origin, text) in enumerate(lines_of(path, label)):
        columns = text.split("\t") if "\t" in text else text.split()
        columns = [column.strip() for column in columns]
        if len(columns) not in (3, 4):
            raise HoldfastError(
                f"{origin}: has {len(columns)} columns; write query id, document id and grade (BEIR), or query id, 0,"
                " document id and grade (TREC)."
            )
        try:
            grade = int(columns[-1])
        except ValueError as error:
            if place == 0:  # a header
                continue
            raise HoldfastError(f"{origin}: the grade {columns[-1]!r} is no whole number; mend that line.") from error
        yield origin, columns[0], columns[-2], grade


def read_run(path: str | Path, collection: Collection, notes: list[str]) -> Collection:
    """Returns a collection whose candidates are those of a TREC run: query, Q0, document, rank, score, tag.

    The order is that of the scores, as trec_eval takes it; of equal scores, that of the ranks, then of the lines.

    Args:
        path: The file; .gz is unpacked.
        collection: The collection that was searched.
        notes: Receives a sentence if some of its queries have no line.

    Raises:
        HoldfastError: A line is malformed, names an unknown query or document, or repeats one; or there is no line.
    """
    path = Path(path).expanduser()
    found: dict[str, dict[str, tuple[float, int]]] = {}
    for origin, text in lines_of(path):
        columns = text.split()
        if len(columns) != 6:
            raise HoldfastError(
                f"{origin}: has {len(columns)} columns; a run has six: query, Q0, document, rank, score, tag."
            )
        query, _, document, rank, score, _ = columns
        _check_known(origin, "query", query, collection.queries)
        _check_known(origin, "document", document, collection.documents)
        of_query = found.setdefault(query, {})
        if document in of_query:
            raise HoldfastError(f"{origin}: document {document!r} stands twice in the list of query {query!r}.")
        try:
            of_query[document] = -float(score), int(rank)
        except ValueError as error:
            raise HoldfastError(f"{origin}: rank {rank!r} or score {score!r} is no number; mend that line.") from error
    if not found:
        raise HoldfastError(f"{path.name}: holds no line of a run (query, Q0, document, rank, score, tag).")
    missing = [query for query in collection.judged if query not in found]
    if missing:
        notes.append(
            f"{path.name}: {len(missing):,} of {len(collection.judged):,} judged queries have no line, so nothing is"
            f" found for them (first: {missing[0]})."
        )
    # The sort is stable: what is equal keeps the order of the lines.
    candidates = {query: tuple(sorted(of_query, key=of_query.__getitem__)) for query, of_query in found.items()}
    return dataclasses.replace(collection, candidates=candidates)


def _check_known(origin: str, kind: str, name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        raise HoldfastError(
            f"{origin}: names the {kind} {name!r}, which is not among the {len(known):,} {kind_of(kind)} of the"
            " collection; delete the line, or add what it names."
        )


def kind_of(kind: str) -> str:
    """Returns "queries" or "documents"."""
    return "queries" if kind == "query" else f"{kind}s"
