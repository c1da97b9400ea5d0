"""Rows of tensors by key, on disk: several processes and runs write into one folder and read from it.

    <folder>/<digest of the file>.safetensors     the rows of a segment one after another, with their keys and lengths

A segment is written to a temporary file and renamed, so that it is never half-written, and it is not changed again. Its
name is the digest of its bytes; a process compares the two before it reads a segment for the first time. Reading maps
the files into memory.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

logger = logging.getLogger("holdfast")

SEGMENT_BYTES = 2**24
"""Bytes of rows that a process collects before it writes a segment, so that other processes find them soon."""

OPEN = 64
"""Segments that a process keeps open."""

Place = tuple[str, int, int]
"""Name of a segment, and the first and the last entry of a row in it."""


class RowStore:
    """The rows of a folder, and those that this process has not written yet.

    Attributes:
        folder: The folder; it appears with the first segment.
        limit: The most bytes that the folder may take.
        full: Whether nothing more is written, because the limit is reached or the disk is full.
        bytes: Bytes of the known segments and of the rows that are not written yet.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Reads the keys of the segments in `folder`."""
        self.folder = folder
        self.limit = limit
        self.full = False
        self.bytes = 0
        self._places: dict[str, Place] = {}
        self._waiting: dict[str, dict[str, Tensor]] = {}
        self._waiting_bytes = 0
        self._known: set[str] = set()
        self._listed = 0
        self._open = functools.lru_cache(maxsize=OPEN)(self._opened)
        self._look()

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._places) + len(self._waiting)

    def __contains__(self, key: str) -> bool:
        """Returns whether a row is there, also one that another process has written in the meantime."""
        if key in self._waiting:
            return True
        if key not in self._places:
            self._look()
        return key in self._places and self._is_there(self._places[key][0])

    def get(self, key: str) -> dict[str, Tensor]:
        """Returns the tensors of a row that is there, by name, on the CPU."""
        if key in self._waiting:
            return self._waiting[key]
        name, start, stop = self._places[key]
        opened = self._open(name)
        return {field: opened.get_slice(field)[start:stop] for field in opened.keys() if field[0] != "_"}  # noqa: SIM118

    def put(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Stores a row: tensors by name, each with one entry for each token of the row; does nothing if `full`."""
        kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        size = sum(tensor.nbytes for tensor in kept.values())
        if not self.full and self.bytes + size > self.limit:
            self._stop(f"it would take more than {self.limit / 1e9:.3g} GB")
        if self.full or key in self._places or key in self._waiting:
            return
        self._waiting[key] = {name: tensor.clone() for name, tensor in kept.items()}  # a view would keep its batch
        self._waiting_bytes += size
        self.bytes += size
        if self._waiting_bytes >= SEGMENT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes the rows that are not written yet as a segment."""
        if not self._waiting:
            return
        keys = list(self._waiting)
        rows = [self._waiting[key] for key in keys]
        counts = [len(next(iter(row.values()))) for row in rows]
        tensors = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        tensors["_counts"] = torch.tensor(counts, dtype=torch.int64)
        tensors["_keys"] = torch.tensor([list(bytes.fromhex(key)) for key in keys], dtype=torch.uint8)
        data = safetensors.torch.save(tensors)
        path = self.folder / f"{_digest(data)}.safetensors"
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(data)
            os.replace(partial, path)
        except OSError as error:  # a batch may have seen that its rows are there, so they stay
            self._stop(f"{self.folder} cannot be written ({error.strerror or error})")
        else:
            self._add(path.name, keys, counts)
            self._waiting, self._waiting_bytes = {}, 0
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    def delete(self) -> None:
        """Deletes the folder."""
        self._open.cache_clear()
        self._places, self._waiting, self._waiting_bytes, self._known = {}, {}, 0, set()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _stop(self, why: str) -> None:
        if self.full:
            return
        self.full = True
        logger.warning("Holdfast keeps no more of what the base says of the rows: %s; the base reads the others.", why)

    def _is_there(self, name: str) -> bool:
        """Returns whether a segment can be read; forgets its rows if another process has removed it."""
        try:
            self._open(name)  # an open segment can be read even when its file is gone
        except OSError:
            self._places = {key: place for key, place in self._places.items() if place[0] != name}
            return False
        return True

    def _look(self) -> None:
        """Reads the keys of the segments that are new in the folder."""
        try:
            changed = self.folder.stat().st_mtime_ns
        except OSError:
            return
        if changed == self._listed:
            return
        self._listed = changed
        for path in sorted(path for path in self.folder.glob("[!.]*.safetensors") if path.name not in self._known):
            self._read(path)

    def _read(self, path: Path) -> None:
        """Adds the rows of a segment; removes a segment that is not as it was written."""
        self._known.add(path.name)
        try:
            data = path.read_bytes()
        except OSError:  # another process may have removed it
            return
        if _digest(data) != path.stem:
            logger.warning("%s is damaged: Holdfast removes it, and the base reads its rows again.", path)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return
        opened = self._open(path.name)  # reads two tensors of the segment, not its rows
        keys = [bytes(key).hex() for key in opened.get_tensor("_keys").tolist()]
        self._add(path.name, keys, opened.get_tensor("_counts").tolist())
        self.bytes += len(data)

    def _add(self, name: str, keys: list[str], counts: list[int]) -> None:
        self._known.add(name)
        start = 0
        for key, count in zip(keys, counts, strict=True):
            self._places.setdefault(key, (name, start, start + count))
            start += count

    def _opened(self, name: str) -> Any:
        return safetensors.safe_open(self.folder / name, "pt")


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
