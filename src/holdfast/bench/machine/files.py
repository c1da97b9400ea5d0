"""Files that are either complete or absent: atomic writes, and JSON lines that survive a killed writer."""

from __future__ import annotations

import gzip
import json
import os
import secrets
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError


def write_atomically(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` (as UTF-8) to `path` so that a reader sees the old file or the new one, never a part.

    The text goes to a temporary file in the same folder, is synced to the disk, and replaces `path` in one step.
    Missing folders are made. If anything fails, an existing file stays as it was and nothing else is left.

    Raises:
        HoldfastError: If the file cannot be written (for example, on a full disk); names the file and the reason.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_new(temporary, text.encode())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _force_folder(target.parent)
    except OSError as error:
        raise _cannot_write(target, error) from error


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `value` to `path` atomically, as indented JSON with a final newline.

    Raises:
        HoldfastError: If the file cannot be written, or `value` holds NaN or infinity, which JSON lacks.
    """
    write_atomically(path, _dumps(value, path, indent=2) + "\n")


def write_jsonl(path: str | os.PathLike[str], records: Iterable[Mapping[str, Any]]) -> None:
    """Writes `records` to `path` atomically, one JSON object per line.

    Raises:
        HoldfastError: If the file cannot be written, or a record holds NaN or infinity, which JSON lacks.
    """
    write_atomically(path, "".join(_dumps(record, path) + "\n" for record in records))


def append_jsonl(path: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Adds `record` as one line at the end of `path`, and makes the file if it is missing.

    A killed writer leaves a last line without its newline, which is cut off first. If the new line cannot be written in
    full, the file is restored.

    Raises:
        HoldfastError: If the file cannot be written, or the record holds NaN or infinity, which JSON lacks.
    """
    target = Path(path)
    line = (_dumps(record, path) + "\n").encode()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            end_offset = _end_of_last_line(descriptor)
            os.ftruncate(descriptor, end_offset)
            os.lseek(descriptor, end_offset, os.SEEK_SET)
            try:
                _write_all(descriptor, line)
            except BaseException:
                os.ftruncate(descriptor, end_offset)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _cannot_write(target, error) from error


def read_jsonl(path: str | os.PathLike[str], *, whole: bool = False) -> list[dict[str, Any]]:
    """Returns the objects in `path`, one per line, without an unfinished last line.

    Args:
        path: The file.
        whole: Whether a last line without its newline counts, as in a file that another program wrote.

    Raises:
        HoldfastError: If the file cannot be read, or a finished line is not a JSON object; names file and line.
    """
    data = _read(Path(path))
    records = []
    finished = data.removesuffix(b"\n") if whole else data.rpartition(b"\n")[0]
    for number, line in enumerate(finished.split(b"\n") if finished else [], start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise HoldfastError(f"{path}:{number} is not JSON ({error}); repair or delete the line.") from error
        if not isinstance(record, dict):
            raise HoldfastError(f"{path}:{number} is not a JSON object; repair or delete the line.")
        records.append(record)
    return records


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise HoldfastError(f"{path}: not a whole gzip file ({error}); compress or download it again.") from error
    except OSError as error:
        raise HoldfastError(f"Cannot read {path}: {error.strerror or error}.") from error


def _dumps(value: Any, path: str | os.PathLike[str], indent: int | None = None) -> str:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, indent=indent)
    except (ValueError, TypeError) as error:
        raise HoldfastError(f"Cannot write {path}: {error}; leave a missing measurement out.") from error


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        _write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _end_of_last_line(descriptor: int, block: int = 65536) -> int:
    """Returns the offset after the last newline of an open file, in bytes; 0 if it has none."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - block)
        os.lseek(descriptor, start, os.SEEK_SET)
        newline = os.read(descriptor, end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _force_folder(folder: Path) -> None:
    """Makes a rename in `folder` durable, on systems that can open folders."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> HoldfastError:
    if isinstance(error, IsADirectoryError):
        return HoldfastError(f"Cannot write {path}: it is a folder; give the name of a file.")
    return HoldfastError(
        f"Cannot write {path}: {error.strerror or error}; free some space or choose another folder with --out."
    )
