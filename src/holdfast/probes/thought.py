"""What an answer says behind its thought: tags of a thought, which no check reads."""

from __future__ import annotations

import re

TAGS = "think|thinking|thought|reasoning"
"""Names of the tags between which models think."""
_END = re.compile(rf"</(?:{TAGS})>", re.IGNORECASE)
_BEGIN = re.compile(rf"\s*<(?:{TAGS})>", re.IGNORECASE)


def spoken(answer: str) -> str:
    """Returns an answer without its thought: what follows the last end of one; empty if a thought does not end.

    The first tag may stand in the prompt, as chat templates write it, so an end alone is enough.
    """
    ends = list(_END.finditer(answer))
    if ends:
        return answer[ends[-1].end() :].strip()
    return "" if _BEGIN.match(answer) else answer


def is_unended(answer: str) -> bool:
    """Returns whether an answer is a thought that does not end."""
    return _BEGIN.match(answer) is not None and _END.search(answer) is None
