"""Trackers (`--training report_to=...`): their files outlast the run, and they are told how it ended.

Transformers has them write beside the checkpoints, which a finished run does not keep, and closes them when training
ends, before a run has measured what came of it.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from transformers import Trainer, TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback, get_reporting_integration_callbacks

from holdfast.bench.machine.verbosity import errors_only
from holdfast.bench.measured.outcome import SuiteRow, VerdictMean
from holdfast.bench.run.record import RunRecord
from holdfast.probes.watched import FILE as WATCHED

FOLDER = "trackers"
"""Where, in the folder of a run, the files of trackers lie."""
_OWN = re.compile(rf"checkpoint-\d+|holdfast|{re.escape(WATCHED)}")


class OpenTracker(TrainerCallback):
    """A tracker that is not told that training has ended until everything is."""

    def __init__(self, tracker: TrainerCallback) -> None:
        self.tracker = tracker
        for event in dir(TrainerCallback):
            if event.startswith("on_") and event != "on_train_end":
                setattr(self, event, getattr(tracker, event))


def keep_open(trainer: Trainer, folder: Path) -> list[OpenTracker]:
    """Has the trainer's trackers write into `folder` and stay open, and returns them.

    TensorBoard's place is `<folder>/tensorboard`, so that it can be read while the run goes on, unless the variable
    TENSORBOARD_LOGGING_DIR names another.
    """
    kinds = tuple(get_reporting_integration_callbacks(trainer.args.report_to))
    callbacks = trainer.callback_handler.callbacks
    found = []
    for place, tracker in enumerate(callbacks):
        if not (kinds and isinstance(tracker, kinds)):
            continue
        if isinstance(tracker, TensorBoardCallback) and tracker.logging_dir is None:
            tracker.logging_dir = str(folder / "tensorboard")
        callbacks[place] = OpenTracker(tracker)
        found.append(callbacks[place])
    return found


def log_result(trainer: Trainer, trackers: list[OpenTracker], record: RunRecord) -> None:
    """Tells trackers what a run came to, and lets them close: every suite before and after, and the verdict."""
    if not trackers:
        return
    logs = final_logs(record)
    about = {"model": trainer.model, "processing_class": trainer.processing_class}
    with errors_only():  # some would say which of the values (words) they have no place for
        for one in trackers:
            one.tracker.on_log(trainer.args, trainer.state, trainer.control, logs=dict(logs), **about)
            one.tracker.on_train_end(trainer.args, trainer.state, trainer.control, **about)
    # A run of the trackers that stay open until the process ends is ours, and the next one has its own.
    for one in trackers:
        if (wandb := getattr(one.tracker, "_wandb", None)) is not None and wandb.run is not None:
            wandb.finish()


def final_logs(record: RunRecord) -> dict[str, float | str]:
    """Returns what trackers are told at the end: they show `eval_x` as `eval/x`."""
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
    """Returns the numbers of a row that are there."""
    return {f"{name}/{field}": value for field in fields if (value := getattr(row, field)) is not None}


def delete_checkpoints(checkpoints: Path, folder: Path) -> None:
    """Deletes the checkpoints of a finished run, and keeps, in `folder`, what trackers have put beside them."""
    for path in sorted(checkpoints.iterdir()) if checkpoints.is_dir() else []:
        if _OWN.fullmatch(path.name):
            continue
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.move(path, folder / path.name)
    shutil.rmtree(checkpoints, ignore_errors=True)
