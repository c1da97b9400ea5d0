"""Rows of a table in text form: CSV with any separator."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from typing import Any

from holdfast.core.errors import HoldfastError
from holdfast.data.fields import all_names

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def table_records(text: str, label: str, usual: str, notes: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields origin and record for each row of a table with a header, numbered from 1.

    Args:
        text: The whole table.
        label: Name of the table in messages.
        usual: The separator that the file's name calls for; another one is recognised from the header.
        notes: Receives a sentence if the separator is another.

    Raises:
        HoldfastError: A row cannot be read, or has another number of fields than the header; names the row.
    """
    text = text.removeprefix("\ufeff")
    if text.startswith("sep=") and text[5:6] in ("\r", "\n"):  # Excel writes the separator into the first line
        separator, text = text[4], text[5:].lstrip("\r\n")
    else:
        separator = _separator(text, usual)
    if text.lstrip()[:1] in ("{", "["):
        raise HoldfastError(f"{label}: holds JSON, not a table; name it .json or .jsonl.")
    if separator != usual:
        notes.append(f"{label}: its columns are read as separated by {_SEPARATORS.get(separator, repr(separator))}.")
    limit = csv.field_size_limit(sys.maxsize)
    number = 0
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
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


def _separator(text: str, usual: str) -> str:
    """Returns the separator that gives the header most known names; of several, the one that gives most columns."""
    header = text.split("\n", 1)[0].rstrip("\r")
    known = {name.lower() for name in all_names()}

    def fits(separator: str) -> tuple[int, int, bool]:
        names = [name.strip().strip('"').lower() for name in header.split(separator)]
        known_names = sum(name in known for name in names)
        return known_names if len(names) > 1 else 0, len(names) if len(names) > 1 else 0, separator == usual

    best = max(_SEPARATORS, key=fits)
    # Without a known name, another separator counts only if the header does not contain the usual one.
    return best if fits(best)[0] or fits(usual)[1] == 0 else usual
