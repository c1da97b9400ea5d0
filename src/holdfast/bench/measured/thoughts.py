"""Answers that end within a thought say nothing, and count as wrong."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.probes.score import Said
from holdfast.probes.thought import is_unended

LEAST = 0.05
"""Share of the generated answers from which a note appears."""


def thought_note(said: Sequence[Said], model: str) -> str:
    """Returns a sentence if many answers of a model end within their thought; empty otherwise.

    Args:
        said: The answers of the model.
        model: Its name, as the sentence begins.
    """
    written = [answer for answer in said if answer.cut is not None]
    count = sum(is_unended(answer.said) for answer in written)
    if not written or count < LEAST * len(written):
        return ""
    return (
        f"{model}: {count:,} of {len(written):,} answers end within their thought, at their most tokens, and count as"
        " wrong; give items more 'max_tokens', or the model a chat template that asks for no thought."
    )
