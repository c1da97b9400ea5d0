"""The files of a folder by set and split: a clone of a data set of the hub, or any folder of data files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError, nearest
from holdfast.data.files import SUFFIXES, not_understood, suffix_of

Sets = dict[str, dict[str, list[Path]]]
"""The files of each split ("" if its name is unknown) of each set ("" if there is only one)."""

_SPLIT_OF = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
_NO_DATA = ("readme", "license", "licence", "notice", "copying", "dataset_infos", "dataset_info", "dataset_dict")
_NO_DATA_ENDINGS = (
    ".md",
    ".rst",
    ".py",
    ".sh",
    ".ipynb",
    ".bib",
    ".cff",
    ".toml",
    ".lock",
    ".png",
    ".jpg",
    ".svg",
    ".pdf",
)


def split_named(name: str) -> str:
    """Returns the split that the name of a file or folder contains, or ""."""
    words = re.split(r"[^a-z0-9]+", name.lower().split(".")[0])
    return next((_SPLIT_OF[word] for word in words if word in _SPLIT_OF), "")


def sets_in(folder: Path, label: str, notes: list[str]) -> Sets:
    """Returns the data files of a folder: those that its README declares, else those in it, else those below it.

    Args:
        folder: The folder.
        label: The name of the folder in messages.
        notes: Receives a sentence if files below the folder are ignored because the folder itself holds some.

    Raises:
        HoldfastError: The folder holds no data file, or a file with an unknown ending.
    """
    if declared := declared_sets(folder):
        return declared
    beside, below = _listed(folder)
    files = [file for file in beside if suffix_of(file)]
    unknown = next((file for file in beside if not suffix_of(file)), None)
    if unknown is not None and (files or not below):
        raise HoldfastError(
            f"{label}/{unknown.name}: {not_understood(unknown.name)}; or move it out of the folder, or name one file."
        )
    if files:
        if below:
            notes.append(
                f"{label}: {len(below):,} data files in subfolders are not read"
                f" (first: {below[0].relative_to(folder)})."
            )
        return {"": _by_split(files, lambda file: split_named(file.name))}
    if not below:
        raise HoldfastError(f"'{folder}': holds no file that ends in {', '.join(SUFFIXES)}; name a file or a folder.")
    return _sets_below(folder, below)


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the files in a folder that may hold data, and the data files in its subfolders."""
    beside = sorted(entry for entry in folder.iterdir() if entry.is_file() and _may_hold_data(entry))
    below = sorted(file for file in folder.rglob("*") if _is_below(file, folder) and suffix_of(file))
    return beside, below


def _sets_below(folder: Path, below: Iterable[Path]) -> Sets:
    """Returns files as sets by their folders, and as splits by the names of the files or folders."""
    sets: Sets = {}
    for file in below:
        folders = file.relative_to(folder).parts[:-1]
        split = split_named(file.name) or next((named for part in folders if (named := split_named(part))), "")
        name = "/".join(part for part in folders if part != "data" and not _is_split(part))
        sets.setdefault(name, {}).setdefault(split, []).append(file)
    return sets


def _is_split(part: str) -> bool:
    return part.lower() in _SPLIT_OF


def _by_split(files: Iterable[Path], split_of: Any) -> dict[str, list[Path]]:
    by_split: dict[str, list[Path]] = {}
    for file in files:
        by_split.setdefault(split_of(file), []).append(file)
    return by_split


def _may_hold_data(file: Path) -> bool:
    plain = not file.name.startswith((".", "_")) and file.suffix.lower() not in _NO_DATA_ENDINGS
    return plain and file.name.lower().split(".")[0] not in _NO_DATA


def _is_below(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts
    hidden = any(part.startswith((".", "_")) for part in parts)
    return len(parts) > 1 and not hidden and file.is_file() and _may_hold_data(file)


def declared_sets(folder: Path) -> Sets:
    """Returns the sets that the head of the README declares (`configs:`, as on the hub); empty without any."""
    readme = folder / "README.md"
    if not readme.is_file():
        return {}
    head = re.match(r"---\s*\n(.*?)\n---", readme.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    if head is None or "configs:" not in head[1]:
        return {}
    import yaml

    try:
        configs = yaml.safe_load(head[1]).get("configs") or []
    except (yaml.YAMLError, AttributeError):
        return {}
    sets: Sets = {}
    for config in configs if isinstance(configs, list) else []:
        if isinstance(config, Mapping):
            files = _declared_files(folder, config)
            if files:
                sets["" if config.get("default") and len(configs) == 1 else str(config.get("config_name", ""))] = files
    return sets


def _declared_files(folder: Path, config: Mapping[str, Any]) -> dict[str, list[Path]]:
    given = config.get("data_files")
    entries = given if isinstance(given, list) else [given]
    by_split: dict[str, list[Path]] = {}
    for entry in entries:
        patterns = entry.get("path") if isinstance(entry, Mapping) else entry
        split = str(entry.get("split", "train")) if isinstance(entry, Mapping) else "train"
        for pattern in patterns if isinstance(patterns, list) else [patterns]:
            if isinstance(pattern, str) and not pattern.startswith("/") and ".." not in pattern:
                files = [file for file in folder.glob(pattern) if file.is_file() and suffix_of(file)]
                if files:
                    by_split.setdefault(split, []).extend(sorted(files))
    return by_split


def set_of(sets: Sets, wanted: str | None, label: str) -> dict[str, list[Path]]:
    """Returns the files by split of the wanted set; without a wish, of the only set or the one called default.

    Raises:
        HoldfastError: The wanted set does not exist, or there are several and none is wanted.
    """
    if wanted is None:
        wanted = next((name for name in ("", "default") if name in sets), next(iter(sets)) if len(sets) == 1 else None)
    if wanted is None or wanted not in sets:
        raise HoldfastError(
            f"{label}: holds several sets; name one of them: {', '.join(f'{label}/{name}' for name in list(sets)[:12])}"
            f"{', ...' if len(sets) > 12 else ''}.{nearest(wanted or '', sets)}"
        )
    return sets[wanted]


def chosen_split(names: Sequence[str], asked: str | None, wanted: Sequence[str], label: str, notes: list[str]) -> str:
    """Returns the split to read.

    Args:
        names: The existing splits.
        asked: The split that the source names, or None.
        wanted: Splits to read if the source names none; the first that exists is read.
        label: The name of the source in messages.
        notes: Receives a sentence that lists the splits that are not read.

    Raises:
        HoldfastError: The named split does not exist, or there are several and none is wanted.
    """
    chosen = _split_asked(names, asked) if asked is not None else _split_wanted(names, wanted)
    if chosen is None:
        lack = f"no split '{asked}'" if asked else f"several splits, none called '{wanted[0]}'"
        raise HoldfastError(f"{label}: has {lack}; choose one of {', '.join(names)}.{nearest(asked or '', names)}")
    others = [name for name in names if name != chosen]
    if others and asked is None:
        listed = ", ".join(f"'{name}'" for name in others)
        notes.append(f"{label}: the split '{chosen}' is read; {listed} {'are' if others[1:] else 'is'} not.")
    return chosen


def _split_asked(names: Sequence[str], asked: str) -> str | None:
    """Returns the split of this name, or of a synonym."""
    return next((name for name in names if name in (asked, _SPLIT_OF.get(asked, asked))), None)


def _split_wanted(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Returns the first wanted split that exists, or the only one."""
    return next((name for name in wanted if name in names), names[0] if len(names) == 1 else None)
