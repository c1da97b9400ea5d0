"""Copied training data: long runs of words from training outputs in answers to other questions."""

from __future__ import annotations

from holdfast.symptoms.evidence import Evidence, Pair, Reply
from holdfast.symptoms.shares import share_rises
from holdfast.symptoms.symptom import Measured
from holdfast.symptoms.wording import runs_of
from holdfast.symptoms.wording import words_of as words_and_marks

WORDS = 8
"""Length of a run, in words, that counts as copied; marks do not count, so that no template is a copy."""


def words_of(text: str) -> tuple[str, ...]:
    """Returns the words of a text, in lower case, without marks."""
    return tuple(word for word in words_and_marks(text) if word.isalnum())


def copied(evidence: Evidence) -> Measured | str:
    """Measures the share of answers with a run of eight words that stands in a training output and not in the prompt.

    Reference:
        Nicholas Carlini et al., "Quantifying Memorization Across Neural Language Models", 2022, arXiv:2202.07646. It
        counts runs of 50 tokens; answers to short questions are shorter than that.
    """
    if evidence.outputs is None:
        return "the training data are not known"
    pairs, runs = evidence.retained, set[tuple[str, ...]]()
    for text in evidence.outputs:
        runs |= runs_of(words_of(text), WORDS)
    if not pairs or not runs:
        return "there are no generated answers" if runs else f"no training output has {WORDS} words"

    def copies(pair: Pair, reply: Reply) -> bool:
        shared = runs_of(words_of(reply.text), WORDS) & runs
        return bool(shared - runs_of(words_of(pair.asked), WORDS)) if shared else False

    return share_rises(pairs, copies, "answers to other questions", f"copy {WORDS} words or more of a training output")
