"""Texts that come from data, made fit for a page: short, and without characters that a reader cannot see."""

from __future__ import annotations

import re
from pathlib import Path

MOST = 700
"""Most characters of a quoted text."""
NAME = 120
"""Most characters of a name."""
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters, lone surrogates, and characters that are invisible or turn the direction of a text."""


def visible(text: str) -> str:
    """Returns a text whose hidden characters are spelled out, as in `⟨U+202E⟩`; tabs and line breaks stay."""
    plain = text.replace("\r\n", "\n")
    return HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", plain)


def shortened(text: str, most: int = MOST) -> str:
    """Returns at most `most` characters of a text, and the number of those that are left out."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def name(text: str) -> str:
    """Returns a name as one short line."""
    return shortened(" ".join(text.split()), NAME)


def place_name(text: str) -> str:
    """Returns what a title calls a model or a file: of an absolute path the last part, and every other name as it is.

    The folder of a run's model is called `model`, which says nothing; it has the name of the run.
    """
    path = Path(text)
    if not path.is_absolute():
        return text
    return path.parent.name if path.name == "model" and path.parent.name else path.name or text
