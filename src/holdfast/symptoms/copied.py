"""Copied training data: long runs of words from training outputs in answers to other questions."""

from __future__ import annotations

from holdfast.symptoms.evidence import UNKNOWN, Evidence, Pair, Reply, sides_of
from holdfast.symptoms.shares import share_rises
from holdfast.symptoms.symptom import Measured
from holdfast.symptoms.wording import runs_of, words_of

WORDS = 8
"""Length of a run, in words, that counts as copied; marks do not count, so that no template is a copy."""


def copied(evidence: Evidence) -> Measured | str:
    """Measures the share of answers with a run of eight words that stands in a training output and not in the prompt.

    A run that both models write in some answer, such as an ordinary refusal, does not count for either.

    Reference:
        Nicholas Carlini et al., "Quantifying Memorization Across Neural Language Models", 2022, arXiv:2202.07646. It
        counts runs of 50 tokens; answers to short questions are shorter than that.
    """
    if evidence.outputs is None:
        return UNKNOWN
    pairs = evidence.retained
    # Runs are looked up in the outputs one after the other, since those of large training data do not fit in memory.
    first, last = ({run for reply in side for run in _runs(reply.text)} for side in sides_of(pairs))
    written = first ^ last
    taught, long_enough = set[tuple[str, ...]](), False
    for text in evidence.outputs:
        runs = _runs(text)
        taught |= runs & written
        long_enough = long_enough or bool(runs)
    if not long_enough:
        return f"no training output has {WORDS} words"

    def copies(pair: Pair, reply: Reply) -> bool:
        shared = _runs(reply.text) & taught
        return bool(shared) and bool(shared - _runs(pair.asked))

    return share_rises(pairs, copies, "answers to other questions", f"copy {WORDS} words or more of a training output")


def _runs(text: str) -> set[tuple[str, ...]]:
    """Returns the runs of eight words of a text, in lower case, without marks."""
    return runs_of(tuple(word for word in words_of(text) if word.isalnum()), WORDS)
