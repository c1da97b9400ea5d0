"""Thinking that disappears: thoughts in tags, or reasoning before the answer."""

from __future__ import annotations

import re

from holdfast.probes.thought import TAGS
from holdfast.symptoms.evidence import Evidence, Pair, Reply
from holdfast.symptoms.shares import share_lost
from holdfast.symptoms.symptom import Measured

FEWEST = 5
"""Fewest answers of the base that think, of which a share can be lost."""
_TAGGED = re.compile(rf"<({TAGS})>(.*?)(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_CLOSED = re.compile(rf"\S.*</(?:{TAGS})>", re.DOTALL | re.IGNORECASE)
_STEP = re.compile(
    r"\b(?:step by step|let's (?:think|see|work|break|start|calculate|solve)|let us|first(?:ly)?,|second(?:ly)?,|next,|"
    r"then,|finally,|therefore|thus|hence|so,? the answer|step \d|we (?:need|have|know|can) )|(?:^|\n)\s*\d+[.)] ",
    re.IGNORECASE,
)
STEPS = 2
"""Fewest marks of a step in an answer that reasons."""


def thinks(text: str) -> bool:
    """Returns whether an answer thinks: words within tags of a thought, or at least two marks of reasoning steps."""
    tagged = _TAGGED.search(text)
    if tagged is not None:
        return bool(tagged[2].strip())
    return _CLOSED.search(text) is not None or len(_STEP.findall(text)) >= STEPS


def thinking_lost(evidence: Evidence) -> Measured | str:
    """Measures the share of the base's answers with thinking where the tuned model does not think."""
    pairs = evidence.retained
    count = sum(thinks(pair.before.text) for pair in pairs)
    if count < FEWEST:
        return f"the base thinks before {count} answers; {FEWEST} are needed"
    return share_lost(pairs, _thinks, "answers with thinking", "are without it")


def _thinks(pair: Pair, reply: Reply) -> bool:
    return thinks(reply.text)
