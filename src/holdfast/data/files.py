"""Reads a data file record by record, each with its line or row number."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from holdfast.core.errors import HoldfastError
from holdfast.data.encodings import check_kind, decoded, is_utf16
from holdfast.data.fields import names_of
from holdfast.data.json_rows import Record, json_records
from holdfast.data.tables import table_records

__all__ = ["SUFFIXES", "Record", "not_understood", "pruned", "records_of", "suffix_of"]

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt")
"""Endings of the files that can be read; all but .parquet may also end in .gz."""

_UNPACKED = {
    ".zst": "unpack it first (unzstd)",
    ".bz2": "unpack it first (bunzip2)",
    ".xz": "unpack it first (unxz)",
    ".zip": "unpack it first (unzip)",
    ".arrow": "name the folder that datasets.save_to_disk wrote, or save the rows as Parquet",
    ".xlsx": "save the sheet as CSV",
    ".xls": "save the sheet as CSV",
    ".pkl": "save the rows as JSON Lines; pickled data is never read",
    ".yaml": "write the rows as JSON Lines",
    ".yml": "write the rows as JSON Lines",
}


def suffix_of(path: Path) -> str:
    """Returns the ending of a file in lower case, without .gz; "" if it is not one of `SUFFIXES`."""
    name = path.name.lower()
    zipped = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    return suffix if suffix in SUFFIXES and not (zipped and suffix == ".parquet") else ""


def not_understood(name: str) -> str:
    """Returns the end of a sentence: that files of this ending cannot be read, and what to do."""
    hint = next((hint for ending, hint in _UNPACKED.items() if name.lower().endswith(ending)), "")
    return f"files with this ending cannot be read; {hint or 'use ' + ', '.join(SUFFIXES)}"


def records_of(path: Path, label: str, notes: list[str] | None = None) -> Iterator[Record]:
    """Yields origin and record for each row of a file.

    JSON Lines are numbered by line; the rows of JSON, CSV, TSV and Parquet by row from 1 (a header does not count); the
    documents of a text file by the line on which they begin. A text file is split into documents at its blank lines;
    one without blank lines is a single document.

    Args:
        path: An existing file with one of `SUFFIXES`.
        label: Name of the file in origins.
        notes: Receives a sentence for each fact that the file's name does not tell: another separator of a table,
            another encoding, a JSON list in a file of JSON Lines.

    Raises:
        HoldfastError: The file cannot be decompressed, decoded or parsed; the message names line or row and the mend.
    """
    suffix, notes = suffix_of(path), [] if notes is None else notes
    try:
        head = _start(path)
        check_kind(head, label, b"PAR1" if suffix == ".parquet" else b"")
        if suffix == ".parquet":
            yield from _parquet(path, label)
            return
        with _open(path) as file:
            if suffix in (".jsonl", ".ndjson", ".json"):
                given = file if not is_utf16(head) else io.BytesIO(decoded(file.read(), label, notes).encode())
                yield from json_records(given, label, notes)
                return
            text = decoded(file.read(), label, notes)
        if suffix == ".txt":
            yield from _documents(text, label)
        else:
            yield from table_records(text, label, "\t" if suffix == ".tsv" else ",", notes)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise HoldfastError(f"{label}: not a complete gzip file ({error}); compress or download it again.") from error
    except OSError as error:
        raise HoldfastError(f"{label}: cannot be read ({error.strerror or error}); check its permissions.") from error


def pruned(record: Any) -> Any:
    """Returns a row of a table of nested columns without the nulls in its tools and calls.

    Such a table (Parquet, Arrow) gives every mapping of a column the keys of all, and fills the missing values with
    null. A chat template would print these nulls.
    """
    if not isinstance(record, Mapping):
        return record
    tools = names_of("tools")
    row = {name: _without_nulls(value) if name in tools else value for name, value in record.items()}
    for name in names_of("conversation"):
        if isinstance(row.get(name), list):
            row[name] = [
                {key: _without_nulls(value) if key == "tool_calls" else value for key, value in message.items()}
                if isinstance(message, Mapping)
                else message
                for message in row[name]
            ]
    return row


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def _start(path: Path) -> bytes:
    with _open(path) as file:
        return file.read(32)


def _documents(text: str, label: str) -> Iterator[Record]:
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    line = 1
    for document in re.split(r"(\n[^\S\n]*(?:\n[^\S\n]*)+)", text):
        if document.strip():
            skipped = len(document) - len(document.lstrip("\n"))
            yield f"{label}:{line + skipped}", {"text": document.strip("\n")}
        line += document.count("\n")


def _parquet(path: Path, label: str) -> Iterator[Record]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{label}:{number}", pruned(row)
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise HoldfastError(f"{label}: not a complete Parquet file ({reason}); write or download it again.") from error
