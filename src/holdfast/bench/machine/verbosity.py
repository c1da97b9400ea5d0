"""Who speaks: of the processes of a run the first alone, and of the libraries below none in our place."""

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
    """Returns whether this process is the only one of its run, or the first of several: the one that prints and writes.

    Launchers say so in RANK, before torch has been imported.
    """
    return os.environ.get("RANK", "0") == "0"


def main_process_console(console: Console) -> Console:
    """Returns the console in the first process of a run, and one that prints nothing in the others."""
    from rich.console import Console

    return console if is_main_process() else Console(quiet=True)


@contextlib.contextmanager
def errors_only() -> Iterator[None]:
    """Keeps transformers from printing what we say ourselves, or what nobody has to act on; errors are let through."""
    from transformers.utils import logging

    logging.get_verbosity()  # when first asked, it sets its own level
    with errors_of(["transformers"]):
        yield


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps to the context what other libraries would print: warnings, advice, bars. What matters of it we say.

    Errors are let through, and so is what a user asks for (`--training log_level=info`). In the processes of a
    distributed run that are not the first our own notes are held back too, which all of them would make.
    """
    from transformers.utils import logging as of_transformers

    of_transformers.disable_progress_bar()  # the run shows its own
    of_transformers.get_verbosity()  # when first asked, it sets its own level
    names = [*LIBRARIES, *([] if is_main_process() else ["holdfast"])]
    with warnings.catch_warnings(), errors_of(names):
        for library in LIBRARIES:
            warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")
        # Of transformers to PEFT, about a name that neither the user nor this package uses.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        if not is_main_process():
            warnings.simplefilter("ignore")
        yield
