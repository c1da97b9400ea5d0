"""Checks of a command before torch is imported: its recipes, its paths, its folder."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.given.heal_spec import SELF, HealSpec
from holdfast.bench.given.model_files import (
    BASE,
    RERANKER,
    base_of,
    folder_of_model,
    is_adapter,
    is_available,
    missing_base_error,
)
from holdfast.bench.given.specs import (
    CompareSpec,
    DiffSpec,
    MeasuringSpec,
    PlanSpec,
    ReportSpec,
    RunSpec,
    TrainingSpec,
)
from holdfast.bench.run.folder import folder_of, folder_of_runs, open_folder
from holdfast.core.errors import HoldfastError, nearest
from holdfast.core.guard import AUTO
from holdfast.core.settings import parted, value_of
from holdfast.core.sums import read_sum, refuse_pairs
from holdfast.data.files import suffix_of
from holdfast.data.hub_reach import NO_NETWORK, is_out_of_reach
from holdfast.data.sources import open_source
from holdfast.methods.source_settings import settings_table
from holdfast.suites.words import check_word, few_of

_HUB = re.compile(r"[\w.-]+/[\w.-]+(/[\w.-]+)?(:\S+)?")


def check_early(spec: RunSpec | CompareSpec | DiffSpec | FitSpec | HealSpec | PlanSpec) -> None:
    """Refuses a command with errors in its words and files.

    Raises:
        HoldfastError: A recipe is malformed, a file, folder or model is missing, or the folder of the run is taken; the
            message is the one that the command would raise later.
    """
    if isinstance(spec, RunSpec):
        if spec.recipe != AUTO:
            _check_recipe(spec.recipe, spec)
        open_folder(folder_of(spec), spec)
    elif isinstance(spec, (CompareSpec, PlanSpec)):
        _check_recipes(spec)
    elif isinstance(spec, HealSpec) and spec.recipe is not None:
        refuse_pairs(read_sum(spec.recipe, settings_table()))
    # Collections to rank are read by another reader, before any model is loaded.
    for source in () if getattr(spec, "reranks", False) else _sources(spec):
        if source not in _measured(spec):
            check_source(source)
        elif not check_word(source):
            check_source((few_of(source) or (source, 0))[0])
    for name in _models(spec):
        check_model(name, given=isinstance(spec, (DiffSpec, HealSpec)))


def check_places(spec: ReportSpec) -> None:
    """Refuses a report of folders that do not exist; a file may be a table of PEFT's comparison.

    Raises:
        HoldfastError: A folder does not exist.
    """
    for place in spec.runs:
        if not Path(place).expanduser().is_file():
            folder_of_runs(place)


def _check_recipes(spec: CompareSpec | PlanSpec) -> None:
    """Refuses malformed recipes among those of a command, which may also be names of sets and files."""
    if isinstance(spec, CompareSpec):
        _check_recipe(spec.settings, spec)
    for text in spec.recipes:
        if "(" in text and not Path(text).exists():
            _check_recipe(text, spec)


def _models(spec: RunSpec | CompareSpec | DiffSpec | FitSpec | HealSpec | PlanSpec) -> list[str]:
    """Returns the models that a command names (a plan may have none), without saved answers and folders of runs."""
    if isinstance(spec, DiffSpec):
        return [name for name in (spec.base, spec.tuned) if not _is_saved(name)]
    if isinstance(spec, HealSpec):
        return [name for name in (spec.base, spec.tuned) if not (Path(name).expanduser() / "spec.json").exists()]
    return [spec.model] if spec.model else []


def check_source(source: str) -> None:
    """Refuses a source of rows or items that is neither a local file nor a known name."""
    scheme, colon, _ = source.partition(":")
    if colon and scheme.isidentifier():
        groups = ("holdfast.sources", "holdfast.suites")
        if any(importlib.metadata.entry_points(group=group, name=scheme) for group in groups):
            return
    path = Path(source).expanduser()
    if path.exists() or (_HUB.fullmatch(source) and not suffix_of(path)):
        return
    if colon and Path(source.rpartition(":")[0]).expanduser().is_dir():
        return
    next(open_source(source))


def check_model(name: str, *, given: bool = False) -> None:
    """Refuses a missing, incomplete or unreachable model.

    Args:
        name: Folder or name.
        given: Whether an adapter may lack its base, because the user names one.
    """
    if name in (BASE, RERANKER):
        return
    folder = folder_of_model(name)
    if folder is not None and is_adapter(folder) and not given and not is_available(base_of(folder)):
        raise missing_base_error(folder)
    if folder is None and is_out_of_reach(name):
        raise HoldfastError(f"Model {name!r} is not a local folder, and the hub did not give it {NO_NETWORK}.")


def _check_recipe(text: str, spec: TrainingSpec) -> None:
    """Refuses a malformed recipe, and old examples that are neither named nor a file."""
    paths = spec.memories()
    parts = read_sum(text, settings_table())
    refuse_pairs(parts)
    for part in parts:
        asked = parted(value_of(part, "memory", ""))
        for name in asked if value_of(part, "strength") != 0 else ():
            if name in paths:
                continue
            if paths and not Path(name).expanduser().exists() and (hint := nearest(name, paths)):
                raise HoldfastError(f"Recipe {text!r}: no file and no --memory is called {name!r}.{hint}")
            if not spec.reranks:
                check_source(name)


def _sources(spec: MeasuringSpec) -> list[str]:
    sources = _measured(spec)
    if isinstance(spec, (TrainingSpec, DiffSpec, HealSpec)) and spec.data:
        sources = [spec.data, *sources]
    if isinstance(spec, HealSpec) and spec.memory != (SELF,):
        return [*sources, *(entry.partition("=")[2] for entry in spec.memory)]
    return [*sources, *spec.memories().values()] if isinstance(spec, TrainingSpec) else sources


def _measured(spec: MeasuringSpec) -> list[str]:
    """Returns the sources of what is measured, which may be suites by name."""
    return [*filter(None, (spec.test, spec.transfer)), *spec.keep]


def _is_saved(name: str) -> bool:
    path = Path(name).expanduser()
    return path.name.endswith((".jsonl", ".jsonl.gz")) or (path.is_dir() and any(path.glob("**/samples_*.jsonl*")))
