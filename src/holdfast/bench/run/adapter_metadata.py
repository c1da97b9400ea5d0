"""Metadata of an adapter's file: the recipe that made it, in the header of its safetensors, which PEFT leaves alone."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from holdfast.core.errors import HoldfastError

ADAPTER = "adapter_model.safetensors"
MOST = 100 << 20
"""Most bytes of a header that readers of safetensors accept."""


def metadata_of(path: Path) -> dict[str, str]:
    """Returns the metadata in the header of a safetensors file.

    Raises:
        HoldfastError: The file has no such header.
    """
    with path.open("rb") as file:
        header = _header(file, path)
    metadata = header.get("__metadata__", {})
    return dict(metadata) if isinstance(metadata, dict) else {}


def add_metadata(path: Path, values: Mapping[str, str]) -> None:
    """Adds metadata to a safetensors file; its tensors keep every bit.

    The new file is written beside the old one, which it replaces in one step.

    Raises:
        HoldfastError: The file has no header, or cannot be written.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with path.open("rb") as source:
            header = _header(source, path)
            header["__metadata__"] = {**header.get("__metadata__", {}), **values}
            text = json.dumps(header, separators=(",", ":")).encode()
            text += b" " * (-len(text) % 8)  # tensors start at a multiple of 8 bytes
            with partial.open("wb") as target:
                target.write(len(text).to_bytes(8, "little") + text)
                shutil.copyfileobj(source, target, 16 << 20)
        os.replace(partial, path)
    except OSError as error:
        raise HoldfastError(f"Cannot write {path}: {error.strerror or error}; free some space.") from error
    finally:
        partial.unlink(missing_ok=True)


def _header(file: BinaryIO, path: Path) -> dict[str, Any]:
    """Returns the header of a safetensors file, and leaves the file at the first byte of its tensors."""
    length = int.from_bytes(file.read(8), "little")
    try:
        if not 2 <= length <= MOST:
            raise ValueError(f"its header would have {length} bytes")
        header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise ValueError("its header holds no keys")
    except ValueError as error:
        raise HoldfastError(f"{path} is not a safetensors file ({error}); save the adapter again.") from error
    return header
