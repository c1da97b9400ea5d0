"""The weights of a model in its safetensors files, read and written one tensor at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from holdfast.bench.given.model_files import safetensors_header, weight_files
from holdfast.bench.run.folder import reporting_write_errors
from holdfast.core.blocks import blocks, wide
from holdfast.core.errors import HoldfastError

ADAPTER = "adapter_model.safetensors"
_NOT_COPIED = (".safetensors", ".bin", ".pt", ".pth", ".msgpack", ".h5", ".gguf", ".onnx")


@dataclasses.dataclass(frozen=True)
class Weights:
    """The tensors in the safetensors files of a folder.

    Attributes:
        folder: The folder.
        files: The header of each file, by its name: for each tensor its `dtype` and `shape`.
    """

    folder: Path
    files: Mapping[str, Mapping[str, Mapping[str, Any]]]

    @classmethod
    def of(cls, folder: Path) -> Weights:
        """Returns the weights in a folder: of an adapter if it holds one, else of a whole model.

        Raises:
            HoldfastError: The folder has no safetensors weights.
        """
        paths = [folder / ADAPTER] if (folder / ADAPTER).exists() else weight_files(folder)
        if not paths:
            raise HoldfastError(f"{folder} has no safetensors weights; save the model with save_pretrained().")
        return cls(folder, {path.name: _tensors(path) for path in paths})

    @property
    def shapes(self) -> dict[str, list[int]]:
        """Returns the shape of each tensor, by name."""
        return {name: about["shape"] for tensors in self.files.values() for name, about in tensors.items()}

    @property
    def largest(self) -> int:
        """Returns the bytes of the largest tensor."""
        spans = (about["data_offsets"] for tensors in self.files.values() for about in tensors.values())
        return max(int(end - begin) for begin, end in spans)

    def read(self, name: str) -> Tensor:
        """Returns a tensor; its file is opened for it alone, so that nothing else of the file stays in memory."""
        file = next(file for file, tensors in self.files.items() if name in tensors)
        with safe_open(self.folder / file, "pt") as opened:
            tensor: Tensor = opened.get_tensor(name)
        return tensor


def _tensors(path: Path) -> dict[str, Any]:
    header = safetensors_header(path)
    header.pop("")
    return header


@dataclasses.dataclass
class Squares:
    """Sums of squares over all tensors, of the whole change from base to tuned and of the part that an edit keeps."""

    whole: float = 0.0
    kept: float = 0.0

    def add(self, base: Tensor, tuned: Tensor, edited: Tensor) -> None:
        """Adds the changes of a tensor."""
        flat = [tensor.reshape(-1) for tensor in (base, tuned, edited)]
        for rows in blocks(len(flat[0]), flat[0].device):
            first, last, shipped = wide(*(tensor[rows] for tensor in flat))
            self.whole += _square(last - first)
            self.kept += _square(shipped - first)

    @property
    def share(self) -> float:
        """Returns the length of the kept change as a share of that of the whole change."""
        return (self.kept / self.whole) ** 0.5 if self.whole else 0.0


def _square(change: Tensor) -> float:
    return float(torch.dot(change, change))


def write_weights(like: Weights, folder: Path, edited: Callable[[str], Tensor]) -> None:
    """Writes the files of `like` into a folder, with other values, and copies what else a model's folder holds.

    Args:
        like: Weights whose names, shapes, dtypes and files the new ones have.
        folder: The folder; it is made.
        edited: Returns the new value of a tensor, by its name.

    Raises:
        HoldfastError: A file cannot be written.
    """
    with reporting_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in like.folder.iterdir():
            if path.is_file() and not path.name.endswith(_NOT_COPIED):
                shutil.copyfile(path, folder / path.name)
        for file, tensors in like.files.items():
            _write_file(folder / file, tensors, edited)


def _write_file(path: Path, tensors: Mapping[str, Mapping[str, Any]], edited: Callable[[str], Tensor]) -> None:
    """Writes a safetensors file tensor by tensor: the size of its header, the header, and the values in its order."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, about in tensors.items():
        begin, size = end, about["data_offsets"][1] - about["data_offsets"][0]
        end = begin + size
        header[name] = {"dtype": about["dtype"], "shape": about["shape"], "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # readers map the values, which must be aligned
    with path.open("wb") as opened:
        opened.write(len(text).to_bytes(8, "little") + text)
        for name in tensors:
            opened.write(_bytes_of(edited(name)))


def _bytes_of(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


@contextlib.contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Makes a folder for a block, and deletes it with all that it holds."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
