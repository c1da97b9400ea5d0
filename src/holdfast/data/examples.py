"""`read`: rows from any source a user is likely to have, or one sentence that says which line to mend."""

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
"""What rows can be read from."""


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
      `"train": false`, ...) is not learned. Content may be a list of text parts; `reasoning_content` and `tool_calls`
      are given to the chat template.
    - `instruction` with `output` (or `response`, ...).
    - `prompt` (or `question`, `query`, `inputs`, `input`) with `completion` (or `response`, `answer`, `output`,
      `targets`): strings, or both lists of messages, of which those of the prompt are context. Where no chat template
      is used, `prompt` and `completion` are joined as they stand, columns of other names by a newline.
    - `text`: documents; `segments`: documents of which parts are learned.

    Beside them, `system` becomes the first message, `history` earlier turns, `input` or `context` are appended to the
    prompt after a blank line, and `tools` and `chat_template_kwargs` are given to the chat template. Rows whose `label`
    is false (KTO) and rows of `weight` 0 are left out; rows with images are refused. Every other column is counted and
    named in the notes. `holdfast.data.fields` is the whole table. A text file is split into documents at its blank
    lines (one without blank lines is a single document), and each document is one row.

    Args:
        source: Path of a .jsonl, .json, .csv, .tsv, .parquet or .txt file (all but Parquet also with .gz); a folder of
            such files, each in its own format; a folder written by `datasets.save_to_disk` or a clone of a data set of
            the hub ("folder:split" chooses a split); a hub id "org/name", "org/name:split" or
            "org/name/config:split"; "scheme:name" where an installed package offers the scheme ("ground:people"); a
            `datasets.Dataset`; a sequence of mappings; or rows, which come back as given.
        name: What to call the source in origins and messages, instead of its file name.
        preference: What becomes of rows with a chosen and a rejected answer: they are refused, or the chosen one is
            learned (`"chosen"`).
        splits: Splits that are taken where the source has several and names none, the first that is there.
        notes: Gets sentences: the format and number of rows of each file, what is not used, and what is assumed.

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
    for label, records in open_source(source, name, splits=splits, notes=notes):
        rows.extend(rows_of(records, label, preference=preference, notes=notes))
    return rows
