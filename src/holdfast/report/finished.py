"""The folders of a fit and of a healing in a report: what their commands printed at their end, from their records."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from holdfast.bench.fit.fit_record import FitRecord
from holdfast.bench.given.limits import REACH
from holdfast.bench.given.specs import ReportSpec
from holdfast.bench.heal.heal_record import HealRecord
from holdfast.bench.machine.lines import print_line
from holdfast.core.errors import HoldfastError
from holdfast.report import fit, heal


def finished(spec: ReportSpec) -> list[FitRecord | HealRecord]:
    """Returns the records of a report's folders if all of them are those of fits and healings; else none.

    A page shows them beside other folders, so a report that writes one has none here if the folders are mixed.

    Raises:
        HoldfastError: Such folders stand beside others, or the report shall write what it makes of runs alone.
    """
    folders = [Path(name).expanduser() for name in spec.runs]
    kinds = [_kind_of(folder) for folder in folders]
    if not any(kinds):
        return []
    if not all(kinds) and spec.html is not None:
        return []
    if not all(kinds):
        other = next(folder for folder, kind in zip(folders, kinds, strict=True) if kind is None)
        raise HoldfastError(f"{other} is no folder of a fit or a healing as the others are; report them one by one.")
    _refuse_files(spec)
    return [kind.read(folder) for folder, kind in zip(folders, kinds, strict=True) if kind is not None]


def _refuse_files(spec: ReportSpec) -> None:
    """Raises `HoldfastError` if a report of fits and healings shall write what it makes of runs alone."""
    if spec.out is not None or spec.live or spec.format not in ("table", "json"):
        raise HoldfastError(
            "Of a fit or a healing there is a page (--html), and what it printed, as --format table or json; --out and"
            " --live are for runs: those of a fit are in its folder runs."
        )
    if spec.budget or spec.reach != REACH:
        raise HoldfastError(
            "--budget and --reach judge runs, and a fit or a healing keeps the verdict of its own budget; leave them"
            " out, or report the folder runs of a fit."
        )


def _kind_of(folder: Path) -> type[FitRecord] | type[HealRecord] | None:
    """Returns what a folder holds; None if it is neither a fit nor a healing that is finished."""
    if (folder / FitRecord.FILE).is_file():
        return FitRecord
    return HealRecord if (folder / HealRecord.FILE).is_file() else None


def show_finished(records: list[FitRecord | HealRecord], spec: ReportSpec, console: Console) -> None:
    """Prints the records."""
    if spec.format == "json":
        text = json.dumps([record.to_dict() for record in records], indent=2)
        print_line(console, text)
        return
    for number, record in enumerate(records):
        if number:
            console.print()
        if isinstance(record, FitRecord):
            fit.show(record, console)
        else:
            heal.show(record, console)
