"""The scaling sheet as a table."""

from __future__ import annotations

from rich import box
from rich.table import Table

from holdfast.bench.plan.scaling import Sheet
from holdfast.report.plan_words import duration, size


def scale_table(sheet: Sheet) -> Table:
    """Returns the sheet as a table of 80 columns."""
    table = Table(title="From 0.1B to 1T", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("size", no_wrap=True)
    for name in ("trains", "rate", "batch", "all", "adapter", "GPUs", "time"):
        table.add_column(name, justify="right" if name != "trains" else "left", no_wrap=True)
    table.add_column("rests on", overflow="fold")
    for row in sheet.sizes:
        trains = "all" if row.kind == "full" else f"rank {row.rank}"
        cells = [row.name, trains, f"{row.rate:g}", str(row.batch), size(row.full), size(row.adapter), f"{row.gpus:,}"]
        table.add_row(*cells, duration(row.hours * 3600), row.evidence)
    return table
