"""The table of a finished run in the form that each tracker shows tables in, and the curves of its guard."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from transformers import TrainerCallback

from holdfast.bench.run.record import GuardRow, RunRecord

COLUMNS = ("suite", "role", "unit", "items", "before", "after", "change", "low", "high", "lost", "gained")
NAME = "holdfast/suites"
"""Name of the table in a tracker."""
WORD = "holdfast/verdict"
"""Name of the verdict in a tracker."""

Rows = list[list[Any]]


def rows_of(record: RunRecord) -> Rows:
    """Returns the table of suites; a value that was not measured is None."""
    fields = ("name", "role", "unit", "items", "before", "after", "change", "low", "high")
    names = (*fields, "answers_lost", "answers_gained")
    return [[getattr(row, name) for name in names] for row in record.suites]


def looks_of(guard: GuardRow | None) -> Iterator[tuple[int, dict[str, float]]]:
    """Yields the step of each look and of each tick of a controller, with its finite numbers for `on_log`."""
    if guard is None:
        return
    fields: tuple[tuple[str, tuple[Any, ...], tuple[str, ...]], ...] = (
        ("guard", guard.looks, ("points_lost", "nats_lost", "learned")),
        ("course", guard.course, ("estimate_share", "strength", "old_share", "rate")),
    )
    for kind, rows, names in fields:
        for row in rows:
            values = {f"eval_{kind}/{name}": getattr(row, name) for name in names}
            numbers = {key: float(value) for key, value in values.items() if value is not None and math.isfinite(value)}
            if numbers:
                yield row.step, numbers


def log_table(tracker: TrainerCallback, record: RunRecord) -> None:
    """Logs the table and the verdict to a tracker that shows tables; others have the numbers from `on_log`."""
    log = _TABLES.get(type(tracker).__name__)
    if log is not None:
        log(tracker, rows_of(record), "none" if record.verdict is None else record.verdict.word)


def markdown(rows: Rows) -> str:
    """Returns the table as Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _tensorboard(tracker: Any, rows: Rows, word: str) -> None:
    if tracker.tb_writer is not None:
        tracker.tb_writer.add_text(NAME, markdown(rows))
        tracker.tb_writer.add_text(WORD, word)
        tracker.tb_writer.flush()


def _wandb(tracker: Any, rows: Rows, word: str) -> None:
    wandb = tracker._wandb
    if wandb is not None and wandb.run is not None:
        wandb.log({NAME: wandb.Table(columns=[*COLUMNS], data=rows)})
        wandb.run.summary[WORD] = word


def _mlflow(tracker: Any, rows: Rows, word: str) -> None:
    columns: Mapping[str, list[Any]] = {name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)}
    tracker._ml_flow.log_dict(dict(columns), f"{NAME}.json")
    tracker._ml_flow.log_text(markdown(rows) + "\n", f"{NAME}.md")
    tracker._ml_flow.set_tag(WORD, word)


def _trackio(tracker: Any, rows: Rows, word: str) -> None:
    import pandas

    frame = pandas.DataFrame(rows, columns=[*COLUMNS])
    tracker._trackio.log({NAME: tracker._trackio.Table(dataframe=frame), WORD: word})


_TABLES: dict[str, Callable[[Any, Rows, str], None]] = {
    "TensorBoardCallback": _tensorboard,
    "WandbCallback": _wandb,
    "MLflowCallback": _mlflow,
    "TrackioCallback": _trackio,
}
"""How each tracker of transformers takes a table, by the name of its callback."""
