"""`read`: rows from any common source, or an error that names the line to mend."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from holdfast.data.formats import rows_of
from holdfast.data.preference import Preference
from holdfast.data.rows import Row, Turn
from holdfast.data.schemes import named_rows
from holdfast.data.sources import open_source

if TYPE_CHECKING:
    import datasets

__all__ = ["Row", "Source", "Turn", "read"]

Source: TypeAlias = Union[str, os.PathLike[str], Sequence[Mapping[str, Any]], Sequence[Row], "datasets.Dataset"]
"""The sources that `read` accepts."""


def read(
    source: Source,
    *,
    name: str | None = None,
    preference: Preference = "refuse",
    splits: Sequence[str] = ("train",),
    notes: list[str] | None = None,
) -> list[Row]:
    """Returns the rows of a source, whose format is recognised from its columns.

    Recognised columns (the first that fits, in this order):

    - `messages` or `conversations`: a list of {role, content} or {from, value}; roles may be called human and gpt,
      function_call (an assistant's turn) and observation (what a tool answered). A message with `"weight": 0` (or
      `"train": false`, ...) is not learned. Content may be a list of text parts; the chat template receives
      `reasoning_content` and `tool_calls`.
    - `instruction` with `output` (or `response`, ...).
    - `prompt` (or `question`, `query`, `inputs`, `input`) with `completion` (or `response`, `answer`, `output`,
      `targets`): both strings, or both lists of messages; the messages of the prompt are context. Without a chat
      template, `prompt` and `completion` are joined as they are, and columns of other names by a newline.
    - `text`: documents; `segments`: documents with marked parts that are learned.

    Besides, `system` becomes the first message, `history` becomes earlier turns, `input` or `context` follow the prompt
    after a blank line, and the chat template receives `tools` and `chat_template_kwargs`. Rows whose `label` is false
    (KTO) and rows of `weight` 0 are left out; rows with images are refused. The notes count and name every other
    column. `holdfast.data.fields` has the whole table. A text file is split into documents at its blank
    lines (one without blank lines is a single document), and each document is one row.

    Args:
        source: Path of a .jsonl, .json, .csv, .tsv, .parquet or .txt file (all but Parquet also with .gz); a folder of
            such files, each in its own format; a folder written by `datasets.save_to_disk` or a clone of a data set of
            the hub ("folder:split" chooses a split); a hub id "org/name", "org/name:split" or
            "org/name/config:split"; "scheme:name" where an installed package offers the scheme ("ground:people"); a
            `datasets.Dataset`; a sequence of mappings; or rows, which come back as given.
        name: Name of the source in origins and messages, instead of its file name.
        preference: Whether rows with a chosen and a rejected answer are refused, or the chosen one is learned
            (`"chosen"`).
        splits: Splits to read if the source has several and names none; the first that exists is read.
        notes: Receives sentences: the format and number of rows of each file, unused fields, and assumptions.

    Returns:
        The rows in their order, each with its origin. "facts.jsonl:7" is line 7 of a JSON Lines or text file, and row 7
        of any other file, counted from 1.

    Raises:
        HoldfastError: The source is not found or malformed; the message names file, line and field.
    """
    if isinstance(source, Sequence) and not isinstance(source, str):
        given = [row for row in source if isinstance(row, Row)]
        if given and len(given) == len(source):
            return given
    if isinstance(source, str) and (named := named_rows(source)) is not None:
        return list(named)
    rows: list[Row] = []
    for label, records in open_source(source, name, splits=splits, notes=notes):
        rows.extend(rows_of(records, label, preference=preference, notes=notes))
    return rows
