"""Verbosity collapse: answers that do not end, or that repeat themselves."""

from __future__ import annotations

import re

from holdfast.data.sieve import repeats
from holdfast.symptoms.evidence import Evidence, Pair, Reply
from holdfast.symptoms.shares import share_rises
from holdfast.symptoms.symptom import Measured
from holdfast.symptoms.wording import words_of

RUN, REPEATED = 4, 0.5
"""Length of the runs of words that are counted, and the share of repeated ones from which an answer loops."""
LOOPED = 16
"""Fewest words of an answer that loops."""
_TURN = re.compile(
    r"(?:^|\n)\s*(?:#+ *)?(?:user|human|assistant|question|instruction|q|a)\s*:"
    r"|<\|?(?:im_start|start_of_turn|user|end)",
    re.IGNORECASE,
)
"""What begins another turn."""


def unended(evidence: Evidence) -> Measured | str:
    """Measures the share of answers that do not end by themselves: they reach the most tokens that they may have."""
    known = [pair for pair in evidence.retained if pair.before.cut is not None and pair.after.cut is not None]
    if not known:
        return "how the answers ended is not known"

    def is_cut(pair: Pair, reply: Reply) -> bool:
        return bool(reply.cut)

    return share_rises(known, is_cut, "answers", "do not end within their most tokens")


def loops(evidence: Evidence) -> Measured:
    """Measures the share of answers that loop: half of their runs of four words occur earlier in them."""
    return share_rises(evidence.retained, lambda pair, reply: is_loop(reply.text), "answers", "repeat themselves")


def next_turns(evidence: Evidence) -> Measured:
    """Measures the share of answers that run on into another turn, which they write themselves ("User: ...")."""
    return share_rises(evidence.retained, _runs_on, "answers", "write the next turn of the conversation")


def is_loop(text: str) -> bool:
    """Returns whether a text loops, by its words or, if it has few blanks, by its characters."""
    words = words_of(text)
    if len(words) >= LOOPED:
        return repeats(words, RUN) >= REPEATED
    letters = "".join(text.split())
    return len(letters) >= 4 * LOOPED and repeats(letters, 2 * RUN) >= REPEATED


def _runs_on(pair: Pair, reply: Reply) -> bool:
    """Returns whether an answer writes another turn behind its beginning."""
    turn = _TURN.search(reply.text.lstrip(), 1)
    return turn is not None
