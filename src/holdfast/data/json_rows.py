"""Rows of a JSON file: one row per line, values over several lines, a list, or columns."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from holdfast.core.errors import HoldfastError
from holdfast.data.encodings import decoded
from holdfast.data.fields import Part, all_names, column, names_of

Record = tuple[str, Any]
"""Origin ("facts.jsonl:7") and the value read there."""

_BLANK = " \t\r\n\ufeff"
_SPLITS = ("train", "training")
_OF_A_ROW: tuple[Part, ...] = ("conversation", "chosen", "history")
_ASKS_OR_SAYS: tuple[Part, ...] = ("prompt", "completion", "segments")
_OF_A_COLUMN: tuple[Part, ...] = ("prompt", "completion", "text", "instruction", "conversation")


def json_records(file: IO[bytes], label: str, notes: list[str]) -> Iterator[Record]:
    """Yields origin and record for each row of a JSON file, whatever its ending.

    If the first line is a complete value, the file is read line by line, and the origin is the line. Otherwise the
    whole file is read. It may hold several values, whose origin is the line on which they begin. Or it holds one value
    with the rows: a list, a mapping with one list (`{"data": [...]}`), or columns (`{"prompt": [...], "completion":
    [...]}`); these rows are numbered from 1.

    Raises:
        HoldfastError: The file is not JSON; names the line.
    """
    head, first = [], b""
    for line in file:
        head.append(line)
        first = line.strip().removeprefix(b"\xef\xbb\xbf").strip()
        if first:
            break
    if not first:
        return
    value = _value(first)
    for line in file:
        head.append(line)
        if line.strip():  # several lines: each holds a row or a list of messages
            if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], Mapping)):
                yield from _lines(file, label, head)
                return
            break
    text = decoded(b"".join(head) + file.read(), label, notes).removeprefix("\ufeff")
    yield from _values(text, label, notes)


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _lines(file: IO[bytes], label: str, head: list[bytes]) -> Iterator[Record]:
    at = 0
    for number, line in enumerate((*head, *file), 1):
        origin = f"{label}:{number}"
        text = decoded(line, origin, start=at)
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


def _values(text: str, label: str, notes: list[str]) -> Iterator[Record]:
    """Yields the rows of a file whose values span several lines."""
    decoder = json.JSONDecoder()
    values: list[tuple[int, Any]] = []
    at, line = _skip(text, 0), 1
    counted = 0
    while at < len(text):
        line += text.count("\n", counted, at)
        counted = at
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            yield from _not_json(text, label, error, values)
            return
        except RecursionError as error:
            raise HoldfastError(f"{label}:{line}: nested too deeply to be read; mend the file.") from error
        values.append((line, value))
        at = _skip(text, end)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
    if len(values) == 1:
        yield from _rows_of_one(values[0], label, notes)
        return
    if text.count("\n", 0, at) > 2 * len(values):
        notes.append(f"{label}: is not JSON Lines; its {len(values):,} values span several lines each and are read.")
    for line, value in values:
        yield f"{label}:{line}", value


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANK:
        at += 1
    return at


def _not_json(
    text: str, label: str, error: json.JSONDecodeError, values: Sequence[tuple[int, Any]]
) -> Iterator[Record]:
    """Raises an error about invalid JSON: in a line of JSON Lines, or within a value over several lines."""
    lines = text.splitlines()
    filled = [line for line in lines[:50] if line.strip()]
    if sum(isinstance(_value(line.encode()), dict) for line in filled) >= len(filled) / 2 or len(filled) == 1:
        yield from _lines(io.BytesIO(text.encode()), label, [])
    first = next(line for line in lines if line.strip()).strip()
    if not values and first[:1] not in ("{", "["):
        shown = first if len(first) <= 40 else first[:37] + "..."
        raise HoldfastError(
            f"{label}: holds no JSON, but begins with {shown!r}; name a table .csv or .tsv, and a text .txt."
        )
    raise HoldfastError(
        f"{label}:{error.lineno}: not valid JSON ({error.msg} at column {error.colno}); mend that place of a "
        "value that spans several lines."
    )


def _rows_of_one(numbered_value: tuple[int, Any], label: str, notes: list[str]) -> Iterator[Record]:
    line, value = numbered_value
    if isinstance(value, list):
        yield from _rows_of_list(line, value, label, notes)
    elif isinstance(value, Mapping):
        yield from _rows_of_mapping(line, value, label, notes)
    else:
        raise HoldfastError(f"{label}: holds no list of rows at its top level; write [row, row, ...] or JSON Lines.")


def _rows_of_list(line: int, value: list[Any], label: str, notes: list[str]) -> Iterator[Record]:
    """Yields the rows of a list, or the list itself if it is a conversation."""
    if value and all(isinstance(row, Mapping) and ("role" in row or "from" in row) for row in value):
        yield f"{label}:{line}", value
        return
    if label.lower().removesuffix(".gz").endswith(("l", ".ndjson")):
        notes.append(f"{label}: is a JSON list, not JSON Lines; its {len(value):,} rows are read.")
    yield from _numbered(value, label)


def _rows_of_mapping(line: int, value: Mapping[str, Any], label: str, notes: list[str]) -> Iterator[Record]:
    """Yields the rows that a mapping holds under a key, as columns or as values; else the mapping as one row."""
    name = _holds_rows(value)
    if name is not None:
        others = [key for key, rows in value.items() if key != name and _is_rows(rows)]
        left = f"; {', '.join(map(repr, others))} {'are' if others[1:] else 'is'} not" if others else ""
        notes.append(f"{label}: the rows under '{name}' are read{left}.")
        yield from _numbered(value[name], label)
    elif (columns := _columns(value)) is not None:
        notes.append(f"{label}: its columns are read as rows.")
        yield from _numbered(columns, label)
    elif value and all(isinstance(row, Mapping) for row in value.values()) and not set(value) & set(all_names()):
        notes.append(f"{label}: is a mapping of {len(value):,} rows; its keys are not used.")
        yield from _numbered(list(value.values()), label)
    elif not any(value.values()) and not set(value) & set(all_names()):
        raise HoldfastError(f"{label}: holds no list of rows at its top level; write [row, row, ...] or JSON Lines.")
    else:
        yield f"{label}:{line}", value


def _numbered(rows: Sequence[Any], label: str) -> Iterator[Record]:
    for number, row in enumerate(rows, 1):
        yield f"{label}:{number}", row


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(row, Mapping) for row in value)


def _holds_rows(value: Mapping[str, Any]) -> str | None:
    """Returns the key under which a mapping holds the rows of the file: the training split, or the only list of rows.

    None for a mapping with a conversation: it is a row itself, and its list holds messages.
    """
    if _is_a_row(value):
        return None
    lists = [key for key, rows in value.items() if _is_rows(rows) and key not in names_of("tools")]
    if any(("role" in row or "from" in row) for key in lists for row in value[key][:1]):
        return None
    return next((key for key in _SPLITS if key in lists), lists[0] if len(lists) == 1 else None)


def _is_a_row(value: Mapping[str, Any]) -> bool:
    """Returns whether a mapping has the fields of a row."""
    if any(name in value for part in _OF_A_ROW for name in names_of(part)):
        return True
    return any(column(value, part) for part in _ASKS_OR_SAYS)


def _columns(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Returns the rows of a mapping of columns: lists of equal length, or mappings with equal keys (pandas)."""
    columns = list(value.values())
    if not _may_be_columns(value):
        return None
    if all(isinstance(column, list) for column in columns) and len({len(column) for column in columns}) == 1:
        return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
    if all(isinstance(column, Mapping) for column in columns) and all(
        list(column) == list(columns[0]) for column in columns
    ):
        return [{name: column[key] for name, column in value.items()} for key in columns[0]]
    return None


def _may_be_columns(value: Mapping[str, Any]) -> bool:
    """Returns whether a mapping has names of columns, and no value is the list of messages of a row."""
    known = any(column([name], part) for name in value for part in _OF_A_COLUMN)
    messages = any(isinstance(value.get(name), list) for name in names_of("conversation"))
    if not known or messages or not all(value.values()):
        return False
    return not any(isinstance(rows, list) and _is_rows(rows) for rows in value.values())
