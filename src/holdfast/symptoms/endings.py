"""Verbosity collapse: answers that do not end, or that repeat themselves."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from holdfast.data.sieve import repeats
from holdfast.symptoms.evidence import Evidence, Pair, Reply
from holdfast.symptoms.shares import share_rises
from holdfast.symptoms.symptom import Measured
from holdfast.symptoms.wording import words_of

RUN, REPEATED = 4, 0.5
"""Length of the runs of words that are counted, and the share of repeated ones from which an answer loops."""
LOOPED = 16
"""Fewest words of an answer that loops by that share."""
LONGEST, TURNS, TAIL = 16, 2, 8
"""Longest unit that an answer repeats at its end, fewest repetitions of it, and fewest repeated words, for a loop."""
_TURN = re.compile(
    r"(?:^|\n)\s*(?:#+ *)?(?:user|human|assistant|question|instruction|q|a)\s*:"
    r"|<\|(?:im_start|start_header_id|user|end)|<(?:im_start|start_of_turn|end_of_turn)>",
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
    """Measures the share of answers that loop.

    Half of their runs of four words occur earlier in them, or they end in a unit of up to 16 words and marks that is
    repeated at least twice, over at least eight words.
    """
    return share_rises(evidence.retained, lambda pair, reply: is_loop(reply.text), "answers", "repeat themselves")


def next_turns(evidence: Evidence) -> Measured:
    """Measures the share of answers that run on into another turn, which they write themselves ("User: ...")."""
    return share_rises(evidence.retained, _runs_on, "answers", "write the next turn of the conversation")


def is_loop(text: str) -> bool:
    """Returns whether a text loops, by its words or, if it has few blanks, by its characters."""
    words = words_of(text)
    if _ends_in_loop(words):
        return True
    if len(words) >= LOOPED:
        return repeats(words, RUN) >= REPEATED
    letters = "".join(text.split())
    return len(letters) >= 4 * LOOPED and repeats(letters, 2 * RUN) >= REPEATED


def _ends_in_loop(words: Sequence[str]) -> bool:
    """Returns whether the last words repeat a unit."""
    for size in range(1, LONGEST + 1):
        equal = (words[i] == words[i - size] for i in range(len(words) - 1, size - 1, -1))
        repeated = sum(1 for _ in itertools.takewhile(bool, equal))
        if repeated >= max(TAIL, TURNS * size):
            return True
    return False


def _runs_on(pair: Pair, reply: Reply) -> bool:
    """Returns whether an answer writes another turn behind its beginning."""
    turn = _TURN.search(reply.text.lstrip(), 1)
    return turn is not None
