"""Writes the page of the records from their docstrings: `python -m holdfast.report.records FILE`."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.bench.compare.tradeoff_record import TradeOff
from holdfast.bench.diff.diff_record import DiffRecord
from holdfast.bench.fit.fit_record import FitRecord
from holdfast.bench.fit.pilot_record import PilotRecord
from holdfast.bench.fit.search_record import SearchRecord
from holdfast.bench.heal.heal_record import HealRecord
from holdfast.bench.machine.files import write_atomically
from holdfast.bench.measured.schema import Record, Versioned, hints_of, key_of
from holdfast.bench.plan.ranking.ranking_record import RankingPlanRecord
from holdfast.bench.plan.record import PlanRecord
from holdfast.bench.run.proof import ProofRecord
from holdfast.bench.run.record import RunRecord
from holdfast.report.markdown import wrapped

RECORDS: tuple[type[Versioned], ...] = (
    *(RunRecord, DiffRecord, FitRecord, PilotRecord, SearchRecord, HealRecord, TradeOff, PlanRecord),
    *(RankingPlanRecord, ProofRecord),
)
INTRODUCTION = """# Records

Written by `make docs` from the docstrings; do not edit.

A run, a fit, a diff, a healing, a plan or a report leaves a typed record. The same record is stored as a file of plain
JSON:

| record | file | returned by |
|---|---|---|
| `holdfast.RunRecord` | `result.json` in the folder of a run | `holdfast.fine_tune(...).record` |
| `holdfast.DiffRecord` | `diff.json` in the folder of `--out` | `holdfast.diff(...)` |
| `holdfast.PlanRecord` | `plan.json` in the folder of `--out` | `holdfast.plan(...)` |
| `RankingPlanRecord` | `plan.json`, of a reranker | `holdfast.plan(...)` |
| `holdfast.FitRecord` | `fit.json` in the folder of `--out` | `holdfast.fit(...)` |
| `PilotRecord` | `pilot.json` beside it | `FitRecord.stages` names the file |
| `SearchRecord` | `search.json` beside it | `FitRecord.stages` names the file |
| `holdfast.HealRecord` | `heal.json` in the folder of `--out` | `holdfast.heal(...)` |
| `ProofRecord` | `proof.json` in the folder of a model | `holdfast.verify(...)` checks it |
| `holdfast.TradeOff` | `tradeoff.json` in the folder of `--out` | `holdfast.report(...)`, one for each set of runs |

```python
record = holdfast.RunRecord.read("runs/my-run")    # the folder, or the file
record.verdict.word                                # "kept"
record.suites[0].lost.points                       # 0.4; .nats of texts
record.suite("facts").lost.high                    # 2.3
record.guard.looks[-1].step                        # 600
record.exit_code                                   # 0

holdfast.diff(base="base", tuned="tuned", keep=("old.jsonl",), budget={"points": 2}).verdict.word
holdfast.report(runs=("compare/",))[0].recipes[0].lost.value
```

A field that was not measured is None, and its key is not in the JSON. `to_dict()` and `from_dict()` convert a record to
plain JSON values and back. `from_dict()` and `read()` check every key and type, and name the file and the missing or
wrong key. A field has the name of its key unless its entry names another. `version` is 1. A record without a version
was written before there were versions, and is read as version 1. A record of a newer version is an error. A later
release may add keys under the same version, and older releases ignore them.
"""


def page() -> str:
    """Returns the page: each record and its parts, with the key, type and meaning of every field."""
    lines, there = [INTRODUCTION.rstrip()], set[type[Record]]()
    for record in RECORDS:
        for part in parts_of(record):
            if part not in there:
                there.add(part)
                lines += ["", *_section(part)]
    return "\n".join(lines) + "\n"


def parts_of(record: type[Record]) -> Iterator[type[Record]]:
    """Yields a record and the records inside it, outer ones first; a record may occur more than once."""
    yield record
    for hint in hints_of(record).values():
        for part in _inside(hint):
            yield from parts_of(part)


def meanings(record: type[Record]) -> dict[str, str]:
    """Returns the meaning of each field by name, from the docstrings of a record and of the records it extends."""
    meanings_by_name: dict[str, str] = {}
    for cls in reversed(record.__mro__):
        listed = (inspect.getdoc(cls) or "").partition("Attributes:\n")[2] if cls.__doc__ else ""
        for name, text in re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", listed, re.MULTILINE):
            meanings_by_name[name] = " ".join(text.split())
    return meanings_by_name


def _section(record: type[Record]) -> list[str]:
    level = "##" if issubclass(record, Versioned) else "###"
    about = " ".join((inspect.getdoc(record) or "").partition("Attributes:")[0].split())
    meaning_of, lines = meanings(record), [f"{level} {record.__name__}", "", *wrapped(about), ""]
    for field in dataclasses.fields(record):
        key = "" if key_of(field) == field.name else f"key `{key_of(field)}`, "
        text = f"**`{field.name}`** ({key}{_type(hints_of(record)[field.name])}): {meaning_of.get(field.name, '')}"
        lines += wrapped(text, "- ")
    return lines


def _inside(hint: Any) -> Iterator[type[Record]]:
    """Yields the records in a type."""
    if isinstance(hint, type) and issubclass(hint, Record):
        yield hint
    for argument in typing.get_args(hint):
        yield from _inside(argument)


def _type(hint: Any) -> str:
    """Returns a type in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return f"{_type(arguments[0])}, or None"
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is Mapping:
        return f"{_type(arguments[1])} by name"
    if origin is typing.Literal:
        return ", ".join(f'"{choice}"' for choice in arguments)
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return words.get(hint) or f"`{hint.__name__}`"


if __name__ == "__main__":
    write_atomically(sys.argv[1], page())
