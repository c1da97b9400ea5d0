"""Where a model lies and whether its files are whole: what a folder says before anything heavy is imported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError, nearest

BASE = "ground:base"
"""The base that comes with the package, which `holdfast.ground.names` names too."""
TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "adapter_model.bin", "consolidated.00.pth")
_OTHERS = {"tf_model.h5": "TensorFlow", "flax_model.msgpack": "Flax"}
_LFS = b"version https://git-lfs"


def folder_or_name(name: str) -> str:
    """Returns the folder of the base that comes with the package where its name is given, else the name."""
    if name != BASE:
        return name
    from holdfast.ground.names import base_folder  # here: that room knows more than folders

    return str(base_folder())


def folder_of_model(name: str) -> Path | None:
    """Returns the folder of a model, whose files are whole as far as their heads say; None for a name on the hub.

    Raises:
        HoldfastError: It is not there, no model, or not whole; says which and how to mend it.
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
            f"Model {name!r} is not there: give a folder that exists, or the name of a model on the hub."
            f"{nearest(folder.name, near)}"
        )
    return None


def has_tokenizer(folder: Path) -> bool:
    """Returns whether a tokenizer lies in a folder."""
    return any((folder / file).exists() for file in TOKENIZER_FILES)


def is_adapter(folder: Path | None) -> bool:
    """Returns whether a folder holds an adapter."""
    return folder is not None and (folder / "adapter_config.json").exists()


def base_of(folder: Path) -> str:
    """Returns the model that an adapter says it was made on; raises `HoldfastError` where it says nothing.

    The base that comes with the package lies elsewhere on each machine, and goes by its name.
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
    """Returns that the model which an adapter was made on is not there, and how to say where it is."""
    return HoldfastError(
        f"Adapter {str(folder)!r} was made on {base_of(folder)!r}, which is not there; write where that model lies into"
        " its adapter_config.json (base_model_name_or_path)."
    )


def is_available(name: str) -> bool:
    """Returns whether a model's name is that of a folder that exists, or of one on the hub."""
    if name == BASE or Path(name).expanduser().is_dir():
        return True
    return not (Path(name).expanduser().is_absolute() or name.startswith(".")) and name.count("/") <= 1


def safetensors_header(file: Path) -> dict[str, Any]:
    """Returns what the head of a safetensors file says of its tensors: name -> `dtype`, `shape` and `data_offsets`.

    Raises:
        ValueError: It has no such head.
    """
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        if not 0 < size <= 100_000_000:
            raise ValueError("no head")
        found = json.loads(opened.read(size))
    if not isinstance(found, dict):
        raise ValueError("no head")
    found.pop("__metadata__", None)
    return {**found, "": 8 + size}


def weight_files(folder: Path) -> list[Path]:
    """Returns the safetensors files of a model that are there: those of its index, or the single one."""
    index = folder / "model.safetensors.index.json"
    names = sorted(set(_shards(index))) if index.exists() else ["model.safetensors"]
    return [folder / name for name in names if (folder / name).exists()]


def dtypes_of(folder: Path) -> set[str]:
    """Returns the number formats of a model's matrices as its files hold them ("F32", "BF16", "F16" ...)."""
    found: set[str] = set()
    for file in weight_files(folder):
        tensors = safetensors_header(file)
        found |= {one["dtype"] for name, one in tensors.items() if name and len(one["shape"]) > 1}
    return found


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
        lost = sorted({shard for shard in _shards(index) if not (folder / shard).exists()}) if index.exists() else []
        if lost:
            several = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            raise HoldfastError(
                f"Model {name!r} lacks {lost[0]}{several}, which {index.name} names; download it again."
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
    told = json.loads(index.read_text(encoding="utf-8"))
    yield from (told.get("weight_map") or {}).values()


def _check_safetensors(file: Path, name: str) -> None:
    """Refuses a file that was cut off, or that stands for one that was not fetched."""
    try:
        tensors = safetensors_header(file)
        end = tensors.pop("") + max((one["data_offsets"][1] for one in tensors.values()), default=0)
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
    return f"Model {name!r}: {file.name} is a pointer of Git LFS and not the file; run `git lfs pull` in the folder."


def _unreadable_error(file: Path, name: str, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"Model {name!r}: {file.name} may not be read ({error.strerror}); change its permissions."
    kind = "JSON" if file.suffix == ".json" else "safetensors"
    return f"Model {name!r} cannot be loaded ({file.name} is not whole {kind}); save or download it again."


def _missing_weights(folder: Path, wanted: str) -> str:
    """Returns what is in a folder in the place of weights that can be read."""
    if gguf := sorted(folder.glob("*.gguf")):
        return (
            f"holds its weights as GGUF alone ({gguf[0].name}), which is quantised for llama.cpp and cannot be"
            " fine-tuned; give the model that it was made from"
        )
    for file in _PICKLES:
        if (folder / file).exists():
            return (
                f"holds its weights as pickles ({file}), which can run code and are never loaded; write it as"
                " safetensors (model.save_pretrained() of a copy that you trust)"
            )
    for file, kind in _OTHERS.items():
        if (folder / file).exists():
            return f"holds weights for {kind} alone ({file}); give it as safetensors"
    return f"has no weights ({wanted}); download it again"


def _describe_folder(folder: Path) -> str:
    """Returns what a folder without a config.json is, and what is to be given."""
    if list(folder.glob("*.gguf")):
        return _missing_weights(folder, "")
    below = [one for one in _below(folder) if any((one / f).exists() for f in ("config.json", "adapter_config.json"))]
    if below:
        newest = max(below, key=lambda one: one.stat().st_mtime)
        return f"has no config.json: give the folder that save_pretrained() wrote, perhaps {str(newest)!r}"
    if (folder / "model_index.json").exists():
        return "is a pipeline of diffusers, not a language model"
    if (folder / "params.json").exists():
        return (
            "has no config.json: these are weights in their maker's own form (params.json); give the version for"
            " transformers"
        )
    if has_tokenizer(folder):
        return "has no config.json: it holds a tokenizer alone; give the folder of the model"
    return "has no config.json: give the folder that save_pretrained() wrote"


def _below(folder: Path) -> Sequence[Path]:
    """Returns the folders in which a model may lie: those below, and those of a cache of the hub."""
    own = [path for path in folder.iterdir() if path.is_dir()]
    return [*own, *folder.glob("snapshots/*"), *folder.glob("checkpoints/checkpoint-*")]
