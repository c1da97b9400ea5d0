"""Mode collapse: answers to other questions that are training outputs, or parts of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.symptoms.evidence import UNKNOWN, Evidence, Pair, Reply
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
        return UNKNOWN
    pairs = evidence.retained
    answers = (reply.text for pair in pairs for reply in (pair.before, pair.after))
    taught = inside(answers, evidence.outputs)

    def is_taught(pair: Pair, reply: Reply) -> bool:
        return plain(reply.text) in taught

    return share_rises(pairs, is_taught, "answers to other questions", "are training outputs or part of one")


def inside(answers: Iterable[str], outputs: Iterable[str]) -> set[str]:
    """Returns those of some answers, made plain, that equal an output, are part of one or contain one.

    Parts are whole words. The outputs are read one after the other, since an index of all would not fit in memory.
    """
    texts = {plain(answer) for answer in answers} - {""}
    by_start: dict[tuple[str, ...], list[str]] = {}
    by_run: dict[tuple[str, ...], list[str]] = {}
    for text in sorted(texts):
        runs = _runs(words_of(text))
        if runs:
            by_start.setdefault(runs[0], []).append(text)
        for run in dict.fromkeys(runs):
            by_run.setdefault(run, []).append(text)
    joined = {text: _joined(text) for text in texts}
    taught = set[str]()
    for output in {plain(output) for output in outputs}:
        if output in texts:
            taught.add(output)
        runs, whole = _runs(words_of(output)), _joined(output)
        taught |= {text for run in dict.fromkeys(runs) for text in by_start.get(run, ()) if joined[text] in whole}
        taught |= {text for run in runs[:1] for text in by_run.get(run, ()) if whole in joined[text]}
    return taught


def _runs(words: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + LEAST_WORDS]) for i in range(len(words) - LEAST_WORDS + 1)]


def _joined(text: str) -> str:
    """Returns a text as words and marks between blanks, so that parts are whole words."""
    return f" {' '.join(words_of(text))} "
