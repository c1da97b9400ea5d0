"""Finds what a source names: a file, a folder, a data set saved or on the hub, or rows in memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError, nearest
from holdfast.data import hub
from holdfast.data.files import SUFFIXES, Record, records_of, suffix_of

Group = tuple[str, Iterator[Record]]
"""What rows of one format are read from: its name in messages, and its records with their origins."""

_HUB = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:/(?P<config>[\w.-]+))?(?::(?P<split>\S+))?")
_HELD_OUT = ("test", "validation", "valid", "val", "dev", "eval")
_NO_DATA = ("readme", "license", "licence", "notice", "copying")


def open_source(source: Any, name: str | None = None) -> Iterator[Group]:
    """Yields the groups of records that `source` consists of: one for each file of a folder, else a single one.

    Args:
        source: As for `holdfast.data.examples.read`.
        name: What to call it in origins; by default the file's name, the hub id, or "rows".

    Raises:
        HoldfastError: If the source is not found or is of no kind that is understood.
    """
    if isinstance(source, (str, os.PathLike)):
        yield from _from_path(os.fspath(source), name)
    elif isinstance(source, Mapping) and source and all(_is_dataset(split) for split in source.values()):
        yield from _from_splits(source, None, name or "rows")
    elif _is_dataset(source):
        yield name or "rows", _numbered(_plain(source), name or "rows")
    elif isinstance(source, Sequence) and not isinstance(source, (bytes, bytearray)):
        yield name or "rows", _numbered(source, name or "rows")
    else:
        raise HoldfastError(
            f"rows cannot be read from an object of type {type(source).__name__}; give a path, a hub id, a "
            "datasets.Dataset or a list of mappings."
        )


def _from_path(source: str, name: str | None) -> Iterator[Group]:
    path = Path(source).expanduser()
    if path.is_file():
        if not suffix_of(path):
            raise HoldfastError(f"{path.name}: files of this ending are not understood; use {', '.join(SUFFIXES)}.")
        yield name or path.name, records_of(path, name or path.name)
    elif path.is_dir():
        yield from _from_folder(path, None, name)
    elif ":" in source and (folder := Path(source.rpartition(":")[0]).expanduser()).is_dir():
        yield from _from_folder(folder, source.rpartition(":")[2], name)
    elif (found := _HUB.fullmatch(source)) and not suffix_of(path):
        yield from _from_hub(found, name)
    else:
        folder = path.parent
        close = nearest(path.name, (entry.name for entry in folder.iterdir())) if folder.is_dir() else ""
        where = "" if folder.is_dir() else f" (nor is there a folder '{folder}')"
        raise HoldfastError(f"no such file: '{source}'{where}; check the path.{close}")


def _from_folder(folder: Path, split: str | None, name: str | None) -> Iterator[Group]:
    label = name or folder.name
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        import datasets

        try:
            saved = datasets.load_from_disk(str(folder))
        except Exception as error:
            raise HoldfastError(f"{label}: not a whole saved data set ({_reason(error)}); save it again.") from error
        if isinstance(saved, Mapping):
            yield from _from_splits(saved, split, label)
            return
        if split is None:
            yield label, _numbered(_plain(saved), label)
            return
    if split is not None:
        raise HoldfastError(f"'{folder}:{split}': this folder has no splits; leave out ':{split}'.")
    files = sorted(entry for entry in folder.iterdir() if entry.is_file() and _may_hold_data(entry))
    if unknown := next((file for file in files if not suffix_of(file)), None):
        raise HoldfastError(
            f"{label}/{unknown.name}: files of this ending are not understood ({', '.join(SUFFIXES)} are); move it out "
            "of the folder or name one file."
        )
    if not files:
        raise HoldfastError(f"'{folder}': holds no file that ends in {', '.join(SUFFIXES)}; name a file or a folder.")
    held_out = [file for file in files if re.split(r"[\W_]", file.name.lower())[0] in _HELD_OUT]
    if held_out and len(held_out) < len(files):
        raise HoldfastError(
            f"'{folder}': holds '{held_out[0].name}' beside other files, and training on both would spoil the test; "
            "name the one file that is meant."
        )
    for file in files:
        yield f"{label}/{file.name}", records_of(file, f"{label}/{file.name}")


def _may_hold_data(file: Path) -> bool:
    plain = not file.name.startswith((".", "_")) and file.suffix.lower() != ".md"
    return plain and file.name.lower().split(".")[0] not in _NO_DATA


def _from_splits(splits: Mapping[str, Any], split: str | None, label: str) -> Iterator[Group]:
    names = list(splits)
    chosen = split or ("train" if "train" in names else names[0] if len(names) == 1 else None)
    if chosen is None or chosen not in names:
        wanted = f"no split '{split}'" if split else "several splits and none is called 'train'"
        raise HoldfastError(f"{label}: has {wanted}; choose one of {', '.join(names)}.{nearest(split or '', names)}")
    label = label if split is None else f"{label}:{chosen}"
    yield label, _numbered(_plain(splits[chosen]), label)


def _from_hub(found: re.Match[str], name: str | None) -> Iterator[Group]:
    source = found.group(0)
    loaded = hub.load(source, found["id"], found["config"], found["split"] or "train")
    yield name or source, _numbered(_plain(loaded), name or source)


def _numbered(rows: Iterable[Any], label: str) -> Iterator[Record]:
    for number, row in enumerate(rows, 1):
        yield f"{label}:{number}", row


def _is_dataset(source: Any) -> bool:
    return hasattr(source, "features") and hasattr(source, "column_names") and hasattr(source, "with_format")


def _plain(dataset: Any) -> Iterable[Any]:
    """Returns the data set so that it yields Python values, whatever format was set on it."""
    rows: Iterable[Any] = dataset.with_format(None)
    return rows


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
