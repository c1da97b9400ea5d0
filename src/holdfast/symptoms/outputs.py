"""What training data teach a model to write: the outputs that answers are compared with."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.data.rows import Row


def outputs_of(rows: Iterable[Row]) -> list[str]:
    """Returns the outputs of rows of training data: completions, learned turns of the assistant, and whole texts.

    A turn of the assistant gives its content and its calls, each call as a line of JSON. Blank outputs are left out.
    """
    texts = []
    for row in rows:
        if row.kind == "messages":
            texts += [turn.said for turn in row.turns if turn.role == "assistant" and turn.learned]
        else:
            texts.append(row.text or "" if row.kind == "text" else row.completion or "")
    return [text.strip() for text in texts if text.strip()]
