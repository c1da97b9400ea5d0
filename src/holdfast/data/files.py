"""Reads one data file record by record, keeping the line or row number of each."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from holdfast.core.errors import HoldfastError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt")
"""Endings of the files that are understood; all but .parquet may also end in .gz."""

Record = tuple[str, Any]
"""Origin ("facts.jsonl:7") and what was read there."""


def suffix_of(path: Path) -> str:
    """Returns the ending of the file in lower case, without .gz, or "" when it is none of `SUFFIXES`."""
    name = path.name.lower()
    zipped = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix
    return suffix if suffix in SUFFIXES and not (zipped and suffix == ".parquet") else ""


def records_of(path: Path, label: str) -> Iterator[Record]:
    """Yields origin and record for each row of a file.

    JSON Lines are numbered by line; the rows of JSON, CSV, TSV and Parquet by row from 1 (a header is no row); the
    documents of a text file by the line on which they begin. A text file is split into documents at its blank lines;
    one without blank lines is a single document.

    Args:
        path: An existing file with one of `SUFFIXES`.
        label: What the file is called in origins.

    Raises:
        HoldfastError: If the file cannot be decompressed, decoded or parsed, naming line or row and what to do.
    """
    suffix = suffix_of(path)
    if suffix == ".parquet":
        yield from _parquet(path, label)
        return
    try:
        with _open(path) as file:
            if suffix in (".jsonl", ".ndjson"):
                yield from _json_lines(file, label)
            elif suffix == ".json":
                yield from _json(file, label)
            elif suffix == ".txt":
                yield from _documents(_decode(file.read(), label), label)
            else:
                yield from _table(_decode(file.read(), label), label, "\t" if suffix == ".tsv" else ",")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise HoldfastError(f"{label}: not a whole gzip file ({error}); compress or download it again.") from error
    except OSError as error:
        raise HoldfastError(f"{label}: cannot be read ({error.strerror or error}); check its permissions.") from error


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def _decode(data: bytes, label: str, start: int = 0) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HoldfastError(
            f"{label}: not UTF-8 at byte {start + error.start} (0x{data[error.start]:02x}); save the file as UTF-8."
        ) from error


def _json_lines(file: IO[bytes], label: str) -> Iterator[Record]:
    at = 0
    for number, line in enumerate(file, 1):
        origin = f"{label}:{number}"
        text = _decode(line, origin, at)
        at += len(line)
        text = text.removeprefix("\ufeff") if number == 1 else text
        if not text.strip():
            continue
        try:
            yield origin, json.loads(text)
        except json.JSONDecodeError as error:
            raise HoldfastError(
                f"{origin}: not valid JSON ({error.msg} at column {error.colno}); mend or delete that line."
            ) from error
        except RecursionError as error:
            raise HoldfastError(f"{origin}: nested too deeply to be read; mend or delete that line.") from error


def _json(file: IO[bytes], label: str) -> Iterator[Record]:
    data = file.read()
    text = _decode(data, label).removeprefix("\ufeff")
    if _begins_with_an_object_per_line(text):
        yield from _json_lines(io.BytesIO(data), label)
        return
    if not text.strip():
        return
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise HoldfastError(
            f"{label}:{error.lineno}: not valid JSON ({error.msg} at column {error.colno}); mend that line."
        ) from error
    except RecursionError as error:
        raise HoldfastError(f"{label}: nested too deeply to be read; mend the file.") from error
    if not isinstance(value, list):
        raise HoldfastError(f"{label}: holds no list of rows at its top level; write [row, row, ...] or JSON Lines.")
    for number, row in enumerate(value, 1):
        yield f"{label}:{number}", row


def _begins_with_an_object_per_line(text: str) -> bool:
    """Says whether a .json file is JSON Lines: its first line is an object by itself."""
    head = text.lstrip().split("\n", 1)
    if not head[0].startswith("{"):
        return False
    try:
        json.loads(head[0])
    except (json.JSONDecodeError, RecursionError):
        return False
    return True


def _documents(text: str, label: str) -> Iterator[Record]:
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    line = 1
    for document in re.split(r"(\n[^\S\n]*(?:\n[^\S\n]*)+)", text):
        if document.strip():
            skipped = len(document) - len(document.lstrip("\n"))
            yield f"{label}:{line + skipped}", {"text": document.strip("\n")}
        line += document.count("\n")


def _table(text: str, label: str, delimiter: str) -> Iterator[Record]:
    limit = csv.field_size_limit(sys.maxsize)
    number = 0
    try:
        reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter, strict=True)
        header = next(reader, [])
        repeated = {name for name in header if header.count(name) > 1}
        if repeated:
            raise HoldfastError(f"{label}: the header names '{min(repeated)}' twice; rename one of the columns.")
        for cells in reader:
            if not cells:
                continue
            number += 1
            if len(cells) != len(header):
                raise HoldfastError(
                    f"{label}:{number}: has {len(cells)} fields but the header has {len(header)}; quote fields that "
                    "hold the separator, or mend that row."
                )
            yield f"{label}:{number}", dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise HoldfastError(f"{label}:{number + 1}: not a valid row ({error}); mend its quotes.") from error
    finally:
        csv.field_size_limit(limit)


def _parquet(path: Path, label: str) -> Iterator[Record]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{label}:{number}", row
    except (arrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise HoldfastError(f"{label}: not a whole Parquet file ({reason}); write or download it again.") from error
