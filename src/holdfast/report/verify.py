"""The output of `holdfast verify`: the word, what decides it, and the two verdicts."""

from __future__ import annotations

import json

from rich.console import Console

from holdfast.bench.machine.lines import print_line
from holdfast.bench.verify.verify_record import VerifyRecord


def show(record: VerifyRecord, console: Console | None = None, as_json: bool = False) -> None:
    """Prints the record for a reader, or as JSON for a program."""
    console = console or Console()
    if as_json:
        print_line(console, json.dumps(record.to_dict(), indent=2))
        return
    word = {"holds": "The certificate holds", "does not hold": "The certificate does not hold"}.get(
        record.word, "It cannot be told whether the certificate holds"
    )
    print_line(console, f"{word}: {record.model}", style="bold")
    for reason in record.reasons:
        print_line(console, f"  {reason}")
    console.print(f"  compared: {', '.join(record.checked)}", highlight=False, markup=False)
    if record.claimed is not None:
        now = "" if record.found is None else f"; asked again: {record.found.word}"
        console.print(f"  the verdict of the certificate: {record.claimed.word}{now}", highlight=False, markup=False)
