"""Opens a source: a file, a folder, a saved data set, one on the hub, or rows in memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError, nearest
from holdfast.data import hub
from holdfast.data.clones import chosen_split, declared_sets, set_of, sets_in
from holdfast.data.files import Record, not_understood, pruned, records_of, suffix_of

Group = tuple[str, Iterator[Record]]
"""Rows of one format: their name in messages, and their records with origins."""

_HUB = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:/(?P<config>[\w.-]+))?(?::(?P<split>\S+))?")


def open_source(
    source: Any, name: str | None = None, *, splits: Sequence[str] = ("train",), notes: list[str] | None = None
) -> Iterator[Group]:
    """Yields the groups of records in `source`: one for each file of a folder, else a single one.

    Args:
        source: As for `holdfast.data.examples.read`.
        name: Name of the source in origins; by default the file's name, the hub id, or "rows".
        splits: As for `holdfast.data.examples.read`.
        notes: Receives sentences about the files.

    Raises:
        HoldfastError: The source is not found, or its type is not supported.
    """
    notes = [] if notes is None else notes
    if isinstance(source, (str, os.PathLike)):
        yield from _from_path(os.fspath(source), name, splits, notes)
    elif isinstance(source, Mapping) and source and all(_is_dataset(split) for split in source.values()):
        yield from _from_splits(source, None, name or "rows", splits, notes)
    elif _is_dataset(source):
        yield name or "rows", _numbered(_plain(source), name or "rows")
    elif isinstance(source, Sequence) and not isinstance(source, (bytes, bytearray)):
        yield name or "rows", _numbered(source, name or "rows")
    else:
        raise HoldfastError(
            f"rows cannot be read from an object of type {type(source).__name__}; give a path, a hub id, a "
            "datasets.Dataset or a list of mappings."
        )


def _from_path(source: str, name: str | None, splits: Sequence[str], notes: list[str]) -> Iterator[Group]:
    path = Path(source).expanduser()
    if path.is_file():
        if not suffix_of(path):
            raise HoldfastError(f"{path.name}: {not_understood(path.name)}.")
        yield name or path.name, records_of(path, name or path.name, notes)
        return
    start, colon, split = source.rpartition(":")
    meant: list[tuple[Path, str | None]] = [(path, None), *([(Path(start).expanduser(), split)] if colon else [])]
    for folder, asked in meant:
        if folder.is_dir():
            yield from _from_folder(folder, None, asked, name, splits, notes)
            return
        if folder.name and folder.name in declared_sets(folder.parent):
            yield from _from_folder(folder.parent, folder.name, asked, name, splits, notes)
            return
    if (hub_id := _HUB.fullmatch(source)) and not suffix_of(path):
        yield from _from_hub(hub_id, name)
    else:
        folder = path.parent
        close = nearest(path.name, (entry.name for entry in folder.iterdir())) if folder.is_dir() else ""
        where = "" if folder.is_dir() else f" (nor is there a folder '{folder}')"
        raise HoldfastError(f"no such file: '{source}'{where}; check the path.{close}")


def _from_folder(
    folder: Path, set_name: str | None, split: str | None, name: str | None, splits: Sequence[str], notes: list[str]
) -> Iterator[Group]:
    label = name or (folder.name if set_name is None else f"{folder.name}/{set_name}")
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        yield from _from_saved(folder, label, split, splits, notes)
        return
    try:
        sets = sets_in(folder, label, notes)
    except HoldfastError:
        if split is not None:
            raise _no_splits(folder, split) from None
        raise
    for file in sorted(_files_of(set_of(sets, set_name, label), folder, label, split, splits, notes)):
        called = f"{label}/{file.relative_to(folder)}"
        yield called, records_of(file, called, notes)


def _from_saved(
    folder: Path, label: str, split: str | None, splits: Sequence[str], notes: list[str]
) -> Iterator[Group]:
    """Yields the groups of a folder that `datasets.save_to_disk` wrote."""
    import datasets

    try:
        saved = datasets.load_from_disk(str(folder))
    except Exception as error:
        raise HoldfastError(f"{label}: not a complete saved data set ({_reason(error)}); save it again.") from error
    if isinstance(saved, Mapping):
        yield from _from_splits(saved, split, label, splits, notes)
    elif split is None:
        yield label, _numbered(_plain(saved), label)
    else:
        raise _no_splits(folder, split)


def _files_of(
    files: Mapping[str, list[Path]],
    folder: Path,
    label: str,
    split: str | None,
    splits: Sequence[str],
    notes: list[str],
) -> list[Path]:
    """Returns the files to read from one set, given the files of each split ("" if a file's name has no split)."""
    if "" in files and len(files) > 1 and split is None:
        others = [paths[0] for split_name, paths in files.items() if split_name not in ("", "train")]
        if others:
            raise HoldfastError(
                f"'{folder}': holds '{others[0].name}' beside other files, and training on both would spoil the test; "
                "name one file."
            )
        return [*files[""], *files["train"]]
    if files.keys() != {""}:
        return files[chosen_split([split_name for split_name in files if split_name], split, splits, label, notes)]
    if split is not None:
        raise _no_splits(folder, split)
    return files[""]


def _no_splits(folder: Path, split: str) -> HoldfastError:
    return HoldfastError(f"'{folder}:{split}': the folder has no splits; leave out ':{split}'.")


def _from_splits(
    saved: Mapping[str, Any], split: str | None, label: str, splits: Sequence[str], notes: list[str]
) -> Iterator[Group]:
    chosen = chosen_split(list(saved), split, splits, label, notes)
    label = label if split is None else f"{label}:{chosen}"
    yield label, _numbered(_plain(saved[chosen]), label)


def _from_hub(hub_id: re.Match[str], name: str | None) -> Iterator[Group]:
    source = hub_id.group(0)
    loaded = hub.load(source, hub_id["id"], hub_id["config"], hub_id["split"] or "train")
    yield name or source, _numbered(_plain(loaded), name or source)


def _numbered(rows: Iterable[Any], label: str) -> Iterator[Record]:
    for number, row in enumerate(rows, 1):
        yield f"{label}:{number}", row


def _is_dataset(source: Any) -> bool:
    return hasattr(source, "features") and hasattr(source, "column_names") and hasattr(source, "with_format")


def _plain(dataset: Any) -> Iterable[Any]:
    """Returns the rows of a data set as Python values, whatever format was set on it."""
    return map(pruned, dataset.with_format(None))


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
