"""Helpers for the generated pages: wrapped lines, and rows of tables."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

WIDTH = 120
"""Maximum number of characters in a line outside tables."""
_STARTS = re.compile(r" (?=(?:[-+*#>]|\d+[.)])(?: |$))")
"""The space before characters that would begin a list, a heading or a quotation at the start of a line."""


def wrapped(text: str, bullet: str = "") -> list[str]:
    """Returns a paragraph, or an item of a list with its bullet, as lines of at most `WIDTH` characters.

    Words are not split, so a link or name that is longer than a line has its own line.
    """
    bound = _STARTS.sub("\0", text)
    lines = textwrap.wrap(
        bound,
        WIDTH,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\0", " ") for line in lines]


def table_row(cells: Iterable[str]) -> str:
    """Returns a row of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
