"""Trackers (`--training report_to=...`): keeps their files after the run, and logs its result to them.

Transformers makes them write beside the checkpoints, which a finished run deletes, and closes them at the end of
training, before the run measures its result.
"""

from __future__ import annotations

import contextlib
import copy
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from transformers import Trainer, TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback, get_reporting_integration_callbacks

from holdfast.bench.machine.verbosity import errors_only
from holdfast.bench.measured.outcome import SuiteRow, VerdictMean
from holdfast.bench.run.record import RunRecord
from holdfast.bench.run.tracker_tables import log_table, looks_of
from holdfast.probes.watch_record import FILE as WATCHED

FOLDER = "trackers"
"""Name of the folder of trackers in the folder of a run."""
_OWN = re.compile(rf"checkpoint-\d+|holdfast|{re.escape(WATCHED)}")


class OpenTracker(TrainerCallback):
    """A tracker that gets `on_train_end` only at the end of the run."""

    def __init__(self, tracker: TrainerCallback) -> None:
        self.tracker = tracker
        for event in dir(TrainerCallback):
            if event.startswith("on_") and event != "on_train_end":
                setattr(self, event, getattr(tracker, event))


def keep_open(trainer: Trainer, folder: Path) -> list[OpenTracker]:
    """Makes the trainer's trackers write into `folder` and stay open, and returns them.

    TensorBoard writes into `<folder>/tensorboard`, so that it can be read during the run, unless the variable
    TENSORBOARD_LOGGING_DIR names another folder.
    """
    kinds = tuple(get_reporting_integration_callbacks(trainer.args.report_to))
    callbacks = trainer.callback_handler.callbacks
    opened = []
    for place, tracker in enumerate(callbacks):
        if not (kinds and isinstance(tracker, kinds)):
            continue
        if isinstance(tracker, TensorBoardCallback) and tracker.logging_dir is None:
            tracker.logging_dir = str(folder / "tensorboard")
        callbacks[place] = OpenTracker(tracker)
        opened.append(callbacks[place])
    return opened


def log_result(trainer: Trainer, trackers: list[OpenTracker], record: RunRecord) -> None:
    """Logs the guard's curves and the result of a run to its trackers (every suite, the verdict), and closes them."""
    if not trackers:
        return
    logs = final_logs(record)
    context = {"model": trainer.model, "processing_class": trainer.processing_class}
    with errors_only():  # some warn of values that they cannot store, such as words
        for wrapper in trackers:
            for step, numbers in looks_of(record.guard):
                state = copy.copy(trainer.state)
                state.global_step = step
                wrapper.tracker.on_log(trainer.args, state, trainer.control, logs=dict(numbers), **context)
            wrapper.tracker.on_log(trainer.args, trainer.state, trainer.control, logs=dict(logs), **context)
            if trainer.is_world_process_zero():
                log_table(wrapper.tracker, record)
            wrapper.tracker.on_train_end(trainer.args, trainer.state, trainer.control, **context)
    # wandb keeps a run open until the process ends; the next run of this process needs its own.
    for wrapper in trackers:
        if (wandb := getattr(wrapper.tracker, "_wandb", None)) is not None and wandb.run is not None:
            wandb.finish()


def final_logs(record: RunRecord) -> dict[str, float | str]:
    """Returns the final logs for trackers, which show `eval_x` as `eval/x`."""
    logs: dict[str, float | str] = {}
    for suite in record.suites:
        logs |= _numbers(f"eval_{suite.role}/{suite.name}", suite, ("before", "after", "change", "low", "high"))
    if record.verdict is not None:
        logs["eval_verdict"] = record.verdict.word
        logs["eval_exit_code"] = record.exit_code
        for mean in record.verdict.means:
            logs |= _numbers(f"eval_mean/{mean.unit}", mean, ("change", "low", "high"))
    return logs


def _numbers(name: str, row: SuiteRow | VerdictMean, fields: Sequence[str]) -> dict[str, float]:
    """Returns the numbers of a row that are not None."""
    return {f"{name}/{field}": value for field in fields if (value := getattr(row, field)) is not None}


def delete_checkpoints(checkpoints: Path, folder: Path) -> None:
    """Deletes the checkpoints of a finished run, and moves files of trackers beside them into `folder`."""
    for path in sorted(checkpoints.iterdir()) if checkpoints.is_dir() else []:
        if _OWN.fullmatch(path.name):
            continue
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.move(path, folder / path.name)
    shutil.rmtree(checkpoints, ignore_errors=True)
