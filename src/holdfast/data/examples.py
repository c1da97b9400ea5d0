"""`read`: rows from any source a user is likely to have, or one sentence that says which line to mend."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from holdfast.data.formats import rows_of
from holdfast.data.named import named_rows
from holdfast.data.rows import Row, Turn
from holdfast.data.sources import open_source

if TYPE_CHECKING:
    import datasets

__all__ = ["Row", "Source", "Turn", "read"]

Source: TypeAlias = Union[str, os.PathLike[str], Sequence[Mapping[str, Any]], Sequence[Row], "datasets.Dataset"]
"""What rows can be read from."""


def read(source: Source, *, name: str | None = None) -> list[Row]:
    """Returns the rows of a source, whose format is recognised from its columns.

    Understood are the columns (the first that fits, in this order; other columns are not looked at):

    - `messages` or `conversations`: a list of {role, content} or {from, value}; roles may be called human and gpt. A
      message with `"weight": 0` is not learned. Content may be a list of text parts.
    - `instruction` with `output` (or `response`, ...), optionally `input` or `context`, appended after a blank line.
    - `prompt` (or `question`, `query`) with `completion` (or `response`, `answer`, `output`): strings, or both lists
      of messages, of which those of the prompt are context. Where no chat template is used, `prompt` and `completion`
      are joined as they stand, columns of other names by a newline.
    - `text`: documents.

    A `system` column, where there is one, becomes the first message. A text file is split into documents at its blank
    lines (one without blank lines is a single document), and each document is one row.

    Args:
        source: Path of a .jsonl, .json, .csv, .tsv, .parquet or .txt file (all but Parquet also with .gz); a folder of
            such files (not its subfolders), each in its own format; a folder written by `datasets.save_to_disk`
            ("folder:split" chooses a split, else "train" is taken); a hub id "org/name", "org/name:split" or
            "org/name/config:split"; "scheme:name" where an installed package offers the scheme ("ground:people"); a
            `datasets.Dataset`; a sequence of mappings; or rows, which come back as given.
        name: What to call the source in origins and messages, instead of its file name.

    Returns:
        The rows in their order, each with its origin: "facts.jsonl:7" is line 7 of a JSON Lines or text file, row 7 of
        anything else, counted from 1.

    Raises:
        HoldfastError: For anything that is not found or malformed: one sentence with file, line and field.
    """
    if isinstance(source, Sequence) and not isinstance(source, str):
        given = [row for row in source if isinstance(row, Row)]
        if given and len(given) == len(source):
            return given
    if isinstance(source, str) and (named := named_rows(source)) is not None:
        return list(named)
    rows: list[Row] = []
    for label, records in open_source(source, name):
        rows.extend(rows_of(records, label))
    return rows
