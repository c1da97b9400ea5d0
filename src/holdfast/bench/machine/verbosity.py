"""Limits output to the main process of a run, and silences the libraries that it uses."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from holdfast.core.loggers import errors_of

if TYPE_CHECKING:
    from rich.console import Console

LIBRARIES = ("transformers", "peft", "accelerate", "datasets", "huggingface_hub", "torch", "bitsandbytes")


def is_main_process() -> bool:
    """Returns whether this is the process that prints and writes: the only one of its run, or the first of several.

    Launchers set RANK before torch is imported.
    """
    return os.environ.get("RANK", "0") == "0"


def main_process_console(console: Console) -> Console:
    """Returns `console` in the main process of a run, and a console that prints nothing in the others."""
    from rich.console import Console

    return console if is_main_process() else Console(quiet=True)


@contextlib.contextmanager
def errors_only() -> Iterator[None]:
    """Silences transformers inside the context, except for errors."""
    from transformers.utils import logging

    logging.get_verbosity()  # the first call sets the level
    with errors_of(["transformers"]):
        yield


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silences warnings, hints and progress bars of other libraries inside the context; Holdfast reports what matters.

    Errors pass, and so does what a user asks for (`--training log_level=info`). In a distributed run, all processes but
    the main one also silence Holdfast's own notes, which every process would repeat.
    """
    from transformers.utils import logging as of_transformers

    of_transformers.disable_progress_bar()  # the run shows its own
    of_transformers.get_verbosity()  # the first call sets the level
    names = [*LIBRARIES, *([] if is_main_process() else ["holdfast"])]
    with warnings.catch_warnings(), errors_of(names):
        for library in LIBRARIES:
            warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")
        # transformers warns PEFT of a deprecated name that neither the user nor this package uses.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        if not is_main_process():
            warnings.simplefilter("ignore")
        yield
