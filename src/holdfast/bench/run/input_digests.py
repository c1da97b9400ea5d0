"""Digests of what a run reads beside the files that its options name: its model, folders, and what its recipe names.

Weights are large, so that a few blocks of each file stand for it. Times do not count: a model that is downloaded again
is the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from holdfast.bench.given.model_files import TOKENIZER_FILES, base_of, folder_or_name, is_adapter, weight_files
from holdfast.bench.given.specs import RunSpec, TrainingSpec
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import AUTO
from holdfast.core.settings import parted, value_of
from holdfast.core.sums import read_sum
from holdfast.methods.source_settings import settings_table
from holdfast.suites.words import few_of

BLOCK, BLOCKS = 1 << 14, 64
"""Bytes of a block, and most blocks of a file that are read."""
_OF_MODEL = ("config.json", "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", *TOKENIZER_FILES)


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
    return {source: _content(_files_in(path)) for source in sources if (path := path_of(source)).is_dir()}


def model_content(name: str) -> str | None:
    """Returns a digest of a model's files, and of those of its base if it is an adapter; None for a name on a hub."""
    folder = Path(folder_or_name(name)).expanduser()
    if not folder.is_dir():
        return None
    files = [*weight_files(folder), *(path for file in _OF_MODEL if (path := folder / file).exists())]
    own = _content(sorted(set(files)))
    try:
        return f"{own} {model_content(base_of(folder))}" if is_adapter(folder) else own
    except HoldfastError:  # it names no base, which loading it says
        return own


def _of_recipe(spec: RunSpec) -> dict[str, str]:
    """Returns a digest of each file and folder of old examples, and of each model, that the recipe names."""
    methods = [] if spec.recipe == AUTO else read_sum(spec.recipe, settings_table())
    rows = {name for method in methods for name in parted(value_of(method, "memory", ""))} - {*spec.memories()}
    models = {name for method in methods for name in parted(getattr(method, "models", ""))}
    digests = folder_contents(sorted(rows))
    digests |= {name: _content([path]) for name in sorted(rows) if (path := path_of(name)).is_file()}
    return digests | {name: found for name in sorted(models) if (found := model_content(name)) is not None}


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _content(files: Iterable[Path]) -> str:
    """Returns a digest of the names, sizes and some evenly spaced blocks of files."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        for block in _blocks(path):
            digest.update(block)
    return digest.hexdigest()[:16]


def _blocks(path: Path) -> Iterator[bytes]:
    """Yields the blocks of a file that count: all of a small one, else the first, the last, and some between."""
    size = path.stat().st_size
    last = max(0, size - BLOCK)
    steps = min(BLOCKS - 1, -(-last // BLOCK))
    with path.open("rb") as file:
        for number in range(steps + 1):
            file.seek(last * number // max(1, steps))
            yield file.read(BLOCK)
