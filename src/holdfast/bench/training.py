"""The training of a run: begun or gone on with, and left so that no checkpoint stays half-written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from transformers import Trainer

from holdfast.bench.folder import writing
from holdfast.bench.quiet import is_first
from holdfast.train.checkpoint import drop_unfinished, last_checkpoint


def train_on(trainer: Trainer, resume: bool) -> bool:
    """Trains, and returns whether it went on from a checkpoint; whatever happens, none stays half-written."""
    output = Path(str(trainer.args.output_dir))
    if is_first():
        drop_unfinished(output)
    go_on = resume and last_checkpoint(output) is not None
    try:
        with writing(output), _tokenizers_told():
            trainer.train(resume_from_checkpoint=True if go_on else None)
    finally:
        if is_first():  # who comes here before the first must not delete what that one is writing
            drop_unfinished(output)
    return go_on


@contextlib.contextmanager
def _tokenizers_told() -> Iterator[None]:
    """Settles what the tokenizers library would warn of whenever a process of it is forked: loaders of data are."""
    name = "TOKENIZERS_PARALLELISM"
    told = name in os.environ
    os.environ.setdefault(name, "false")
    try:
        yield
    finally:
        if not told:
            del os.environ[name]
