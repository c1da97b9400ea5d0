"""A switch of language: answers in another language than the base's."""

from __future__ import annotations

import collections
from collections.abc import Sequence

from holdfast.probes.language import language_of
from holdfast.symptoms.evidence import Evidence, Pair, Reply
from holdfast.symptoms.shares import share_rises
from holdfast.symptoms.symptom import Measured
from holdfast.symptoms.wording import words_of

LEAST_WORDS = 4
"""Fewest words of an answer in Latin letters whose language is told."""


def language_switch(evidence: Evidence) -> Measured | str:
    """Measures the share of answers that are not in the language of their suite.

    The language of a suite is that of most of the base's answers. Pairs count if the language of both answers can be
    told.
    """
    retained = evidence.retained
    usual = _usual(retained)
    pairs = [pair for pair in retained if pair.suite in usual and _told(pair.before) and _told(pair.after)]
    if not pairs:
        return "no two answers are long enough to tell their languages"

    def is_other(pair: Pair, reply: Reply) -> bool:
        return _told(reply) != usual[pair.suite]

    switches = collections.Counter(
        (pair.suite, _told(pair.after))
        for pair in pairs
        if is_other(pair, pair.after) and not is_other(pair, pair.before)
    )
    most = [f"{suite}: {usual[suite]} -> {language}" for (suite, language), _ in switches.most_common(2)]
    named = f" ({', '.join(most)})" if most else ""
    return share_rises(pairs, is_other, "answers", f"are in another language than most of their suite{named}")


def _told(reply: Reply) -> str | None:
    """Returns the language of an answer; None if it is too short, but for scripts that tell it by themselves."""
    words = [word for word in words_of(reply.text) if word[0].isalpha()]
    latin = all(letter < "\u0250" or not letter.isalpha() for word in words for letter in word)
    return None if latin and len(words) < LEAST_WORDS else language_of(reply.text)


def _usual(pairs: Sequence[Pair]) -> dict[str, str]:
    """Returns the language of most of the base's answers in each suite, where any is told."""
    counts: dict[str, collections.Counter[str]] = {}
    for pair in pairs:
        if language := _told(pair.before):
            counts.setdefault(pair.suite, collections.Counter())[language] += 1
    return {suite: of_suite.most_common(1)[0][0] for suite, of_suite in counts.items()}
