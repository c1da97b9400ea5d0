"""Loggers of other packages, kept to their errors for a while."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator


@contextlib.contextmanager
def errors_of(names: Iterable[str]) -> Iterator[None]:
    """Lets the loggers of these names tell errors alone in the context, and gives each its level back."""
    levels = {name: logging.getLogger(name).level for name in names}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
