"""Mode collapse: answers to other questions that are training outputs, or parts of one."""

from __future__ import annotations

from holdfast.symptoms.evidence import Evidence, Pair, Reply
from holdfast.symptoms.shares import share_rises
from holdfast.symptoms.symptom import Measured
from holdfast.symptoms.wording import plain, words_of

LEAST_WORDS = 3
"""Fewest words and marks of an answer inside a longer training output, or the other way round."""


def training_outputs(evidence: Evidence) -> Measured | str:
    """Measures the share of answers that equal a training output, are part of one or contain one.

    Case, white space and a final full stop do not count. An answer or output of fewer than three words must be equal:
    any word stands somewhere in long outputs.
    """
    if evidence.outputs is None:
        return "the training data are not known"
    pairs, outputs = evidence.retained, {plain(text) for text in evidence.outputs if plain(text)}
    if not pairs or not outputs:
        return "there are no generated answers" if outputs else "the training data teach no outputs"
    inside = Inside(outputs)

    def is_taught(pair: Pair, reply: Reply) -> bool:
        return plain(reply.text) in inside

    return share_rises(pairs, is_taught, "answers to other questions", "are training outputs or part of one")


class Inside:
    """Tells texts that equal a training output, are part of one or contain one."""

    def __init__(self, outputs: set[str]) -> None:
        """Indexes outputs by their runs of `LEAST_WORDS` words."""
        self._outputs = outputs
        self._by_run: dict[tuple[str, ...], list[str]] = {}
        self._by_start: dict[tuple[str, ...], list[str]] = {}
        for output in sorted(outputs):
            words = words_of(output)
            runs = dict.fromkeys(words[i : i + LEAST_WORDS] for i in range(len(words) - LEAST_WORDS + 1))
            for run in runs:
                self._by_run.setdefault(run, []).append(_joined(output))
            if runs:
                self._by_start.setdefault(words[:LEAST_WORDS], []).append(_joined(output))

    def __contains__(self, text: str) -> bool:
        """Returns whether a text, made plain, is a training output, part of one or contains one."""
        if text in self._outputs:
            return True
        words = words_of(text)
        if len(words) < LEAST_WORDS:
            return False
        joined = _joined(text)
        if any(joined in output for output in self._by_run.get(words[:LEAST_WORDS], ())):
            return True
        starts = (words[i : i + LEAST_WORDS] for i in range(len(words) - LEAST_WORDS + 1))
        return any(output in joined for start in starts for output in self._by_start.get(start, ()))


def _joined(text: str) -> str:
    """Returns a text as words and marks between blanks, so that parts are whole words."""
    return f" {' '.join(words_of(text))} "
