"""Collections by name: the folders in `rerank` of the folder that HOLDFAST_SUITES names, and NanoBEIR from the hub.

NanoBEIR has 50 queries of each of thirteen sets of BEIR, with up to 10,000 documents and the first hundred of BM25.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.rerank import beir
from holdfast.rerank.collection import Collection, Document, Query
from holdfast.suites.registry import FOLDER

BELOW = "rerank"
"""Name of the folder with collections within that of the suites."""
HUB = "sentence-transformers/NanoBEIR-en"
NANO = (
    *("NanoArguAna", "NanoClimateFEVER", "NanoDBPedia", "NanoFEVER", "NanoFiQA2018", "NanoHotpotQA", "NanoMSMARCO"),
    *("NanoNFCorpus", "NanoNQ", "NanoQuoraRetrieval", "NanoSCIDOCS", "NanoSciFact", "NanoTouche2020"),
)
"""The sets of NanoBEIR."""


def named_folders() -> dict[str, Path]:
    """Returns the collections in BEIR's layout below the folder of the suites, by name; empty without that folder."""
    folder = Path(os.environ.get(FOLDER) or "").expanduser() / BELOW
    if not os.environ.get(FOLDER) or not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if beir.is_folder(path)}


def nano(name: str, notes: list[str]) -> Collection:
    """Returns a set of NanoBEIR, with BM25's candidates as published.

    Raises:
        HoldfastError: The hub cannot be reached, or the set has other columns.
    """
    import datasets

    try:
        parts = {part: datasets.load_dataset(HUB, part, split=name) for part in ("corpus", "queries", "qrels", "bm25")}
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise HoldfastError(
            f"{name}: the set of NanoBEIR ({HUB}) cannot be loaded from the hub ({reason:.200}); connect to it once, or"
            " give a folder in BEIR's layout."
        ) from error
    return beir.checked(nano_collection(name, parts), notes)


def nano_collection(name: str, parts: Mapping[str, Iterable[Mapping[str, Any]]]) -> Collection:
    """Returns the collection of the four tables of a set.

    Args:
        name: Name of the set.
        parts: `corpus` and `queries` (`_id`, `text`), `qrels` (`query-id`, `corpus-id`) and `bm25` (`query-id`,
            `corpus-ids`).

    Raises:
        HoldfastError: A column is missing; names it.
    """
    try:
        documents = {str(row["_id"]): Document(str(row["_id"]), row["text"]) for row in parts["corpus"]}
        queries = {str(row["_id"]): Query(str(row["_id"]), row["text"]) for row in parts["queries"]}
        judgments: dict[str, dict[str, int]] = {}
        for row in parts["qrels"]:
            relevant = row["corpus-id"] if isinstance(row["corpus-id"], list) else [row["corpus-id"]]
            judgments.setdefault(str(row["query-id"]), {}).update({str(at): 1 for at in relevant})
        candidates = {str(row["query-id"]): tuple(map(str, row["corpus-ids"])) for row in parts["bm25"]}
    except KeyError as error:
        raise HoldfastError(
            f"{name}: a table of NanoBEIR has no column {error}; its layout on the hub has changed."
        ) from error
    return Collection(name, queries, documents, judgments, candidates)
