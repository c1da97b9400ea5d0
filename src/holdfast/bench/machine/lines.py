"""Lines of plain text on a console."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

FOLLOWING = 2
"""Columns by which the second line of a sentence is further in."""


def print_line(console: Console, text: str, *, style: str | None = None, end: str = "\n") -> None:
    """Prints text as it is: brackets are no markup, numbers get no colour, and a pipe gets the line whole.

    Args:
        console: The console.
        text: The text, from data or from a path.
        style: Style of the whole line, as rich names it.
        end: What ends it.
    """
    console.print(text, style=style, end=end, highlight=False, markup=False, soft_wrap=True)


def print_sentence(console: Console, text: str, *, markup: bool = False) -> None:
    """Prints a sentence: a terminal wraps it between words and indents what follows, and a pipe gets the line whole.

    Args:
        console: The console.
        text: The sentence, which may begin with spaces.
        markup: Whether brackets in it are rich's markup.
    """
    whole = Text.from_markup(text) if markup else Text(text)
    if not console.is_terminal:
        console.print(whole, soft_wrap=True)
        return
    for line in whole.split("\n", allow_blank=True):
        indent = len(line.plain) - len(line.plain.lstrip(" "))
        parts = line[indent:].wrap(console, max(20, console.width - indent - FOLLOWING)) or [Text()]
        for place, part in enumerate(parts):
            part.rstrip()
            part.pad_left(indent + (FOLLOWING if place else 0))
            console.print(part, soft_wrap=True)
