"""The files of a model: where they lie and whether they are complete. Importing this module imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError, nearest

BASE = "ground:base"
"""Name of the base that the package ships; `holdfast.ground.names` repeats it."""
RERANKER = "ground:reranker"
"""Name of the reranker that the package ships; `holdfast.ground.names` repeats it."""
TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
LOADED = (".safetensors", ".bin", ".json", ".jinja", ".model")
"""Endings of files that a model or its tokenizer is loaded from."""
WORDS = ("vocab.txt", "merges.txt")
"""Other files that a tokenizer is loaded from."""
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "adapter_model.bin", "consolidated.00.pth")
_OTHERS = {"tf_model.h5": "TensorFlow", "flax_model.msgpack": "Flax"}
_LFS = b"version https://git-lfs"


def folder_or_name(name: str) -> str:
    """Returns the folder of the shipped base or reranker if `name` is its name, else `name`."""
    if name != BASE:
        return reranker_or_name(name)
    from holdfast.ground.names import base_folder  # here, because that room imports more

    return str(base_folder())


def reranker_or_name(name: str) -> str:
    """Returns the folder of the shipped reranker if `name` is its name, else `name`."""
    if name != RERANKER:
        return name
    from holdfast.ground.names import reranker_folder  # here, because that room imports more

    return str(reranker_folder())


def folder_of_model(name: str) -> Path | None:
    """Returns the folder of a model after a check of its files; None for a name on the hub.

    The check reads the headers of the files, not their weights.

    Raises:
        HoldfastError: The folder is missing, holds no model, or is incomplete; says which, and how to mend it.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any((folder / file).exists() for file in ("config.json", "adapter_config.json")):
            raise HoldfastError(f"Model {name!r} {_describe_folder(folder)}.")
        _check_files(folder, name)
        return folder
    if folder.is_file():
        what = "a GGUF file, which is quantised for llama.cpp" if folder.suffix == ".gguf" else "a file"
        raise HoldfastError(f"Model {name!r} is {what}; give the folder that save_pretrained() wrote.")
    if folder.is_absolute() or name.startswith(".") or name.count("/") != 1:
        near = (entry.name for entry in folder.parent.iterdir()) if folder.parent.is_dir() else ()
        raise HoldfastError(
            f"Model {name!r} does not exist: give an existing folder, or the name of a model on the hub."
            f"{nearest(folder.name, near)}"
        )
    return None


def has_tokenizer(folder: Path) -> bool:
    """Returns whether a folder holds a tokenizer."""
    return any((folder / file).exists() for file in TOKENIZER_FILES)


def is_adapter(folder: Path | None) -> bool:
    """Returns whether a folder holds an adapter."""
    return folder is not None and (folder / "adapter_config.json").exists()


def base_of(folder: Path) -> str:
    """Returns the base model that an adapter's config names; raises `HoldfastError` if it names none.

    The shipped base lies in another folder on each machine, so this function returns its name.
    """
    try:
        base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    if not base:
        raise HoldfastError(f"{folder}/adapter_config.json does not name its base model (base_model_name_or_path).")
    if Path(str(base)).parts[-3:] == ("holdfast", "ground", "base") and not Path(str(base)).is_dir():
        return BASE
    return str(base)


def missing_base_error(folder: Path) -> HoldfastError:
    """Returns the error for an adapter whose base model is missing."""
    return HoldfastError(
        f"Adapter {str(folder)!r} was made on {base_of(folder)!r}, which does not exist; write the path of that model"
        " into its adapter_config.json (base_model_name_or_path)."
    )


def is_available(name: str) -> bool:
    """Returns whether a name is that of an existing folder, or may be one of the hub."""
    if name == BASE or Path(name).expanduser().is_dir():
        return True
    return not (Path(name).expanduser().is_absolute() or name.startswith(".")) and name.count("/") <= 1


def safetensors_header(file: Path) -> dict[str, Any]:
    """Returns the header of a safetensors file: for each tensor its `dtype`, `shape` and `data_offsets`.

    The key "" holds the offset at which the data begin, in bytes.

    Raises:
        ValueError: The file has no such header.
    """
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        if not 0 < size <= 100_000_000:
            raise ValueError("no header")
        header = json.loads(opened.read(size))
    if not isinstance(header, dict):
        raise ValueError("no header")
    header.pop("__metadata__", None)
    return {**header, "": 8 + size}


def weight_files(folder: Path) -> list[Path]:
    """Returns the existing safetensors files of a model: those of its index, or the single one."""
    index = folder / "model.safetensors.index.json"
    names = sorted(set(_shards(index))) if index.exists() else ["model.safetensors"]
    return [folder / name for name in names if (folder / name).exists()]


def dtypes_of(folder: Path) -> set[str]:
    """Returns the dtypes of a model's matrices in its files ("F32", "BF16", "F16" ...)."""
    dtypes: set[str] = set()
    for file in weight_files(folder):
        tensors = safetensors_header(file)
        dtypes |= {tensor["dtype"] for name, tensor in tensors.items() if name and len(tensor["shape"]) > 1}
    return dtypes


def _check_files(folder: Path, name: str) -> None:
    for file in _json_files(folder):
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise HoldfastError(_lfs_error(file, name) or _unreadable_error(file, name, error)) from error
    if is_adapter(folder):
        files = [folder / "adapter_model.safetensors"]
        wanted = "adapter_model.safetensors"
    else:
        index = folder / "model.safetensors.index.json"
        wanted = "model.safetensors"
        missing = sorted({shard for shard in _shards(index) if not (folder / shard).exists()}) if index.exists() else []
        if missing:
            several = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise HoldfastError(
                f"Model {name!r} lacks {missing[0]}{several}, which {index.name} names; download it again."
            )
        files = weight_files(folder)
    if not any(file.exists() for file in files):
        raise HoldfastError(f"Model {name!r} {_missing_weights(folder, wanted)}.")
    for file in files:
        _check_safetensors(file, name)


def _json_files(folder: Path) -> list[Path]:
    names = ("config.json", "adapter_config.json", "tokenizer_config.json", "model.safetensors.index.json")
    return [folder / name for name in names if (folder / name).exists()]


def _shards(index: Path) -> Iterator[str]:
    contents = json.loads(index.read_text(encoding="utf-8"))
    yield from (contents.get("weight_map") or {}).values()


def _check_safetensors(file: Path, name: str) -> None:
    """Refuses a truncated file, and a Git LFS pointer to a file that was not fetched."""
    try:
        tensors = safetensors_header(file)
        end = tensors.pop("") + max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HoldfastError(_lfs_error(file, name) or _unreadable_error(file, name, error)) from error
    if (size := file.stat().st_size) < end:
        raise HoldfastError(
            f"Model {name!r} cannot be loaded ({file.name} ends after {size:,} of {end:,} bytes); save or download it"
            " again."
        )


def _lfs_error(file: Path, name: str) -> str:
    with file.open("rb") as opened:
        if not opened.read(len(_LFS)).startswith(_LFS):
            return ""
    return f"Model {name!r}: {file.name} is a Git LFS pointer and not the file; run `git lfs pull` in the folder."


def _unreadable_error(file: Path, name: str, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"Model {name!r}: {file.name} is not readable ({error.strerror}); change its permissions."
    kind = "JSON" if file.suffix == ".json" else "safetensors"
    return f"Model {name!r} cannot be loaded ({file.name} is not complete {kind}); save or download it again."


def _missing_weights(folder: Path, wanted: str) -> str:
    """Returns what a folder holds instead of safetensors weights."""
    if gguf := sorted(folder.glob("*.gguf")):
        return (
            f"holds its weights only as GGUF ({gguf[0].name}), which is quantised for llama.cpp and cannot be"
            " fine-tuned; give the original model"
        )
    for file in _PICKLES:
        if (folder / file).exists():
            return (
                f"holds its weights as pickles ({file}), which can run code and are never loaded; save it as"
                " safetensors (model.save_pretrained() of a copy that you trust)"
            )
    for file, kind in _OTHERS.items():
        if (folder / file).exists():
            return f"holds weights only for {kind} ({file}); convert them to safetensors"
    return f"has no weights ({wanted}); download it again"


def _describe_folder(folder: Path) -> str:
    """Returns what a folder without a config.json holds, and what to give instead."""
    if list(folder.glob("*.gguf")):
        return _missing_weights(folder, "")
    below = [
        path for path in _below(folder) if any((path / f).exists() for f in ("config.json", "adapter_config.json"))
    ]
    if below:
        newest = max(below, key=lambda path: path.stat().st_mtime)
        return f"has no config.json: give the folder that save_pretrained() wrote, perhaps {str(newest)!r}"
    if (folder / "model_index.json").exists():
        return "is a pipeline of diffusers, not a language model"
    if (folder / "params.json").exists():
        return (
            "has no config.json: its weights have the maker's own format (params.json); give the version for"
            " transformers"
        )
    if has_tokenizer(folder):
        return "has no config.json: it holds only a tokenizer; give the folder of the model"
    return "has no config.json: give the folder that save_pretrained() wrote"


def _below(folder: Path) -> Sequence[Path]:
    """Returns the folders that may hold a model: direct subfolders, hub snapshots and checkpoints."""
    subfolders = [path for path in folder.iterdir() if path.is_dir()]
    return [*subfolders, *folder.glob("snapshots/*"), *folder.glob("checkpoints/checkpoint-*")]
