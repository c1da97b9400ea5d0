"""Digests of what a run reads beside the files that its options name: its model, folders, and what its recipe names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from holdfast.bench.given.model_content import content_of, model_content
from holdfast.bench.given.specs import RunSpec, TrainingSpec
from holdfast.core.guard import AUTO
from holdfast.core.settings import parted, value_of
from holdfast.core.sums import read_sum
from holdfast.methods.source_settings import settings_table
from holdfast.suites.words import few_of


def path_of(source: str) -> Path:
    """Returns the path that a source of rows names, with or without `:N` for its first rows."""
    few = few_of(source)
    return Path(source if few is None else few[0]).expanduser()


def sources_of(spec: TrainingSpec) -> list[str]:
    """Returns the sources of rows and items that the options of a run name."""
    return [spec.data, *filter(None, (spec.test, spec.transfer)), *spec.keep, *spec.memories().values()]


def input_digests(spec: RunSpec) -> dict[str, str]:
    """Returns a digest of the model of a run, and of each folder, file and model that its options or recipe name.

    Names on a hub have none. Files that options name are not among them: `holdfast.bench.run.folder` has their digests.
    """
    digests = {} if (model := model_content(spec.model)) is None else {spec.model: model}
    return digests | folder_contents(sources_of(spec)) | _of_recipe(spec)


def folder_contents(sources: Iterable[str]) -> dict[str, str]:
    """Returns a digest of the files in each source that is a folder."""
    return {source: content_of(_files_in(path)) for source in sources if (path := path_of(source)).is_dir()}


def _of_recipe(spec: RunSpec) -> dict[str, str]:
    """Returns a digest of each file and folder of old examples, and of each model, that the recipe names."""
    methods = [] if spec.recipe == AUTO else read_sum(spec.recipe, settings_table())
    rows = {name for method in methods for name in parted(value_of(method, "memory", ""))} - {*spec.memories()}
    models = {name for method in methods for name in parted(getattr(method, "models", ""))}
    digests = folder_contents(sorted(rows))
    digests |= {name: content_of([path]) for name in sorted(rows) if (path := path_of(name)).is_file()}
    return digests | {name: found for name in sorted(models) if (found := model_content(name)) is not None}


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
