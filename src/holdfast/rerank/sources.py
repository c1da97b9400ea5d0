"""Where collections and training lists come from: a folder, a file, or `SCHEME:NAME` of an installed package."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError, nearest
from holdfast.data.files import suffix_of
from holdfast.data.schemes import offered
from holdfast.rerank import beir
from holdfast.rerank.collection import CandidateList, Collection, collection_of, first_lists
from holdfast.rerank.first_stage import with_candidates
from holdfast.rerank.lists import read_rows
from holdfast.rerank.named import NANO, named_folders, nano
from holdfast.rerank.negatives import without_copies

GROUP = "holdfast.collections"
"""Entry points of this group are functions that take the name behind the colon and return a `Collection`."""
_FEW = re.compile(r"(?P<source>.+):(?P<count>\d+)")


def read_collection(source: str, notes: list[str]) -> Collection:
    """Returns the collection that a source names.

    - a folder in BEIR's layout; `FOLDER/SPLIT` reads `qrels/SPLIT.tsv`,
    - a file of pairs, lists or triples, whose lists are the candidates,
    - the name of a folder in `rerank` of the folder that HOLDFAST_SUITES names, such as `scifact`,
    - the name of a set of NanoBEIR on the hub, such as `NanoMSMARCO`,
    - `SCHEME:NAME` of an installed package, such as `ground:rerank/people`,
    - each with `:N` for N of its queries, chosen by a hash.

    Args:
        source: The source.
        notes: Receives sentences on what was left out or assumed.

    Raises:
        HoldfastError: There is no such source, or a file is malformed; names file, line and field.
    """
    whole, count = _few(source)
    collection = _whole(whole, notes)
    return collection if count is None else collection.first(count)


def read_lists(source: str, notes: list[str], *, negatives: int | None = None, depth: int = 100) -> list[CandidateList]:
    """Returns the training lists that a source names: those of a file, or those of a collection by its first stage.

    Args:
        source: As for `read_collection`.
        notes: Receives sentences on what was left out or assumed.
        negatives: Most documents that are not relevant in the list of a collection's query; all if None. The lists of a
            file keep all of theirs.
        depth: Number of candidates that BM25 finds for a collection without candidates.

    Raises:
        HoldfastError: As for `read_collection`.
    """
    whole, count = _few(source)
    if is_file(source):
        lists = read_rows(whole, notes)
        return lists if count is None else first_lists(lists, count)
    collection = read_collection(source, notes)
    if not collection.candidates:
        collection = with_candidates(collection, depth, notes=notes)
    return without_copies(collection, notes).lists(negatives)


def is_file(source: str) -> bool:
    """Returns whether a source is a file, whose rows bring their own documents; raises as `read_collection` does."""
    return Path(_few(source)[0]).expanduser().is_file()


def _whole(source: str, notes: list[str]) -> Collection:
    path = Path(source).expanduser()
    if beir.is_folder(path):
        return beir.read_folder(path, notes)
    if beir.is_folder(path.parent) and path.name in beir.splits_of(path.parent):
        return dataclasses.replace(
            beir.read_folder(path.parent, notes, path.name), name=f"{path.parent.name}/{path.name}"
        )
    if path.is_file():
        name = path.name.removesuffix(".gz")
        return beir.checked(collection_of(read_rows(path, notes), name.removesuffix(suffix_of(path))), notes)
    offer: tuple[Callable[[str], Any], str] | None = offered(GROUP, source)
    if offer is not None:
        make, name = offer
        collection: Collection = make(name)
        return beir.checked(collection, notes)
    if path.is_dir():
        raise HoldfastError(
            f"{source}: is no folder in BEIR's layout (corpus.jsonl, queries.jsonl, and qrels.tsv or qrels/test.tsv)."
        )
    folders = named_folders()
    if source in folders:
        return beir.read_folder(folders[source], notes)
    if source in NANO:
        return nano(source, notes)
    raise HoldfastError(
        f"{source}: there is no such file or folder; give a folder in BEIR's layout, a file of pairs, lists or triples,"
        f" or a name such as ground:rerank/people.{nearest(source, [*folders, *NANO])}"
    )


def _few(source: str) -> tuple[str, int | None]:
    """Returns a source without the number of queries, and that number or None.

    Raises:
        HoldfastError: The number is 0.
    """
    match = _FEW.fullmatch(source)
    if match is None or Path(source).expanduser().exists():
        return source, None
    if int(match["count"]) < 1:
        raise HoldfastError(f"'{source}': behind the last colon stands a number of queries from 1.")
    return match["source"], int(match["count"])
