"""Stops a run on a signal (from a scheduler, or a closed terminal) after it has saved a checkpoint."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback

SIGNALS = ("SIGTERM", "SIGHUP")
"""Signals that ask a process to end; SIGINT (Ctrl-C) ends it at once, as everywhere."""


class Terminated(KeyboardInterrupt):
    """Raised in place of the default action of a signal; its text says what became of the run."""


class SaveOnSignal(TrainerCallback):
    """Ends a run on a signal: at once, or during training after the current step and with a checkpoint.

    Add it to the trainer as the last callback, so that the checkpoint is complete when `on_save` runs. In a distributed
    run all processes end after the same step, whichever process got the signal.
    """

    def __init__(self) -> None:
        self.signal_name = ""
        self.training = self.saving = False

    @contextlib.contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Handles the signals inside the context, except those that already have a handler."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        own_pid = os.getpid()

        def handle(number: int, _frame: FrameType | None) -> None:
            name = signal.Signals(number).name
            if os.getpid() != own_pid:  # a forked child keeps the default action
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            elif not self.training:
                raise Terminated(f"stopped by {name}")
            elif not self.signal_name:
                self.signal_name = name
                if os.environ.get("RANK", "0") == "0":  # the signal may have interrupted a `print`
                    os.write(2, f"holdfast: stopped by {name}; the run saves a checkpoint after this step.\n".encode())

        unhandled = [number for name in SIGNALS if (number := getattr(signal, name, None)) is not None]
        unhandled = [number for number in unhandled if signal.getsignal(number) is signal.SIG_DFL]
        for number in unhandled:
            signal.signal(number, handle)
        try:
            yield
        finally:
            for number in unhandled:
                signal.signal(number, signal.SIG_DFL)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes that there is something to save from now on."""
        self.training = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Asks for a checkpoint if any process got a signal."""
        if _any_process(bool(self.signal_name), args.device):
            self.saving = control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ends the run after the checkpoint is written.

        Raises:
            Terminated: A process got a signal.
        """
        if not self.saving:
            return
        if _is_distributed():
            torch.distributed.barrier()  # a process that exits ends the others, and one of them may still write
        self.training = False
        by = self.signal_name or "a signal to another process"
        raise Terminated(
            f"stopped by {by}; the checkpoint of step {state.global_step:,} of {state.max_steps:,} is saved"
        )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ends the run here if a signal came after the last step."""
        self.training = False
        if _any_process(bool(self.signal_name), args.device):
            raise Terminated(f"stopped by {self.signal_name or 'a signal to another process'}")


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _any_process(local: bool, device: torch.device) -> bool:
    """Returns whether the flag is set in any process."""
    if not _is_distributed():
        return local
    flag = torch.tensor(float(local), device=device)
    torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
    return bool(flag)
