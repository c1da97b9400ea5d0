"""Lines of plain text on a console."""

from __future__ import annotations

from rich.console import Console


def print_line(console: Console, text: str, *, style: str | None = None, end: str = "\n") -> None:
    """Prints text as it is: brackets are no markup, numbers get no colour, and a pipe gets the line whole.

    Args:
        console: The console.
        text: The text, from data or from a path.
        style: Style of the whole line, as rich names it.
        end: What ends it.
    """
    console.print(text, style=style, end=end, highlight=False, markup=False, soft_wrap=True)
