"""A run that is told to end (by a scheduler, by a closed terminal) saves a checkpoint first, and says so."""

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
"""What asks a process to end; SIGINT (Ctrl-C) ends it at once, as everywhere."""


class Terminated(KeyboardInterrupt):
    """Raised in place of what a signal would do by itself; its text says what became of the run."""


class SaveOnSignal(TrainerCallback):
    """Ends a run when it is told to: at once, or while it trains after the step that it is at, with a checkpoint.

    To be added to the trainer as the last of its callbacks, so that a checkpoint is whole when this one is told of it.
    In a distributed run all processes end after the same step, whichever of them was told.
    """

    def __init__(self) -> None:
        self.signal_name = ""
        self.training = self.saving = False

    @contextlib.contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Takes the signals for as long as the context lasts, where nobody else has taken them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        own = os.getpid()

        def told(number: int, _frame: FrameType | None) -> None:
            name = signal.Signals(number).name
            if os.getpid() != own:  # a child that was forked meanwhile does what it would have done
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            elif not self.training:
                raise Terminated(f"told to end ({name})")
            elif not self.signal_name:
                self.signal_name = name
                if os.environ.get("RANK", "0") == "0":  # `print` may be at work below us
                    os.write(2, f"holdfast: told to end ({name}); a checkpoint comes after this step.\n".encode())

        free = [number for name in SIGNALS if (number := getattr(signal, name, None)) is not None]
        free = [number for number in free if signal.getsignal(number) is signal.SIG_DFL]
        for number in free:
            signal.signal(number, told)
        try:
            yield
        finally:
            for number in free:
                signal.signal(number, signal.SIG_DFL)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes that there is something to save from here on."""
        self.training = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Asks for a checkpoint if any of the processes was told to end."""
        if _any_process(bool(self.signal_name), args.device):
            self.saving = control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ends the run, now that the checkpoint is written.

        Raises:
            Ended: It was told to end.
        """
        if not self.saving:
            return
        if _is_distributed():
            torch.distributed.barrier()  # a process that is gone takes the others with it, and one of them still writes
        self.training = False
        by = f" ({self.signal_name})" if self.signal_name else ""
        raise Terminated(
            f"told to end{by}; the checkpoint of step {state.global_step:,} of {state.max_steps:,} is saved"
        )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Notes that the steps are done: what was told after the last one ends the run here."""
        self.training = False
        if _any_process(bool(self.signal_name), args.device):
            raise Terminated(f"told to end ({self.signal_name or 'another process'})")


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _any_process(here: bool, device: torch.device) -> bool:
    """Returns whether it is so in any of the processes."""
    if not _is_distributed():
        return here
    found = torch.tensor(float(here), device=device)
    torch.distributed.all_reduce(found, op=torch.distributed.ReduceOp.MAX)
    return bool(found)
