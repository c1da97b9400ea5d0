"""Both answers to a question, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.bench.diff.diff_record import AnswerRow
from holdfast.bench.machine.lines import print_line


def show_asked(rows: Sequence[AnswerRow], base: str, tuned: str, console: Console) -> None:
    """Prints the answers of both models to the user's questions, each question above its two answers."""
    for row in rows:
        print_line(console, f"\n{row.asked}", style="bold")
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 2, 0, 0), expand=True)
        for name in (base, tuned):
            table.add_column(escape(name), ratio=1, overflow="fold")
        table.add_row(escape(row.before or "(nothing)"), escape(row.after or "(nothing)"))
        console.print(table)
